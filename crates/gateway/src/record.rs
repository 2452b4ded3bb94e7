use std::sync::Arc;
use std::time::{Duration, Instant};

use base::{CorrelationId, Timestamp};
use http::request::Parts;
use http::{StatusCode, header};
use sdk::{InForce, ListCount, Permitted, Refusal, RefusalCause, RefusalKind, VerifiedCaller};
use wire::mcp::{Json, Message, method};

use crate::judged::Judged;
use crate::metric::{MethodLabel, Reason, ServerMetric};
use crate::recorder::{Full, KeptPlace, Recorder};
use crate::server::Server;
use crate::tool_metric::ToolLabel;

/// The longest name that is recorded, in characters.
const NAME_CHARS_MAX: usize = 200;
/// The longest rule, in characters.
const RULE_CHARS_MAX: usize = 300;
/// The longest reason, in characters.
const REASON_CHARS_MAX: usize = 500;

/// One call through the gateway, for the activity log and the terminal. Results are never in it, nor arguments, but for
/// those that the policy declares safe.
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
    /// A digest of the arguments of a tool or prompt, when the call was forwarded, see [`authz::ArgumentDigests`].
    pub arguments_digest: Option<String>,
    /// The arguments that the policy declares safe, as a JSON object, see [`authz::recorded_arguments`].
    pub arguments: Option<String>,
    /// What was decided; nothing when there was nothing to decide: no valid token, no message that can be read.
    pub judged: Option<Judged>,
    /// Why it ended so, as one word of a closed set; in observe mode, why it would have been refused.
    pub cause: Option<&'static str>,
    /// The rule that decided, shortened.
    pub rule: Option<String>,
    /// The revision of the policy that was in force, when a token was valid.
    pub policy_revision: Option<i64>,
    /// How long until it was decided, in microseconds.
    pub judged_us: Option<i64>,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason in words, with the rule that decided; shortened.
    pub reason: String,
    /// The HTTP status answered; 0 when the caller went away before there was one.
    pub status: u16,
    /// How long until the answer's head, in microseconds.
    pub duration_us: i64,
    /// The id of the request, which its log lines have, and which a refusal shows its caller.
    pub correlation_id: Option<String>,
    /// For a filtered list: how much of it was shown.
    pub list: Option<ListCount>,
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

