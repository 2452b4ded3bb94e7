//! Watches the machine's clock, and says in the log when it cannot be right.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{Clock, ClockMoved, SystemClock, Timestamp};
use store::Store;
use tokio::task::JoinSet;

const LOOK_EVERY: Duration = Duration::from_secs(1);
/// An answer that took longer says little about the present.
const ANSWER_MAX: Duration = Duration::from_secs(2);
/// How far two clocks may be apart: access tokens are forgiven as much.
const APART_MAX: Duration = Duration::from_secs(5);
const TOLD_EVERY: Duration = Duration::from_secs(10 * 60);

/// Looks at the clock now and then each second; beside that of the database, where `store` has one.
pub async fn start(clock: &Arc<dyn Clock>, store: Option<Store>, tasks: &mut JoinSet<()>) {
    let mut told = None;
    if let Some(store) = &store {
        hear_database(store, &mut told).await;
        compare_with_the_past(store, clock.now()).await;
    }
    tasks.spawn(run(store, told));
}

async fn run(store: Option<Store>, mut told: Option<Instant>) {
    loop {
        if let Some(store) = &store {
            hear_database(store, &mut told).await;
        }
        if let Some(moved) = SystemClock.look() {
            tell(moved);
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// Makes the database a witness of the time; says in the log when the machine does not agree with it.
async fn hear_database(store: &Store, told: &mut Option<Instant>) {
    let asked = Instant::now();
    let server = tokio::time::timeout(ANSWER_MAX, store.server_time()).await;
    // One that does not answer is told about elsewhere.
    let Ok(Ok(Some(server))) = server else {
        return;
    };
    if asked.elapsed() > ANSWER_MAX {
        return;
    }
    let apart = SystemClock.hear_witness(server);
    if apart > APART_MAX && told.is_none_or(|told| told.elapsed() > TOLD_EVERY) {
        *told = Some(Instant::now());
        tracing::error!(
            clock.apart_seconds = apart.as_secs(),
            "the clocks of this machine and of PostgreSQL differ; set both right, by NTP for example"
        );
    }
}

/// What was recorded last tells of a clock that was ahead then, or is behind now.
async fn compare_with_the_past(store: &Store, now: Timestamp) {
    let Ok(Some(newest)) = store.newest_event_at().await else {
        return;
    };
    let behind = newest.since(now);
    if behind > APART_MAX {
        tracing::error!(
            clock.behind_seconds = behind.as_secs(),
            "the clock of this machine is behind the newest event in the database: it was ahead then, or was set back since. If \
             it is right now, end the tokens that were signed ahead of time with `portcullis keys rotate --now`"
        );
    }
}

fn tell(moved: ClockMoved) {
    let seconds = moved.by.as_secs_f64();
    match (moved.forward, moved.is_believed) {
        (true, true) => tracing::warn!(
            clock.moved_seconds = seconds,
            "the clock of this machine went ahead: it was set, or the machine slept; tokens and sessions end by it"
        ),
        (true, false) => tracing::error!(
            clock.moved_seconds = seconds,
            "the clock of this machine was set ahead, and that of PostgreSQL was not: this process goes on by its own count; set \
             the clock right"
        ),
        (false, true) => tracing::warn!(
            clock.moved_seconds = -seconds,
            "the clock of this machine was set back to the time that this process has counted; end the tokens that were signed \
             ahead of time with `portcullis keys rotate --now`"
        ),
        (false, false) => tracing::error!(
            clock.moved_seconds = -seconds,
            "the clock of this machine was set back: this process goes on by its own count, which gives way by four seconds an \
             hour; set the clock right, or restart to go by it at once"
        ),
    }
}
