use console::{Style, measure_text_width};

use super::text::{plain, wrap};
use crate::{Evidence, Finding, Report, Severity};

/// What the screen can show.
#[derive(Debug, Clone, Copy)]
pub struct Look {
    /// Its columns.
    pub width: usize,
    /// Whether it shows colours.
    pub colour: bool,
}

/// How much of one text of a server is shown; the whole is in `--json`.
const TEXT_MAX: usize = 1_200;

/// The columns of the severity, with the space behind.
const LABEL: usize = 10;

/// How many requests are named per finding.
const EVIDENCE_SHOWN: usize = 3;

/// The report as a page for a terminal: what to fix first on top.
pub fn page(report: &Report, look: Look) -> String {
    let mut page = Page {
        out: String::new(),
        width: look.width.clamp(60, 120),
        colour: look.colour,
    };
    page.head(report);
    page.findings(report);
    page.clients(report);
    page.signed_in(report);
    page.rest(report);
    page.out
}

struct Page {
    out: String,
    width: usize,
    colour: bool,
}

impl Page {
    fn paint(&self, style: Style, text: &str) -> String {
        style.force_styling(self.colour).apply_to(text).to_string()
    }

    fn line(&mut self, text: &str) {
        self.out.push_str(text.trim_end());
        self.out.push('\n');
    }

    /// `text` in lines behind `label`, which stands in columns of its own.
    fn block(&mut self, indent: usize, label: &str, label_width: usize, text: &str, style: &Style) {
        let room = self.width.saturating_sub(indent + label_width);
        let mut lines = wrap(&plain(text, TEXT_MAX), room);
        if lines.is_empty() {
            lines.push(String::new());
        }
        for (at, line) in lines.iter().enumerate() {
            let lead = if at == 0 { label } else { "" };
            let pad = label_width.saturating_sub(measure_text_width(lead));
            let line = self.paint(style.clone(), line);
            self.line(&format!(
                "{}{lead}{}{line}",
                " ".repeat(indent),
                " ".repeat(pad)
            ));
        }
    }

    fn head(&mut self, report: &Report) {
        self.line("");
        let title = self.paint(Style::new().bold(), "Portcullis doctor");
        self.block(2, &title, 19, &report.url, &Style::new());
        self.line("");
        let (mark, words, style) = match report.worst() {
            _ if !report.is_reachable => (
                "✗",
                "It could not be examined".to_owned(),
                Style::new().red().bold(),
            ),
            None => (
                "✓",
                "Nothing wrong was found".to_owned(),
                Style::new().green().bold(),
            ),
            Some(worst) => {
                let words = match worst {
                    Severity::Critical => "Clients cannot connect, or anybody can",
                    Severity::High => {
                        "Many clients cannot connect, or a rule of security is broken"
                    }
                    Severity::Medium => "Some clients fail",
                    Severity::Low => "It works, with details to mend",
                };
                (
                    if worst >= Severity::High { "✗" } else { "!" },
                    format!("{words}: {}", counts(report)),
                    severity_style(worst).bold(),
                )
            }
        };
        let mark = self.paint(style.clone(), mark);
        self.block(2, &mark, 2, &words, &style);
    }

    fn findings(&mut self, report: &Report) {
        let headings = ["Fix this first", "Then"];
        for (at, finding) in report.findings.iter().enumerate() {
            if let Some(heading) = headings.get(at) {
                self.line("");
                let heading = self.paint(Style::new().bold(), heading);
                self.line(&format!("  {heading}"));
            }
            self.line("");
            self.finding(finding);
        }
    }

    fn finding(&mut self, finding: &Finding) {
        let severity = finding.flaw.severity;
        let label = self.paint(severity_style(severity), severity.as_str());
        self.block(2, &label, LABEL, &finding.title, &Style::new().bold());
        let plain_style = Style::new();
        let indent = 2 + LABEL;
        self.block(indent, "", 0, &finding.detail, &plain_style);
        let change = self.paint(Style::new().cyan(), "Change");
        self.block(indent, &change, 8, &finding.change, &plain_style);
        let dim = Style::new().dim();
        let rule = format!("{} {}.", finding.flaw.rule, finding.flaw.source);
        let label = self.paint(dim.clone(), "Rule");
        self.block(indent, &label, 8, &rule, &dim);
        for (at, evidence) in finding.evidence.iter().take(EVIDENCE_SHOWN).enumerate() {
            let label = self.paint(dim.clone(), if at == 0 { "Seen" } else { "" });
            self.block(indent, &label, 8, &seen(evidence), &dim);
        }
        let label = self.paint(dim.clone(), "Id");
        self.block(indent, &label, 8, finding.flaw.id, &dim);
    }

    fn clients(&mut self, report: &Report) {
        if report.clients.is_empty() {
            return;
        }
        self.heading("As each client");
        let width = report
            .clients
            .iter()
            .map(|journey| measure_text_width(&plain(&journey.name, 24)))
            .max()
            .unwrap_or_default()
            + 2;
        for journey in &report.clients {
            let name = plain(&journey.name, 24);
            let (mark, words, style) = match (&journey.stop, &journey.not_examined) {
                (None, Some(why)) => (
                    "·",
                    format!("not followed to its sign-in page: {why}"),
                    Style::new().yellow(),
                ),
                (None, None) => (
                    "✓",
                    "comes to the sign-in page".to_owned(),
                    Style::new().green(),
                ),
                (Some(stop), _) => {
                    let because = stop
                        .flaw
                        .map_or_else(String::new, |flaw| format!(" Because of {flaw}."));
                    (
                        "✗",
                        format!(
                            "stops at {}: {} Its user sees: {}{because}",
                            stop.step, stop.why, stop.user_sees
                        ),
                        Style::new().red(),
                    )
                }
            };
            let mark = self.paint(style, mark);
            let label = format!("{mark} {name}");
            self.block(2, &label, width + 2, &words, &Style::new());
        }
    }

