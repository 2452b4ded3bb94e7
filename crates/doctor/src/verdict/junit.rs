use std::fmt::Write as _;

use super::text::is_hostile;
use crate::Report;

/// The report as JUnit XML: a finding is a failed test, what is well a passed one, what was not examined a skipped one.
pub fn junit(report: &Report) -> String {
    let tests = report.findings.len() + report.well.len() + report.not_examined.len();
    let seconds = f64::from(u32::try_from(report.duration_ms).unwrap_or(u32::MAX)) / 1000.0;
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    let _ = writeln!(
        out,
        "<testsuite name=\"portcullis doctor {}\" tests=\"{tests}\" failures=\"{}\" skipped=\"{}\" errors=\"0\" timestamp=\"{}\" time=\"{seconds:.3}\">",
        escaped(&report.url),
        report.findings.len(),
        report.not_examined.len(),
        escaped(&report.at),
    );
    for finding in &report.findings {
        let flaw = finding.flaw;
        let _ = writeln!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\">\n    <failure type=\"{}\" message=\"{}\">{}\n\nChange: {}\n\nRule: {} ({})</failure>\n  </testcase>",
            escaped(flaw.section.title()),
            escaped(flaw.id),
            flaw.severity.as_str(),
            escaped(&finding.title),
            escaped(&finding.detail),
            escaped(&finding.change),
            escaped(flaw.rule),
            escaped(flaw.source),
        );
    }
    for well in &report.well {
        let _ = writeln!(
            out,
            "  <testcase classname=\"{}\" name=\"{}\"/>",
            escaped(well.section.title()),
            escaped(&well.what)
        );
    }
    for skipped in &report.not_examined {
        let _ = writeln!(
            out,
            "  <testcase classname=\"{}\" name=\"not examined\">\n    <skipped message=\"{}\"/>\n  </testcase>",
            escaped(skipped.section.title()),
            escaped(&skipped.why)
        );
    }
    out.push_str("</testsuite>\n");
    out
}

/// Text for XML 1.0, which has no room for control characters at all.
fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\n' => out.push(' '),
            hostile if is_hostile(hostile) => {}
            '\u{fffe}' | '\u{ffff}' => {}
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_in_a_text_ends_its_attribute_or_is_forbidden_in_xml() {
        assert_eq!(
            escaped("a\"b<c>&\u{1b}[0m\u{0}\n\u{ffff}d"),
            "a&quot;b&lt;c&gt;&amp;[0m d"
        );
    }
}
