use doctor::explain::{Explanation, Member, Outcome};

use crate::terminal::{Terminal, wrap};

/// Prints an explanation for a person: the verdict, the checklist, and what it says.
pub fn print(explanation: &Explanation, out: &Terminal) {
    let paint = out.paint;
    let verdict = &explanation.verdict;
    let word = match verdict.outcome {
        Outcome::Good => paint.good("Good"),
        Outcome::Bad => paint.bad("Bad"),
        Outcome::Unknown => paint.warn("No verdict"),
    };
    paragraph(&format!("{}: {}", word, verdict.says), "", out);
    out.line("");
    paragraph(&explanation.sentence, "", out);
    for note in &explanation.notes {
        paragraph(note, "  ", out);
    }
    if !explanation.checks.is_empty() {
        out.line("");
        out.line(paint.bold("Checklist"));
    }
    for check in &explanation.checks {
        let mark = match check.outcome {
            Outcome::Good => paint.good("✓"),
            Outcome::Bad => paint.bad("✗"),
            Outcome::Unknown => paint.warn("?"),
        };
        hanging(
            &format!("  {mark} {:<9} ", check.name),
            14,
            &check.says,
            out,
        );
    }
    members("Header", &explanation.header, out);
    members("Claims", &explanation.claims, out);
}

fn members(title: &str, members: &[Member], out: &Terminal) {
    if members.is_empty() {
        return;
    }
    out.line("");
    out.line(out.paint.bold(title));
    let width = members
        .iter()
        .map(|member| console::measure_text_width(&member.name))
        .max()
        .unwrap_or(0)
        .min(16);
    for member in members {
        let pad = width.saturating_sub(console::measure_text_width(&member.name));
        let lead = format!("  {}{} ", member.name, " ".repeat(pad));
        let words = member.words.as_deref().unwrap_or_default();
        let text = match words.is_empty() {
            true => member.value.clone(),
            false => format!("{}  ({words})", member.value),
        };
        hanging(&lead, width + 3, &text, out);
    }
}

/// Text behind a lead of `indent` columns, its further lines indented as far.
fn hanging(lead: &str, indent: usize, text: &str, out: &Terminal) {
    let room = out.width.saturating_sub(indent).max(20);
    let mut lines = wrap(text, room).into_iter();
    out.line(format!("{lead}{}", lines.next().unwrap_or_default()));
    for line in lines {
        out.line(format!("{}{line}", " ".repeat(indent)));
    }
}

fn paragraph(text: &str, lead: &str, out: &Terminal) {
    for line in wrap(text, out.width.saturating_sub(lead.len())) {
        out.line(format!("{lead}{line}"));
    }
}
