use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::{CallRecord, WhenFull};
use sdk::{AuthorityError, OwnServer};
use store::ActivityQueue;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::gateway::{ActivityReport, ReportedCall};

/// The most calls of one report: however long what callers write into them, the authority reads it.
const CALLS_AT_ONCE: usize = 256;
/// How long a call waits for others to travel with.
const WAIT: Duration = Duration::from_secs(1);
/// How often a report is tried that the authority does not take.
const TRIES_MAX: u32 = 5;

/// The way of calls to the authority of their MCP servers.
pub struct Reports {
    waiting: HashMap<String, Waiting>,
    when_full: WhenFull,
}

struct Waiting {
    calls: mpsc::Sender<CallRecord>,
    dropped: Arc<AtomicU64>,
}

impl Reports {
    /// Tells the authority of `servers` which calls there were, in reports that `telling` bring there.
    pub fn begin(servers: &[OwnServer], queue: ActivityQueue, telling: &mut JoinSet<()>) -> Self {
        let when_full = queue.when_full;
        let mut waiting = HashMap::new();
        for server in servers {
            let (calls, of_server) = mpsc::channel(queue.records_max.max(1));
            let dropped = Arc::new(AtomicU64::new(0));
            let of_queue = Waiting {
                calls,
                dropped: Arc::clone(&dropped),
            };
            waiting.insert(server.slug().to_owned(), of_queue);
            telling.spawn(report(server.clone(), of_server, when_full, dropped));
        }
        Self { waiting, when_full }
    }

    /// Hands a call over; one that finds no room is dropped and counted or, where none may be lost, waits.
    pub async fn put(&self, call: CallRecord) {
        let Some(waiting) = self.waiting.get(&call.server) else {
            return;
        };
        let put = match self.when_full {
            WhenFull::Drop => waiting.calls.try_send(call).is_ok(),
            WhenFull::Refuse => waiting.calls.send(call).await.is_ok(),
        };
        if !put {
            waiting.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

async fn report(
    server: OwnServer,
    mut calls: mpsc::Receiver<CallRecord>,
    when_full: WhenFull,
    dropped: Arc<AtomicU64>,
) {
    let mut batch = Vec::new();
    while calls.recv_many(&mut batch, CALLS_AT_ONCE).await > 0 {
        let full = async {
            while batch.len() < CALLS_AT_ONCE {
                let room = CALLS_AT_ONCE - batch.len();
                if calls.recv_many(&mut batch, room).await == 0 {
                    break;
                }
            }
        };
        // When the time is up, what there is travels.
        let _ = tokio::time::timeout(WAIT, full).await;
        let lost = dropped.swap(0, Ordering::Relaxed);
        let report = ActivityReport {
            calls: batch.drain(..).map(reported).collect(),
            dropped: lost,
        };
        let goes_on = || when_full == WhenFull::Refuse && !calls.is_closed();
        if !tell(&server, &report, goes_on).await {
            dropped.fetch_add(lost + report.calls.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Whether the authority took it. While `goes_on`, an authority that is away or busy is waited for.
async fn tell(server: &OwnServer, report: &ActivityReport, goes_on: impl Fn() -> bool) -> bool {
    let mut tries = 0;
    loop {
        let Err(error) = server.report_calls(report).await else {
            return true;
        };
        tries += 1;
        if tries >= TRIES_MAX && !(goes_on() && may_be_taken_later(&error)) {
            tracing::warn!(
                mcp.server = server.slug(),
                reason = %error,
                calls = report.calls.len(),
                "the authority was not told of calls; they are counted as dropped"
            );
            return false;
        }
        if tries == TRIES_MAX {
            tracing::warn!(
                mcp.server = server.slug(),
                reason = %error,
                "the authority cannot be told of calls; it is tried again, and when no more find room, calls are refused"
            );
        }
        tokio::time::sleep(WAIT * 2u32.pow(tries.min(TRIES_MAX - 1) - 1)).await;
    }
}

/// Whoever has no credential here any more, or no such server, is judged by no feed any more either.
fn may_be_taken_later(error: &AuthorityError) -> bool {
    match error {
        AuthorityError::Unreachable(_) => true,
        AuthorityError::Credential { .. } | AuthorityError::UnknownServer { .. } => false,
        AuthorityError::Refused { status, .. } => *status >= 500 || *status == 429,
        _ => false,
    }
}

fn reported(call: CallRecord) -> ReportedCall {
    ReportedCall {
        at: call.at,
        subject: call.subject,
        client: call.client,
        grant: call.grant,
        method: call.method,
        name: call.name,
        arguments_digest: call.arguments_digest,
        arguments: call.arguments,
        decision: call.decision.map(|decision| decision.as_str().to_owned()),
        cause: call.cause,
        rule: call.rule,
        policy_revision: call.policy_revision,
        judged_us: call.judged_us,
        outcome: call.outcome.as_str().to_owned(),
        reason: call.reason,
        status: call.status,
        duration_us: call.duration_us,
        correlation_id: call.correlation_id,
    }
}
