//! What a file wants, as what the store would hold: every value is looked at here.

mod client;
mod given_roles;
mod group;
mod person;
mod policy;
mod server;

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use base::{Random, Timestamp};
use domain::{ClientId, ClientTrust, ServerSlug, TrustDecision};
use oauth::KeptDefinitions;
use store::Declared;
use wire::mcp::Json;

use super::document::{Decision, Document};
use super::problems::{Problems, join};

/// What the file is read against.
pub(super) struct Context<'a> {
    pub(super) now: &'a Declared,
    /// What the arguments of tools look like that have conditions, by server and tool.
    pub(super) input_schemas: &'a HashMap<ServerSlug, HashMap<String, Json>>,
    /// What is kept of the elements that policies in the file have and those in force do not, by server.
    pub(super) kept: &'a HashMap<ServerSlug, KeptDefinitions>,
    pub(super) public_url: &'a str,
    pub(super) at: Timestamp,
    pub(super) random: &'a dyn Random,
}

/// What is to be, and what the file does not name and stays.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    pub(super) declared: Declared,
    pub(super) left: Vec<Left>,
    /// The ids of the people and groups whose roles the file says.
    spoken_of: HashSet<String>,
}

/// Something that is there, that the file does not name, and that stays all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Left {
    pub(super) path: String,
    /// How a file takes it away.
    pub(super) hint: &'static str,
}

impl Wanted {
    /// Reads what `document` means. What is as it was in the store is taken as it is.
    pub(super) fn of(document: &Document, with: &Context<'_>, problems: &mut Problems<'_>) -> Self {
        let mut wanted = Self::default();
        for (slug, said) in &document.servers {
            let path = join("servers", slug);
            match ServerSlug::parse(slug) {
                Ok(slug) => wanted
                    .declared
                    .servers
                    .push(server::read(&slug, said, &path, with, problems)),
                Err(error) => problems.say(&path, error),
            }
        }
        server::check_places(&wanted.declared.servers, with, problems);
        for (slug, said) in &document.servers {
            // Its clients are read with the scopes that it will have.
            let servers = &wanted.declared.servers;
            let Some(server) = servers.iter().find(|one| one.slug.as_str() == slug) else {
                continue;
            };
            let server = server.clone();
            client::read_all(&server, said, with, &mut wanted, problems);
            decisions(&server.slug, said, with, &mut wanted, problems);
        }
        person::read_all(document, with, &mut wanted, problems);
        group::read_all(document, with, &mut wanted, problems);
        given_roles::keep_rest(with, &mut wanted);
        group::check_named(with, &wanted.declared, problems);
        wanted
            .declared
            .clients
            .sort_by(|one, two| one.id.cmp(&two.id));
        wanted
            .declared
            .decisions
            .sort_by(|one, two| (&one.server, &one.client).cmp(&(&two.server, &two.client)));
        wanted
    }
}

fn decisions(
    slug: &ServerSlug,
    said: &super::document::Server,
    with: &Context<'_>,
    wanted: &mut Wanted,
    problems: &mut Problems<'_>,
) {
    let outer = join(&join("servers", slug.as_str()), "decisions");
    let known = with.now.decisions.iter();
    let known: BTreeMap<&ClientId, &ClientTrust> = known
        .filter(|one| one.server == *slug)
        .map(|one| (&one.client, one))
        .collect();
    let mut named = BTreeSet::new();
    for (id, decision) in &said.decisions {
        let client = ClientId::from_text(id.as_str());
        if let Err(error) = oauth::client_trust::check_is_a_document(&client) {
            problems.say(&join(&outer, id), error);
            continue;
        }
        named.insert(client.clone());
        let decision = match decision {
            Decision::Approved => TrustDecision::Approved,
            Decision::Blocked => TrustDecision::Blocked,
            Decision::Undecided => continue,
        };
        let before = known.get(&client).copied();
        wanted.declared.decisions.push(match before {
            Some(before) if before.decision == decision => before.clone(),
            _ => ClientTrust {
                server: slug.clone(),
                client,
                decision,
                at: with.at,
                by: None,
            },
        });
    }
    for (client, trust) in known {
        if named.contains(client) {
            continue;
        }
        wanted.left.push(Left {
            path: join(&outer, client.as_str()),
            hint: "write \"undecided\" to take it back",
        });
        wanted.declared.decisions.push(trust.clone());
    }
}