/// The record of a call that is under way. It is passed on when this is dropped, so that no way out of a call is
/// unrecorded.
#[derive(Debug)]
pub(crate) struct Recording {
    recorder: Arc<Recorder>,
    record: Option<Box<CallRecorded>>,
    place: Option<KeptPlace>,
    began: Instant,
    metric: Arc<ServerMetric>,
    method: MethodLabel,
    /// Which tool is called, when one is.
    tool: Option<ToolLabel>,
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
                arguments_digest: None,
                arguments: None,
                judged: None,
                cause: Some(Reason::CallerLeft.as_str()),
                rule: None,
                policy_revision: None,
                judged_us: None,
                outcome: Outcome::Rejected,
                reason: String::from("the caller went away"),
                status: 0,
                duration_us: 0,
                correlation_id: CorrelationId::of_request().map(|id| id.to_string()),
                list: None,
            })),
            place: None,
            began: Instant::now(),
            metric: Arc::clone(&server.metric),
            method: MethodLabel::of_http(&request.method),
            tool: None,
            reason: Reason::CallerLeft,
        }
    }

    fn change(&mut self, change: impl FnOnce(&mut CallRecorded)) {
        if let Some(record) = &mut self.record {
            change(record);
        }
    }

    pub(crate) fn caller(&mut self, caller: &VerifiedCaller, in_force: &InForce) {
        self.change(|record| {
            let principal = caller.principal();
            record.subject = Some(Arc::clone(&principal.subject));
            record.client = Some(Arc::clone(&principal.client));
            record.grant = Some(Arc::clone(caller.grant()));
            record.policy_revision = Some(in_force.server().policy_revision);
        });
    }

    pub(crate) fn message(&mut self, message: &Message, in_force: &InForce) {
        self.method = MethodLabel::of_message(message.method());
        let method = message.method().unwrap_or("response");
        let name = named(message);
        let arguments = message.params().and_then(|params| params.get("arguments"));
        let policy = &in_force.server().policy;
        let tool = name.filter(|_| method == method::TOOLS_CALL);
        let recorded = tool
            .and_then(|tool| authz::recorded_arguments(policy.tools.get(tool)?, arguments))
            .map(|recorded| Json::from(recorded).to_text());
        self.tool = tool.map(|tool| ToolLabel::of(policy, tool));
        self.change(|record| {
            record.method = method.to_owned();
            record.name = name.map(shortened);
            record.arguments = recorded;
        });
    }

    /// Makes the digest of the arguments, now that the call goes on. What is refused has none: whoever reads the log, and may
    /// not call the tool, could try by it which arguments somebody else sent.
    pub(crate) fn forwarded(&mut self, permitted: &Permitted) {
        let digests = permitted.in_force().argument_digests();
        let (Some(digests), Some(message)) = (digests, permitted.message()) else {
            return;
        };
        let method = message.method().unwrap_or_default();
        if let (method::TOOLS_CALL | method::PROMPTS_GET, Some(name)) = (method, named(message)) {
            let arguments = message.params().and_then(|params| params.get("arguments"));
            let digest = digests.of(method, name, arguments);
            self.change(|record| record.arguments_digest = Some(digest));
        }
    }

    /// Keeps room for the record, where a call may not go on without one.
    ///
    /// # Errors
    /// When there is none.
    pub(crate) fn keep_place(&mut self) -> Result<(), Full> {
        self.place = self.recorder.keep_place()?;
        Ok(())
    }

    pub(crate) fn permitted(&mut self, permitted: &Permitted) {
        let judged = match permitted.observed() {
            None => Judged::Allowed,
            Some(_) => Judged::WouldBeDenied,
        };
        self.reason = match judged {
            Judged::WouldBeDenied => Reason::Observed,
            _ => Reason::Permitted,
        };
        let word = permitted.observed_cause().map(|cause| cause.as_str());
        let word = word.unwrap_or(self.reason.as_str());
        self.judged(judged, Some(permitted.rule()));
        self.change(|record| {
            record.outcome = Outcome::Allowed;
            record.cause = Some(word);
            record.reason = match permitted.observed() {
                None => cut(permitted.rule(), REASON_CHARS_MAX),
                Some(reason) => {
                    let words = format!("observed only; would be refused: {reason}");
                    cut(&words, REASON_CHARS_MAX)
                }
            };
        });
    }

    pub(crate) fn refused(&mut self, refusal: &Refusal) {
        self.reason = Reason::Refused(refusal.cause());
        match refusal.kind() {
            RefusalKind::Denied => self.judged(Judged::Denied, refusal.rule()),
            RefusalKind::NeedsScope => self.judged(Judged::NeedsScope, refusal.rule()),
            // A limit is part of the policy too.
            _ if refusal.cause() == RefusalCause::RateLimited => {
                self.judged(Judged::Denied, refusal.rule());
            }
            _ => {}
        }
        self.change(|record| {
            record.outcome = refusal.kind().into();
            // What would have been refused is asked about later by why.
            if record.judged != Some(Judged::WouldBeDenied) {
                record.cause = Some(refusal.cause().as_str());
            }
            record.reason = cut(refusal.reason(), REASON_CHARS_MAX);
            record.correlation_id = Some(refusal.correlation_id().to_string());
        });
        self.answered(refusal.status());
    }

    fn judged(&mut self, judged: Judged, rule: Option<&str>) {
        let judged_us = self.elapsed_us();
        self.change(|record| {
            record.judged = Some(judged);
            record.rule = rule.map(|rule| cut(rule, RULE_CHARS_MAX));
            record.judged_us = Some(judged_us);
        });
    }

    fn elapsed_us(&self) -> i64 {
        i64::try_from(self.began.elapsed().as_micros()).unwrap_or(i64::MAX)
    }

    /// What kind of message it is, one of a closed set.
    pub(crate) fn method(&self) -> &'static str {
        self.method.as_str()
    }

    pub(crate) fn metadata(&mut self, status: StatusCode) {
        self.reason = Reason::Metadata;
        self.change(|record| {
            record.outcome = Outcome::Metadata;
            record.cause = Some(Reason::Metadata.as_str());
            record.reason = String::from("protected resource metadata");
        });
        self.answered(status);
    }

    pub(crate) fn answered(&mut self, status: StatusCode) {
        let duration_us = self.elapsed_us();
        self.change(|record| {
            record.status = status.as_u16();
            record.duration_us = duration_us;
        });
    }

    pub(crate) fn listed(&mut self, list: ListCount) {
        self.change(|record| record.list = Some(list));
    }

    /// The answer did not belong where it came, and an error stands in its place.
    pub(crate) fn answer_withheld(&mut self, words: &str) {
        self.reason = Reason::Refused(RefusalCause::BadGateway);
        self.change(|record| {
            record.outcome = Outcome::UpstreamFailed;
            if record.judged != Some(Judged::WouldBeDenied) {
                record.cause = Some(RefusalCause::BadGateway.as_str());
            }
            record.reason = cut(words, REASON_CHARS_MAX);
        });
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
        if let (Some(tool), Some(judged)) = (&self.tool, record.judged) {
            self.metric.tools.count(tool, judged);
        }
        if record.status != 0 {
            let duration = Duration::from_micros(record.duration_us.unsigned_abs());
            self.metric.answered_after(record.outcome, duration);
        }
        match self.place.take() {
            Some(place) => place.send(*record),
            None => self.recorder.pass_on(*record),
        }
    }
}

/// The tool, prompt or resource that a message names.
fn named(message: &Message) -> Option<&str> {
    let params = message.params()?;
    params.str("name").or_else(|| params.str("uri"))
}

fn shortened(text: &str) -> String {
    cut(text, NAME_CHARS_MAX)
}

fn cut(text: &str, chars_max: usize) -> String {
    match text.char_indices().nth(chars_max) {
        Some((end, _)) => text[..end].to_owned(),
        None => text.to_owned(),
    }
}
