//! What tests stand on: a clock that is moved by hand, randomness from a seed, a small fast MCP server to put
//! behind the gateway, hostile variants of it, and a tiny MCP client that hides nothing.
//!
//! Helpers here panic instead of returning errors: a broken test bench should stop the test at once.

pub mod broken;
mod clock;
mod connection;
pub mod document_host;
pub mod echo;
mod fault_proxy;
mod mcp_client;
pub mod person;
mod random;
mod smtp_server;

pub use clock::MovableClock;
pub use connection::Connection;
pub use document_host::DocumentHost;
pub use fault_proxy::{FaultProxy, Way};
pub use mcp_client::{Answer, McpClient};
pub use random::SeededRandom;
pub use smtp_server::{ReceivedMail, SmtpFault, SmtpServer, SmtpSettings, SmtpTls};

/// A loopback port that nothing listens on. Another process may take it later, so use it at once.
pub async fn unused_port() -> u16 {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("loopback has a free port");
    listener
        .local_addr()
        .expect("a bound listener has an address")
        .port()
}
