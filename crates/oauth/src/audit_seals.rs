//! The audit log under seal: whoever can write the database, and has not the master key, cannot change, take out or put in
//! an event without its being found. Cutting off its end is found by whoever kept a head elsewhere.

mod look_over;

use std::time::Duration;

use aws_lc_rs::hmac;
use base::{Timestamp, base64url};
use domain::{AuditSeal, AuditSealEntry};
use store::{AuditRow, Store, StoreError};

use crate::MasterKey;

pub use look_over::{LookOver, Looked, LookedOver};

/// Events under one seal.
const EVENTS_OF_A_SEAL: usize = 1000;

/// Seals that one turn adds; the next one goes on.
const SEALS_OF_A_TURN: usize = 50;

/// Seals the audit log, and tells whether it fits.
#[derive(Clone)]
pub struct AuditSealer(hmac::Key);

impl AuditSealer {
    /// The one that belongs to `master`.
    pub fn new(master: &MasterKey) -> Self {
        let key = master.derive("audit-seal");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &key))
    }

    /// Seals what is under no seal yet, see [`Store::list_unsealed_audit_rows`]; gives the newest seal if there is a new one.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn seal_new(
        &self,
        store: &Store,
        now: Timestamp,
        margin: Duration,
    ) -> Result<Option<AuditSeal>, StoreError> {
        let mut newest = None;
        for _ in 0..SEALS_OF_A_TURN {
            // The seal first: one that another node adds meanwhile has our number.
            let last = store.find_last_audit_seal().await?;
            let rows = store
                .list_unsealed_audit_rows(now, margin, EVENTS_OF_A_SEAL)
                .await?;
            if rows.is_empty() {
                break;
            }
            let is_all = rows.len() < EVENTS_OF_A_SEAL;
            let seal = self.seal(last.as_ref(), &rows, now);
            if store.insert_audit_seal(seal.clone()).await? {
                newest = Some(seal);
            }
            if is_all {
                break;
            }
        }
        Ok(newest)
    }

    /// The seal over `rows` behind `last`.
    fn seal(&self, last: Option<&AuditSeal>, rows: &[AuditRow], now: Timestamp) -> AuditSeal {
        let mut seal = AuditSeal {
            number: last.map_or(1, |last| last.number + 1),
            made_at: now,
            entries: rows.iter().map(|row| self.entry(row)).collect(),
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
