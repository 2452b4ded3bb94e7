//! Protects an MCP server written in Rust: the same steps that the Portcullis gateway takes, around your own service.
//!
//! [`ProtectedServer`] has the steps, [`ProtectLayer`] takes them in order around a tower service.

mod addresses;
mod alias_place;
mod asked_host;
mod asked_once;
mod authenticate;
mod authority_client;
mod authorize;
mod canonical_resource;
mod challenge;
mod cors;
mod feed_client;
mod in_force;
mod introspection;
mod layer;
mod manifest;
mod mcp_session;
mod opaque_tokens;
mod other_issuer;
mod permitted;
mod policy_feed;
mod principal;
mod protected_server;
mod rate_counts;
mod read_call;
mod refusal;
mod refusal_cause;
mod resource_metadata;
mod resource_path;
mod token_cache;
mod verified_caller;

pub use addresses::{AddressError, Addresses};
pub use alias_place::AliasPlace;
pub use asked_host::{HostRefusal, asked_host};
pub use authority_client::{
    AuthorityClient, AuthorityError, AuthoritySettings, OwnServer, ServerCredential,
};
pub use canonical_resource::{CanonicalResource, ResourceError};
pub use cors::{allow_reading, preflight};
pub use feed_client::{FeedClient, FeedNews, FeedTrouble};
pub use in_force::{InForce, Suspended};
pub use introspection::Introspection;
pub use layer::{Protect, ProtectLayer};
pub use opaque_tokens::{Exchanging, OpaqueRefusal, OpaqueTokens};
pub use other_issuer::{
    Answering, HttpIssuer, HttpIssuerSettings, IssuerClient, IssuerSource, OtherIssuer,
    OtherIssuerSettings, Validation,
};
pub use permitted::Permitted;
pub use policy_feed::{FeedGap, FeedPublisher, PolicyFeed, policy_feed};
pub use principal::Principal;
pub use protected_server::{ProtectedServer, ProtectedServerSettings, foreign_origin, wrong_host};
pub use read_call::ReadCall;
pub use refusal::{Refusal, RefusalKind, RpcRefusal};
pub use refusal_cause::RefusalCause;
pub use resource_metadata::{AskedAddress, WELL_KNOWN_PATH, resource_metadata};
pub use verified_caller::VerifiedCaller;
pub use wire::mcp::Era;
