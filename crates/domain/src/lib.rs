//! What the authority keeps, as types: states as enums, transitions as methods. No I/O.

mod activity;
mod audit_event;
mod audit_seal;
mod authorization_code;
mod client;
mod client_document;
mod client_secret;
mod client_trust;
mod consent;
mod former_origin;
mod group;
mod id;
mod login_session;
mod mcp_server;
mod policy_revision;
mod resource_server_credential;
mod server_alias;
mod server_settings_change;
mod service_token;
mod signing_key;
mod stored_definition;
mod token_family;
mod user;
mod withheld_scope;

pub use activity::{CallDecision, CallOutcome, CallRecord, WhenFull};
pub use audit_event::{AuditEvent, AuditEventKind, KINDS_THAT_NAME_PEOPLE};
pub use audit_seal::{AuditSeal, AuditSealEntry};
pub use authorization_code::AuthorizationCode;
pub use client::{AuthMethod, Client, ClientAuthentication, ClientKeys, ClientRegistration};
pub use client_document::{ClientDocument, DocumentKind};
pub use client_secret::ClientSecret;
pub use client_trust::{ClientTrust, TrustDecision};
pub use consent::Consent;
pub use former_origin::FormerOrigin;
pub use group::{Group, RoleHolder};
pub use id::{
    ClientId, GrantId, GroupId, KeyId, ResourceServerId, ServerSlug, ServiceTokenId, SessionId,
    SlugError, UserId,
};
pub use login_session::LoginSession;
pub use mcp_server::{
    McpServer, MetadataDocumentTrust, NativeSchemes, RegistrationMode, ServerSettings,
    SignInPolicy, Upstream,
};
pub use policy_revision::{PolicyOrigin, PolicyRevision};
pub use resource_server_credential::ResourceServerCredential;
pub use server_alias::{ALIAS_PROOF_LIFE, FormerResource, OtherAddresses, ServerAlias};
pub use server_settings_change::ServerSettingsChange;
pub use service_token::{ServiceGrant, ServiceToken};
pub use signing_key::{KeyAlgorithm, KeyPurpose, SigningKeyRecord};
pub use stored_definition::{DefinitionState, StoredDefinition};
pub use token_family::{FamilyEnd, RefreshToken, TokenFamily};
pub use user::{EmailAddress, EmailError, User, UserRole};
pub use withheld_scope::{WithheldReason, WithheldScope};
