//! Protects an MCP server written in Rust: the same layers that the Portcullis gateway runs, around your own service.

mod policy_feed;
mod principal;

pub use policy_feed::{FeedPublisher, PolicyFeed, policy_feed};
pub use principal::{Era, Principal};
