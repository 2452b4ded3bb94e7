//! The MCP clients that people really use: who they are, where they return to, and what is peculiar about each.
//!
//! Everything is in one reviewed file, `known-clients.json`; adding a client is a change to that file alone
//! (`docs/how-to-add.md`). What is not established is left out there, so an absent quirk means "not known", never "no".
//!
//! Knowing a client gives it no right. The file says where it may be told of an error, which of its addresses a
//! preset holds and which document stands in when its own cannot be fetched; `authz` decides what it may do.

mod catalogue;
mod journey;
mod known_client;
mod pattern;
mod quirks;

pub use catalogue::{
    all, by_dcr_name, by_metadata_document, by_redirect_uri, find, known_scheme, pinned_document,
};
pub use journey::{
    IssRule, IssuerRule, Journey, JourneyStep, KnownBug, Opening, PrivateHosts,
    ResourceMetadataPlace, ResourceRule, Says, ScopeSource, SentResource, ServerMetadataPlace,
    TokenAuth, WithoutIssPromise, WithoutResourceMetadata,
};
pub use known_client::{KnownClient, PinnedDocument, RegistrationWay, Source};
pub use pattern::{NamePattern, PatternError, RedirectPattern, UrlPattern};
pub use quirks::Quirks;
