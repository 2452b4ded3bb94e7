use serde::Serialize;

use crate::persona::Journey;
use crate::signed_in::Summary;
use crate::{Finding, Flaw, Section};

/// What an examination found so far.
#[derive(Debug, Default)]
pub struct Notebook {
    findings: Vec<Finding>,
    not_examined: Vec<NotExamined>,
    well: Vec<(Section, String)>,
    /// How far each client came.
    pub journeys: Vec<Journey>,
    /// What was learned with a token.
    pub signed_in: Option<Summary>,
}

/// What could not be looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotExamined {
    /// What it belongs to.
    pub section: Section,
    /// What, and why not.
    pub why: String,
}

impl Notebook {
    /// Writes a finding down. A flaw that was found before only gets the new evidence, at most four pieces.
    pub fn add(&mut self, finding: Finding) {
        const EVIDENCE_MAX: usize = 4;
        match self
            .findings
            .iter_mut()
            .find(|known| known.flaw == finding.flaw)
        {
            Some(known) => {
                let room = EVIDENCE_MAX.saturating_sub(known.evidence.len());
                known
                    .evidence
                    .extend(finding.evidence.into_iter().take(room));
            }
            None => self.findings.push(finding),
        }
    }

    /// Takes a finding back, because its cause was found after it.
    pub fn withdraw(&mut self, flaw: Flaw) -> Option<Finding> {
        let at = self
            .findings
            .iter()
            .position(|finding| finding.flaw == flaw)?;
        Some(self.findings.remove(at))
    }

    /// Takes back what requests to `url` showed of a flaw, and the finding when nothing else shows it.
    pub fn forget(&mut self, flaw: Flaw, url: &str) {
        for finding in &mut self.findings {
            if finding.flaw == flaw {
                finding.evidence.retain(|seen| !seen.request.ends_with(url));
            }
        }
        self.findings
            .retain(|finding| finding.flaw != flaw || !finding.evidence.is_empty());
    }

    /// Whether `flaw` was found, so that what follows from it is not said again.
    pub fn has(&self, flaw: Flaw) -> bool {
        self.findings.iter().any(|finding| finding.flaw == flaw)
    }

    /// Whether any of `flaws` was found.
    pub fn has_any(&self, flaws: &[Flaw]) -> bool {
        flaws.iter().any(|flaw| self.has(*flaw))
    }

    /// Says that something was not looked at, and why.
    pub fn not_examined(&mut self, section: Section, why: impl Into<String>) {
        let entry = NotExamined {
            section,
            why: why.into(),
        };
        if !self.not_examined.contains(&entry) {
            self.not_examined.push(entry);
        }
    }

    /// Says what was looked at and is as it should be, in a few words.
    pub fn well(&mut self, section: Section, what: impl Into<String>) {
        self.well.push((section, what.into()));
    }

    /// What was found, in the order in which it was.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// What was not looked at.
    pub fn unexamined(&self) -> &[NotExamined] {
        &self.not_examined
    }

    /// What is as it should be.
    pub fn all_well(&self) -> &[(Section, String)] {
        &self.well
    }
}
