use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base::Timestamp;
use domain::{AuditEventKind, AuditSeal};
use store::{AuditRow, Store, StoreError, audit_event_time};

use super::AuditSealer;

/// Findings that are told; the others are counted.
const FINDINGS_TOLD: usize = 20;

/// Events that no seal has covered so far. More than a node ever leaves behind.
const WAITING: usize = 100_000;

/// Seals, and events, that are read at once.
const PAGE: usize = 50;
const EVENTS: usize = 1000;

/// An event that is younger may still come under a seal.
const SEALED_WITHIN: Duration = Duration::from_secs(2 * 3600);

/// Retention deletes in turns.
const RETENTION_SLACK: Duration = Duration::from_secs(24 * 3600);

/// What the log is held against.
#[derive(Debug, Clone, Default)]
pub struct LookOver {
    /// The time now.
    pub now: Timestamp,
    /// How long events are kept; none without end.
    pub kept: Option<Duration>,
    /// A seal's number and head that somebody kept elsewhere.
    pub kept_head: Option<(i64, String)>,
    /// People who were deleted and whose words are gone with them.
    pub deleted: HashSet<String>,
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedOver {
    /// Seals that fit.
    pub seals: u64,
    /// Events that fit.
    pub events: u64,
    /// Events under a seal that retention has deleted.
    pub retired: u64,
    /// Events whose words left with a person who was deleted.
    pub blanked: u64,
    /// Events that are too new to be under a seal.
    pub unsealed: u64,
    /// The newest seal's number and head, to be kept elsewhere.
    pub head: Option<(i64, String)>,
    /// What does not fit, the oldest first; at most twenty.
    pub findings: Vec<Looked>,
    /// How many there are.
    pub found: u64,
}

/// One thing that does not fit.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names say it")]
pub enum Looked {
    /// Seals with these numbers are not there.
    SealsMissing { from: i64, to: i64 },
    /// A seal is not what was written, or not behind the one that it was written behind.
    SealChanged { number: i64 },
    /// An event under a seal is not there.
    EventMissing { id: i64 },
    /// An event is not as it was sealed.
    EventChanged { id: i64 },
    /// The words of an event are gone, and nobody was deleted.
    WordsMissing { id: i64 },
    /// An event stands between sealed ones and is under no seal.
    EventPutIn { id: i64 },
    /// The head that was kept elsewhere is not that of its seal.
    OtherHead { number: i64 },
    /// The log ends before the seal whose head was kept elsewhere: it was cut, or an older backup was restored.
    Cut { number: i64 },
}

impl AuditSealer {
    /// Reads the whole log and holds it against its seals.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn look_over(
        &self,
        store: &Store,
        against: LookOver,
    ) -> Result<LookedOver, StoreError> {
        let mut looking = Looking::new(self, against);
        let mut number = 0;
        loop {
            let seals = store.list_audit_seals(number, PAGE).await?;
            for seal in &seals {
                number = seal.number;
                looking.seal(seal);
                let (mut after, to) = (looking.read_to, seal.to_id().max(looking.read_to));
                while after < to {
                    let rows = store.list_audit_rows(after, to, EVENTS).await?;
                    after = rows.last().map_or(to, |row| row.id);
                    rows.into_iter().for_each(|row| looking.event(row));
                }
                looking.read_to = to;
                looking.hold_events(seal);
            }
            if seals.len() < PAGE {
                break;
            }
        }
        let mut after = looking.read_to;
        loop {
            let rows = store.list_audit_rows(after, i64::MAX, EVENTS).await?;
            let Some(last) = rows.last() else {
                break;
            };
            after = last.id;
            looking.result.unsealed += rows.len() as u64;
        }
        Ok(looking.end())
    }
}

/// Goes through the seals in order, with the events up to each.
pub(super) struct Looking<'a> {
    sealer: &'a AuditSealer,
    against: LookOver,
    last: Option<(i64, String)>,
    /// Events up to here were read.
    pub(super) read_to: i64,
    /// Read, and under no seal so far.
    waiting: BTreeMap<i64, AuditRow>,
    /// Events without their words, by whom they are about.
    blanked: Vec<(i64, String)>,
    result: LookedOver,
}

