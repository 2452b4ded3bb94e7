use std::collections::BTreeMap;

use authz::Mode;
use base::{Clock as _, SystemClock, Timestamp};
use domain::{CallDecision, McpServer, ServerSlug};
use serde_json::{Value, json};
use store::{ActivityLog, CallFilter};

use super::names::{Names, called, visible};
use super::tally::{Line, Lines, Tally, Whose};
use crate::maintenance::{Maintenance, date, moment, table};
use crate::people::json_text;
use crate::terminal::Terminal;

/// How many lines of each kind a person is shown.
const SHOWN_MAX: usize = 20;
/// How much of a name or a rule, in characters.
const CHARS_MAX: usize = 60;

/// What was found.
struct Report<'a> {
    server: &'a McpServer,
    since: Option<Timestamp>,
    until: Timestamp,
    decided: BTreeMap<CallDecision, u64>,
    tally: Tally,
}

impl Maintenance {
    pub(super) async fn observed_calls(
        &self,
        log: &ActivityLog,
        slug: &ServerSlug,
        since: Option<Timestamp>,
        json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(slug), "SERVER").await?;
        let report = look(log, &server, since).await?;
        let mut names = Names::new(self.store());
        match json {
            true => out.line(json_text(&report.document(&mut names).await?)),
            false => report.tell(&mut names, out).await?,
        }
        Ok(())
    }
}

async fn look<'a>(
    log: &ActivityLog,
    server: &'a McpServer,
    since: Option<Timestamp>,
) -> anyhow::Result<Report<'a>> {
    let until = SystemClock.now();
    let filter = CallFilter {
        since,
        until: Some(until),
        server: Some(server.slug.to_string()),
        denied: true,
        ..CallFilter::default()
    };
    let mut report = Report {
        server,
        since,
        until,
        decided: BTreeMap::new(),
        tally: Tally::default(),
    };
    let mut from = None;
    loop {
        let (counts, next) = log
            .count_decisions(server.slug.as_str(), &filter, from)
            .await?;
        for (decision, count) in counts {
            *report.decided.entry(decision).or_default() += count;
        }
        match next {
            Some(next) => from = Some(next),
            None => break,
        }
    }
    let mut from = None;
    loop {
        let page = log.look(&filter, from).await?;
        for call in page.calls {
            if call.decision == Some(CallDecision::WouldBeDenied) {
                report.tally.add(call);
            }
        }
        match page.next {
            Some(next) => from = Some(next),
            None => return Ok(report),
        }
    }
}

impl Report<'_> {
    fn of(&self, decision: CallDecision) -> u64 {
        self.decided.get(&decision).copied().unwrap_or_default()
    }

    /// All calls that went on: what enforcing refused is no matter of this report. Those that it let through meanwhile are
    /// among them, since a record does not say whether one that is allowed was enforced.
    fn went_on(&self) -> u64 {
        self.of(CallDecision::Allowed) + self.of(CallDecision::WouldBeDenied)
    }

    async fn tell(&self, names: &mut Names<'_>, out: &Terminal) -> anyhow::Result<()> {
        let since = match self.since {
            Some(since) => format!("Since {}", date(since)),
            None => "As far as the log goes back".to_owned(),
        };
        let slug = &self.server.slug;
        out.line(match self.server.policy.mode {
            Mode::Observe => format!("{slug} observes: it decides, and refuses nothing."),
            Mode::Enforce => {
                format!("{slug} enforces now; this is of calls while it only observed.")
            }
        });
        let refused = self.tally.all;
        out.line(format!("{since}, {} calls went on.", self.went_on()));
        out.line(format!(
            "If it had enforced, {refused} of them would have been refused:"
        ));
        let (scope, often) = (self.tally.for_want_of_scope, self.tally.too_often);
        let mut words = format!(
            "{} as if there were no such tool, {scope} with a request for more scope",
            refused - scope - often
        );
        if often > 0 {
            words.push_str(&format!(",\n{often} until a rate limit has room again"));
        }
        out.line(format!("{words}."));
        if refused == 0 {
            return Ok(());
        }
        out.line("");
        let mut tools = table(out, &["CALLS", "LAST", "TOOL", "REASON", "RULE"]);
        for (of, line) in self.tally.tools.sorted().into_iter().take(SHOWN_MAX) {
            tools.add_row([
                line.calls.to_string(),
                date(line.last),
                called(&of.method, of.name.as_deref(), CHARS_MAX),
                visible(&of.cause, CHARS_MAX),
                visible(&of.rule, CHARS_MAX),
            ]);
        }
        out.line(tools.trim_fmt());
        told_of(&self.tally.tools, out);
        for (head, lines, is_client) in [
            ("CLIENT", &self.tally.clients, true),
            ("PERSON", &self.tally.people, false),
        ] {
            out.line("");
            let mut table = table(out, &["CALLS", "LAST", head, "REASON"]);
            for (of, line) in lines.sorted().into_iter().take(SHOWN_MAX) {
                table.add_row([
                    line.calls.to_string(),
                    date(line.last),
                    self.name(names, of, is_client).await?,
                    visible(&of.cause, CHARS_MAX),
                ]);
            }
            out.line(table.trim_fmt());
            told_of(lines, out);
        }
        Ok(())
    }

    async fn document(&self, names: &mut Names<'_>) -> anyhow::Result<Value> {
        let with = |mut document: Value, line: Line| {
            document["calls"] = json!(line.calls);
            document["last"] = json!(moment(line.last));
            document
        };
        let tools: Vec<Value> = (self.tally.tools.sorted().into_iter())
            .map(|(of, line)| {
                with(
                    json!({"method": of.method, "name": of.name, "cause": of.cause, "rule": of.rule}),
                    line,
                )
            })
            .collect();
        let mut clients = Vec::new();
        for (of, line) in self.tally.clients.sorted() {
            let shown = self.name(names, of, true).await?;
            let one = json!({"client": of.id, "shown": shown, "cause": of.cause});
            clients.push(with(one, line));
        }
        let mut people = Vec::new();
        for (of, line) in self.tally.people.sorted() {
            let shown = self.name(names, of, false).await?;
            let one = json!({"subject": of.id, "shown": shown, "cause": of.cause});
            people.push(with(one, line));
        }
        let tally = &self.tally;
        Ok(json!({
            "server": self.server.slug,
            "mode": self.server.policy.mode,
            "since": self.since.map(moment),
            "until": moment(self.until),
            "calls": self.went_on(),
            "would_be_denied": tally.all,
            "for_want_of_scope": tally.for_want_of_scope,
            "too_often": tally.too_often,
            "tools": tools,
            "clients": clients,
            "people": people,
            "left_out": tally.tools.left_out + tally.clients.left_out + tally.people.left_out,
        }))
    }

    async fn name(
        &self,
        names: &mut Names<'_>,
        of: &Whose,
        is_client: bool,
    ) -> anyhow::Result<String> {
        match is_client {
            true => names.client(self.server.slug.as_str(), &of.id).await,
            false => names.person(&of.id).await,
        }
    }
}

