use base::Timestamp;

/// One call through the gateway, for the activity log and the terminal. Arguments and results are never in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallRecorded {
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
    /// What the caller's program calls itself, at most 200 characters. Proves nothing.
    pub user_agent: Option<String>,
    /// The JSON-RPC method, or the HTTP one when there was no message.
    pub method: String,
    /// The tool, prompt or resource that was named.
    pub name: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// The reason in words, with the rule that decided.
    pub reason: String,
    /// The HTTP status answered.
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
    /// The request itself was wrong.
    Rejected,
    /// The upstream failed.
    UpstreamFailed,
    /// Protected resource metadata was served.
    Metadata,
}