    fn signed_in(&mut self, report: &Report) {
        let Some(summary) = &report.signed_in else {
            return;
        };
        self.heading("Signed in");
        for line in &summary.lines {
            self.block(2, "", 0, line, &Style::new());
        }
    }

    fn rest(&mut self, report: &Report) {
        if !report.well.is_empty() {
            self.heading("Well");
            for well in &report.well {
                let mark = self.paint(Style::new().green(), "✓");
                let words = format!("{}: {}", well.section.title(), well.what);
                self.block(2, &mark, 2, &words, &Style::new());
            }
        }
        if !report.not_examined.is_empty() {
            self.heading("Not examined");
            for skipped in &report.not_examined {
                let mark = self.paint(Style::new().yellow(), "·");
                let words = format!("{}: {}", skipped.section.title(), skipped.why);
                self.block(2, &mark, 2, &words, &Style::new());
            }
        }
        self.line("");
        let seconds = report.duration_ms / 1000;
        let tenths = report.duration_ms % 1000 / 100;
        let words = format!(
            "{} in {seconds}.{tenths} s. --json has the evidence, --bundle FILE makes a file for an issue.",
            match report.requests {
                1 => "One request".to_owned(),
                requests => format!("{requests} requests"),
            }
        );
        self.block(2, "", 0, &words, &Style::new().dim());
        self.line("");
    }

    fn heading(&mut self, words: &str) {
        self.line("");
        let words = self.paint(Style::new().bold(), words);
        self.line(&format!("  {words}"));
    }
}

fn severity_style(severity: Severity) -> Style {
    match severity {
        Severity::Critical | Severity::High => Style::new().red(),
        Severity::Medium => Style::new().yellow(),
        Severity::Low => Style::new().cyan(),
    }
}

fn counts(report: &Report) -> String {
    let counts: Vec<String> = [
        Severity::Critical,
        Severity::High,
        Severity::Medium,
        Severity::Low,
    ]
    .into_iter()
    .filter_map(|severity| {
        let count = report
            .findings
            .iter()
            .filter(|finding| finding.flaw.severity == severity)
            .count();
        (count > 0).then(|| format!("{count} {}", severity.as_str()))
    })
    .collect();
    counts.join(", ")
}

/// One request and its answer, in a line or two.
fn seen(evidence: &Evidence) -> String {
    let outcome = match (evidence.status, &evidence.failed) {
        (Some(status), None) => status.to_string(),
        (Some(status), Some(failed)) => format!("{status}, {failed}"),
        (None, failed) => failed.clone().unwrap_or_else(|| "no answer".to_owned()),
    };
    let challenge = evidence
        .headers
        .iter()
        .find(|(name, _)| name == "www-authenticate" || name == "location")
        .map(|(name, value)| format!(", {name}: {value}"))
        .unwrap_or_default();
    format!(
        "{} ({}) → {outcome}{challenge}, {} ms",
        evidence.request, evidence.purpose, evidence.took_ms
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::flaws::challenge::NO_CHALLENGE;
    use crate::{NotExamined, Section};

    fn report() -> Report {
        let hostile = "x\u{1b}[2J\u{9b}31m\u{202e}\r\nFAKE LINE ".repeat(40);
        Report {
            url: format!("https://mcp.example.com/{}", "long-".repeat(60)),
            doctor: "0",
            at: "2026-01-01T00:00:00Z".to_owned(),
            duration_ms: 1_234,
            requests: 7,
            is_reachable: true,
            findings: vec![Finding::new(
                NO_CHALLENGE,
                hostile.clone(),
                hostile.clone(),
                "漢字".repeat(80),
            )],
            not_examined: vec![NotExamined {
                section: Section::Keys,
                why: hostile,
            }],
            well: Vec::new(),
            clients: Vec::new(),
            signed_in: None,
            exchanges: Vec::new(),
        }
    }

    #[test]
    fn no_line_is_wider_than_the_screen_and_nothing_of_a_server_reaches_the_terminal_as_a_command()
    {
        for width in [60, 80, 120] {
            let page = page(
                &report(),
                Look {
                    width,
                    colour: false,
                },
            );
            for line in page.lines() {
                assert!(measure_text_width(line) <= width, "{width}: {line}");
            }
            assert!(
                page.chars().all(
                    |character| character == '\n' || !super::super::text::is_hostile(character)
                ),
                "{page}"
            );
            assert!(page.contains("Fix this first"), "{page}");
        }
    }

    #[test]
    fn colour_only_adds_to_the_same_words() {
        let with = page(
            &report(),
            Look {
                width: 80,
                colour: true,
            },
        );
        let without = page(
            &report(),
            Look {
                width: 80,
                colour: false,
            },
        );
        assert_ne!(with, without);
        assert_eq!(console::strip_ansi_codes(&with), without);
    }
}
