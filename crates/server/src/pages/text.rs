//! Makes text that a stranger chose safe to read: nothing invisible, nothing that reorders, nothing endless.

/// An address longer than this is shortened in its middle.
const ADDRESS_CHARACTERS_MAX: usize = 320;

/// Accents that may stand on one letter; more than that paints over the neighbouring lines.
const MARKS_MAX: usize = 2;

/// One line of at most `characters_max` visible characters, without control, invisible, reordering or private
/// characters; runs of white space become one space, and what is cut off is shown by an ellipsis.
///
/// Stripping is enough against a reader being fooled only together with `<bdi>` around the result: letters of a
/// right-to-left script are legitimate and stay.
pub fn plain(text: &str, characters_max: usize) -> String {
    let mut out = String::new();
    let mut count = 0;
    let mut marks = 0;
    let mut space_waits = false;
    for character in text.chars() {
        if character.is_whitespace() {
            space_waits = count > 0;
            continue;
        }
        if is_unreadable(character) {
            continue;
        }
        if is_stacking_mark(character) {
            marks += 1;
            // A mark with no letter before it would land on our own words.
            if marks > MARKS_MAX || count == 0 || space_waits {
                continue;
            }
            out.push(character);
            continue;
        }
        marks = 0;
        let needed = 1 + usize::from(space_waits);
        if count + needed > characters_max {
            out.push('…');
            return out;
        }
        if space_waits {
            out.push(' ');
            space_waits = false;
        }
        out.push(character);
        count += needed;
    }
    out
}

/// A host or URL: as [`plain`], but a long one loses its middle, because the end of a host says whose it is.
pub fn address(text: &str) -> String {
    let clean: Vec<char> = plain(text, usize::MAX).chars().collect();
    if clean.len() <= ADDRESS_CHARACTERS_MAX {
        return clean.into_iter().collect();
    }
    let half = ADDRESS_CHARACTERS_MAX / 2;
    clean[..half]
        .iter()
        .copied()
        .chain(std::iter::once('…'))
        .chain(clean[clean.len() - half..].iter().copied())
        .collect()
}

/// Characters that show nothing, change the order of others, or show whatever the font's maker liked.
fn is_unreadable(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{ad}'                       // soft hyphen
            | '\u{34f}'                    // grapheme joiner
            | '\u{61c}'                    // Arabic letter mark
            | '\u{115f}' | '\u{1160}'      // Hangul fillers
            | '\u{17b4}' | '\u{17b5}'      // invisible Khmer vowels
            | '\u{180b}'..='\u{180f}'      // Mongolian selectors
            | '\u{200b}'..='\u{200f}'      // zero-width, direction marks
            | '\u{202a}'..='\u{202e}'      // embeddings and overrides
            | '\u{2060}'..='\u{206f}'      // joiners, isolates
            | '\u{2800}'                   // blank Braille
            | '\u{3164}' | '\u{ffa0}'      // Hangul fillers
            | '\u{e000}'..='\u{f8ff}'      // private use: some fonts draw logos there
            | '\u{fe00}'..='\u{fe0f}'      // variation selectors
            | '\u{feff}'                   // byte order mark
            | '\u{fff0}'..='\u{ffff}'      // specials, replacement, non-characters
            | '\u{1bca0}'..='\u{1bca3}'    // shorthand controls
            | '\u{1d173}'..='\u{1d17a}'    // musical controls
            | '\u{e0000}'..='\u{10ffff}'   // tags, selectors, private use
        )
}

/// Combining marks that can be piled up without limit.
fn is_stacking_mark(character: char) -> bool {
    matches!(
        character,
        '\u{300}'..='\u{36f}'
            | '\u{483}'..='\u{489}'
            | '\u{591}'..='\u{5bd}'
            | '\u{610}'..='\u{61a}'
            | '\u{64b}'..='\u{65f}'
            | '\u{e31}'
            | '\u{e34}'..='\u{e3a}'
            | '\u{e47}'..='\u{e4e}'
            | '\u{1ab0}'..='\u{1aff}'
            | '\u{1dc0}'..='\u{1dff}'
            | '\u{20d0}'..='\u{20ff}'
            | '\u{fe20}'..='\u{fe2f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_seen_or_reorders_is_dropped_and_letters_stay() {
        for (given, shown) in [
            ("Claude Code", "Claude Code"),
            ("\u{202e}edualC\u{202c}", "edualC"),
            ("a\u{200b}b\u{200d}c\u{2060}d\u{feff}e\u{ad}f", "abcdef"),
            ("a\u{2066}b\u{2069}", "ab"),
            ("a\0b\u{7}c\u{1b}[31m", "abc[31m"),
            ("a\u{f8ff}b\u{e0041}c", "abc"),
            ("\u{3164}\u{2800}\u{115f}", ""),
            (" \t a \n\n b\u{a0}\u{3000}c\u{2028} ", "a b c"),
            (
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
                "\u{5e9}\u{5dc}\u{5d5}\u{5dd}",
            ),
            ("Zoe\u{308}", "Zoe\u{308}"),
            ("\u{308}x", "x"),
            ("e\u{301}\u{301}\u{301}\u{301}f", "e\u{301}\u{301}f"),
        ] {
            assert_eq!(plain(given, 80), shown, "{given:?}");
        }
    }

    #[test]
    fn a_long_text_is_cut_where_it_is_told_to_and_a_fitting_one_is_not() {
        assert_eq!(plain("abcdef", 5), "abcde…");
        assert_eq!(plain("abcde", 5), "abcde");
        assert_eq!(plain("abcd ef", 5), "abcd…");
        assert_eq!(plain("abcde \u{200b} ", 5), "abcde");
    }

    #[test]
    fn a_long_host_keeps_the_end_that_says_whose_it_is() {
        let host = format!("bank.example.{}.evil.example", "a".repeat(400));
        let shown = address(&host);
        assert!(shown.starts_with("bank.example.") && shown.ends_with(".evil.example"));
        assert_eq!(shown.chars().count(), ADDRESS_CHARACTERS_MAX + 1);
        assert_eq!(address("https://a.example/mcp"), "https://a.example/mcp");
    }
}
