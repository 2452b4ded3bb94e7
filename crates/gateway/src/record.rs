use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use base::Timestamp;
use http::request::Parts;
use http::{StatusCode, header};
use metrics::Counter;
use sdk::{Permitted, Refusal, RefusalKind, VerifiedCaller};
use tokio::sync::mpsc;
use wire::mcp::Message;

use crate::metric::{self, MethodLabel, Reason, ServerMetric};
use crate::server::Server;

/// The longest name that is recorded, in characters.
const NAME_CHARS_MAX: usize = 200;

/// One call through the gateway, for the activity log and the terminal. Arguments and results are never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecorded {
    /// When it began.
    pub at: Timestamp,
    /// The slug of the MCP server.
    pub server: Arc<str>,
    /// The `sub`, when a token was valid.
    pub subject: Option<Arc<str>>,
    /// The `client_id`, when a token was valid.
    pub client: Option<Arc<str>>,
    /// The grant, when a token was valid.
    pub grant: Option<Arc<str>>,
    /// What the caller's program calls itself, shortened. Proves nothing.
    pub user_agent: Option<String>,
    /// The JSON-RPC method, or the HTTP one when there was no message.
    pub method: String,
    /// The tool, prompt or resource that was named, shortened.
    pub name: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason in words, with the rule that decided.
    pub reason: String,
    /// The HTTP status answered; 0 when the caller went away before there was one.
    pub status: u16,
    /// How long until the answer's head, in microseconds.
    pub duration_us: i64,
    /// What the refusal showed its caller, to find it here.
    pub correlation_id: Option<String>,
    /// For a filtered list: how much of it was shown.
    pub list: Option<ListCount>,
}

/// How much of a list was shown to its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListCount {
    /// How many entries were shown.
    pub shown: usize,
    /// How many the upstream sent.
    pub total: usize,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Forwarded, and the upstream answered.
    Allowed,
    /// A decision said no.
    Denied,
    /// More scope would be needed.
    NeedsScope,
    /// No valid token.
    Unauthenticated,
    /// The request itself was wrong, or could not be judged.
    Rejected,
    /// The upstream failed.
    UpstreamFailed,
    /// Protected resource metadata was served.
    Metadata,
}

impl Outcome {
    /// Every outcome there is.
    pub(crate) const ALL: [Self; 7] = [
        Self::Allowed,
        Self::Denied,
        Self::NeedsScope,
        Self::Unauthenticated,
        Self::Rejected,
        Self::UpstreamFailed,
        Self::Metadata,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NeedsScope => "needs_scope",
            Self::Unauthenticated => "unauthenticated",
            Self::Rejected => "rejected",
            Self::UpstreamFailed => "upstream_failed",
            Self::Metadata => "metadata",
        }
    }
}

impl From<RefusalKind> for Outcome {
    fn from(kind: RefusalKind) -> Self {
        match kind {
            RefusalKind::Unauthenticated => Self::Unauthenticated,
            RefusalKind::NeedsScope => Self::NeedsScope,
            RefusalKind::Denied => Self::Denied,
            RefusalKind::Rejected | RefusalKind::Unavailable => Self::Rejected,
            RefusalKind::UpstreamFailed => Self::UpstreamFailed,
        }
    }
}

/// Passes records on without ever waiting; what does not fit is counted.
#[derive(Debug)]
pub(crate) struct Recorder {
    sender: mpsc::Sender<CallRecorded>,
    dropped: AtomicU64,
    dropped_metric: Counter,
}

impl Recorder {
    pub(crate) fn new(sender: mpsc::Sender<CallRecorded>) -> Self {
        Self {
            sender,
            dropped: AtomicU64::new(0),
            dropped_metric: metric::records_dropped(),
        }
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The record of a call that is under way. It is passed on when this is dropped, so that no way out of a call is
/// unrecorded.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    record: Option<Box<CallRecorded>>,
    began: Instant,
    metric: Arc<ServerMetric>,
    method: MethodLabel,
    reason: Reason,
}

impl Recording {
    pub(crate) fn begin(
        recorder: &Arc<Recorder>,
        server: &Server,
        at: Timestamp,
        request: &Parts,
    ) -> Self {
        let user_agent = request
            .headers
            .get(header::USER_AGENT)
            .and_then(|value| value.to_str().ok())
            .map(shortened);
        Self {
            recorder: Arc::clone(recorder),
            record: Some(Box::new(CallRecorded {
                at,
                server: Arc::clone(&server.slug),
                subject: None,
                client: None,
                grant: None,
                user_agent,
                method: shortened(request.method.as_str()),
                name: None,
                outcome: Outcome::Rejected,
                reason: String::from("the caller went away"),
                status: 0,
                duration_us: 0,
                correlation_id: None,
                list: None,
            })),
            began: Instant::now(),
            metric: Arc::clone(&server.metric),
            method: MethodLabel::of_http(&request.method),
            reason: Reason::CallerLeft,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut CallRecorded)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(crate) fn caller(&mut self, caller: &VerifiedCaller) {
        self.change(|record| {
            let principal = caller.principal();
            record.subject = Some(Arc::clone(&principal.subject));
            record.client = Some(Arc::clone(&principal.client));
            record.grant = Some(Arc::clone(caller.grant()));
        });
    }

    pub(crate) fn message(&mut self, message: &Message) {
        self.method = MethodLabel::of_message(message.method());
        self.change(|record| {
            record.method = message.method().unwrap_or("response").to_owned();
            record.name = message
                .params()
                .and_then(|params| params.str("name").or_else(|| params.str("uri")))
                .map(shortened);
        });
    }

    pub(crate) fn permitted(&mut self, permitted: &Permitted) {
        self.reason = match permitted.observed() {
            None => Reason::Permitted,
            Some(_) => Reason::Observed,
        };
        self.change(|record| {
            record.outcome = Outcome::Allowed;
            record.reason = match permitted.observed() {
                None => permitted.rule().to_owned(),
                Some(reason) => format!("observed only; would be refused: {reason}"),
            };
        });
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.reason = Reason::Refused(refusal.cause());
        self.change(|record| {
            record.outcome = refusal.kind().into();
            record.reason = refusal.reason().to_owned();
            record.correlation_id = Some(refusal.correlation_id().to_string());
        });
        self.answered(refusal.status());
    }

    /// What kind of message it is, one of a closed set.
    pub(crate) fn method(&self) -> &'static str {
        self.method.as_str()
    }

    pub(crate) fn metadata(&mut self, status: StatusCode) {
        self.reason = Reason::Metadata;
        self.change(|record| {
            record.outcome = Outcome::Metadata;
            record.reason = String::from("protected resource metadata");
        });
        self.answered(status);
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        let duration_us = i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX);
        self.change(|record| {
            record.status = status.as_u16();
            record.duration_us = duration_us;
        });
    }

    pub(crate) fn listed(&mut self, list: ListCount) {
        self.change(|record| record.list = Some(list));
    }

    /// Leaves no record: the request was no call.
    pub(crate) fn forget(mut self) {
        self.record = None;
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        let Some(record) = self.record.take() else {
            return;
        };
        self.metric.count(self.method, record.outcome, self.reason);
        if record.status != 0 {
            let duration = Duration::from_micros(record.duration_us.unsigned_abs());
            self.metric.answered_after(record.outcome, duration);
        }
        if self.recorder.sender.try_send(*record).is_err() {
            self.recorder.dropped.fetch_add(1, Ordering::Relaxed);
            self.recorder.dropped_metric.increment(1);
        }
    }
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(NAME_CHARS_MAX) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}
