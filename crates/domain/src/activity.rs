use base::Timestamp;

/// One call through the gateway, for the activity log. Arguments and results are never in it.
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
    /// How it ended.
    pub outcome: CallOutcome,
    /// The reason in words, with the rule that decided.
    pub reason: String,
    /// The HTTP status answered.
    pub status: u16,
    /// How long until the answer's head, in microseconds.
    pub duration_us: i64,
    /// What the refusal showed its caller, to find it here.
    pub correlation_id: Option<String>,
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
