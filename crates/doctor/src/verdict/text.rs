//! Words of strangers on somebody's screen.

use console::measure_text_width;

/// `text` without what would move the cursor, forge a line or hide, cut to `characters_max`.
pub fn plain(text: &str, characters_max: usize) -> String {
    let mut out: String = text
        .chars()
        .map(|character| {
            if character.is_whitespace() {
                ' '
            } else {
                character
            }
        })
        .filter(|character| !is_hostile(*character))
        .take(characters_max + 1)
        .collect();
    if out.chars().count() > characters_max {
        out.pop();
        out.pop();
        out.push('…');
    }
    out
}

/// Whether a character does something to a terminal or a reader other than being read.
pub(super) fn is_hostile(character: char) -> bool {
    character.is_control() || authz::is_invisible(character)
}

/// Breaks `text` into lines of at most `width` columns: at spaces where there are some, else within a word.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(10);
    let mut lines = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let room = width.saturating_sub(measure_text_width(&line) + usize::from(!line.is_empty()));
        if measure_text_width(word) <= room {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
            continue;
        }
        if !line.is_empty() {
            lines.push(std::mem::take(&mut line));
        }
        for character in word.chars() {
            let mut letter = [0; 4];
            let columns = measure_text_width(character.encode_utf8(&mut letter));
            if measure_text_width(&line) + columns > width {
                lines.push(std::mem::take(&mut line));
            }
            line.push(character);
        }
    }
    if !line.is_empty() {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_strangers_can_neither_move_the_cursor_nor_forge_a_line() {
        assert_eq!(plain("a\nb\u{1b}[2Jc\u{9b}\u{202e}d\te", 40), "a b[2Jcd e");
        assert_eq!(plain("abcdefg", 6), "abcde…");
    }

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_within() {
        assert_eq!(wrap("aa bb cc", 10), ["aa bb cc"]);
        assert_eq!(wrap("aaaa bbbb cccc", 10), ["aaaa bbbb", "cccc"]);
        assert_eq!(wrap("abcdefghijklm n", 10), ["abcdefghij", "klm n"]);
        assert_eq!(wrap("a 漢漢漢漢漢漢", 10), ["a", "漢漢漢漢漢", "漢"]);
        assert_eq!(wrap("", 10), Vec::<String>::new());
    }
}
