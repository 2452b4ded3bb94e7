use base::Timestamp;

use crate::{ClientId, ServerSlug, UserId};

/// One save of an MCP server's policy, as it is kept; the policy itself is read apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PolicyRevision {
    /// Of which MCP server.
    pub server: ServerSlug,
    /// Counts the policy's saves, from 1.
    pub revision: i64,
    /// When it was saved; nothing when a release wrote it that kept no revisions.
    pub at: Option<Timestamp>,
    /// The person who saved it; nothing for a command, whose user is the machine's.
    pub by: Option<UserId>,
    /// The client that they came through, or that acted for itself; nothing for a command.
    pub through: Option<ClientId>,
    /// What made it.
    pub origin: PolicyOrigin,
    /// Words for the reader, those of the audit event.
    pub detail: String,
}

/// What made a revision of a policy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyOrigin {
    /// The server was added with it.
    Added,
    /// Somebody changed the policy, such as a role or a rule.
    Change,
    /// A file was applied.
    Apply,
    /// Somebody looked at what the upstream lists.
    Inventory,
    /// Somebody decided about tools.
    Decision,
    /// An earlier revision was published again: this one.
    RollBack(i64),
    /// Of a release that kept no revisions, or of one that has a word which this one does not know.
    Unknown,
}

impl PolicyOrigin {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Change => "change",
            Self::Apply => "apply",
            Self::Inventory => "inventory",
            Self::Decision => "decision",
            Self::RollBack(_) => "roll_back",
            Self::Unknown => "unknown",
        }
    }

    /// The revision that was published again.
    pub const fn of_revision(self) -> Option<i64> {
        match self {
            Self::RollBack(revision) => Some(revision),
            _ => None,
        }
    }

    /// Reads [`PolicyOrigin::as_str`] and [`PolicyOrigin::of_revision`]. A newer release may have other words.
    pub fn read(word: &str, of_revision: Option<i64>) -> Self {
        let plain = [
            Self::Added,
            Self::Change,
            Self::Apply,
            Self::Inventory,
            Self::Decision,
        ];
        match (word, of_revision) {
            ("roll_back", Some(revision)) => Self::RollBack(revision),
            _ => plain
                .into_iter()
                .find(|origin| origin.as_str() == word)
                .unwrap_or(Self::Unknown),
        }
    }
}
