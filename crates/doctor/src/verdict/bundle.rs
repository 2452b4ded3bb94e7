use serde::Serialize;

use super::json::printable;
use crate::{Evidence, Report};

#[derive(Serialize)]
struct Bundle<'a> {
    /// The version of this form: a member is only ever added without a new one.
    format: u32,
    note: &'static str,
    #[serde(flatten)]
    report: &'a Report,
    exchanges: &'a [Evidence],
}

/// The report with every request and answer, as a file to attach to an issue: without tokens, codes, secrets and cookies.
pub fn bundle(report: &Report) -> String {
    let bundle = Bundle {
        format: 1,
        note: "Made by portcullis doctor. Tokens, codes, client secrets, cookies and session ids were taken out; host names, client ids \
               and scopes were not.",
        report,
        exchanges: &report.exchanges,
    };
    printable(&serde_json::to_string_pretty(&bundle).expect("a report is plain data"))
}
