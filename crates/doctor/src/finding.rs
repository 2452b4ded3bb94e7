use serde::Serialize;

use crate::{Evidence, Flaw};

/// One thing that is wrong, with what shows it and what to change.
#[derive(Debug, Clone, Serialize)]
pub struct Finding {
    /// Which rule is broken.
    #[serde(flatten)]
    pub flaw: Flaw,
    /// What is wrong here, in one line.
    pub title: String,
    /// What was seen and what follows from it for whom.
    pub detail: String,
    /// What to change, exactly.
    pub change: String,
    /// The requests and answers that show it, without secrets.
    pub evidence: Vec<Evidence>,
}

impl Finding {
    /// A finding without evidence yet.
    pub fn new(
        flaw: Flaw,
        title: impl Into<String>,
        detail: impl Into<String>,
        change: impl Into<String>,
    ) -> Self {
        Self {
            flaw,
            title: title.into(),
            detail: detail.into(),
            change: change.into(),
            evidence: Vec::new(),
        }
    }

    /// The same with one more piece of evidence.
    #[must_use]
    pub fn shown_by(mut self, evidence: impl Into<Evidence>) -> Self {
        self.evidence.push(evidence.into());
        self
    }
}
