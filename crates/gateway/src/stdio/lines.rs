use std::io;

use tokio::io::{AsyncBufReadExt as _, AsyncRead, BufReader};

/// Reads lines without ever holding more than a given number of bytes of one.
#[derive(Debug)]
pub(super) struct Lines<R> {
    reader: BufReader<R>,
    bytes_max: usize,
}

/// One line without its end.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    /// Its first bytes, at most the limit.
    pub(super) bytes: Vec<u8>,
    /// Whether there was more.
    pub(super) truncated: bool,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(reader: R, bytes_max: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(64 * 1024, reader),
            bytes_max,
        }
    }

    /// The next line, or `None` at the end. A last line without a line end counts.
    pub(super) async fn next(&mut self) -> io::Result<Option<Line>> {
        let mut line = Line {
            bytes: Vec::new(),
            truncated: false,
        };
        loop {
            let buffer = self.reader.fill_buf().await?;
            if buffer.is_empty() {
                let nothing = line.bytes.is_empty() && !line.truncated;
                return Ok((!nothing).then_some(line));
            }
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let part = &buffer[..end.unwrap_or(buffer.len())];
            let room = self.bytes_max - line.bytes.len();
            line.truncated |= part.len() > room;
            line.bytes.extend_from_slice(&part[..part.len().min(room)]);
            let consumed = end.map_or(buffer.len(), |end| end + 1);
            self.reader.consume(consumed);
            if end.is_some() {
                if line.bytes.last() == Some(&b'\r') {
                    line.bytes.pop();
                }
                return Ok(Some(line));
            }
        }
    }
}

/// A line of somebody else's log as it may stand in a terminal: no escape sequences, no control characters.
pub(super) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let mut out = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\u{1b}' => match characters.next() {
                // CSI, such as a colour, ends with a letter.
                Some('[') => while characters.next().is_some_and(|c| !('@'..='~').contains(&c)) {},
                // OSC, such as a window title, ends with BEL or ESC \.
                Some(']') => {
                    while let Some(inside) = characters.next() {
                        if inside == '\u{7}' {
                            break;
                        }
                        if inside == '\u{1b}' {
                            characters.next_if_eq(&'\\');
                            break;
                        }
                    }
                }
                _ => {}
            },
            '\t' => out.push(' '),
            character if character.is_control() => {}
            character => out.push(character),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    async fn read(input: &[u8], bytes_max: usize) -> Vec<(String, bool)> {
        let mut lines = Lines::new(input, bytes_max);
        let mut out = Vec::new();
        while let Some(line) = lines.next().await.unwrap() {
            out.push((String::from_utf8(line.bytes).unwrap(), line.truncated));
        }
        out
    }

    #[tokio::test]
    async fn lines_end_with_lf_or_crlf_and_the_last_needs_no_end() {
        let lines = read(b"one\r\n\ntwo\nthree", 100).await;
        let texts: Vec<_> = lines.iter().map(|(text, _)| text.as_str()).collect();
        assert_eq!(texts, ["one", "", "two", "three"]);
    }

    #[tokio::test]
    async fn a_line_over_the_limit_is_cut_and_the_next_is_whole() {
        let long = vec![b'x'; 200_000];
        let input = [&long[..], b"\nnext\n", &long[..5], b"\n"].concat();
        let lines = read(&input, 5).await;
        assert_eq!(lines[0], ("xxxxx".to_owned(), true));
        assert_eq!(lines[1], ("next".to_owned(), false));
        assert_eq!(lines[2], ("xxxxx".to_owned(), false));
    }

    #[test]
    fn nothing_that_moves_a_terminal_is_left_in_a_printable_line() {
        assert_eq!(
            printable(b"\x1b[31mred\x1b[0m and \x07bell"),
            "red and bell"
        );
        assert_eq!(printable(b"\x1b]0;title\x07x\x1b]0;t\x1b\\y"), "xy");
        assert_eq!(printable("a\tb \u{85}grün".as_bytes()), "a b grün");
        assert_eq!(printable(b"\xff ok"), "\u{fffd} ok");
    }
}
