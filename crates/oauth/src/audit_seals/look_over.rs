use std::collections::{BTreeMap, HashSet, VecDeque};
use std::time::Duration;

use base::Timestamp;
use domain::{AuditEventKind, AuditSeal, AuditSealEntry, KINDS_THAT_NAME_PEOPLE};
use store::{AuditRow, Store, StoreError, audit_event_time};

use super::{AuditSealer, LATE};

/// Findings that are told; the others are counted.
const FINDINGS_TOLD: usize = 20;

/// Events that no seal has covered so far. More than nodes ever leave behind.
const WAITING: usize = 100_000;

/// Seals, and events, that are read at once.
const SEALS: usize = 50;
const EVENTS: usize = 1000;

/// How much longer than [`LATE`] is taken: the clocks of nodes differ a little, and a turn takes its time.
const LATE_SLACK: Duration = Duration::from_secs(600);

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
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LookedOver {
    /// Seals that fit.
    pub seals: u64,
    /// When the first of them was made.
    pub first_made_at: Option<Timestamp>,
    /// Events that fit.
    pub events: u64,
    /// Those among them that came under a seal more than an hour after they happened: nothing shows what they were until then.
    pub late: u64,
    /// Events under a seal that retention has deleted.
    pub retired: u64,
    /// Events whose words left with a person who was deleted.
    pub blanked: u64,
    /// Events behind the newest seal.
    pub unsealed: u64,
    /// When the first of them happened.
    pub unsealed_since: Option<Timestamp>,
    /// The newest seal's number and head, to be kept elsewhere.
    pub head: Option<(i64, String)>,
    /// Whether the head that was kept was held against its seal.
    pub is_head_compared: bool,
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
    /// An event stands between sealed ones and is under no seal, or came under one long after those around it.
    EventPutIn { id: i64 },
    /// The head that was kept elsewhere is not that of its seal.
    OtherHead { number: i64 },
    /// The log ends before the seal whose head was kept elsewhere.
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
        let mut events = Events::of(store);
        let mut number = 0;
        loop {
            let seals = store.list_audit_seals(number, SEALS).await?;
            for seal in &seals {
                number = seal.number;
                looking.seal(seal);
                let to = seal.to_id();
                while let Some(row) = events.next_up_to(to).await? {
                    looking.event(row);
                }
                looking.hold_events(seal);
            }
            if seals.len() < SEALS {
                break;
            }
        }
        // Committed a little after later ones, and sealed since we read on.
        let mut again = Vec::new();
        for id in looking.missing_ids() {
            let page = store.audit_page(id, EVENTS).await?;
            again.extend(page.rows.into_iter().filter(|row| row.id == id));
        }
        while let Some(row) = events.next_up_to(i64::MAX).await? {
            looking.behind(&row);
        }
        Ok(looking.end(again))
    }
}

/// The events in order, a page at a time.
struct Events<'a> {
    store: &'a Store,
    read: VecDeque<AuditRow>,
    next: Option<i64>,
}

impl<'a> Events<'a> {
    fn of(store: &'a Store) -> Self {
        Self {
            store,
            read: VecDeque::new(),
            next: Some(i64::MIN),
        }
    }

    async fn next_up_to(&mut self, id: i64) -> Result<Option<AuditRow>, StoreError> {
        while self.read.is_empty()
            && let Some(from) = self.next
        {
            let page = self.store.audit_page(from, EVENTS).await?;
            self.read = page.rows.into();
            self.next = page.next;
        }
        Ok(self.read.pop_front_if(|row| row.id <= id))
    }
}

/// Goes through the seals in order, with the events up to each.
pub(super) struct Looking<'a> {
    sealer: &'a AuditSealer,
    against: LookOver,
    last: Option<(i64, String)>,
    /// The newest event under a seal so far.
    newest: Option<i64>,
    /// Read, and under no seal so far.
    waiting: BTreeMap<i64, Vec<AuditRow>>,
    waiting_count: usize,
    /// Under a seal, and not read.
    missing: Vec<AuditSealEntry>,
    /// Events without their words, by whom they are about.
    blanked: Vec<(i64, String)>,
    deleted: HashSet<String>,
    result: LookedOver,
}

impl<'a> Looking<'a> {
    pub(super) fn new(sealer: &'a AuditSealer, against: LookOver) -> Self {
        Self {
            sealer,
            against,
            last: None,
            newest: None,
            waiting: BTreeMap::new(),
            waiting_count: 0,
            missing: Vec::new(),
            blanked: Vec::new(),
            deleted: HashSet::new(),
            result: LookedOver::default(),
        }
    }

    fn found(&mut self, finding: Looked) {
        self.result.found += 1;
        if self.result.findings.len() < FINDINGS_TOLD {
            self.result.findings.push(finding);
        }
    }

    /// Whether what was there at that time may have been deleted since.
    fn is_retired(&self, at: Timestamp) -> bool {
        let kept = self.against.kept;
        kept.is_some_and(|kept| at <= self.against.now.before(kept).after(RETENTION_SLACK))
    }

