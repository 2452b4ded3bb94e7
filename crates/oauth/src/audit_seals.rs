//! The audit log under seal: whoever can write the database, and has not the master key, cannot change, take out or put in
//! an event without its being found, as far back as somebody kept a head elsewhere.

mod look_over;
mod sealing;

use aws_lc_rs::hmac;
use base::{Timestamp, base64url};
use domain::{AuditSeal, AuditSealEntry};
use store::AuditRow;

use crate::MasterKey;

pub use look_over::{LookOver, Looked, LookedOver};
pub use sealing::{LATE, Sealing, SealingError};

/// Makes seals, and tells whether they fit.
#[derive(Clone)]
pub struct AuditSealer(hmac::Key);

impl AuditSealer {
    /// The one that belongs to `master`.
    pub fn new(master: &MasterKey) -> Self {
        let key = master.derive("audit-seal");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// Whether a seal is as one of ours was made.
    fn fits(&self, seal: &AuditSeal) -> bool {
        !seal.entries.is_empty() && self.head(seal) == seal.head
    }

    /// The seal over `entries` behind `last`.
    fn seal(
        &self,
        last: Option<&AuditSeal>,
        entries: Vec<AuditSealEntry>,
        now: Timestamp,
    ) -> AuditSeal {
        let mut seal = AuditSeal {
            number: last.map_or(1, |last| last.number + 1),
            made_at: now,
            entries,
            previous: last.map_or_else(String::new, |last| last.head.clone()),
            head: String::new(),
        };
        seal.head = self.head(&seal);
        seal
    }

    fn entry(&self, row: &AuditRow) -> AuditSealEntry {
        let mut facts = Message::new(b"event");
        facts.number(row.id).number(row.at).text(&row.kind);
        for concerned in [&row.server, &row.user, &row.client, &row.grant] {
            facts.number(i64::from(concerned.is_some()));
            facts.text(concerned.as_deref().unwrap_or_default());
        }
        let mut words = Message::new(b"words");
        words.number(row.id).text(&row.detail);
        AuditSealEntry {
            id: row.id,
            facts: self.short(&facts),
            words: self.short(&words),
        }
    }

    fn head(&self, seal: &AuditSeal) -> String {
        let mut message = Message::new(b"heads");
        message
            .number(seal.number)
            .number(seal.made_at.unix_ms())
            .text(&seal.previous);
        for entry in &seal.entries {
            message.number(entry.id);
            message.0.extend(entry.facts);
            message.0.extend(entry.words);
        }
        base64url(hmac::sign(&self.0, &message.0))
    }

    fn short(&self, message: &Message) -> [u8; 16] {
        let mut short = [0; 16];
        short.copy_from_slice(&hmac::sign(&self.0, &message.0).as_ref()[..16]);
        short
    }
}

/// Bytes in which no two lists of parts look the same.
struct Message(Vec<u8>);

impl Message {
    fn new(what: &[u8; 5]) -> Self {
        Self(what.to_vec())
    }

    fn number(&mut self, number: i64) -> &mut Self {
        self.0.extend(number.to_be_bytes());
        self
    }

    fn text(&mut self, text: &str) -> &mut Self {
        self.0.extend((text.len() as u64).to_be_bytes());
        self.0.extend(text.as_bytes());
        self
    }
}

#[cfg(test)]
mod tests;
