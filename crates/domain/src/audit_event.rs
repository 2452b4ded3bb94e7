use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{ClientId, GrantId, ServerSlug, UserId};

/// A security or admin event, written in the transaction of the change it tells of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEvent {
    /// When.
    pub at: Timestamp,
    /// What.
    pub kind: AuditEventKind,
    /// At which MCP server, when at one.
    pub server: Option<ServerSlug>,
    /// Who, when a person.
    pub user: Option<UserId>,
    /// Through which client.
    pub client: Option<ClientId>,
    /// Under which approval.
    pub grant: Option<GrantId>,
    /// Words for the reader; never a secret.
    pub detail: String,
}

/// The kinds whose words may say who somebody is: e-mail addresses, and names that people gave their tokens. They leave with
/// the person.
pub const KINDS_THAT_NAME_PEOPLE: [AuditEventKind; 6] = [
    AuditEventKind::UserAdded,
    AuditEventKind::UserDisabled,
    AuditEventKind::UserEnabled,
    AuditEventKind::SetupLinkUsed,
    AuditEventKind::ServiceTokenCreated,
    AuditEventKind::ServiceTokenRevoked,
];

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs, reason = "the name says it")]
pub enum AuditEventKind {
    UserAdded,
    UserDisabled,
    UserEnabled,
    UserSignedIn,
    SignInRefused,
    SignedOut,
    ServerAdded,
    ServerChanged,
    ServerRemoved,
    ServerMoved,
    AuthorityMoved,
    AliasAdded,
    AliasRemoved,
    AliasProven,
    AliasLost,
    PolicyPublished,
    ClientRegistered,
    ClientAdded,
    ConsentGiven,
    ConsentRefused,
    CodeRedeemed,
    CodeReplayed,
    TokenRefreshed,
    RefreshTokenReused,
    GrantRevoked,
    KeyCreated,
    KeyWithdrawn,
    KeyRemoved,
    KeySettingsChanged,
    SetupLinkUsed,
    ClientDocumentChanged,
    ClientDocumentDiffersFromPin,
    ClientAskedFor,
    ClientApproved,
    ClientBlocked,
    ClientUnblocked,
    ClientForgotten,
    ClientSecretCreated,
    ClientTokenIssued,
    ServiceTokenCreated,
    ServiceTokenRevoked,
    ServerCredentialCreated,
    EpochBegan,
    UserDeleted,
    /// Of a newer release, for which this one has no word. It is read and never written.
    Unknown,
    UserChanged,
    ClientChanged,
    RoleGiven,
    RoleTaken,
    GroupAdded,
    GroupRemoved,
    GroupJoined,
    GroupLeft,
}

impl AuditEventKind {
    /// The word in the database and on screens.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::UserAdded => "user_added",
            Self::UserDisabled => "user_disabled",
            Self::UserEnabled => "user_enabled",
            Self::UserSignedIn => "user_signed_in",
            Self::SignInRefused => "sign_in_refused",
            Self::SignedOut => "signed_out",
            Self::ServerAdded => "server_added",
            Self::ServerChanged => "server_changed",
            Self::ServerRemoved => "server_removed",
            Self::ServerMoved => "server_moved",
            Self::AuthorityMoved => "authority_moved",
            Self::AliasAdded => "alias_added",
            Self::AliasRemoved => "alias_removed",
            Self::AliasProven => "alias_proven",
            Self::AliasLost => "alias_lost",
            Self::PolicyPublished => "policy_published",
            Self::ClientRegistered => "client_registered",
            Self::ClientAdded => "client_added",
            Self::ConsentGiven => "consent_given",
            Self::ConsentRefused => "consent_refused",
            Self::CodeRedeemed => "code_redeemed",
            Self::CodeReplayed => "code_replayed",
            Self::TokenRefreshed => "token_refreshed",
            Self::RefreshTokenReused => "refresh_token_reused",
            Self::GrantRevoked => "grant_revoked",
            Self::KeyCreated => "key_created",
            Self::KeyWithdrawn => "key_withdrawn",
            Self::KeyRemoved => "key_removed",
            Self::KeySettingsChanged => "key_settings_changed",
            Self::SetupLinkUsed => "setup_link_used",
            Self::ClientDocumentChanged => "client_document_changed",
            Self::ClientDocumentDiffersFromPin => "client_document_differs_from_pin",
            Self::ClientAskedFor => "client_asked_for",
            Self::ClientApproved => "client_approved",
            Self::ClientBlocked => "client_blocked",
            Self::ClientUnblocked => "client_unblocked",
            Self::ClientForgotten => "client_forgotten",
            Self::ClientSecretCreated => "client_secret_created",
            Self::ClientTokenIssued => "client_token_issued",
            Self::ServiceTokenCreated => "service_token_created",
            Self::ServiceTokenRevoked => "service_token_revoked",
            Self::ServerCredentialCreated => "server_credential_created",
            Self::EpochBegan => "epoch_began",
            Self::UserDeleted => "user_deleted",
            Self::Unknown => "unknown",
            Self::UserChanged => "user_changed",
            Self::ClientChanged => "client_changed",
            Self::RoleGiven => "role_given",
            Self::RoleTaken => "role_taken",
            Self::GroupAdded => "group_added",
            Self::GroupRemoved => "group_removed",
            Self::GroupJoined => "group_joined",
            Self::GroupLeft => "group_left",
        }
    }

    /// Reads [`AuditEventKind::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.as_str() == text)
    }

    /// Every kind.
    pub const ALL: [Self; 52] = [
        Self::UserAdded,
        Self::UserDisabled,
        Self::UserEnabled,
        Self::UserSignedIn,
        Self::SignInRefused,
        Self::SignedOut,
        Self::ServerAdded,
        Self::ServerChanged,
        Self::ServerRemoved,
        Self::ServerMoved,
        Self::AuthorityMoved,
        Self::AliasAdded,
        Self::AliasRemoved,
        Self::AliasProven,
        Self::AliasLost,
        Self::PolicyPublished,
        Self::ClientRegistered,
        Self::ClientAdded,
        Self::ConsentGiven,
        Self::ConsentRefused,
        Self::CodeRedeemed,
        Self::CodeReplayed,
        Self::TokenRefreshed,
        Self::RefreshTokenReused,
        Self::GrantRevoked,
        Self::KeyCreated,
        Self::KeyWithdrawn,
        Self::KeyRemoved,
        Self::KeySettingsChanged,
        Self::SetupLinkUsed,
        Self::ClientDocumentChanged,
        Self::ClientDocumentDiffersFromPin,
        Self::ClientAskedFor,
        Self::ClientApproved,
        Self::ClientBlocked,
        Self::ClientUnblocked,
        Self::ClientForgotten,
        Self::ClientSecretCreated,
        Self::ClientTokenIssued,
        Self::ServiceTokenCreated,
        Self::ServiceTokenRevoked,
        Self::ServerCredentialCreated,
        Self::EpochBegan,
        Self::UserDeleted,
        Self::UserChanged,
        Self::ClientChanged,
        Self::RoleGiven,
        Self::RoleTaken,
        Self::GroupAdded,
        Self::GroupRemoved,
        Self::GroupJoined,
        Self::GroupLeft,
    ];
}
