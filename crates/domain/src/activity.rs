use base::Timestamp;

/// One call through the gateway, for the activity log. Results are never in it, nor arguments, but for those that the policy
/// declares safe.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecord {
    /// When it began.
    pub at: Timestamp,
    /// The slug of the MCP server.
    pub server: String,
    /// The `sub`, when a token was valid.
    pub subject: Option<String>,
    /// The `client_id`, when a token was valid.
    pub client: Option<String>,
    /// The grant, when a token was valid.
    pub grant: Option<String>,
    /// The JSON-RPC method, or the HTTP one when there was no message.
    pub method: String,
    /// The tool, prompt or resource that was named.
    pub name: Option<String>,
    /// A digest of its arguments, under a key of the authority: the same arguments of the same tool are the same digest.
    pub arguments_digest: Option<String>,
    /// The arguments that the policy declares safe: a JSON object, by JSON Pointer.
    pub arguments: Option<String>,
    /// What was decided; nothing when there was nothing to decide, and in calls that a release before this one recorded.
    pub decision: Option<CallDecision>,
    /// Why, as one word.
    pub cause: Option<String>,
    /// The rule that decided.
    pub rule: Option<String>,
    /// The revision of the policy that was in force.
    pub policy_revision: Option<i64>,
    /// How long until it was decided, in microseconds.
    pub judged_us: Option<i64>,
    /// How it ended.
    pub outcome: CallOutcome,
    /// The reason in words, with the rule that decided.
    pub reason: String,
    /// The HTTP status answered; 0 when the caller went away before there was one.
    pub status: u16,
    /// How long until the answer's head, in microseconds.
    pub duration_us: i64,
    /// The id of the request, which its log lines have, and which a refusal showed its caller.
    pub correlation_id: Option<String>,
}

/// What was decided of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum CallDecision {
    /// The policy allows it.
    Allowed,
    /// It does not.
    Denied,
    /// It would, with more scope.
    NeedsScope,
    /// It does not, or not without more scope, and was only watched: the call went on.
    WouldBeDenied,
}

impl CallDecision {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NeedsScope => "needs_scope",
            Self::WouldBeDenied => "would_be_denied",
        }
    }

    /// Reads [`CallDecision::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Allowed,
            Self::Denied,
            Self::NeedsScope,
            Self::WouldBeDenied,
        ]
        .into_iter()
        .find(|decision| decision.as_str() == text)
    }
}

/// What happens to a call whose record finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WhenFull {
    /// It is answered, and its record is lost and counted.
    #[default]
    Drop,
    /// It is not answered.
    Refuse,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CallOutcome {
    /// Forwarded, and the upstream answered.
    Allowed,
    /// A decision said no.
    Denied,
    /// More scope would be needed.
    NeedsScope,
    /// No valid token.
    Unauthenticated,
    /// The request itself was wrong.
    Rejected,
    /// The upstream failed.
    UpstreamFailed,
}

impl CallOutcome {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NeedsScope => "needs_scope",
            Self::Unauthenticated => "unauthenticated",
            Self::Rejected => "rejected",
            Self::UpstreamFailed => "upstream_failed",
        }
    }

    /// Reads [`CallOutcome::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [
            Self::Allowed,
            Self::Denied,
            Self::NeedsScope,
            Self::Unauthenticated,
            Self::Rejected,
            Self::UpstreamFailed,
        ]
        .into_iter()
        .find(|outcome| outcome.as_str() == text)
    }
}
