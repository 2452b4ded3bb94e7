//! What a gateway tells its authority, beside what it reads in the policy feed.

use base::Timestamp;
use serde::{Deserialize, Serialize};

/// Calls that went through a gateway, for the authority's activity log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ActivityReport {
    /// In any order, at most [`CALLS_MAX`].
    pub calls: Vec<ReportedCall>,
    /// How many found no room since the last report.
    #[serde(default)]
    pub dropped: u64,
}

/// The most calls in one report.
pub const CALLS_MAX: usize = 512;

/// Why a call ended as it did, in one word: all that a gateway says. An authority takes no other word from one.
pub const CAUSES: [&str; 39] = [
    "permitted",
    "observed",
    "metadata",
    "caller_left",
    "no_token",
    "malformed_token",
    "bad_signature",
    "wrong_issuer",
    "wrong_audience",
    "expired_token",
    "not_yet_valid_token",
    "bound_token",
    "revoked_token",
    "unknown_service_token",
    "inactive_token",
    "insufficient_scope",
    "unmapped",
    "quarantined",
    "denied_by_rule",
    "scope_not_obtainable",
    "unknown_method",
    "unsafe_uri",
    "not_permitted",
    "condition_not_met",
    "condition_unclear",
    "invalid_request",
    "malformed_message",
    "unknown_session",
    "unknown_host",
    "foreign_origin",
    "not_found",
    "too_many_requests",
    "rate_limited",
    "temporarily_unavailable",
    "unrecorded",
    "bad_gateway",
    "gateway_timeout",
    "upstream_unusable",
    "upstream_refused",
];

/// One call. Results are never in it, nor arguments, but for those that the policy declares safe; which MCP server it was
/// for, the credential says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportedCall {
    /// When it began.
    pub at: Timestamp,
    /// The `sub`, when a token was valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub subject: Option<String>,
    /// The `client_id`, when a token was valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub client: Option<String>,
    /// The grant, when a token was valid.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub grant: Option<String>,
    /// The JSON-RPC method, or the HTTP one when there was no message.
    pub method: String,
    /// The tool, prompt or resource that was named.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub name: Option<String>,
    /// A digest of its arguments.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments_digest: Option<String>,
    /// The arguments that the policy declares safe, as the text of a JSON object.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub arguments: Option<String>,
    /// What was decided, as a word.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<String>,
    /// Why, as one of [`CAUSES`].
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub cause: Option<String>,
    /// The rule that decided.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// The revision of the policy that was in force.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_revision: Option<i64>,
    /// How long until it was decided, in microseconds.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub judged_us: Option<i64>,
    /// How it ended, as a word.
    pub outcome: String,
    /// The reason in words, with the rule that decided.
    pub reason: String,
    /// The HTTP status answered.
    pub status: u16,
    /// How long until the answer's head, in microseconds.
    pub duration_us: i64,
    /// The id of the request, which a refusal showed its caller.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub correlation_id: Option<String>,
}

/// A nonce that a gateway was asked at one of its hosts, for the authority to answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AliasNonce {
    /// The host, as the request named it.
    pub host: String,
    /// The nonce.
    pub nonce: String,
}

/// The `error` with which a node of an authority answers for an MCP server whose policy it cannot read.
pub const POLICY_UNREADABLE: &str = "policy_unreadable";

/// The largest manifest that an authority takes: the definitions of a few thousand tools.
pub const MANIFEST_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What came of an inventory.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ManifestAnswer {
    /// How many tools the upstream lists.
    #[serde(default)]
    pub tools: usize,
    /// Elements that are new since the first mapping: hidden until somebody maps them.
    #[serde(default)]
    pub hidden: Vec<String>,
    /// Elements whose definition is another one than when they were mapped.
    #[serde(default)]
    pub changed: Vec<String>,
    /// The revision of the policy that it was held against, and of which it is a part now.
    #[serde(default)]
    pub revision: i64,
    /// Whether the same should be told again soon, since not all of it was kept.
    #[serde(default)]
    pub again: bool,
    /// Scopes that the MCP server said it enforces in its code, and that its policy does not declare: nobody can have them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub undeclared_scopes: Vec<String>,
}

/// The most scopes that one manifest says its MCP server enforces.
pub const ENFORCED_SCOPES_MAX: usize = 64;

/// The most tools of which one manifest says which scopes they need.
pub const SUGGESTED_TOOLS_MAX: usize = 1000;

/// What the id of a key begins with that a gateway made: no key of an authority does.
pub const IDENTITY_KEY_ID: &str = "gwk_";
