//! The one place that writes to the person's terminal.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use console::{Style, Term};

/// Counts what was written to the person's terminal by anybody in this process, the log included. Whoever wants to
/// write over a line asks whether it is still the last one.
static WRITES: AtomicU64 = AtomicU64::new(0);

/// Why something of an answer could not be written to standard output, when it could not.
static LOST: Mutex<Option<io::Error>> = Mutex::new(None);

/// Takes the first reason why standard output lacks something that was written to it. Whoever sent a secret to a file
/// that is shown once must not be told that it is there.
pub fn lost_answer() -> Option<io::Error> {
    LOST.lock().unwrap_or_else(PoisonError::into_inner).take()
}

/// How often something was written so far.
pub fn writes() -> u64 {
    WRITES.load(Ordering::Relaxed)
}

/// Standard error for the log.
#[derive(Debug)]
pub struct LogStream;

impl io::Write for LogStream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        WRITES.fetch_add(1, Ordering::Relaxed);
        io::stderr().lock().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

/// Where the words for a person go, and what that place can show. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Terminal {
    sink: Sink,
    /// Colours, when it has them.
    pub paint: Paint,
    /// Columns.
    pub width: usize,
    /// Whether a person is looking, so that a line may be written over.
    pub interactive: bool,
}

#[derive(Debug, Clone)]
enum Sink {
    Stdout,
    Stderr,
    Log,
    Memory(Arc<Mutex<String>>),
}

impl Terminal {
    /// Standard output: answers.
    pub fn stdout() -> Self {
        let term = Term::stdout();
        Self::of(Sink::Stdout, &term, console::colors_enabled())
    }

    /// Standard error: the screen when standard output is for a program.
    pub fn stderr() -> Self {
        let term = Term::stderr();
        Self::of(Sink::Stderr, &term, console::colors_enabled_stderr())
    }

    /// The log, for a process that nobody watches: each line is an event.
    pub fn log() -> Self {
        Self {
            sink: Sink::Log,
            paint: Paint { colour: false },
            width: 200,
            interactive: false,
        }
    }

    /// Keeps what is written, for tests. 100 columns, no colour.
    pub fn memory() -> Self {
        Self {
            sink: Sink::Memory(Arc::default()),
            paint: Paint { colour: false },
            width: 100,
            interactive: false,
        }
    }

    fn of(sink: Sink, term: &Term, colour: bool) -> Self {
        // What is not a terminal has no width: the lines then go to a file or to a log, where 100 is easy to read.
        let width = term
            .size_checked()
            .map_or(100, |(_, columns)| usize::from(columns));
        // NO_COLOR counts when it is set and not empty (no-color.org), whatever else is.
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            sink,
            paint: Paint {
                colour: colour && term.is_term() && !forbidden,
            },
            width: width.clamp(40, 140),
            interactive: term.is_term() && std::env::var("TERM").as_deref() != Ok("dumb"),
        }
    }

    /// Writes text and a line's end.
    pub fn line(&self, text: impl AsRef<str>) {
        self.write(&format!("{}\n", text.as_ref()));
    }

    /// Writes text as it is. A reader that went away (a closed pipe) is no error: nobody is there to be told.
    pub fn write(&self, text: &str) {
        self.takes(text);
    }

    /// Writes text as it is, and says whether it was taken: of a long answer the rest may be left out when it was not.
    pub fn takes(&self, text: &str) -> bool {
        WRITES.fetch_add(1, Ordering::Relaxed);
        let taken = match &self.sink {
            Sink::Stdout => written(io::stdout().lock(), text).inspect_err(|error| {
                if error.kind() != io::ErrorKind::BrokenPipe {
                    LOST.lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .get_or_insert_with(|| io::Error::new(error.kind(), error.to_string()));
                }
            }),
            Sink::Stderr => written(io::stderr().lock(), text),
            Sink::Log => {
                for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
                    tracing::info!("{line}");
                }
                Ok(())
            }
            Sink::Memory(kept) => {
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push_str(text);
                Ok(())
            }
        };
        taken.is_ok()
    }

    /// Writes the lines of a diff, coloured by their sign.
    pub fn diff(&self, diff: &str) {
        for line in diff.lines() {
            self.line(match line.as_bytes().first() {
                Some(b'+') => self.paint.good(line),
                Some(b'-') => self.paint.bad(line),
                _ => self.paint.dim(line),
            });
        }
    }

    /// What a memory terminal kept.
    pub fn kept(&self) -> String {
        match &self.sink {
            Sink::Memory(kept) => kept.lock().unwrap_or_else(PoisonError::into_inner).clone(),
            Sink::Stdout | Sink::Stderr | Sink::Log => String::new(),
        }
    }
}

fn written(mut stream: impl io::Write, text: &str) -> io::Result<()> {
    stream.write_all(text.as_bytes())?;
    stream.flush()
}

/// The few styles of this program.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    /// Off: the text as it is.
    pub colour: bool,
}

impl Paint {
    /// What matters most.
    pub fn bold(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().bold(), text)
    }

    /// What may be overlooked.
    pub fn dim(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().dim(), text)
    }

    /// What can be copied or opened.
    pub fn accent(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().cyan(), text)
    }

    /// What went well.
    pub fn good(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().green(), text)
    }

    /// What went wrong.
    pub fn bad(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().red(), text)
    }

    /// What somebody should look at.
    pub fn warn(self, text: impl AsRef<str>) -> String {
        self.with(Style::new().yellow(), text)
    }

    fn with(self, style: Style, text: impl AsRef<str>) -> String {
        style
            .force_styling(self.colour)
            .apply_to(text.as_ref())
            .to_string()
    }
}

/// Text from elsewhere (a client's name, a tool's title, an upstream's message) without what would move the cursor or
/// forge a line, cut to `characters_max`.
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
        // Marks that reverse or hide text could make one name look like another.
        .filter(|character| !character.is_control() && !authz::is_invisible(*character))
        .take(characters_max + 1)
        .collect();
    if out.chars().count() > characters_max {
        out.pop();
        out.pop();
        out.push('…');
    }
    out
}

/// Breaks `text` at spaces into lines of at most `width` columns; a longer word stays whole.
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let joined = console::measure_text_width(&line) + 1 + console::measure_text_width(word);
        if !line.is_empty() && joined > width {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line.push_str(word);
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
    fn text_from_elsewhere_can_neither_forge_a_line_nor_move_the_cursor() {
        assert_eq!(plain("a\nb\u{1b}[2Jc\u{202e}d\te", 40), "a b[2Jcd e");
        assert_eq!(plain("abcdef", 6), "abcdef");
        assert_eq!(plain("abcdefg", 6), "abcde…");
    }

    #[test]
    fn lines_are_broken_at_spaces_and_long_words_stay_whole() {
        assert_eq!(wrap("aa bb cc", 5), ["aa bb", "cc"]);
        assert_eq!(wrap("aaaaaaaaaa b", 5), ["aaaaaaaaaa", "b"]);
        assert_eq!(wrap("", 5), Vec::<String>::new());
    }

    #[test]
    fn paint_adds_nothing_when_colour_is_off() {
        assert_eq!(Paint { colour: false }.bold("x"), "x");
        assert_ne!(Paint { colour: true }.bold("x"), "x");
    }
}
