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
/// How often a pause between tries looks whether the node ends.
const LOOK_WHETHER_IT_ENDS: Duration = Duration::from_millis(100);
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
        let is_closed = || calls.is_closed();
        if !tell(&server, &report, when_full, is_closed).await {
            dropped.fetch_add(lost + report.calls.len() as u64, Ordering::Relaxed);
        }
    }
}

/// Whether the authority took it. Where no call may be lost, an authority that is away or busy is waited for, until the node
/// ends: then it is tried at once, since there is little time.
async fn tell(
    server: &OwnServer,
    report: &ActivityReport,
    when_full: WhenFull,
    is_closed: impl Fn() -> bool,
) -> bool {
    let goes_on = || when_full == WhenFull::Refuse && !is_closed();
    let mut tries = 0;
    loop {
        let Err(error) = server.report_calls(report).await else {
            return true;
        };
        tries += 1;
        let is_over = tries >= TRIES_MAX && !(goes_on() && may_be_taken_later(&error));
        if is_over || is_shut_out(&error) {
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
        let pause = WAIT * 2u32.pow(tries.min(TRIES_MAX - 1) - 1);
        let until = tokio::time::Instant::now() + pause;
        let was_closed = is_closed();
        while tokio::time::Instant::now() < until && is_closed() == was_closed {
            tokio::time::sleep(pause.min(LOOK_WHETHER_IT_ENDS)).await;
        }
    }
}

/// Whoever has no credential here any more, or no such server, gets no feed either, and soon answers no call. Nothing is tried
/// again: the calls of all other servers would stand behind these.
fn is_shut_out(error: &AuthorityError) -> bool {
    matches!(
        error,
        AuthorityError::Credential { .. } | AuthorityError::UnknownServer { .. }
    )
}

/// Whatever is not about these very calls: somebody between may answer anything while the authority is away.
fn may_be_taken_later(error: &AuthorityError) -> bool {
    match error {
        AuthorityError::Refused { status, .. } => !matches!(status, 400 | 413 | 415),
        error => !is_shut_out(error),
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::convert::Infallible;

    use base::Timestamp;
    use domain::CallOutcome;
    use http::{Request, Response, StatusCode};
    use http_body_util::Full;
    use hyper::body::{Bytes, Incoming};
    use hyper::service::service_fn;
    use hyper_util::rt::TokioIo;
    use sdk::{AuthorityClient, AuthoritySettings, ServerCredential};
    use tokio::net::TcpListener;

    use super::*;

    /// An authority that takes the calls of `todo` alone, and says to whom it listens on a channel.
    async fn authority(
        of_others: (StatusCode, &'static str),
        told: mpsc::UnboundedSender<()>,
    ) -> AuthorityClient {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let told = told.clone();
                let answer = service_fn(move |request: Request<Incoming>| {
                    let is_taken = request.uri().path() == "/servers/todo/activity";
                    let (status, body) = match is_taken {
                        true => (StatusCode::OK, "{}"),
                        false => of_others,
                    };
                    if is_taken {
                        let _ = told.send(());
                    }
                    let mut response =
                        Response::new(Full::new(Bytes::from_static(body.as_bytes())));
                    *response.status_mut() = status;
                    async move { Ok::<_, Infallible>(response) }
                });
                let connection = hyper::server::conn::http1::Builder::new();
                tokio::spawn(connection.serve_connection(TokioIo::new(stream), answer));
            }
        });
        AuthorityClient::new(&AuthoritySettings {
            url,
            connect_to: None,
            ca_file: None,
            names: egress::Names::default(),
        })
        .unwrap()
    }

    fn call(server: &str) -> CallRecord {
        CallRecord {
            at: Timestamp::from_unix_ms(0),
            server: server.to_owned(),
            subject: None,
            client: None,
            grant: None,
            method: "tools/call".into(),
            name: None,
            arguments_digest: None,
            arguments: None,
            decision: None,
            cause: None,
            rule: None,
            policy_revision: None,
            judged_us: None,
            outcome: CallOutcome::Allowed,
            reason: String::new(),
            status: 200,
            duration_us: 1,
            correlation_id: None,
        }
    }

    #[test]
    fn whatever_somebody_between_answers_is_waited_for_and_what_these_calls_are_not() {
        let refused = |status| AuthorityError::Refused {
            status,
            words: "no".into(),
        };
        for (status, is_waited_for) in [
            (404, true),
            (403, true),
            (502, true),
            (400, false),
            (413, false),
        ] {
            assert_eq!(
                may_be_taken_later(&refused(status)),
                is_waited_for,
                "{status}"
            );
        }
        assert!(may_be_taken_later(&AuthorityError::Unreadable));
    }

    #[tokio::test]
    async fn calls_of_a_server_whose_credential_was_revoked_keep_no_others_waiting() {
        for (status, body, is_waited_for) in [
            (StatusCode::UNAUTHORIZED, "{}", false),
            (StatusCode::NOT_FOUND, r#"{"error":"not_found"}"#, false),
            // One that is away for a while is waited for, since none may be lost.
            (StatusCode::SERVICE_UNAVAILABLE, "{}", true),
        ] {
            let (told, mut heard) = mpsc::unbounded_channel();
            let client = authority((status, body), told).await;
            let credential = ServerCredential::parse("prs_a:pcq_b").unwrap();
            let servers = ["gone", "todo"].map(|slug| client.server(slug, &credential));
            let queue = ActivityQueue {
                records_max: 1,
                when_full: WhenFull::Refuse,
            };
            let mut telling = JoinSet::new();
            let reports = Reports::begin(&servers, queue, &mut telling);
            let both = async {
                // More than one report, and what waits behind it.
                for _ in 0..CALLS_AT_ONCE * 2 + 2 {
                    reports.put(call("gone")).await;
                }
                reports.put(call("todo")).await;
                heard.recv().await
            };
            // The first report to be tried again waits for a second, and the fifth for eight.
            let both = tokio::time::timeout(WAIT * 6, both).await;
            assert_eq!(both.is_err(), is_waited_for, "{status}");
        }
    }
}
