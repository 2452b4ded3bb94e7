use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use domain::CallRecord;
use sdk::OwnServer;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use wire::gateway::{ActivityReport, CALLS_MAX, ReportedCall};

use super::supply::CallSink;

/// How many calls of one MCP server may wait to be told. One more is dropped and counted.
const WAITING_MAX: usize = 4096;
/// How long a call waits for others to travel with.
const WAIT: Duration = Duration::from_secs(1);
/// How often a report is tried that the authority does not take.
const TRIES_MAX: u32 = 5;

/// Tells the authority of `servers` which calls there were, in reports that `telling` bring there.
pub fn sink(servers: &Arc<[OwnServer]>, telling: &mut JoinSet<()>) -> CallSink {
    let mut waiting = HashMap::new();
    for server in &**servers {
        let (sender, calls) = mpsc::channel(WAITING_MAX);
        let dropped = Arc::new(AtomicU64::new(0));
        waiting.insert(server.slug().to_owned(), (sender, Arc::clone(&dropped)));
        telling.spawn(report(server.clone(), calls, dropped));
    }
    Box::new(move |call| {
        if let Some((sender, dropped)) = waiting.get(&call.server)
            && sender.try_send(call).is_err()
        {
            dropped.fetch_add(1, Ordering::Relaxed);
        }
    })
}

async fn report(server: OwnServer, mut calls: mpsc::Receiver<CallRecord>, dropped: Arc<AtomicU64>) {
    let mut batch = Vec::new();
    while calls.recv_many(&mut batch, CALLS_MAX).await > 0 {
        let full = async {
            while batch.len() < CALLS_MAX {
                let room = CALLS_MAX - batch.len();
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
        if !tell(&server, &report).await {
            dropped.fetch_add(lost + report.calls.len() as u64, Ordering::Relaxed);
        }
    }
}

async fn tell(server: &OwnServer, report: &ActivityReport) -> bool {
    for attempt in 0..TRIES_MAX {
        match server.report_calls(report).await {
            Ok(()) => return true,
            Err(error) if attempt + 1 == TRIES_MAX => {
                tracing::warn!(
                    mcp.server = server.slug(),
                    reason = %error,
                    calls = report.calls.len(),
                    "the authority was not told of calls; they are counted as dropped"
                );
            }
            Err(_) => tokio::time::sleep(WAIT * 2u32.pow(attempt)).await,
        }
    }
    false
}

fn reported(call: CallRecord) -> ReportedCall {
    ReportedCall {
        at: call.at,
        subject: call.subject,
        client: call.client,
        grant: call.grant,
        method: call.method,
        name: call.name,
        outcome: call.outcome.as_str().to_owned(),
        reason: call.reason,
        status: call.status,
        duration_us: call.duration_us,
        correlation_id: call.correlation_id,
    }
}
