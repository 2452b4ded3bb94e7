use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use anyhow::Context as _;
use toml::de::DeTable;

use super::document::{Client, Document, FORMAT, GivenRoles, Group, Person, Server, Upstream};
use super::entries::{Entry, Policy, Scope};
use super::problems::{Problems, join};
use super::section::{Section, word};
use crate::failure::usage;

const FILE_BYTES_MAX: u64 = 16 * 1024 * 1024;

/// The text of the file.
///
/// # Errors
/// When it cannot be read, is no text, or is too large.
pub(super) fn text(file: &Path) -> anyhow::Result<String> {
    let mut text = String::new();
    File::open(file)
        .and_then(|opened| opened.take(FILE_BYTES_MAX + 1).read_to_string(&mut text))
        .with_context(|| format!("{} cannot be read", file.display()))?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(usage(format!(
            "{} is larger than {FILE_BYTES_MAX} bytes",
            file.display()
        )));
    }
    Ok(text)
}

impl Document {
    /// Reads a file: its keys, and of what kind each value is. What the values mean is looked at later.
    pub(super) fn read(text: &str, problems: &mut Problems<'_>) -> Self {
        let parsed = match DeTable::parse(text) {
            Ok(parsed) => parsed,
            Err(error) => {
                let byte = error.span().map_or(0, |span| span.start);
                problems.say_at(byte, error.message());
                return Self::default();
            }
        };
        let mut root = Section::root(parsed.get_ref());
        let format = root.number("format", problems);
        if !root.has("format") {
            problems.say("format", format!("is missing; write format = {FORMAT}"));
        } else if format.is_some_and(|format| format != FORMAT) {
            problems.say(
                "format",
                format!("this Portcullis reads {FORMAT}; another one wrote the file"),
            );
        }
        let base = root.text("base", problems).unwrap_or_default();
        if base.is_empty() {
            problems.say(
                "base",
                "is missing; begin with `portcullis export FILE`, which writes it",
            );
        }
        let servers = root
            .tables("servers", problems)
            .into_iter()
            .map(|(slug, section)| (slug, server(section, problems)))
            .collect();
        let people = root
            .tables("people", problems)
            .into_iter()
            .map(|(email, section)| (email, person(section, problems)))
            .collect();
        let groups = root
            .tables("groups", problems)
            .into_iter()
            .map(|(name, section)| (name, group(section, problems)))
            .collect();
        root.finish(problems);
        Self {
            format: FORMAT,
            base,
            servers,
            people,
            groups,
        }
    }
}

