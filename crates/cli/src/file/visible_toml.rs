/// A TOML text with what nobody sees in escapes: to a parser it is the same. A literal string, in which there are none,
/// becomes a basic one then.
pub(super) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let quotes = ["\"\"\"", "'''", "\"", "'"];
        let Some(quote) = quotes.into_iter().find(|quote| rest.starts_with(quote)) else {
            push(&mut shown, first);
            rest = &rest[first.len_utf8()..];
            continue;
        };
        let inner = &rest[quote.len()..];
        let end = end_of(inner, quote);
        let (inner, after) = (&inner[..end], &inner[end..]);
        let is_literal = quote.starts_with('\'');
        if is_literal && inner.chars().any(authz::is_invisible) {
            shown.push('"');
            // The first line's end of a string of several lines is none of it.
            let content = match quote.len() {
                3 => inner.strip_prefix('\n').unwrap_or(inner),
                _ => inner,
            };
            for letter in content.chars() {
                match letter {
                    '"' | '\\' => shown.extend(['\\', letter]),
                    '\n' => shown.push_str("\\n"),
                    _ => push(&mut shown, letter),
                }
            }
            shown.push('"');
        } else {
            shown.push_str(quote);
            inner.chars().for_each(|letter| push(&mut shown, letter));
            shown.push_str(quote);
        }
        rest = after.get(quote.len()..).unwrap_or_default();
    }
    shown
}

fn push(shown: &mut String, letter: char) {
    match (authz::is_invisible(letter), u32::from(letter)) {
        (false, _) => shown.push(letter),
        (true, number @ ..=0xffff) => shown.push_str(&format!("\\u{number:04X}")),
        (true, number) => shown.push_str(&format!("\\U{number:08X}")),
    }
}

/// Where a string ends that `quote` began.
fn end_of(inner: &str, quote: &str) -> usize {
    let mut from = 0;
    while let Some(found) = inner[from..].find(['\\', '"', '\'']) {
        let at = from + found;
        let here = &inner[at..];
        if here.starts_with('\\') && quote.starts_with('"') {
            // With what it escapes.
            let escaped = here.chars().nth(1).map_or(0, char::len_utf8);
            from = at + 1 + escaped;
        } else if here.starts_with(quote) {
            // Up to two quotes may stand before the three that end it.
            let more = here.len() - here.trim_start_matches(&quote[..1]).len() - quote.len();
            return at + if quote.len() == 3 { more } else { 0 };
        } else {
            from = at + 1;
        }
    }
    inner.len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use super::*;

    const HIDDEN: [&str; 9] = [
        "\u{1b}[2J",
        "\u{7f}",
        "\u{85}",
        "\u{9b}2J",
        "\u{ad}",
        "\u{200b}",
        "\u{202e}",
        "\u{feff}",
        "\u{e0041}",
    ];

    #[test]
    fn nothing_that_hides_is_left_and_a_parser_reads_the_same() {
        let around = [
            "",
            "plain",
            "it's",
            "say \"so\"",
            "it's \"so\"",
            "back\\slash",
            "two\nlines",
            "'''",
            "\"\"\"",
            "a\n'''\"\"\"\\",
            "\"\n",
            "\n\"\"",
            "\t",
            "寅",
        ];
        let mut texts = Vec::new();
        for hidden in HIDDEN.into_iter().chain([""]) {
            for (one, other) in around
                .iter()
                .flat_map(|one| around.map(|other| (one, other)))
            {
                texts.push(format!("{one}{hidden}{other}"));
            }
        }
        let all: BTreeMap<&str, BTreeMap<&str, &str>> = texts
            .iter()
            .map(|text| {
                (
                    text.as_str(),
                    BTreeMap::from([(text.as_str(), text.as_str())]),
                )
            })
            .collect();
        for written in [toml::to_string(&all), toml::to_string_pretty(&all)] {
            let written = written.unwrap();
            let shown = visible(&written);
            assert!(!shown.chars().any(authz::is_invisible));
            let read: BTreeMap<String, BTreeMap<String, String>> = toml::from_str(&shown).unwrap();
            let expected: BTreeMap<String, BTreeMap<String, String>> =
                toml::from_str(&written).unwrap();
            assert_eq!(read, expected);
            assert_eq!(read.len(), all.len());
        }
        // The twin: what hides nothing is as it was written.
        let plain = "a = 'say \"so\"'\nb = '''\n\"it's\"\nso'''\n\"c d\" = \"it's\"\n";
        assert_eq!(visible(plain), plain);
    }

    #[test]
    fn a_literal_string_becomes_a_basic_one() {
        assert_eq!(visible("a = 'x\"\u{9b}\\'\n"), "a = \"x\\\"\\u009B\\\\\"\n");
        assert_eq!(
            visible("a = '''\nx\n\u{e0041}'''"),
            "a = \"x\\n\\U000E0041\""
        );
    }
}
