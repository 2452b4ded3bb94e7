//! From the words on a client's screen to the flaws that they may mean.

use doctor::persona::phrases;

/// The likely flaws behind `shown`, for people.
pub fn explain(shown: &str) -> String {
    let narrowed = phrases::narrow(shown);
    if narrowed.is_empty() {
        return "No client is known to show these words. Examine the server: portcullis doctor URL --as all\n".to_owned();
    }
    let mut page = String::new();
    for phrase in narrowed {
        page.push_str(&format!(
            "{:?} may be, the likeliest first:\n",
            phrase.words()
        ));
        for flaw in phrase.flaws() {
            page.push_str(&format!("  {:<30} {}\n", flaw.id, flaw.rule));
        }
        page.push_str(&format!("{}\n({})\n\n", phrase.then, phrase.source));
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_screen_lead_to_flaws_and_unknown_ones_to_an_examination() {
        let known = explain("Couldn\u{2019}t register with notes");
        assert!(
            known.contains("asm-no-registration") && known.contains("--register"),
            "{known}"
        );
        let unknown = explain("It works");
        assert!(
            unknown.contains("--as all") && !unknown.contains("asm-"),
            "{unknown}"
        );
    }
}
