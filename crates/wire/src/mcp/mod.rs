//! MCP: JSON-RPC messages, the eras of the protocol, headers and server-sent events.
