//! The only SQL of the house: what the authority keeps, on SQLite or PostgreSQL.
//!
//! [`Store`] has one method per business sentence, and each is one transaction that is durable when it is
//! answered. One SQL text serves both databases: `$1` placeholders, TEXT and BIGINT columns, times in Unix
//! milliseconds. Only `db` knows which database it is.
//!
//! On SQLite all writes go through one writer, which groups what waits into one commit (`writer`); on PostgreSQL
//! each is a transaction of its own. Single-use things are spent by one conditional write that answers fresh,
//! repeated or unknown.

mod acme;
mod activity;
mod apply;
mod audit;
mod audit_seals;
mod bulk;
mod change;
mod client_admin;
mod client_assertions;
mod client_cut_off;
mod client_documents;
mod client_secrets;
mod client_trust;
mod clients;
mod codes;
mod conn;
mod consents;
mod copies;
mod db;
mod declared;
mod definitions;
mod deleted_users;
mod epoch;
mod error;
mod event_id;
mod gateway_keys;
mod given_roles;
mod grants;
mod groups;
mod integrity;
mod job;
mod keys;
mod lease;
mod load;
mod lookup;
pub mod metric;
mod migrate;
mod move_authority;
mod move_server;
mod owners;
mod policy_revisions;
mod purge;
mod recorded_calls;
mod records_of_user;
mod reserved_slug;
mod resource_server_credentials;
mod server_aliases;
mod server_settings;
mod servers;
mod service_grants;
mod service_tokens;
mod sessions;
mod settings;
mod setup;
mod store;
mod subject_cut_off;
mod time;
mod tokens;
mod users;
mod values;
mod withheld;
mod writer;

pub use acme::{AcmeCertificate, AcmeOrder};
pub use activity::{ActivityLog, ActivityOptions, ActivityQueue, CallFilter, CallPage, CallPlace};
pub use apply::{Applied, Apply, CHANGES_MAX, Change};
pub use audit::{AuditFilter, StoredAuditEvent};
pub use audit_seals::{AuditPage, AuditRow, audit_event_time, first_audit_event_id};
pub use change::ChangeMark;
pub use client_admin::{ClientUsage, EndClient, IdleClients};
pub use client_cut_off::ClientCutOff;
pub use client_trust::AskedFor;
pub use clients::Registered;
pub use codes::{FoundCode, InsertCode, RedeemCode, Redeemed};
pub use copies::schema_version;
pub use db::DatabaseUrl;
#[cfg(feature = "weaken-durability")]
pub use db::Synchronous;
pub use db::portable::{CopyInspected, inspect_copy, vacuum_into};
pub use declared::Declared;
pub use definitions::{DecideOutcome, Listing, SeenDefinitions};
pub use deleted_users::{DeleteUser, DeletedUser, UserDeleted};
pub use epoch::Epoch;
pub use error::StoreError;
pub use given_roles::{GivenRole, PersonStanding};
pub use grants::{GrantFilter, GrantRevoked, LiveGrant};
pub use groups::{InsertGroup, RemoveGroup};
pub use keys::KeyAdded;
pub use load::StoreLoad;
pub use move_authority::MoveAuthority;
pub use move_server::{Dependents, Move, Moved};
pub use owners::UserDisabled;
pub use policy_revisions::{LOOKS_MAX, REVISIONS_MAX, RollBack, RollBackOutcome};
pub use recorded_calls::{HeldScopes, RecordedCall, RecordedCalls};
pub use records_of_user::SignInRecord;
pub use server_aliases::{ALIASES_MAX, AliasAdded, AliasTry, AliasVerdict};
pub use server_settings::SettingsChanged;
pub use servers::{PublishOutcome, ServersApart};
pub use service_grants::FoundGrant;
pub use service_tokens::{FoundServiceToken, InsertServiceToken, RevokeServiceToken};
pub use setup::SetupSpent;
pub use store::{Store, StoreOptions};
pub use subject_cut_off::SubjectCutOff;
pub use tokens::{EndFamily, FoundRefreshToken, RotateRefreshToken, Rotated};
pub use users::InsertUser;

/// The most rows that one page of a list holds, whatever is asked for.
pub const PAGE_ROWS_MAX: usize = 1000;
