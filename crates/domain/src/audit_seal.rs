use base::Timestamp;

/// A stretch of the audit log that was sealed together, and what makes it fit behind the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditSeal {
    /// Counts from 1.
    pub number: i64,
    /// When it was made.
    pub made_at: Timestamp,
    /// Its events, in order; never none.
    pub entries: Vec<AuditSealEntry>,
    /// The head of the seal before; empty in the first.
    pub previous: String,
    /// Stands for everything up to here.
    pub head: String,
}

/// One event under a seal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AuditSealEntry {
    /// Its id.
    pub id: i64,
    /// Of all but its words.
    pub facts: [u8; 16],
    /// Of its words, apart because those that tell who a person is leave with the person.
    pub words: [u8; 16],
}

impl AuditSeal {
    /// The greatest id of its events.
    pub fn to_id(&self) -> i64 {
        self.entries.iter().map(|entry| entry.id).max().unwrap_or(0)
    }
}
