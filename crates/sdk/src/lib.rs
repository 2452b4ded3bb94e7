//! Protects an MCP server written in Rust, with OAuth 2.1: about ten lines around a server of axum or rmcp.
//!
//! A server that is protected answers each call without a good token with 401 and the challenge that tells a client where to get
//! one, serves the resource metadata that this challenge names, and lets only those calls through that its policy permits. What a
//! caller may not call is neither listed to them nor admitted to exist. These are the very steps that the Portcullis gateway takes.
//!
//! An authority of Portcullis decides who may call what; its policy, keys and revocations are followed as they change, and each
//! is felt within a second:
//!
//! ```no_run
//! use axum::Router;
//! use axum::response::IntoResponse;
//! use axum::routing::{get, post};
//! use portcullis::{LocalPolicy, Protection};
//!
//! # async fn answer() -> impl IntoResponse {}
//! # async fn forecast() -> impl IntoResponse {}
//! # fn mcp() -> axum::routing::MethodRouter { post(answer) }
//! #[tokio::main]
//! async fn main() -> Result<(), Box<dyn std::error::Error>> {
//!     let protection = Protection::for_resource("https://weather.example.com/mcp")
//!         // As `portcullis servers show weather` and `portcullis servers credential weather` print them.
//!         .authority("https://auth.example.com/servers/weather", std::env::var("PORTCULLIS_CREDENTIAL")?)
//!         // What the authority begins with; people change it there.
//!         .policy(LocalPolicy::new().scope("weather:read", "See the weather").tool("get_forecast", "weather:read"))
//!         .start()?;
//!     let app = Router::new()
//!         // Plain HTTP beside MCP, for callers with this scope.
//!         .route("/forecast", get(forecast))
//!         .route_layer(protection.require_scope("weather:read")?)
//!         // The MCP server, and the metadata: rmcp's `StreamableHttpService`, or any other tower service.
//!         .fallback_service(protection.protect(mcp()));
//!     axum::serve(tokio::net::TcpListener::bind("127.0.0.1:8080").await?, app).await?;
//!     Ok(())
//! }
//! ```
//!
//! Without an authority the policy is the one in the program, and tokens are those of an issuer whose keys are read:
//!
//! ```no_run
//! # use portcullis::{IssuerKeys, LocalPolicy, Protection};
//! # fn protect(policy: LocalPolicy) -> Result<Protection, Box<dyn std::error::Error>> {
//! let protection = Protection::for_resource("https://weather.example.com/mcp")
//!     .policy(policy)
//!     .issuer("https://auth.example.com", IssuerKeys::at("https://auth.example.com/jwks.json"))
//!     .start()?;
//! # Ok(protection)
//! # }
//! ```
//!
//! # Who calls
//!
//! A handler finds an `Arc<`[`VerifiedCaller`]`>` among the request's extensions; in axum it is
//! `Extension<Arc<VerifiedCaller>>`. With the feature `rmcp`, a tool takes a `portcullis::rmcp::Caller` as an argument.
//! Nothing here reads a token without verifying it.
//!
//! # Scopes
//!
//! What a whole tool needs stands in the policy, so that it is also listed to nobody else. What only a part of its code needs, it
//! asks for: [`require_scope`], or `Caller::require_scope` in rmcp. Plain routes have [`Protection::require_scope`].
//!
//! # Fail closed
//!
//! Before the first policy or the first keys, and when the authority has not been heard of for five minutes, calls are answered
//! 503: a new login would not help. [`Protection::ready`] tells when they can be judged.
//!
//! # Tests
//!
//! The feature `testing` has an issuer for unit tests, `portcullis::testing::TestIssuer`, and mints tokens of every kind. Complete
//! servers with their tests are in `examples/todo` (rmcp, with an authority) and `examples/weather` (axum, without one).
//!
//! # The steps one by one
//!
//! [`ProtectedServer`] has them, for whoever puts something else around them, as the gateway does.

mod addresses;
mod admitted_call;
mod alias_place;
mod answer;
mod answer_filter;
mod asked_host;
mod asked_once;
mod authenticate;
mod authority_client;
mod authorize;
mod challenge;
mod cors;
mod door;
mod ending_body;
mod event_id;
mod feed_client;
mod filtered_events;
mod in_force;
mod introspection;
mod issuer_keys;
mod layer;
mod local_policy;
mod manifest;
mod mcp_session;
mod metadata_service;
mod opaque_tokens;
mod other_issuer;
mod own_manifest;
mod permitted;
mod policy_feed;
mod principal;
mod protected_server;
mod protection;
mod protection_builder;
mod rate_counts;
mod read_call;
mod read_lists;
mod refusal;
mod refusal_cause;
mod require_scope_layer;
mod resource_metadata;
mod resource_path;
#[cfg(feature = "rmcp")]
pub mod rmcp;
mod tasks;
#[cfg(feature = "testing")]
pub mod testing;
mod token_cache;
mod verified_caller;

pub use addresses::{AddressError, Addresses};
pub use admitted_call::{MissingScope, require_scope};
pub use alias_place::AliasPlace;
pub use answer_filter::{AnswerFilter, ListCount, NoAnswer, OnItsWay};
pub use asked_host::{HostRefusal, asked_host};
pub use authority_client::{
    AuthorityClient, AuthorityError, AuthoritySettings, OwnServer, ServerCredential,
};
pub use cors::{allow_reading, preflight};
pub use event_id::RequestTag;
pub use feed_client::{FeedClient, FeedNews, FeedTrouble};
pub use filtered_events::{EventFilter, Filtered, FilteredEvents};
pub use in_force::{InForce, Suspended};
pub use introspection::Introspection;
pub use issuer_keys::IssuerKeys;
pub use layer::{Protect, ProtectLayer};
pub use local_policy::{LocalPolicy, LocalPolicyMistake};
pub use manifest::shortened_inventory;
pub use metadata_service::MetadataService;
pub use opaque_tokens::{Exchanging, OpaqueRefusal, OpaqueTokens};
pub use other_issuer::{
    Answering, HttpIssuer, HttpIssuerSettings, IssuerClient, IssuerSource, OtherIssuer,
    OtherIssuerSettings, Validation,
};
pub use permitted::Permitted;
pub use policy_feed::{FeedGap, FeedPublisher, PolicyFeed, policy_feed};
pub use principal::Principal;
pub use protected_server::{ProtectedServer, ProtectedServerSettings, foreign_origin, wrong_host};
pub use protection::{NotAScope, Protection};
pub use protection_builder::{ProtectionBuilder, ProtectionError};
pub use read_call::ReadCall;
pub use refusal::{Refusal, RefusalKind, RpcRefusal};
pub use refusal_cause::RefusalCause;
pub use require_scope_layer::{RequireScope, RequireScopeLayer};
pub use resource_metadata::{AskedAddress, WELL_KNOWN_PATH, resource_metadata};
pub use verified_caller::VerifiedCaller;
pub use wire::mcp::Era;
pub use wire::oauth::JwkSet;
pub use wire::oauth::{CanonicalResource, ResourceError};
