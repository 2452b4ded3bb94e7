//! The authorization server without HTTP: authorize, consent, token and one file per grant, register, revoke, keys,
//! metadata, sign-in.
//!
//! Every function takes the [`Authority`] first and the request second, and answers with plain data or an [`Error`].
//! What is secret comes back in a type that does not print itself.

mod act;
/// The admin API as a protected resource of the authority itself.
pub mod administration;
/// Who uses the admin API.
pub mod administrator;
/// Whether other addresses of MCP servers lead here.
pub mod aliases;
mod answer;
pub mod audit_seals;
mod authority;
mod authorization_request;
/// `GET /authorize`: validation, and what comes next.
pub mod authorize;
mod backup_key;
mod client_assertion;
mod client_auth;
/// What an admin decides about clients.
pub mod client_decision;
/// Clients whose id is the address of a document (draft-ietf-oauth-client-id-metadata-document).
pub mod client_id_metadata;
mod client_identity;
/// Secrets of confidential clients.
pub mod client_secret;
/// What was decided about clients with a metadata document.
pub mod client_trust;
/// Clients that an admin adds.
pub mod clients;
/// What a person is asked, and what their answer does.
pub mod consent;
/// Tokens that bind a form to the browser it was shown in.
pub mod csrf;
#[doc(hidden)]
pub mod doors;
pub mod drift;
/// The tools, resources, templates and prompts of an MCP server, with all that is known of each.
pub mod elements;
mod error;
mod find_client;
mod grant;
/// The end of a grant that somebody else decides.
pub mod grants;
/// Clients that registered themselves and that nobody uses.
pub mod idle_clients;
mod input_schemas;
/// Introspection (RFC 7662).
pub mod introspect;
pub mod inventory;
mod issue;
mod kept_definitions;
/// Signing keys: rotation by plan, on a schedule, and in an emergency.
pub mod keys;
mod known_device;
/// What stands between an MCP server and enforcing.
pub mod launch;
mod look_alike;
mod loopback;
mod master_key;
pub mod metric;
/// MCP servers that are added and removed.
pub mod new_server;
/// What comes next for a validated authorization request.
pub mod next_step;
mod parameters;
/// Argon2id, and which passwords may be set.
pub mod password;
mod password_pool;
/// Publishing a policy.
pub mod policy;
mod prompt;
/// Dynamic client registration (RFC 7591).
pub mod register;
mod registered_redirects;
mod registration_metadata;
mod registration_quota;
mod resource_indicator;
/// Credentials of MCP servers.
pub mod resource_server;
/// Revocation (RFC 7009).
pub mod revoke;
/// Groups, and who has which role.
pub mod roles;
pub mod roll_back;
mod seal;
mod server_context;
/// Authorization server metadata (RFC 8414).
pub mod server_metadata;
/// The settings of an MCP server.
pub mod server_settings;
/// Static tokens for machines that cannot do OAuth.
pub mod service_tokens;
/// Login sessions.
pub mod session;
/// The one-time link of the first owner.
pub mod setup;
/// Sign-in with a password.
pub mod sign_in;
mod signer;
mod signing_keys;
mod standing;
mod throttle;
/// The token endpoint.
pub mod token;
mod token_text;
/// People that an admin adds.
pub mod users;
mod visible_text;
/// Clients that wait for an owner's decision.
pub mod waiting_clients;

pub use act::Act;
pub use authority::{Authority, AuthoritySettings, OpenError};
pub use authorization_request::{AuthorizationRequest, SealedRequest};
pub use backup_key::{BACKUP_TAG_BYTES, BackupKey};
pub use client_auth::BasicCredentials;
pub use client_identity::{ClientProof, is_answered_at_home};
pub use error::Error;
pub use input_schemas::input_schemas;
pub use kept_definitions::KeptDefinitions;
pub use look_alike::NameCaution;
pub use master_key::{CertificateSealer, KeySealer, MasterKey, MasterKeyError};
pub use parameters::Parameters;
pub use server_context::ServerContext;
pub use signing_keys::{IdentityKey, SigningKeyError};
