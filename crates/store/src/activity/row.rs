use domain::{CallDecision, CallOutcome, CallRecord};

use crate::bulk::BulkStatement;
use crate::values::{Args, RowReader};
use crate::{StoreError, event_id};

/// `SELECT` with every column of a call, in the order of [`read`].
macro_rules! select_calls {
    ($which:literal) => {
        concat!(
            "SELECT id, at, server, subject, client_id, grant_id, method, name, outcome, reason, status, duration_us, \
             correlation_id, decision, cause, rule, policy_revision, judged_us, arguments_digest, arguments \
             FROM call_record ",
            $which
        )
    };
}
pub(super) use select_calls;

pub(super) static INSERT: BulkStatement = BulkStatement::new(
    "INSERT INTO call_record (id, at, server, subject, client_id, grant_id, method, name, outcome, reason, status, \
     duration_us, correlation_id, decision, cause, rule, policy_revision, judged_us, arguments_digest, arguments) VALUES",
    20,
    "",
);

/// Nothing in a record may be why it cannot be written: it would take all those with it that travel in its batch.
pub(super) fn row(record: &CallRecord) -> Args {
    Args::with_capacity(20)
        .int(event_id::next(record.at))
        .time(record.at)
        .clean_text(&record.server)
        .optional_clean_text(record.subject.as_deref())
        .optional_clean_text(record.client.as_deref())
        .optional_clean_text(record.grant.as_deref())
        .clean_text(&record.method)
        .optional_clean_text(record.name.as_deref())
        .text(record.outcome.as_str())
        .clean_text(&record.reason)
        .int(i64::from(record.status))
        .int(record.duration_us)
        .optional_clean_text(record.correlation_id.as_deref())
        .optional_text(record.decision.map(CallDecision::as_str))
        .optional_clean_text(record.cause.as_deref())
        .optional_clean_text(record.rule.as_deref())
        .optional_int(record.policy_revision)
        .optional_int(record.judged_us)
        .optional_clean_text(record.arguments_digest.as_deref())
        .optional_clean_text(record.arguments.as_deref())
}

pub(super) fn read(row: &RowReader<'_>) -> Result<CallRecord, StoreError> {
    let text = |index| row.optional_text(index).map(|text| text.map(str::to_owned));
    Ok(CallRecord {
        at: row.time(1)?,
        server: row.text(2)?.to_owned(),
        subject: text(3)?,
        client: text(4)?,
        grant: text(5)?,
        method: row.text(6)?.to_owned(),
        name: text(7)?,
        outcome: row.parse(8, CallOutcome::parse)?,
        reason: row.text(9)?.to_owned(),
        status: u16::try_from(row.int(10)?).map_err(|_| row.corrupt("status is no HTTP status"))?,
        duration_us: row.int(11)?,
        correlation_id: text(12)?,
        // A newer release may have written one that is not known here.
        decision: row.optional_text(13)?.and_then(CallDecision::parse),
        cause: text(14)?,
        rule: text(15)?,
        policy_revision: row.optional_int(16)?,
        judged_us: row.optional_int(17)?,
        arguments_digest: text(18)?,
        arguments: text(19)?,
    })
}
