#![allow(clippy::unwrap_used)]
use std::collections::HashSet;
use std::time::Duration;

use base::Random as _;
use store::{Store, audit_event_time};
use testkit::SeededRandom;

use super::look_over::Looking;
use super::*;

const DAY: Duration = Duration::from_secs(24 * 3600);
const MARGIN: Duration = Duration::from_secs(5);

/// A log and its seals, in memory.
#[derive(Clone)]
struct Log {
    rows: Vec<AuditRow>,
    seals: Vec<AuditSeal>,
}

fn sealer(key: u8) -> AuditSealer {
    AuditSealer::new(&MasterKey::from_bytes([key; 32]))
}

/// One event an hour, ids as the store makes them; all before [`now`].
fn row(hour: i64) -> AuditRow {
    let at = hour * 3_600_000;
    AuditRow {
        id: at << 21 | 7,
        at,
        kind: ["user_added", "token_refreshed", "sign_in_refused"][hour as usize % 3].to_owned(),
        server: (hour % 2 == 0).then(|| "todo".to_owned()),
        user: Some(format!("usr_{}", hour % 5)),
        client: (hour % 3 == 1).then(|| "cli_1".to_owned()),
        grant: None,
        detail: format!("alice{hour}@example.com"),
    }
}

fn now() -> Timestamp {
    Timestamp::from_unix_ms(100 * 3_600_000)
}

fn entries(sealer: &AuditSealer, rows: &[AuditRow]) -> Vec<AuditSealEntry> {
    rows.iter().map(|row| sealer.entry(row)).collect()
}

fn log(sealer: &AuditSealer) -> Log {
    let rows: Vec<_> = (1..=60).map(row).collect();
    let mut seals: Vec<AuditSeal> = Vec::new();
    for rows in rows.chunks(7) {
        let at = Timestamp::from_unix_ms(rows[rows.len() - 1].at);
        seals.push(sealer.seal(seals.last(), entries(sealer, rows), at));
    }
    Log { rows, seals }
}

fn look(sealer: &AuditSealer, log: &Log, against: LookOver) -> LookedOver {
    let mut rows = log.rows.clone();
    rows.sort_by_key(|row| row.id);
    let mut looking = Looking::new(sealer, against);
    let mut rows = rows.into_iter().peekable();
    for seal in &log.seals {
        looking.seal(seal);
        while let Some(row) = rows.next_if(|row| row.id <= seal.to_id()) {
            looking.event(row);
        }
        looking.hold_events(seal);
    }
    rows.for_each(|row| looking.behind(&row));
    looking.end(Vec::new())
}

fn against(log: &Log) -> LookOver {
    let last = log.seals.last().unwrap();
    LookOver {
        now: now(),
        kept: Some(400 * DAY),
        kept_head: Some((last.number, last.head.clone())),
    }
}

#[test]
fn a_log_that_nobody_touched_fits() {
    let sealer = sealer(1);
    let log = log(&sealer);
    let looked = look(&sealer, &log, against(&log));
    assert_eq!(
        (looked.seals, looked.events, looked.found),
        (9, 60, 0),
        "{looked:?}"
    );
    let other = look(&self::sealer(2), &log, against(&log));
    assert!(other.found > 0, "another master key sees another log");
}