    /// The seal itself and its place.
    pub(super) fn seal(&mut self, seal: &AuditSeal) {
        let number = seal.number;
        let (expected, previous) = match &self.last {
            Some((last, head)) => (last + 1, head.clone()),
            None => (1, String::new()),
        };
        // Retention leaves the last seal whose events are all gone: it shows that what was before it was older still.
        let is_gap = number != expected;
        if is_gap && !self.is_retired(seal.made_at) {
            self.found(Looked::SealsMissing {
                from: expected,
                to: number - 1,
            });
        }
        match (is_gap || seal.previous == previous) && self.sealer.fits(seal) {
            true => {
                self.result.seals += 1;
                self.result.first_made_at.get_or_insert(seal.made_at);
            }
            false => self.found(Looked::SealChanged { number }),
        }
        if let Some((kept, head)) = &self.against.kept_head
            && *kept == number
        {
            self.result.is_head_compared = true;
            if *head != seal.head {
                self.found(Looked::OtherHead { number });
            }
        }
        self.last = Some((number, seal.head.clone()));
    }

    /// An event, in order.
    pub(super) fn event(&mut self, row: AuditRow) {
        if self.waiting_count == WAITING {
            self.found(Looked::EventPutIn { id: row.id });
            return;
        }
        self.waiting_count += 1;
        self.waiting.entry(row.id).or_default().push(row);
    }

    /// The events under `seal`, when all up to its last were read.
    pub(super) fn hold_events(&mut self, seal: &AuditSeal) {
        let may_be_from = self.newest.map(|id| {
            let newest = audit_event_time(id).min(seal.made_at);
            newest.before(LATE + LATE_SLACK)
        });
        for entry in &seal.entries {
            let at = audit_event_time(entry.id);
            if may_be_from.is_some_and(|from| at < from) {
                self.found(Looked::EventPutIn { id: entry.id });
            }
            match self.take(entry) {
                Some(row) => {
                    if seal.made_at.since(at) > LATE {
                        self.result.late += 1;
                    }
                    self.hold(entry, row);
                }
                None if self.is_retired(at.min(seal.made_at)) => self.result.retired += 1,
                None => self.missing.push(*entry),
            }
        }
        self.newest = self.newest.max(Some(seal.to_id()));
    }

    /// The event that an entry is about; of several with its id the one that fits best.
    fn take(&mut self, entry: &AuditSealEntry) -> Option<AuditRow> {
        let rows = self.waiting.get_mut(&entry.id)?;
        let best = |row: &AuditRow| {
            let now = self.sealer.entry(row);
            (now.facts == entry.facts, now.words == entry.words)
        };
        let index = (0..rows.len()).max_by_key(|index| best(&rows[*index]))?;
        let row = rows.swap_remove(index);
        if rows.is_empty() {
            self.waiting.remove(&entry.id);
        }
        self.waiting_count -= 1;
        Some(row)
    }

    fn hold(&mut self, entry: &AuditSealEntry, row: AuditRow) {
        let now = self.sealer.entry(&row);
        if now.facts != entry.facts {
            self.found(Looked::EventChanged { id: row.id });
            return;
        }
        self.hear_of_deletion(&row);
        let names_people = || {
            KINDS_THAT_NAME_PEOPLE
                .iter()
                .any(|kind| kind.as_str() == row.kind)
        };
        if now.words == entry.words {
            self.result.events += 1;
        } else if row.detail.is_empty()
            && names_people()
            && let Some(user) = row.user
        {
            self.blanked.push((row.id, user));
        } else {
            self.found(Looked::EventChanged { id: row.id });
        }
    }

    fn hear_of_deletion(&mut self, row: &AuditRow) {
        if row.kind == AuditEventKind::UserDeleted.as_str()
            && let Some(user) = &row.user
        {
            self.deleted.insert(user.clone());
        }
    }

    /// An event behind the newest seal.
    pub(super) fn behind(&mut self, row: &AuditRow) {
        self.hear_of_deletion(row);
        self.result.unsealed += 1;
        let at = audit_event_time(row.id);
        self.result.unsealed_since.get_or_insert(at);
    }

    /// Events that are to be looked for once more, the first few.
    pub(super) fn missing_ids(&self) -> Vec<i64> {
        let missing = self.missing.iter().take(FINDINGS_TOLD);
        missing.map(|entry| entry.id).collect()
    }

    /// `again` is what was found of those.
    pub(super) fn end(mut self, again: Vec<AuditRow>) -> LookedOver {
        again.into_iter().for_each(|row| self.event(row));
        for entry in std::mem::take(&mut self.missing) {
            match self.take(&entry) {
                Some(row) => self.hold(&entry, row),
                None => self.found(Looked::EventMissing { id: entry.id }),
            }
        }
        for (id, user) in std::mem::take(&mut self.blanked) {
            match self.deleted.contains(&user) {
                true => self.result.blanked += 1,
                false => self.found(Looked::WordsMissing { id }),
            }
        }
        let may_wait = self.against.now.before(LATE + LATE_SLACK);
        for (id, rows) in std::mem::take(&mut self.waiting) {
            for row in rows {
                match audit_event_time(id) > may_wait {
                    true => self.behind(&row),
                    false => self.found(Looked::EventPutIn { id }),
                }
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
