use base::Timestamp;

use crate::{ClientId, ServerSlug, UserId};

/// What was decided about a client with a metadata document at one MCP server. Its document is the authority's, the
/// decision the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientTrust {
    /// The server.
    pub server: ServerSlug,
    /// The client.
    pub client: ClientId,
    /// What was decided.
    pub decision: TrustDecision,
    /// When it was decided, or asked.
    pub at: Timestamp,
    /// Who decided, or asked; nobody when it was done at the command line.
    pub by: Option<UserId>,
}

/// Whether a client may come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustDecision {
    /// Somebody asked, and nobody has decided.
    Waiting,
    /// It may, whatever the setting says about its host.
    Approved,
    /// It may not, whatever the setting says.
    Blocked,
}

impl TrustDecision {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Approved => "approved",
            Self::Blocked => "blocked",
        }
    }

    /// Reads [`TrustDecision::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Waiting, Self::Approved, Self::Blocked]
            .into_iter()
            .find(|decision| decision.as_str() == text)
    }
}
