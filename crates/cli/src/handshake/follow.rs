use std::collections::HashMap;
use std::time::Duration;

use base::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, interval};

use super::{End, Line, REFERENCE, Sighting, Tracker};
use crate::terminal::{Paint, Terminal, wrap, writes};

/// Without a person at a terminal, an unfinished line is printed after this pause.
const PAUSE: Duration = Duration::from_secs(10);

/// Prints the lines of what comes until the senders are gone.
///
/// On a terminal the newest line is written over while it grows. In a file or a log, a line is written when its
/// handshake ends or pauses.
pub async fn follow(mut seen: mpsc::Receiver<Sighting>, terminal: Terminal) {
    let mut tracker = Tracker::default();
    let mut printer = Printer::new(terminal);
    let mut tick = interval(Duration::from_secs(1));
    loop {
        tokio::select! {
            sighting = seen.recv() => match sighting {
                Some(sighting) => {
                    let at = sighting.at;
                    if let Some(line) = tracker.see(sighting) {
                        printer.show(line, at);
                    }
                }
                None => break,
            },
            _ = tick.tick() => printer.flush(PAUSE),
        }
    }
    printer.flush(Duration::ZERO);
}

struct Printer {
    terminal: Terminal,
    /// The handshake in the last line on the screen.
    last: Option<Shown>,
    waiting: HashMap<u64, (Line, Timestamp, Instant)>,
}

struct Shown {
    handshake: u64,
    rows: usize,
    /// As [`writes`] said then; more by now means that something else stands below it.
    writes: u64,
}

impl Printer {
    fn new(terminal: Terminal) -> Self {
        Self {
            terminal,
            last: None,
            waiting: HashMap::new(),
        }
    }

    fn show(&mut self, line: Line, at: Timestamp) {
        if self.terminal.interactive {
            self.write_over(&line, at);
        } else if line.end.is_some() {
            self.waiting.remove(&line.handshake);
            self.terminal
                .line(render(&line, at, self.terminal.paint, usize::MAX).join("\n"));
        } else {
            self.waiting
                .insert(line.handshake, (line, at, Instant::now()));
        }
    }

    fn write_over(&mut self, line: &Line, at: Timestamp) {
        let rows = render(line, at, self.terminal.paint, self.terminal.width);
        let mut text = String::new();
        if let Some(shown) = &self.last
            && shown.handshake == line.handshake
            && shown.writes == writes()
        {
            for _ in 0..shown.rows {
                // One row up, and clear it.
                text.push_str("\u{1b}[1A\u{1b}[2K");
            }
        }
        for row in &rows {
            text.push_str(row);
            text.push('\n');
        }
        self.terminal.write(&text);
        self.last = Some(Shown {
            handshake: line.handshake,
            rows: rows.len(),
            writes: writes(),
        });
    }

    fn flush(&mut self, pause: Duration) {
        let mut due: Vec<u64> = self
            .waiting
            .iter()
            .filter(|(_, (_, _, since))| since.elapsed() >= pause)
            .map(|(handshake, _)| *handshake)
            .collect();
        due.sort_unstable();
        for handshake in due {
            if let Some((line, at, _)) = self.waiting.remove(&handshake) {
                self.terminal
                    .line(render(&line, at, self.terminal.paint, usize::MAX).join("\n"));
            }
        }
    }
}

/// `12:30:05  Claude Code  401 -> metadata`, wrapped under its steps.
fn render(line: &Line, at: Timestamp, paint: Paint, width: usize) -> Vec<String> {
    let clock = time_of_day(at);
    let lead = format!("  {clock}  {}  ", line.name);
    let indent = console::measure_text_width(&lead).min(24);
    let body = line.steps.join(" -> ");
    let room = width.saturating_sub(indent).max(20);
    let first_room = width
        .saturating_sub(console::measure_text_width(&lead))
        .max(20);
    // The lead may be longer than the indent of the rows below it, so the first row has its own room.
    let mut rows = wrap(&body, first_room);
    if rows.len() > 1 {
        let first = rows.remove(0);
        let rest = wrap(&rows.join(" "), room);
        rows = std::iter::once(first).chain(rest).collect();
    }
    let colour = |row: &str| match line.end {
        Some(End::Working) => paint.good(row),
        Some(End::Broken) => paint.bad(row),
        None => row.to_owned(),
    };
    let colour = |row: &str| painted(row, colour, paint);
    rows.iter()
        .enumerate()
        .map(|(index, row)| match index {
            0 => format!(
                "  {}  {}  {}",
                paint.dim(&clock),
                paint.bold(&line.name),
                colour(row)
            ),
            _ => format!("{:indent$}{}", "", colour(row)),
        })
        .collect()
}

