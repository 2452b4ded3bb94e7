//! The OAuth endpoints of each MCP server.

pub(crate) mod alias_proof;
pub(crate) mod authorize;
pub(crate) mod basic;
pub(crate) mod introspect;
pub(crate) mod metadata;
pub(crate) mod register;
pub(crate) mod revoke;
pub(crate) mod token;
