use serde::Serialize;

use crate::persona::Journey;
use crate::signed_in::Summary;
use crate::{Evidence, Finding, NotExamined, Section, Severity};

/// What an examination found, without secrets.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// What was examined, as it was typed.
    pub url: String,
    /// The version of the doctor.
    pub doctor: &'static str,
    /// When, as RFC 3339 in UTC.
    pub at: String,
    /// How long it took.
    pub duration_ms: u64,
    /// How many requests were sent.
    pub requests: u32,
    /// Whether the MCP server answered at all.
    pub is_reachable: bool,
    /// What is wrong, the gravest first and causes before what follows from them.
    pub findings: Vec<Finding>,
    /// What was not looked at, and why.
    pub not_examined: Vec<NotExamined>,
    /// What is as it should be.
    pub well: Vec<Well>,
    /// How far each client comes.
    pub clients: Vec<Journey>,
    /// What was learned with a token.
    pub signed_in: Option<Summary>,
    /// Every request and its answer, for the bundle.
    #[serde(skip)]
    pub exchanges: Vec<Evidence>,
}

/// Something that is as it should be.
#[derive(Debug, Clone, Serialize)]
pub struct Well {
    /// What it belongs to.
    pub section: Section,
    /// What.
    pub what: String,
}

impl Report {
    /// The gravest finding's severity.
    pub fn worst(&self) -> Option<Severity> {
        self.findings
            .iter()
            .map(|finding| finding.flaw.severity)
            .max()
    }

    /// 0 nothing found, 1 something below high, 2 high or critical, 3 the server could not be examined at all.
    pub fn exit_code(&self) -> u8 {
        match self.worst() {
            _ if !self.is_reachable => 3,
            None => 0,
            Some(Severity::Low | Severity::Medium) => 1,
            Some(Severity::High | Severity::Critical) => 2,
        }
    }
}
