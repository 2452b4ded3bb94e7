//! MCP: strict JSON, JSON-RPC messages, the eras of the protocol, headers and server-sent events.
//!
//! Spec: MCP 2025-03-26, 2025-06-18, 2025-11-25 (legacy) and 2026-07-28 (modern).

pub mod definition;
pub mod era;
mod glance;
pub mod headers;
pub mod json;
mod list_change;
pub mod message;
pub mod method;
pub mod param_header;
pub mod rpc;
pub mod sse;
mod twin;
pub mod version;

pub use era::{Era, EraRefusal, classify};
pub use glance::{Glance, Glanced, glance};
pub use headers::{HeaderRefusal, check_headers_against_body};
pub use json::{Json, JsonError, Limits, Number, Object, parse_strict};
pub use list_change::{ListChange, ListChanges};
pub use message::{
    Message, MessageError, Notification, Outcome, Request, RequestId, Response, read_message,
    read_server_message,
};
pub use sse::{SseError, SseEvent, SseParser};
pub use twin::is_twin;
