//! Words on the network: the OAuth and MCP messages that the house reads and writes. No opinions.
//!
//! A type here says what a message *is*; whether it is acceptable is said elsewhere (`authz`, `oauth`).

pub mod gateway;
pub mod mcp;
pub mod oauth;