/// One change by somebody who can write every table, and has not the key.
fn tamper(log: &mut Log, random: &SeededRandom) -> &'static str {
    let mut dice = [0u8; 4];
    random.fill(&mut dice);
    let at = usize::from(dice[1]) % log.rows.len();
    let seal = usize::from(dice[2]) % log.seals.len();
    match dice[0] % 16 {
        0 => {
            log.rows[at].detail.push('x');
            "words changed"
        }
        1 => {
            log.rows[at].detail.clear();
            "words taken out"
        }
        2 => {
            log.rows[at].at += 1 + i64::from(dice[3]);
            "time changed"
        }
        3 => {
            log.rows[at].user = Some("usr_other".to_owned());
            "person changed"
        }
        4 => {
            log.rows[at].server = match log.rows[at].server.take() {
                Some(_) => None,
                None => Some(String::new()),
            };
            "server changed"
        }
        5 => {
            log.rows.remove(at);
            "event taken out"
        }
        6 => {
            let mut put_in = log.rows[at].clone();
            put_in.id -= 1 + i64::from(dice[3]);
            log.rows.push(put_in);
            "event put in"
        }
        7 => {
            let other = (at + 1 + usize::from(dice[3]) % (log.rows.len() - 1)) % log.rows.len();
            let (one, two) = (log.rows[at].id, log.rows[other].id);
            log.rows[at].id = two;
            log.rows[other].id = one;
            "two events changed places"
        }
        8 => {
            log.seals.remove(seal);
            "seal taken out"
        }
        9 => {
            let entries = &mut log.seals[seal].entries;
            let entry = usize::from(dice[3]) % entries.len();
            let gone = entries.remove(entry);
            log.rows.retain(|row| row.id != gone.id);
            "event taken out of its seal too"
        }
        10 => {
            // The end is cut off, seals and all.
            let seals = log.seals.split_off(seal);
            let first = seals[0].entries[0].id;
            log.rows.retain(|row| row.id < first);
            "the end cut off"
        }
        11 => {
            // Another one with the same id, before or behind the true one.
            let mut double = log.rows[at].clone();
            double.detail.push('x');
            log.rows.insert(at + usize::from(dice[3] % 2), double);
            "a second event with the same id"
        }
        12 => {
            let double = log.rows[at].clone();
            log.rows.push(double);
            "the same event twice"
        }
        13 => {
            // Put where a node that serves looks for what is new, which then seals it.
            let sealer = sealer(1);
            let mut put_in = log.rows[at % 50].clone();
            put_in.id += 1;
            let put_in = [put_in];
            let last = log.seals.last().unwrap();
            let seal = sealer.seal(Some(last), entries(&sealer, &put_in), now());
            log.seals.push(seal);
            log.rows.extend(put_in);
            "an old event put under a new seal"
        }
        14 => {
            // The seals from here on taken away, so that a node that serves makes new ones.
            let sealer = sealer(1);
            log.rows.last_mut().unwrap().detail.push('x');
            let seals = log.seals.split_off(seal);
            let first = seals[0].entries[0].id;
            let rows: Vec<_> = log
                .rows
                .iter()
                .filter(|row| row.id >= first)
                .cloned()
                .collect();
            let seal = sealer.seal(log.seals.last(), entries(&sealer, &rows), now());
            log.seals.push(seal);
            "sealed anew by a node that serves"
        }
        _ => {
            // All from here on sealed anew, under a key that is not ours.
            let forger = sealer(9);
            log.rows[at].detail.push('x');
            let mut seals: Vec<AuditSeal> = log.seals[..seal].to_vec();
            for old in &log.seals[seal..] {
                let held = |row: &&AuditRow| old.entries.iter().any(|entry| entry.id == row.id);
                let rows: Vec<_> = log.rows.iter().filter(held).cloned().collect();
                seals.push(forger.seal(seals.last(), entries(&forger, &rows), old.made_at));
            }
            log.seals = seals;
            "sealed anew"
        }
    }
}

#[test]
fn each_of_ten_thousand_random_changes_is_found() {
    let sealer = sealer(1);
    let whole = log(&sealer);
    let random = SeededRandom::new(20_261_130);
    let mut kinds = HashSet::new();
    for turn in 0..10_000 {
        let mut log = whole.clone();
        let kind = tamper(&mut log, &random);
        let looked = look(&sealer, &log, against(&whole));
        assert!(looked.found > 0, "{kind} in turn {turn} was not noticed");
        kinds.insert(kind);
    }
    assert_eq!(kinds.len(), 16);
}

#[test]
fn the_first_bad_record_is_named() {
    let sealer = sealer(1);
    let whole = log(&sealer);
    let mut changed = whole.clone();
    changed.rows[40].detail.push('x');
    changed.rows[23].at += 1;
    let looked = look(&sealer, &changed, against(&whole));
    assert_eq!(
        looked.findings,
        [23, 40].map(|at| Looked::EventChanged {
            id: whole.rows[at].id
        })
    );
    let mut cut = whole.clone();
    cut.seals.truncate(3);
    cut.rows.truncate(21);
    let looked = look(&sealer, &cut, against(&whole));
    assert_eq!(looked.findings, [Looked::Cut { number: 9 }]);
    let unaware = LookOver {
        kept_head: None,
        ..against(&whole)
    };
    let looked = look(&sealer, &cut, unaware);
    assert_eq!(looked.found, 0, "only a head kept elsewhere tells");
    assert!(!looked.is_head_compared);
}

#[test]
fn what_retention_and_deleted_people_leave_behind_fits_and_the_same_by_hand_does_not() {
    let sealer = sealer(1);
    let whole = log(&sealer);
    let mut retired = whole.clone();
    // Kept for 50 hours: those from before the 50th have left, and all seals but the last of theirs.
    retired.rows.retain(|row| row.at >= 50 * 3_600_000);
    retired.seals.retain(|seal| seal.number >= 7);
    let kept = |hours: u64| LookOver {
        kept: Some(Duration::from_secs(hours * 3600)),
        ..against(&whole)
    };
    let looked = look(&sealer, &retired, kept(50));
    assert_eq!((looked.found, looked.events), (0, 11), "{looked:?}");
    let looked = look(&sealer, &retired, kept(90));
    assert!(
        looked
            .findings
            .contains(&Looked::SealsMissing { from: 1, to: 6 }),
        "{looked:?}"
    );

    // Person 0 is deleted; words of what is no matter of theirs stay.
    let mut blanked = whole.clone();
    let theirs = |row: &AuditRow| row.user.as_deref() == Some("usr_0") && row.kind == "user_added";
    let named: Vec<_> = (0..60).filter(|at| theirs(&blanked.rows[*at])).collect();
    for at in &named {
        blanked.rows[*at].detail.clear();
    }
    let looked = look(&sealer, &blanked, against(&whole));
    let first = Looked::WordsMissing {
        id: whole.rows[named[0]].id,
    };
    assert_eq!(looked.findings[0], first);
    let mut deletion = row(61);
    deletion.kind = "user_deleted".to_owned();
    deletion.user = Some("usr_0".to_owned());
    blanked.rows.push(deletion.clone());
    let looked = look(&sealer, &blanked, against(&whole));
    assert_eq!(
        (looked.found, looked.blanked),
        (0, named.len() as u64),
        "{looked:?}"
    );
    let of_another_kind = (0..60)
        .find(|at| blanked.rows[*at].kind == "token_refreshed")
        .unwrap();
    blanked.rows[of_another_kind].user = Some("usr_0".to_owned());
    blanked.rows[of_another_kind].detail.clear();
    let looked = look(&sealer, &blanked, against(&whole));
    assert_eq!(looked.found, 1, "{looked:?}");
}

