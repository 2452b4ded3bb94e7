//! The SDK's layers with a forwarder inside: an OAuth-protected front for any MCP server. No database.

mod discover;
mod record;
mod settings;
mod stack;
pub mod stdio;
mod upstream;

pub use discover::{DiscoverError, discover};
pub use record::{CallRecorded, ListCount, Outcome};
pub use settings::{IdentityKey, Limits, ServerSettings, Settings, SettingsError, Upstream};
pub use stack::Gateway;
pub use upstream::{BoxBody, BoxError};
