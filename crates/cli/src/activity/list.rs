use domain::{CallDecision, CallRecord};
use store::ActivityLog;

use super::command::WantedCalls;
use super::names::{Names, called, visible};
use crate::maintenance::{Maintenance, date, table};
use crate::terminal::Terminal;

/// The longest name of a tool in the list, in characters.
const CALLED_CHARS_MAX: usize = 60;
/// The longest cause, in characters: longer than each that there is.
const CAUSE_CHARS_MAX: usize = 40;

impl Maintenance {
    pub(super) async fn list_calls(
        &self,
        log: &ActivityLog,
        wanted: &WantedCalls,
        limit: u32,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let filter = self.filter(wanted).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut calls = Vec::new();
        let mut before = None;
        while calls.len() < limit {
            let page = log.look_back(&filter, before).await?;
            calls.extend(page.calls.into_iter().take(limit - calls.len()));
            match page.next {
                Some(next) => before = Some(next),
                None => break,
            }
        }
        let mut names = Names::new(self.store());
        let mut table = table(out, &["TIME", "SERVER", "WHO", "CALL", "RESULT"]);
        for call in &calls {
            table.add_row([
                date(call.at),
                call.server.clone(),
                who(&mut names, call).await?,
                called(&call.method, call.name.as_deref(), CALLED_CHARS_MAX),
                result(call),
            ]);
        }
        out.line(table.trim_fmt());
        Ok(())
    }
}

async fn who(names: &mut Names<'_>, call: &CallRecord) -> anyhow::Result<String> {
    let (Some(subject), Some(client)) = (&call.subject, &call.client) else {
        return Ok("nobody with a valid token".to_owned());
    };
    let client = names.client(&call.server, client).await?;
    Ok(format!("{} through {client}", names.person(subject).await?))
}

/// How it ended, with why where it did not end well.
fn result(call: &CallRecord) -> String {
    let word = match call.decision {
        Some(CallDecision::WouldBeDenied) => CallDecision::WouldBeDenied.as_str(),
        _ => call.outcome.as_str(),
    };
    let status = match call.status {
        0 => "no answer".to_owned(),
        status => status.to_string(),
    };
    match call.cause.as_deref().filter(|cause| *cause != "permitted") {
        Some(cause) => format!("{word} ({}), {status}", visible(cause, CAUSE_CHARS_MAX)),
        None => format!("{word}, {status}"),
    }
}

#[cfg(test)]
mod tests {
    use base::Timestamp;
    use domain::CallOutcome;

    use super::*;

    #[test]
    fn a_cause_that_somebody_else_wrote_neither_forges_a_line_nor_moves_the_cursor() {
        let of = |cause: &str| {
            result(&CallRecord {
                at: Timestamp::from_unix_ms(0),
                server: "todo".into(),
                subject: None,
                client: None,
                grant: None,
                method: "tools/call".into(),
                name: None,
                arguments_digest: None,
                arguments: None,
                decision: Some(CallDecision::Denied),
                cause: Some(cause.into()),
                rule: None,
                policy_revision: None,
                judged_us: None,
                outcome: CallOutcome::Denied,
                reason: String::new(),
                status: 200,
                duration_us: 1,
                correlation_id: None,
            })
        };
        assert_eq!(of("unmapped"), "denied (unmapped), 200");
        assert_eq!(of("permitted"), "denied, 200");
        for hostile in ["x\u{1b}[2J", "x\n2026 todo", "x\u{202e}y", "x\u{9b}2J"] {
            let shown = of(hostile);
            assert!(
                shown
                    .chars()
                    .all(|shown| shown.is_ascii_graphic() || shown == ' '),
                "{shown:?}"
            );
            assert!(shown.starts_with("denied (x\\"), "{shown:?}");
        }
        let long = of(&"x".repeat(500));
        assert_eq!(long.matches('x').count(), CAUSE_CHARS_MAX, "{long}");
    }
}