#[test]
fn an_event_that_was_committed_late_fits_and_two_with_one_id_do() {
    let sealer = sealer(1);
    let mut log = log(&sealer);
    let last = log.seals.last().unwrap().clone();
    let mut late = row(60);
    late.id -= 1 << 21;
    let mut double = row(60);
    double.detail = "of another node".to_owned();
    let both = [late, double];
    let seal = sealer.seal(Some(&last), entries(&sealer, &both), now());
    log.seals.push(seal);
    log.rows.extend(both);
    let looked = look(&sealer, &log, against(&log));
    assert_eq!((looked.found, looked.events), (0, 62), "{looked:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nodes_that_seal_at_once_seal_each_event_once_and_what_is_kept_of_it_fits() {
    use domain::{AuditEvent, AuditEventKind};
    use store::{DatabaseUrl, StoreOptions};

    let folder = tempfile::tempdir().unwrap();
    let url = DatabaseUrl::Sqlite(folder.path().join("authority.db"));
    let clock = testkit::MovableClock::default();
    let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
    let sealer = sealer(1);
    let now = base::Clock::now(&clock);
    let event = |number: i64| AuditEvent {
        at: now.after(Duration::from_millis(number.unsigned_abs())),
        kind: AuditEventKind::SignInRefused,
        server: None,
        user: None,
        client: None,
        grant: None,
        detail: format!("the {number}th"),
    };
    let mut nodes = Vec::new();
    for _ in 0..4 {
        let mut sealing = Sealing::new(sealer.clone(), store.clone());
        nodes.push(tokio::spawn(async move {
            for _ in 0..20 {
                sealing.turn(now, MARGIN).await.unwrap();
            }
        }));
    }
    for number in 0..200 {
        store.insert_audit_event(event(number)).await.unwrap();
    }
    for node in nodes {
        node.await.unwrap();
    }
    let mut sealing = Sealing::new(sealer.clone(), store.clone());
    sealing.turn(now, LATE).await.unwrap();
    let look = || async {
        let against = LookOver {
            now,
            ..LookOver::default()
        };
        sealer.look_over(&store, against).await.unwrap()
    };
    let looked = look().await;
    assert_eq!(
        (looked.found, looked.events, looked.unsealed),
        (0, 200, 0),
        "{looked:?}"
    );
    let last = &store.list_newest_audit_seals(1).await.unwrap()[0];
    assert_eq!(looked.head, Some((last.number, last.head.clone())));
    store.insert_audit_event(event(300)).await.unwrap();
    let looked = look().await;
    assert_eq!((looked.found, looked.unsealed), (0, 1), "{looked:?}");
    assert_eq!(
        looked.unsealed_since,
        Some(now.after(Duration::from_millis(300)))
    );
    assert!(sealing.turn(now, MARGIN).await.unwrap().is_some());
    assert!(
        sealing.turn(now, MARGIN).await.unwrap().is_none(),
        "nothing is new"
    );
    assert_eq!(look().await.unsealed, 0);
    let newest = store.list_newest_audit_seals(1).await.unwrap()[0].clone();
    let last_event = now.after(Duration::from_millis(300));
    assert_eq!(audit_event_time(newest.to_id()), last_event);

    // The same process finds itself without the seals that it made: it seals nothing anew.
    let url = DatabaseUrl::Sqlite(folder.path().join("emptied.db"));
    let emptied = Store::open(StoreOptions::new(url), &clock).await.unwrap();
    emptied.insert_audit_event(event(400)).await.unwrap();
    sealing.store = emptied.clone();
    let refused = sealing.turn(now, MARGIN).await;
    assert!(matches!(refused, Err(SealingError::Gone(number)) if number == newest.number));
    assert_eq!(emptied.list_newest_audit_seals(1).await.unwrap(), []);
    sealing.store = store.clone();
    assert!(sealing.turn(now, MARGIN).await.unwrap().is_none());
}
