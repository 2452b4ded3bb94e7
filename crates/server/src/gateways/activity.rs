use std::time::Duration;

use ::oauth::Error;
use axum::extract::{Request, State};
use axum::response::Response;
use base::Timestamp;
use domain::{CallDecision, CallOutcome, CallRecord};
use http::StatusCode;
use serde_json::json;
use wire::gateway::{ActivityReport, CALLS_MAX, CAUSES, ReportedCall};
use wire::mcp::{Json, Limits, parse_strict};

use super::feed::{authenticated, step};
use super::read_json;
use crate::app::AppState;
use crate::in_server::InOwnServer;
use crate::{metric, respond};

/// The largest report.
const BODY_BYTES_MAX: usize = 2 * 1024 * 1024;

/// The longest text of a call, in characters.
const TEXT_CHARS_MAX: usize = 500;

/// The longest text of the arguments of a call, in bytes.
const ARGUMENTS_BYTES_MAX: usize = 1024;

/// When a gateway may try again whose calls found no room.
const TRY_AGAIN: Duration = Duration::from_secs(5);

/// How late a call may be reported: a gateway keeps its records while its authority is away.
const LATE_MAX: Duration = Duration::from_secs(7 * 24 * 3600);

/// `POST /servers/{slug}/activity`: calls that went through a gateway elsewhere. They are of this MCP server, whatever it
/// says.
pub(crate) async fn post(
    State(app): State<AppState>,
    InOwnServer(server): InOwnServer,
    request: Request,
) -> Result<Response, Response> {
    authenticated(&app, &server, "activity", request.headers()).await?;
    let (parts, body) = request.into_parts();
    let step = step("activity", &server, &parts.headers);
    let body = read_json(&app, step, &parts.headers, body, BODY_BYTES_MAX).await?;
    let report: Option<ActivityReport> = serde_json::from_slice(&body).ok();
    let report = report.filter(|report| report.calls.len() <= CALLS_MAX);
    let report = report.ok_or_else(|| {
        let error = Error::invalid_request("the body is no report of at most 512 calls");
        respond::oauth_error(&app, step, &error)
    })?;
    let now = app.authority.now();
    let count = report.calls.len() as u64;
    if let Some(activity) = &app.activity {
        let calls = report.calls.into_iter();
        let records = calls.filter_map(|call| record(server.slug(), call, now));
        activity.record_all(records.collect()).map_err(|_| {
            let error = Error::temporarily_unavailable(TRY_AGAIN, "the activity log has no room");
            respond::oauth_error(&app, step, &error)
        })?;
    }
    metric::calls_reported(server.slug(), count, report.dropped);
    Ok(respond::json(StatusCode::OK, &json!({})))
}

/// A moment that cannot be is brought to one that can: rows are ordered by it and forgotten by it.
fn record(server: &str, call: ReportedCall, now: Timestamp) -> Option<CallRecord> {
    let short = |text: String| -> String {
        let printable = text.chars().filter(|character| *character != '\0');
        printable.take(TEXT_CHARS_MAX).collect()
    };
    Some(CallRecord {
        at: call.at.clamp(now.before(LATE_MAX), now),
        server: server.to_owned(),
        subject: call.subject.map(short),
        client: call.client.map(short),
        grant: call.grant.map(short),
        method: short(call.method),
        name: call.name.map(short),
        arguments_digest: call.arguments_digest.map(short),
        arguments: call.arguments.filter(|text| is_arguments(text)),
        decision: call.decision.as_deref().and_then(CallDecision::parse),
        // Words that are counted and shown as they are: a gateway makes none up.
        cause: call.cause.filter(|word| CAUSES.contains(&word.as_str())),
        rule: call.rule.map(short),
        policy_revision: call.policy_revision,
        judged_us: call.judged_us,
        outcome: CallOutcome::parse(&call.outcome)?,
        reason: short(call.reason),
        status: call.status,
        duration_us: call.duration_us,
        correlation_id: call.correlation_id.map(short),
    })
}

/// Whether it is what a gateway says of arguments: an object, which is shown as such.
fn is_arguments(text: &str) -> bool {
    text.len() <= ARGUMENTS_BYTES_MAX
        && matches!(
            parse_strict(text.as_bytes(), &Limits::default()),
            Ok(Json::Object(_))
        )
}
