use base::Timestamp;
use domain::{AuditEvent, AuditEventKind, ClientId, ServerSlug, UserId};

/// When something is changed, and by whom. A bare moment is the act of a command, whose user is the machine's.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Act {
    /// When.
    pub at: Timestamp,
    /// The person.
    pub by: Option<UserId>,
    /// The client that they came through, or that acts for itself.
    pub through: Option<ClientId>,
}

impl From<Timestamp> for Act {
    fn from(at: Timestamp) -> Self {
        Self {
            at,
            ..Self::default()
        }
    }
}

impl Act {
    /// The event that tells of it.
    pub fn event(
        &self,
        kind: AuditEventKind,
        server: Option<&ServerSlug>,
        detail: impl Into<String>,
    ) -> AuditEvent {
        AuditEvent {
            at: self.at,
            kind,
            server: server.cloned(),
            user: self.by.clone(),
            client: self.through.clone(),
            grant: None,
            detail: detail.into(),
        }
    }
}
