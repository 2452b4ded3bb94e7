//! The SDK's steps with a forwarder inside: an OAuth-protected front for any MCP server. No database.
//!
//! `stack.rs` has the whole life of a call, top to bottom.

mod answer;
mod body;
mod crowd;
mod definitions;
mod discover;
mod feeds;
mod filter_answer;
mod gateway;
mod http_line;
mod identity;
mod instructions;
mod judged;
mod left_views;
mod list_news;
pub mod metric;
mod mirrored;
mod record;
mod recorder;
mod reply;
mod route;
mod route_table;
mod server;
mod servers;
mod settings;
mod stack;
pub mod stdio;
mod stream_life;
mod tool_metric;
mod trace;
mod upstream;
mod upstream_error;
mod views;

pub use body::{BoxBody, BoxError};
pub use discover::{DiscoverError, Discovered, Unread, discover};
pub use feeds::Feeds;
pub use gateway::{Claim, Gateway};
pub use judged::Judged;
pub use record::{CallRecorded, Outcome};
pub use sdk::ListCount;
pub use settings::{IdentityKey, Limits, ServerSettings, Settings, SettingsError, Upstream};
pub use trace::TraceParent;
pub use upstream::UpstreamRequest;
