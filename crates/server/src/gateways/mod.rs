//! What gateways, and MCP servers that protect themselves, ask the authority: each with the credential of its one MCP
//! server, and about that one alone.

pub(crate) mod board;
pub(crate) mod feed;
