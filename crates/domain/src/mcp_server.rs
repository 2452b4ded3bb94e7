use std::time::Duration;

use authz::Policy;
use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::ServerSlug;

/// A thing protected: one resource, one issuer, its own clients, consents and policy.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// Immutable, never reused.
    pub slug: ServerSlug,
    /// For people, on the consent page.
    pub name: String,
    /// The exact URL that people type; the one `aud` of its tokens.
    pub resource: String,
    /// Where its calls go.
    pub upstream: Upstream,
    /// What may be changed while it runs.
    pub settings: ServerSettings,
    /// Who may call what.
    pub policy: Policy,
    /// Counts the policy's saves, from 1.
    pub policy_revision: i64,
    /// When it was added.
    pub created_at: Timestamp,
}

/// Where the calls of an MCP server go. Kept as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Upstream {
    /// The bundled todo server.
    Todo,
    /// A Streamable HTTP MCP server.
    Http {
        /// Its MCP URL.
        url: String,
        /// A file of `Name: value` lines sent with each call; read at start, never stored.
        header_file: Option<String>,
    },
    /// A child process that speaks MCP on its standard streams.
    Stdio {
        /// The program.
        command: String,
        /// Its arguments.
        args: Vec<String>,
        /// `NAME=value` pairs and bare `NAME`s passed from our own environment.
        env: Vec<String>,
        /// Its working directory.
        directory: String,
    },
}

/// What may be changed while a server runs. Kept as JSON; unknown members are refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSettings {
    /// Whether clients may register themselves (RFC 7591).
    pub dynamic_registration: bool,
    /// How long an access token lives, in seconds; 1 hour by default.
    pub access_token_seconds: u64,
    /// How long a refresh token may lie unused, in seconds; 90 days by default.
    pub refresh_token_seconds: u64,
    /// How long a token family may live at all, in seconds; 365 days by default.
    pub family_seconds: u64,
    /// Refuse any repeat of a spent refresh token.
    pub strict_rotation: bool,
    /// Who may sign in.
    pub sign_in: SignInPolicy,
}

/// Who may sign in to a server: closed by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SignInPolicy {
    /// People that an admin added.
    Invited,
}

impl Default for ServerSettings {
    fn default() -> Self {
        Self {
            dynamic_registration: true,
            access_token_seconds: 3600,
            refresh_token_seconds: 90 * 24 * 3600,
            family_seconds: 365 * 24 * 3600,
            strict_rotation: false,
            sign_in: SignInPolicy::Invited,
        }
    }
}

impl ServerSettings {
    /// How long an access token lives.
    pub fn access_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.access_token_seconds)
    }

    /// How long a refresh token may lie unused.
    pub fn refresh_token_lifetime(&self) -> Duration {
        Duration::from_secs(self.refresh_token_seconds)
    }

    /// How long a token family may live.
    pub fn family_lifetime(&self) -> Duration {
        Duration::from_secs(self.family_seconds)
    }
}