impl<'a> Looking<'a> {
    pub(super) fn new(sealer: &'a AuditSealer, against: LookOver) -> Self {
        Self {
            sealer,
            against,
            last: None,
            read_to: 0,
            waiting: BTreeMap::new(),
            blanked: Vec::new(),
            result: LookedOver::default(),
        }
    }

    fn found(&mut self, finding: Looked) {
        self.result.found += 1;
        if self.result.findings.len() < FINDINGS_TOLD {
            self.result.findings.push(finding);
        }
    }

    fn is_retired(&self, id: i64) -> bool {
        let Some(kept) = self.against.kept else {
            return false;
        };
        audit_event_time(id) < self.against.now.before(kept).after(RETENTION_SLACK)
    }

    /// The seal itself and its place.
    pub(super) fn seal(&mut self, seal: &AuditSeal) {
        let number = seal.number;
        let (expected, previous) = match &self.last {
            Some((last, head)) => (last + 1, Some(head.clone())),
            // The first ones may have left with their events.
            None if number > 1 && self.seals_may_have_left(seal) => (number, None),
            None => (1, Some(String::new())),
        };
        if number != expected {
            self.found(Looked::SealsMissing {
                from: expected,
                to: number - 1,
            });
        }
        let follows = number != expected || previous.is_none_or(|head| head == seal.previous);
        let fits = !seal.entries.is_empty() && self.sealer.head(seal) == seal.head;
        match follows && fits {
            true => self.result.seals += 1,
            false => self.found(Looked::SealChanged { number }),
        }
        if let Some((kept, head)) = &self.against.kept_head
            && *kept == number
            && *head != seal.head
        {
            self.found(Looked::OtherHead { number });
        }
        self.last = Some((number, seal.head.clone()));
    }

    fn seals_may_have_left(&self, first: &AuditSeal) -> bool {
        // The last one whose events have all left stays, to show that what was before it was older still.
        let kept = self.against.kept;
        kept.is_some_and(|kept| {
            first.made_at <= self.against.now.before(kept).after(RETENTION_SLACK)
        })
    }

    /// An event, in order.
    pub(super) fn event(&mut self, row: AuditRow) {
        if row.kind == AuditEventKind::UserDeleted.as_str()
            && let Some(user) = &row.user
        {
            self.against.deleted.insert(user.clone());
        }
        if self.waiting.len() < WAITING {
            self.waiting.insert(row.id, row);
        } else {
            self.found(Looked::EventPutIn { id: row.id });
        }
    }

    /// The events under `seal`, when all up to its last were read.
    pub(super) fn hold_events(&mut self, seal: &AuditSeal) {
        for entry in &seal.entries {
            let Some(row) = self.waiting.remove(&entry.id) else {
                match self.is_retired(entry.id) {
                    true => self.result.retired += 1,
                    false => self.found(Looked::EventMissing { id: entry.id }),
                }
                continue;
            };
            let now = self.sealer.entry(&row);
            if now.facts != entry.facts {
                self.found(Looked::EventChanged { id: row.id });
            } else if now.words == entry.words {
                self.result.events += 1;
            } else if let (true, Some(user)) = (row.detail.is_empty(), row.user) {
                self.blanked.push((row.id, user));
            } else {
                self.found(Looked::EventChanged { id: row.id });
            }
        }
    }

    pub(super) fn end(mut self) -> LookedOver {
        for (id, user) in std::mem::take(&mut self.blanked) {
            match self.against.deleted.contains(&user) {
                true => self.result.blanked += 1,
                false => self.found(Looked::WordsMissing { id }),
            }
        }
        let may_wait = self.against.now.before(SEALED_WITHIN);
        for id in std::mem::take(&mut self.waiting).into_keys() {
            match audit_event_time(id) > may_wait {
                true => self.result.unsealed += 1,
                false => self.found(Looked::EventPutIn { id }),
            }
        }
        if let Some((number, _)) = self.against.kept_head
            && self.last.as_ref().is_none_or(|(last, _)| *last < number)
        {
            self.found(Looked::Cut { number });
        }
        self.result.head = self.last;
        self.result
    }
}
