use std::time::Duration;

use authz::Policy;
use base::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{OtherAddresses, ServerSlug};

/// A thing protected: one resource, one issuer, its own clients, consents and policy.
#[derive(Debug, Clone)]
pub struct McpServer {
    /// Immutable, never reused.
    pub slug: ServerSlug,
    /// For people, on the consent page.
    pub name: String,
    /// The exact URL that people type; the one `aud` of its tokens.
    pub resource: String,
    /// Where it answers as well, and what it was called before.
    pub other_addresses: OtherAddresses,
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

/// What may be changed while a server runs. Kept as JSON; a member that is missing has its default.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerSettings {
    /// Whether clients may register themselves (RFC 7591).
    #[serde(deserialize_with = "registration_mode")]
    pub dynamic_registration: RegistrationMode,
    /// Whether clients may come with a metadata document of their own
    /// (draft-ietf-oauth-client-id-metadata-document).
    pub metadata_documents: MetadataDocumentTrust,
    /// Which private-use schemes a client that registers itself may return to.
    pub native_schemes: NativeSchemes,
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
    /// Where people read about the MCP server: `resource_documentation` (RFC 9728 section 2) and
    /// `service_documentation` (RFC 8414 section 2).
    pub documentation_url: Option<String>,
}

/// Whether clients may register themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationMode {
    /// They may.
    Open,
    /// They may, and wait until an admin has approved them.
    Approved,
    /// They may not; the metadata names no registration endpoint.
    Off,
}

/// Which client ID metadata documents are believed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MetadataDocumentTrust {
    /// Those of every host.
    Open,
    /// Those of these host names and no others; a name that starts with `*.` means every name under it.
    AllowedHosts(Vec<String>),
    /// A client waits until an admin has approved it.
    Ask,
    /// None; the metadata does not promise them.
    Off,
}

/// Which private-use schemes (RFC 8252 section 7.1) a client that registers itself may return to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NativeSchemes {
    /// Any but those that run something on the person's machine.
    Any,
    /// Those of known clients, and reverse domain names such as `com.example.app`.
    Known,
    /// None.
    Off,
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
            dynamic_registration: RegistrationMode::Open,
            metadata_documents: MetadataDocumentTrust::Open,
            native_schemes: NativeSchemes::Any,
            access_token_seconds: 3600,
            refresh_token_seconds: 90 * 24 * 3600,
            family_seconds: 365 * 24 * 3600,
            strict_rotation: false,
            sign_in: SignInPolicy::Invited,
            documentation_url: None,
        }
    }
}

/// The first release kept a flag here.
fn registration_mode<'de, D: serde::Deserializer<'de>>(
    deserializer: D,
) -> Result<RegistrationMode, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Kept {
        Flag(bool),
        Mode(RegistrationMode),
    }
    Ok(match Kept::deserialize(deserializer)? {
        Kept::Flag(true) => RegistrationMode::Open,
        Kept::Flag(false) => RegistrationMode::Off,
        Kept::Mode(mode) => mode,
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn settings_of_the_first_release_are_read_and_new_ones_come_back_as_they_were() {
        let kept = r#"{"dynamic_registration":false,"access_token_seconds":600,"refresh_token_seconds":1,
            "family_seconds":2,"strict_rotation":true,"sign_in":"invited"}"#;
        let settings: ServerSettings = serde_json::from_str(kept).unwrap();
        assert_eq!(settings.dynamic_registration, RegistrationMode::Off);
        assert_eq!(settings.access_token_seconds, 600);
        assert_eq!(settings.metadata_documents, MetadataDocumentTrust::Open);
        let written = serde_json::to_string(&ServerSettings {
            dynamic_registration: RegistrationMode::Approved,
            metadata_documents: MetadataDocumentTrust::AllowedHosts(vec!["*.example.com".into()]),
            ..settings
        })
        .unwrap();
        let read: ServerSettings = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
        assert_eq!(read.dynamic_registration, RegistrationMode::Approved);
    }
}
