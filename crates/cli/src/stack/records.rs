use domain::{CallDecision, CallOutcome, CallRecord};
use gateway::{CallRecorded, Judged, Outcome};
use tokio::sync::mpsc;

use super::supply::CallSink;
use crate::handshake::{self, Sighting};

/// Passes each call on to where it is written down and to the terminal; those of our own self-check to neither.
pub async fn follow(
    mut records: mpsc::Receiver<CallRecorded>,
    sink: CallSink,
    terminal: mpsc::Sender<Sighting>,
    self_check: String,
) {
    while let Some(call) = records.recv().await {
        if call.user_agent.as_deref() == Some(self_check.as_str()) {
            continue;
        }
        if let Some(sighting) = handshake::of_call(&call) {
            // A terminal that cannot keep up misses a line; the log below has it.
            let _ = terminal.try_send(sighting);
        }
        if let Some(record) = record(call) {
            sink.write_down(record).await;
        }
    }
}

fn record(call: CallRecorded) -> Option<CallRecord> {
    let text = |text: std::sync::Arc<str>| text.to_string();
    Some(CallRecord {
        at: call.at,
        server: call.server.to_string(),
        subject: call.subject.map(text),
        client: call.client.map(text),
        grant: call.grant.map(text),
        method: call.method,
        name: call.name,
        arguments_digest: call.arguments_digest,
        arguments: call.arguments,
        decision: call.judged.map(|judged| match judged {
            Judged::Allowed => CallDecision::Allowed,
            Judged::Denied => CallDecision::Denied,
            Judged::NeedsScope => CallDecision::NeedsScope,
            Judged::WouldBeDenied => CallDecision::WouldBeDenied,
        }),
        cause: call.cause.map(str::to_owned),
        rule: call.rule,
        policy_revision: call.policy_revision,
        judged_us: call.judged_us,
        outcome: match call.outcome {
            Outcome::Allowed => CallOutcome::Allowed,
            Outcome::Denied => CallOutcome::Denied,
            Outcome::NeedsScope => CallOutcome::NeedsScope,
            Outcome::Unauthenticated => CallOutcome::Unauthenticated,
            Outcome::Rejected => CallOutcome::Rejected,
            Outcome::UpstreamFailed => CallOutcome::UpstreamFailed,
            // A document, not a call.
            Outcome::Metadata => return None,
        },
        reason: call.reason,
        status: call.status,
        duration_us: call.duration_us,
        correlation_id: call.correlation_id,
    })
}
