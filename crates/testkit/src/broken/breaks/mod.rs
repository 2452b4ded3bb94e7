//! The table of breaks, one file per section of an examination. Each changes one thing of a server that is well.

mod attack;
mod challenge;
mod cors;
mod endpoints;
mod keys;
mod persona;
mod reach;
mod registration;
mod resource_metadata;
mod server_metadata;
mod signed_in;

use super::documents::{RESOURCE_METADATA, SERVER_METADATA};
use super::exchange::{Answer, Ask};
use super::rules::Rules;
use super::site::Site;

/// One thing that is wrong.
#[derive(Debug)]
pub(super) struct Break {
    /// The flaw that names it.
    pub id: &'static str,
    /// Where the server is.
    pub place: Place,
    /// What it does otherwise.
    pub rules: fn(&mut Rules),
    /// What becomes of an answer.
    pub change: Change,
}

pub(super) type Change = fn(&Site, &Ask, &mut Answer);

/// Where a server is, and as what it shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// http on loopback.
    Plain,
    /// https with this certificate.
    Tls(Certificate),
    /// http on loopback, and people type https.
    TypedAsTls,
    /// Nobody listens.
    Closed,
    /// A name without an address.
    NoName,
    /// http on loopback, and people type this after the origin.
    Typed(&'static str),
}

/// What a certificate is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Certificate {
    /// Of an authority that can be trusted.
    Good,
    /// The same, and http is answered on the same port.
    GoodBesidePlain,
    /// Of one that is trusted nowhere.
    Untrusted,
    /// For another name.
    OtherName,
    /// Until last year.
    Expired,
}

impl Break {
    const fn answers(id: &'static str, change: Change) -> Self {
        Self::at(Place::Plain, id, change)
    }

    const fn rules(id: &'static str, rules: fn(&mut Rules)) -> Self {
        Self {
            id,
            place: Place::Plain,
            rules,
            change: |_, _, _| {},
        }
    }

    const fn at(place: Place, id: &'static str, change: Change) -> Self {
        Self {
            id,
            place,
            rules: |_| {},
            change,
        }
    }
}

/// All of them, by section.
pub(super) fn all() -> impl Iterator<Item = &'static Break> {
    [
        reach::BREAKS,
        challenge::BREAKS,
        resource_metadata::BREAKS,
        server_metadata::BREAKS,
        keys::BREAKS,
        cors::BREAKS,
        endpoints::BREAKS,
        registration::BREAKS,
        persona::BREAKS,
        signed_in::BREAKS,
        attack::BREAKS,
    ]
    .into_iter()
    .flatten()
}

/// A request to the MCP URL without a token, and what it is answered.
fn is_without_token(ask: &Ask) -> bool {
    is_mcp(ask) && ask.method != "OPTIONS" && ask.header("authorization").is_none()
}

fn is_mcp(ask: &Ask) -> bool {
    matches!(ask.path.as_str(), "/mcp" | "/mcp/")
}

fn is_resource_metadata(ask: &Ask) -> bool {
    is_read(ask) && ask.path.starts_with(RESOURCE_METADATA)
}

fn is_server_metadata(ask: &Ask) -> bool {
    is_read(ask) && SERVER_METADATA.contains(&ask.path.as_str())
}

fn is_key_set(ask: &Ask) -> bool {
    is_read(ask) && ask.path == "/as/jwks.json"
}

fn is_read(ask: &Ask) -> bool {
    matches!(ask.method.as_str(), "GET" | "HEAD")
}

fn is_post(ask: &Ask, path: &str) -> bool {
    ask.method == "POST" && ask.path == path
}

/// The same answer with other content; what it says about pages stays.
fn instead(answer: &mut Answer, mut other: Answer) {
    for (name, value) in &answer.headers {
        if name.starts_with("access-control-") {
            other.set(name, value);
        }
    }
    *answer = other;
}