fn server(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Server {
    let name = section.text("name", problems).unwrap_or_default();
    let url = section.text("url", problems).unwrap_or_default();
    if !section.has("upstream") {
        problems.say(&section.path_of("upstream"), "is missing");
    }
    let upstream = section
        .table("upstream", problems)
        .map(|section| upstream(section, problems))
        .unwrap_or_default();
    let settings = section.words("settings", problems).into_iter().collect();
    let scopes = section
        .list("scopes", problems)
        .into_iter()
        .map(|section| scope(section, problems))
        .collect();
    let policy = section
        .table("policy", problems)
        .map(|section| policy(section, problems))
        .unwrap_or_default();
    let clients = section
        .tables("clients", problems)
        .into_iter()
        .map(|(id, section)| (id, client(section, problems)))
        .collect();
    let outer = section.path_of("decisions");
    let mut decisions = BTreeMap::new();
    for (id, text) in section.words("decisions", problems) {
        match word(&text) {
            Ok(decision) => {
                decisions.insert(id, decision);
            }
            Err(error) => problems.say(&join(&outer, &id), error),
        }
    }
    section.finish(problems);
    Server {
        name,
        url,
        upstream,
        settings,
        scopes,
        policy,
        clients,
        decisions,
    }
}

fn upstream(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Upstream {
    if !section.has("kind") {
        let path = section.path_of("kind");
        problems.say(&path, "is missing; it is todo, http or stdio");
    }
    let upstream = Upstream {
        kind: section.word("kind", problems).unwrap_or_default(),
        url: section.text("url", problems),
        header_file: section.text("header_file", problems),
        command: section.texts("command", problems).unwrap_or_default(),
        env: section.texts("env", problems).unwrap_or_default(),
        directory: section.text("directory", problems),
    };
    section.finish(problems);
    upstream
}

fn scope(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Scope {
    for key in ["name", "risk"] {
        if !section.has(key) {
            problems.say(&section.path_of(key), "is missing");
        }
    }
    let name = section.text("name", problems).unwrap_or_default();
    let scope = Scope {
        title: section.needed_text("title", problems),
        risk: section.word("risk", problems).unwrap_or(authz::Risk::High),
        implies: section.text("implies", problems).unwrap_or_default(),
        // A new scope is known by its first name.
        id: section.text("id", problems).unwrap_or_else(|| name.clone()),
        name,
    };
    section.finish(problems);
    scope
}

fn policy(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Policy {
    let entries = |section: &mut Section<'_, '_>, key, problems: &mut Problems<'_>| {
        let tables = section.tables(key, problems).into_iter();
        tables
            .map(|(name, section)| (name, entry(section, problems)))
            .collect()
    };
    let policy = Policy {
        mode: section.word("mode", problems).unwrap_or_default(),
        default_scopes: section.text("default_scopes", problems).unwrap_or_default(),
        tools: entries(&mut section, "tools", problems),
        resources: entries(&mut section, "resources", problems),
        resource_templates: entries(&mut section, "resource_templates", problems),
        prompts: entries(&mut section, "prompts", problems),
        default_role: section.text("default_role", problems),
        roles: section.stored("roles", problems),
        rules: section.stored("rules", problems),
        rate_limits: section.stored("rate_limits", problems),
        quarantine_from: section.word("quarantine_from", problems),
        list_step_up: section.word("list_step_up", problems),
    };
    section.finish(problems);
    policy
}

fn entry(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Entry {
    let entry = Entry {
        needs: section.texts("needs", problems),
        access: section.word("access", problems),
        title: section.needed_text("title", problems),
        description: section.text("description", problems).unwrap_or_default(),
        fingerprint: section.text("fingerprint", problems),
        pinned: section.flag("pinned", problems),
        conditions: section.stored("conditions", problems),
        recorded_arguments: section
            .texts("recorded_arguments", problems)
            .unwrap_or_default(),
    };
    section.finish(problems);
    entry
}

fn client(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Client {
    let removed = section.flag("removed", problems);
    if !removed {
        for key in ["name", "authentication"] {
            if !section.has(key) {
                problems.say(&section.path_of(key), "is missing");
            }
        }
    }
    let mut authentication = Vec::new();
    for text in section
        .texts("authentication", problems)
        .unwrap_or_default()
    {
        match word(&text) {
            Ok(method) => authentication.push(method),
            Err(error) => problems.say(&section.path_of("authentication"), error),
        }
    }
    let client = Client {
        name: section.text("name", problems).unwrap_or_default(),
        blocked: section.flag("blocked", problems),
        redirect_uris: section.texts("redirect_uris", problems).unwrap_or_default(),
        authentication,
        jwks_uri: section.text("jwks_uri", problems),
        jwks: section.text("jwks", problems),
        service_scopes: section.text("service_scopes", problems),
        removed,
    };
    section.finish(problems);
    client
}

fn person(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Person {
    let person = Person {
        name: section.text("name", problems).unwrap_or_default(),
        owner: section.flag("owner", problems),
        disabled: section.flag("disabled", problems),
        roles: given_roles(&mut section, problems),
    };
    section.finish(problems);
    person
}

fn group(mut section: Section<'_, '_>, problems: &mut Problems<'_>) -> Group {
    let removed = section.flag("removed", problems);
    // A list that is lost would lift what its members are denied.
    if !removed && !section.has("members") {
        problems.say(&section.path_of("members"), "is missing");
    }
    let group = Group {
        id: section.text("id", problems).unwrap_or_default(),
        members: section.texts("members", problems).unwrap_or_default(),
        roles: given_roles(&mut section, problems),
        removed,
    };
    section.finish(problems);
    group
}

fn given_roles(section: &mut Section<'_, '_>, problems: &mut Problems<'_>) -> GivenRoles {
    section.lists("roles", problems).into_iter().collect()
}
