use domain::{CallDecision, CallRecord};
use serde_json::{Value, json};

use crate::maintenance::moment;

/// One call for a program. What is not known is null.
pub(crate) fn document(call: &CallRecord) -> Value {
    json!({
        "at": moment(call.at),
        "server": call.server,
        "subject": call.subject,
        "client": call.client,
        "grant": call.grant,
        "method": call.method,
        "name": call.name,
        "arguments_digest": call.arguments_digest,
        "arguments": call.arguments.as_deref().map(arguments),
        "decision": call.decision.map(CallDecision::as_str),
        "cause": call.cause,
        "rule": call.rule,
        "reason": call.reason,
        "policy_revision": call.policy_revision,
        "judged_us": call.judged_us,
        "outcome": call.outcome.as_str(),
        "status": call.status,
        "duration_us": call.duration_us,
        "correlation_id": call.correlation_id,
    })
}

/// As they were sent; their text where a number is too large for this program.
fn arguments(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| text.into())
}
