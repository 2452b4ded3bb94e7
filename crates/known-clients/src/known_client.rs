use serde::Deserialize;
use serde_json::{Map, Value};
use wire::oauth::RedirectUri;

use crate::{Journey, NamePattern, Quirks, RedirectPattern, UrlPattern};

/// A client that people use.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownClient {
    /// Its name on the command line: `claude-code`.
    pub id: String,
    /// What people call it.
    pub name: String,
    /// Whose it is.
    pub maker: String,
    /// How it comes by a `client_id`, in the order in which it tries.
    #[serde(default)]
    pub registration: Vec<RegistrationWay>,
    /// Where its metadata documents are.
    #[serde(default)]
    pub metadata_documents: Vec<UrlPattern>,
    /// Where it returns to.
    #[serde(default)]
    pub redirect_uris: Vec<RedirectPattern>,
    /// What it calls itself when it registers.
    #[serde(default)]
    pub dcr_names: Vec<NamePattern>,
    /// What is peculiar about it.
    #[serde(default)]
    pub quirks: Quirks,
    /// Copies of its metadata documents.
    #[serde(default)]
    pub pinned_documents: Vec<PinnedDocument>,
    /// What it does until the browser opens.
    #[serde(default)]
    pub journey: Option<Journey>,
    /// Why there is no [`KnownClient::journey`].
    #[serde(default)]
    pub no_journey: Option<String>,
    /// Where these facts come from.
    pub sources: Vec<Source>,
    /// What else an admin should know, in a sentence or two.
    #[serde(default)]
    pub note: Option<String>,
}

/// One way to come by a `client_id`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RegistrationWay {
    /// The person enters one.
    PreRegistered,
    /// The address of its metadata document.
    MetadataDocument,
    /// It registers itself (RFC 7591).
    Dynamic,
}

/// How well a fact is established.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// It was run and watched.
    Observed,
    /// Its code was read.
    Code,
    /// Its maker documents it.
    Documentation,
    /// People reported it in public.
    Report,
}

/// A copy of a client's metadata document, for when its own cannot be fetched.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PinnedDocument {
    /// Where it is published; also its `client_id`.
    pub url: String,
    /// The day of the copy, as `YYYY-MM-DD`.
    pub pinned_on: String,
    /// How the copy was come by.
    pub source: Source,
    /// The document. It never holds keys: those are fetched, or there are none.
    pub document: Map<String, Value>,
}

impl KnownClient {
    /// Every return address that can be registered as it is, for a preset.
    pub fn preset_redirect_uris(&self) -> Vec<RedirectUri> {
        self.redirect_uris
            .iter()
            .filter_map(RedirectPattern::exact)
            .collect()
    }

    /// The return addresses that differ by installation or connector, which a preset cannot hold.
    pub fn open_redirect_uris(&self) -> impl Iterator<Item = &RedirectPattern> {
        self.redirect_uris
            .iter()
            .filter(|pattern| pattern.exact().is_none())
    }
}
