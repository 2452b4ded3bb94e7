use serde::{Deserialize, Serialize};
use wire::oauth::Scope;

/// A scope that was asked for and not granted, with the reason. Kept as JSON with the code and the token family;
/// introspection shows it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WithheldScope {
    /// The scope.
    pub scope: Scope,
    /// Why it was not granted.
    pub reason: WithheldReason,
}

/// Why a scope was not granted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WithheldReason {
    /// The MCP server has no such scope.
    Unknown,
    /// The person did not tick it.
    NotApproved,
    /// The client may not have it.
    NotForThisClient,
    /// It was approved, and the MCP server has it no more.
    RemovedSince,
    /// None of the person's roles permits it.
    NotPermitted,
    /// A rule denies it to this person or through this client.
    DeniedByRule,
}

impl WithheldReason {
    /// The word in an introspection answer.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::NotApproved => "not_approved",
            Self::NotForThisClient => "not_for_this_client",
            Self::RemovedSince => "removed_since",
            Self::NotPermitted => "not_permitted",
            Self::DeniedByRule => "denied_by_rule",
        }
    }

    /// For the reader of an introspection answer.
    pub const fn in_words(self) -> &'static str {
        match self {
            Self::Unknown => "this MCP server has no such scope",
            Self::NotApproved => "the person did not approve it",
            Self::NotForThisClient => "this client may not have it",
            Self::RemovedSince => "it was approved, and the MCP server has it no more",
            Self::NotPermitted => "none of the person's roles permits it",
            Self::DeniedByRule => {
                "a rule of the MCP server denies it to this person or application"
            }
        }
    }
}