/// A row with its references dim, so that what happened stands out; and with plain spaces, as people search for them.
fn painted(row: &str, colour: impl Fn(&str) -> String, paint: Paint) -> String {
    // An empty text would still leave its marks of colour behind.
    let coloured = |text: &str| match text {
        "" => String::new(),
        text => colour(text),
    };
    let (before, rest) = row.split_once(REFERENCE).unwrap_or((row, ""));
    let mut out = coloured(before);
    for part in rest.split(REFERENCE).filter(|part| !part.is_empty()) {
        let (reference, after) = part.split_at(part.find(' ').unwrap_or(part.len()));
        out.push_str(&paint.dim(format!("ref {reference}")));
        out.push_str(&coloured(after));
    }
    out
}

fn time_of_day(at: Timestamp) -> String {
    jiff::Timestamp::from_millisecond(at.unix_ms())
        .map(|at| {
            at.to_zoned(jiff::tz::TimeZone::system())
                .strftime("%H:%M:%S")
                .to_string()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(steps: &[&str], end: Option<End>) -> Line {
        Line {
            handshake: 1,
            name: "Claude Code".into(),
            steps: steps.iter().map(|step| (*step).to_owned()).collect(),
            end,
        }
    }

    #[test]
    fn a_log_gets_a_line_when_it_ends_and_not_before() {
        let terminal = Terminal::memory();
        let mut printer = Printer::new(terminal.clone());
        let at = Timestamp::from_unix_ms(0);
        printer.show(line(&["401"], None), at);
        assert_eq!(terminal.kept(), "");
        printer.show(line(&["401", "tools/list 5"], Some(End::Working)), at);
        assert!(
            terminal
                .kept()
                .ends_with("Claude Code  401 -> tools/list 5\n"),
            "{}",
            terminal.kept()
        );
    }

    #[test]
    fn an_unfinished_line_is_told_after_a_pause() {
        let terminal = Terminal::memory();
        let mut printer = Printer::new(terminal.clone());
        printer.show(line(&["401"], None), Timestamp::from_unix_ms(0));
        printer.flush(PAUSE);
        assert_eq!(terminal.kept(), "");
        printer.flush(Duration::ZERO);
        assert!(terminal.kept().ends_with("Claude Code  401\n"));
    }

    #[test]
    fn a_reference_stands_dim_and_whole_behind_its_step() {
        let reference = format!("{REFERENCE}EWm9HMgR0VHC");
        let broken = format!("token refused: over (invalid_grant) {reference}");
        let line = line(&["401", &broken], Some(End::Broken));
        let at = Timestamp::from_unix_ms(0);
        let plain = render(&line, at, Paint { colour: false }, usize::MAX).join("");
        assert!(
            plain.ends_with("401 -> token refused: over (invalid_grant) ref EWm9HMgR0VHC"),
            "{plain}"
        );
        let paint = Paint { colour: true };
        let coloured = render(&line, at, paint, usize::MAX).join("");
        let end = format!(
            "{}{}",
            paint.bad("401 -> token refused: over (invalid_grant) "),
            paint.dim("ref EWm9HMgR0VHC")
        );
        assert!(coloured.ends_with(&end), "{coloured:?}");
        for width in 40..110 {
            let rows = render(&line, at, Paint { colour: false }, width);
            let whole = rows.iter().filter(|row| row.contains("ref EWm9HMgR0VHC"));
            assert_eq!(whole.count(), 1, "{width}: {rows:?}");
            let fits = |row: &String| console::measure_text_width(row) <= width;
            assert!(rows.iter().all(fits) || width < 50, "{width}: {rows:?}");
        }
    }

    #[test]
    fn a_long_line_is_wrapped_within_the_width() {
        let steps = [
            "401",
            "metadata",
            "registered",
            "alice approved read, write",
            "tools/list 4 of 5",
        ];
        let rows = render(
            &line(&steps, None),
            Timestamp::from_unix_ms(0),
            Paint { colour: false },
            60,
        );
        assert!(rows.len() > 1);
        assert!(
            rows.iter()
                .all(|row| console::measure_text_width(row) <= 60),
            "{rows:?}"
        );
    }
}