/// Says what is not shown.
fn told_of<K: Ord>(lines: &Lines<K>, out: &Terminal) {
    let more = lines.len().saturating_sub(SHOWN_MAX);
    if more > 0 || lines.left_out > 0 {
        let words = format!("and {more} more lines; --json has them");
        out.line(out.paint.dim(match lines.left_out {
            0 => words,
            calls => format!("{words}, but for {calls} calls that nobody sums up"),
        }));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use domain::{CallOutcome, CallRecord};
    use store::{DatabaseUrl, Store, StoreOptions};
    use testkit::MovableClock;

    use super::*;
    use oauth::new_server::new_server;

    fn call(name: &str, cause: &str) -> CallRecord {
        CallRecord {
            at: Timestamp::from_unix_ms(1_801_396_800_000),
            server: "todo".into(),
            subject: Some("usr_\u{202e}gone".into()),
            client: Some(format!("https://client.example/{}", "x".repeat(200))),
            grant: None,
            method: "tools/call".into(),
            name: Some(name.into()),
            arguments_digest: None,
            arguments: None,
            decision: Some(CallDecision::WouldBeDenied),
            cause: Some(cause.into()),
            rule: Some(format!("tool {name}: {}", "todo:write ".repeat(40))),
            policy_revision: Some(1),
            judged_us: None,
            outcome: CallOutcome::Allowed,
            reason: String::new(),
            status: 200,
            duration_us: 1,
            correlation_id: None,
        }
    }

    #[tokio::test]
    async fn a_report_fits_into_eighty_columns_and_shows_what_names_would_hide() {
        let folder = tempfile::tempdir().unwrap();
        let url = DatabaseUrl::Sqlite(folder.path().join("a.db"));
        let clock = MovableClock::default();
        let store = Store::open(StoreOptions::new(url), &clock).await.unwrap();
        let slug = ServerSlug::parse("todo").unwrap();
        let mut server = new_server(
            &slug,
            domain::Upstream::Todo,
            "http://localhost:1",
            clock.now(),
        );
        server.policy.mode = Mode::Observe;
        let mut tally = Tally::default();
        for number in 0..30 {
            tally.add(call(&format!("tool {number}"), "unmapped"));
        }
        let hostile = "add\u{1b}[2J\u{202e}odot\n  900  never";
        for _ in 0..3 {
            tally.add(call(hostile, "insufficient_scope"));
        }
        tally.add(call("add", "rate_limited"));
        for _ in 0..2 {
            tally.add(call("get", "why\u{1b}]0;hush\u{7}\u{202e}\n  900  never"));
        }
        let report = Report {
            server: &server,
            since: None,
            until: clock.now(),
            decided: [
                (CallDecision::Allowed, 7),
                (CallDecision::WouldBeDenied, 36),
            ]
            .into(),
            tally,
        };
        let mut out = Terminal::memory();
        out.interactive = true;
        out.width = 80;
        report.tell(&mut Names::new(&store), &out).await.unwrap();
        let told = out.kept();
        for line in told.lines() {
            assert!(console::measure_text_width(line) <= 80, "{line}");
        }
        for words in [
            "As far as the log goes back, 43 calls went on.",
            "36 of them would have been refused",
            "1 until a rate limit has room again.",
        ] {
            assert!(told.contains(words), "{told}");
        }
        assert!(
            told.contains("32 as if there were no such tool, 3 with"),
            "{told}"
        );
        assert!(told.contains("and 13 more lines"), "{told}");
        for hidden in ['\u{1b}', '\u{202e}', '\u{7}'] {
            assert!(!told.contains(hidden), "{told:?}");
        }
        assert!(told.contains("\\u{1b}[2J"), "{told}");
        // Once by tool, by client and by person.
        assert_eq!(told.matches("why\\u{1b}]0").count(), 3, "{told}");
        // Those with most calls are at the top.
        let mut rows = told.lines().skip_while(|line| !line.contains("CALLS"));
        let first = rows.nth(1).unwrap_or_default();
        assert!(first.contains("add"), "{told}");

        let document = report.document(&mut Names::new(&store)).await.unwrap();
        assert_eq!(document["tools"].as_array().unwrap().len(), 33);
        assert_eq!(document["tools"][0]["name"], hostile);
        let text = json_text(&document);
        assert!(!text.contains(['\u{1b}', '\u{202e}', '\n']), "{text}");
        store.close().await;
    }
}
