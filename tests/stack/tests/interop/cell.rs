//! One server for one client, and the identity that the client comes with.

use std::path::Path;

use anyhow::Context as _;
use serde_json::json;
use stack_tests::Up;
use testkit::DocumentHost;

pub const EMAIL: &str = "alice@example.com";
pub const PASSWORD: &str = "correct horse battery staple";

/// How a client gets its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Registration {
    /// It registers itself (RFC 7591).
    Dynamic,
    /// Its id is the address of its metadata document.
    Document,
    /// An admin added it, without a secret.
    Configured,
    /// An admin added it, with a secret.
    ConfiguredWithSecret,
}

impl Registration {
    /// The name of the column.
    pub fn words(self) -> &'static str {
        match self {
            Self::Dynamic => "registers itself",
            Self::Document => "metadata document",
            Self::Configured => "configured, public",
            Self::ConfiguredWithSecret => "configured, secret",
        }
    }
}

/// What the client is told about itself.
#[derive(Default)]
pub struct Identity {
    pub id: Option<String>,
    pub secret: Option<String>,
    pub metadata_url: Option<String>,
}

/// A running server with one person, and the host of the client's document.
pub struct Cell {
    data: tempfile::TempDir,
    host: DocumentHost,
    environment: Vec<(&'static str, String)>,
    pub up: Up,
    pub identity: Identity,
}

impl Cell {
    /// `redirects`: where the client wants to be called back.
    pub async fn begin(
        name: &str,
        registration: Registration,
        redirects: &[&str],
    ) -> anyhow::Result<Self> {
        Self::begin_in(name, registration, redirects, Vec::new()).await
    }

    /// With an environment of its own.
    pub async fn begin_in(
        name: &str,
        registration: Registration,
        redirects: &[&str],
        environment: Vec<(&'static str, String)>,
    ) -> anyhow::Result<Self> {
        let data = tempfile::tempdir()?;
        let host = DocumentHost::start().await;
        let ca = host.write_ca(data.path());
        let up = start(data.path(), &ca, &environment).await?;
        up.add_user(EMAIL, PASSWORD).await?;
        let mut identity = Identity::default();
        match registration {
            Registration::Dynamic => {}
            Registration::Document => {
                let url = host.url("/oauth/client.json");
                host.set_json(
                    "/oauth/client.json",
                    &json!({
                        "client_id": url,
                        "client_name": name,
                        "redirect_uris": redirects,
                        "grant_types": ["authorization_code", "refresh_token"],
                        "response_types": ["code"],
                        "token_endpoint_auth_method": "none",
                    }),
                );
                identity.metadata_url = Some(url);
            }
            Registration::Configured | Registration::ConfiguredWithSecret => {
                let mut arguments = vec!["clients", "add", "--name", name];
                for redirect in redirects {
                    arguments.extend(["--redirect-uri", redirect]);
                }
                if registration == Registration::ConfiguredWithSecret {
                    arguments.push("--secret");
                }
                let printed = up.run(&arguments).await?;
                identity.id = Some(word(&printed, "cli_")?);
                if registration == Registration::ConfiguredWithSecret {
                    identity.secret = Some(word(&printed, "pck_")?);
                }
            }
        }
        Ok(Self {
            data,
            host,
            environment,
            up,
            identity,
        })
    }

    /// Stops the server as Ctrl-C does and starts it again.
    pub async fn restart(self) -> anyhow::Result<Self> {
        let (status, _) = self.up.stop().await?;
        anyhow::ensure!(status.success(), "{status}");
        let ca = self.host.write_ca(self.data.path());
        Ok(Self {
            up: start(self.data.path(), &ca, &self.environment).await?,
            ..self
        })
    }

    /// Whether the document, if the client has one, was fetched.
    pub fn document_was_fetched(&self) -> bool {
        self.host.count("/oauth/client.json") > 0
    }
}

async fn start(
    folder: &Path,
    ca: &Path,
    environment: &[(&'static str, String)],
) -> anyhow::Result<Up> {
    let ca = ca.to_str().context("the path is text")?;
    let environment: Vec<_> = environment
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    Up::start(&folder.join("data"), &["--ca-file", ca], &environment).await
}

/// The first word of `text` that begins so.
fn word(text: &str, begins: &str) -> anyhow::Result<String> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '-'))
        .find(|word| word.starts_with(begins))
        .map(str::to_owned)
        .with_context(|| format!("nothing begins with {begins} in: {text}"))
}
