use std::collections::BTreeSet;
use std::fmt;

use serde::{Deserialize, Serialize};
use wire::oauth::ScopeSet;

use crate::CallerFacts;

/// What somebody may or may not have through some client, whatever their roles say. A `deny` wins over everything.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SubjectRule {
    /// Immutable, `rul_…`; decisions name it.
    pub id: String,
    /// Yes or no.
    pub effect: RuleEffect,
    /// Of whom.
    pub who: RuleWho,
    /// Through which client.
    #[serde(default, skip_serializing_if = "RuleClient::is_any")]
    pub client: RuleClient,
    /// Of what.
    pub what: RuleWhat,
    /// Why, in the words of whoever wrote it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// Whether a rule gives or takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleEffect {
    /// They may have scopes that their roles do not permit. A tool still asks for its scopes.
    Allow,
    /// They may not.
    Deny,
}

/// Of whom a rule speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleWho {
    /// Everybody, machines that act for themselves included.
    Anyone,
    /// The `sub` of a person, or of a machine.
    Person(String),
    /// Whoever is in the group with this id.
    Group(String),
    /// Whoever has the role with this id, the default role included.
    Role(String),
}

/// Of which client a rule speaks: to give, only what is proven counts, never a name. To take, what the client says of itself
/// does: a `deny` that waited for proof would not speak of whoever offers none.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
#[serde(rename_all = "snake_case")]
pub enum RuleClient {
    /// Every client.
    #[default]
    Any,
    /// The client with this id. When the id is the address of a document, to be given something takes proof.
    Id(String),
    /// Those whose id is the https address of a document at this host (with `:port` when it is not 443), or, after
    /// `*.`, at a host below it. To be given something takes proof that the client is the one of its document.
    VerifiedHost(String),
    /// Those that nobody vouches for: they registered themselves, or name a document and do not prove that it is theirs.
    Unverified,
}

/// Of what a rule speaks.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RuleWhat {
    /// Everything, public tools included.
    All,
    /// These scopes.
    Scopes(ScopeSet),
    /// The tools of exactly these names, and for them the scopes that they need.
    Tools(BTreeSet<String>),
}

impl SubjectRule {
    /// Whether it speaks of this caller through this client. `roles` are the ids of the roles that count.
    pub(crate) fn concerns(&self, facts: &CallerFacts<'_>, roles: &[&str]) -> bool {
        let who = match &self.who {
            RuleWho::Anyone => true,
            RuleWho::Person(subject) => subject == facts.subject,
            RuleWho::Group(group) => facts.groups.contains(group),
            RuleWho::Role(role) => roles.contains(&role.as_str()),
        };
        let (id, address) = match self.effect {
            RuleEffect::Allow => (facts.good_client_id(), facts.proven_address()),
            RuleEffect::Deny => (Some(facts.client), facts.said_address()),
        };
        who && match &self.client {
            RuleClient::Any => true,
            RuleClient::Id(client) => id == Some(client.as_str()),
            RuleClient::VerifiedHost(host) => address
                .and_then(host_of_document)
                .is_some_and(|of_document| is_host_of(host, &of_document)),
            RuleClient::Unverified => !facts.is_vouched_for(),
        }
    }
}

impl RuleClient {
    fn is_any(&self) -> bool {
        *self == Self::Any
    }
}

/// The host of the document whose address a client id is. With `:port` when it is not 443.
pub(crate) fn host_of_document(client: &str) -> Option<String> {
    if !client.starts_with("https://") {
        return None;
    }
    let address = url::Url::parse(client).ok()?;
    let host = address.host_str()?;
    Some(match address.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    })
}

fn is_host_of(named: &str, of_document: &str) -> bool {
    match named.strip_prefix("*.") {
        None => named == of_document,
        Some(parent) => of_document
            .strip_suffix(parent)
            .is_some_and(|below| below.len() > 1 && below.ends_with('.')),
    }
}

impl fmt::Display for RuleEffect {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Allow => "allow",
            Self::Deny => "deny",
        })
    }
}

impl fmt::Display for RuleWho {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anyone => formatter.write_str("anyone"),
            Self::Person(id) => write!(formatter, "person {id}"),
            Self::Group(id) => write!(formatter, "group {id}"),
            Self::Role(id) => write!(formatter, "role {id}"),
        }
    }
}

impl fmt::Display for RuleClient {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => formatter.write_str("any client"),
            Self::Id(id) => write!(formatter, "client {id}"),
            Self::VerifiedHost(host) => write!(formatter, "clients of {host}"),
            Self::Unverified => formatter.write_str("unverified clients"),
        }
    }
}

impl fmt::Display for RuleWhat {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => formatter.write_str("everything"),
            Self::Scopes(scopes) => write!(formatter, "scopes {scopes}"),
            Self::Tools(tools) => {
                formatter.write_str("tools")?;
                tools
                    .iter()
                    .try_for_each(|tool| write!(formatter, " {tool}"))
            }
        }
    }
}

impl fmt::Display for SubjectRule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            formatter,
            "{} {} through {}: {}",
            self.effect, self.who, self.client, self.what
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_address_of_a_document_names_a_host_and_another_port_is_another_host() {
        for (client, host) in [
            ("https://claude.ai/oauth.json", Some("claude.ai")),
            ("https://Claude.AI/oauth.json", Some("claude.ai")),
            ("https://claude.ai:8443/oauth.json", Some("claude.ai:8443")),
            ("http://claude.ai/oauth.json", None),
            ("cli_claude.ai", None),
            ("https://", None),
            // What stands before an @ is no host.
            ("https://claude.ai@evil.example/x", Some("evil.example")),
        ] {
            assert_eq!(host_of_document(client).as_deref(), host, "{client}");
        }
    }

    #[test]
    fn a_star_means_hosts_below_and_nothing_that_only_ends_alike() {
        for (named, verified, expected) in [
            ("claude.ai", "claude.ai", true),
            ("claude.ai", "www.claude.ai", false),
            ("*.claude.ai", "www.claude.ai", true),
            ("*.claude.ai", "a.b.claude.ai", true),
            ("*.claude.ai", "claude.ai", false),
            ("*.claude.ai", "notclaude.ai", false),
            ("*.claude.ai", ".claude.ai", false),
        ] {
            assert_eq!(is_host_of(named, verified), expected, "{named} {verified}");
        }
    }
}
