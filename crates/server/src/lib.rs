//! The authority over HTTP: the OAuth endpoints, the pages people see, and the policy feed.
//!
//! Handlers decode a request, call one function of `oauth`, and put the answer into a response; nothing is decided
//! here. [`router`] is the whole of it.

mod admin;
mod app;
mod body;
mod cookie_weight;
mod cookies;
mod event;
mod gateways;
mod hosts;
mod in_server;
pub mod metric;
mod oauth;
pub mod pages;
mod people;
pub mod policy_feed;
mod respond;
mod routes;
mod same_origin;
mod span;

pub use app::{AppState, ConnectLines, Peer, Settings};
pub use event::{Event, EventKind};
pub use gateways::board::FeedBoard;
pub use policy_feed::FeedUpdate;
pub use routes::{OWN_PATHS, Side, router};
