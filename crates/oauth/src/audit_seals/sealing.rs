use std::collections::HashSet;
use std::time::Duration;

use base::Timestamp;
use domain::{AuditSeal, AuditSealEntry};
use store::{Store, StoreError, audit_event_time, first_audit_event_id};

use super::AuditSealer;

/// Events under one seal, at most.
const EVENTS: usize = 1000;

/// Seals that one turn adds; the next one goes on.
const SEALS: usize = 50;

/// Seals that are read to know how far the sealed log goes: the newest event need not be under the newest seal.
const NEWEST: usize = 20;

/// How much older than the newest sealed one an event may be that comes under a seal: a node may have stood still between
/// making an event and committing it. What is older than that was put in, or its clock was.
pub const LATE: Duration = Duration::from_secs(3600);

/// Why nothing is sealed.
#[derive(Debug, thiserror::Error)]
pub enum SealingError {
    /// Somebody changed the seals beneath us. What they took away must not be sealed anew as if it were true.
    #[error(
        "seal {0} of the audit log, which this process saw, is not there any more or another one; nothing is sealed until it is \
         started again. Look with `portcullis audit verify --head`, unless an older backup was restored or a standby took over"
    )]
    Gone(i64),
    /// The database said that it has our seal, and has not.
    #[error(
        "seal {0} of the audit log was written and is not there: does a trigger or a rule of the database keep it out?"
    )]
    NotKept(i64),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Puts the audit log of one store under seal, turn by turn.
pub struct Sealing {
    sealer: AuditSealer,
    pub(super) store: Store,
    /// The newest seal that was seen.
    last: Option<AuditSeal>,
    /// The newest event that was seen under a seal.
    newest: Option<i64>,
}

impl Sealing {
    /// Of this store.
    pub fn new(sealer: AuditSealer, store: Store) -> Self {
        Self {
            sealer,
            store,
            last: None,
            newest: None,
        }
    }

    /// Seals what is under no seal yet, looked for from `margin` before the newest event that is; gives the newest seal if
    /// there is a new one of ours.
    ///
    /// # Errors
    /// When the store fails, or its seals are not what they were.
    pub async fn turn(
        &mut self,
        now: Timestamp,
        margin: Duration,
    ) -> Result<Option<AuditSeal>, SealingError> {
        self.catch_up().await?;
        let from = self.newest.map_or(0, |id| {
            let newest = audit_event_time(id).min(now);
            first_audit_event_id(newest.before(margin.min(LATE)))
        });
        let (mut made, mut seals) = (None, 0);
        let mut waiting = Vec::new();
        let mut next = Some(from);
        while let Some(from) = next.filter(|_| seals < SEALS) {
            let page = self.store.audit_page(from, EVENTS).await?;
            next = page.next;
            if let (Some(first), Some(last)) = (page.rows.first(), page.rows.last()) {
                let sealed = self.sealed(first.id, last.id).await?;
                let entries = page.rows.iter().map(|row| self.sealer.entry(row));
                waiting.extend(entries.filter(|entry| !sealed.contains(&(entry.id, entry.facts))));
            }
            while waiting.len() >= EVENTS || (next.is_none() && !waiting.is_empty()) {
                let rest = waiting.split_off(waiting.len().min(EVENTS));
                let entries = std::mem::replace(&mut waiting, rest);
                let Some(seal) = self.add(entries, now).await? else {
                    // Another node seals the same; the next turn goes on behind it.
                    return Ok(made);
                };
                made = Some(seal);
                seals += 1;
            }
        }
        Ok(made)
    }

    /// Hears of the seals that other nodes made, and that ours are there.
    async fn catch_up(&mut self) -> Result<(), SealingError> {
        let seals = match &self.last {
            None => {
                let mut seals = self.store.list_newest_audit_seals(NEWEST).await?;
                seals.reverse();
                seals
            }
            Some(last) => {
                let seals = self.store.list_audit_seals(last.number - 1, EVENTS).await?;
                if seals.first().is_none_or(|first| first.head != last.head) {
                    return Err(SealingError::Gone(last.number));
                }
                seals
            }
        };
        for seal in seals {
            self.see(seal);
        }
        Ok(())
    }

    fn see(&mut self, seal: AuditSeal) {
        if self.sealer.fits(&seal) {
            self.newest = self.newest.max(Some(seal.to_id()));
        }
        self.last = Some(seal);
    }

    /// What is under a seal of the events with these ids. A seal that does not fit covers nothing.
    async fn sealed(&self, from: i64, to: i64) -> Result<HashSet<(i64, [u8; 16])>, StoreError> {
        let mut seals = self.store.list_audit_seals_over(from, to).await?;
        seals.retain(|seal| self.sealer.fits(seal));
        let entries = seals.iter().flat_map(|seal| &seal.entries);
        Ok(entries.map(|entry| (entry.id, entry.facts)).collect())
    }

    /// None when another node was quicker.
    async fn add(
        &mut self,
        entries: Vec<AuditSealEntry>,
        now: Timestamp,
    ) -> Result<Option<AuditSeal>, SealingError> {
        let seal = self.sealer.seal(self.last.as_ref(), entries, now);
        if self.store.insert_audit_seal(seal.clone()).await? {
            self.see(seal.clone());
            return Ok(Some(seal));
        }
        let there = self.store.list_audit_seals(seal.number - 2, 2).await?;
        if there.iter().any(|other| other.number == seal.number) {
            return Ok(None);
        }
        let previous = there.first().map_or("", |previous| &previous.head);
        Err(match previous == seal.previous {
            true => SealingError::NotKept(seal.number),
            false => SealingError::Gone(seal.number - 1),
        })
    }
}
