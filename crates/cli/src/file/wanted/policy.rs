use std::collections::{BTreeMap, BTreeSet, HashMap};

use authz::{Requirement, ScopeDeclaration};
use wire::mcp::Json;
use wire::oauth::{Scope, ScopeSet};

use super::super::document::Server;
use super::super::entries::{Access, Entry};
use super::super::problems::{Problems, join};

/// As many of a kind as an upstream may list.
const ENTRIES_MAX: usize = 10_000;
const SCOPES_MAX: usize = 1_000;
const TITLE_CHARS_MAX: usize = 200;

/// The policy that a server says, at `path`. Conditions are held against the input schemas of their tools.
pub(super) fn read(
    said: &Server,
    path: &str,
    input_schemas: Option<&HashMap<String, Json>>,
    problems: &mut Problems<'_>,
) -> authz::Policy {
    let scopes = scopes(said, path, problems);
    let declared: ScopeSet = scopes.iter().map(|scope| scope.name.clone()).collect();
    for (index, scope) in scopes.iter().enumerate() {
        let path = format!("{path}.scopes[{index}].implies");
        all_declared(&scope.implies, &declared, &path, problems);
    }
    let policy = join(path, "policy");
    let default_path = join(&policy, "default_scopes");
    let default_scopes = set(&said.policy.default_scopes, &default_path, problems);
    all_declared(&default_scopes, &declared, &default_path, problems);
    let mut entries = |key: &str, of: &BTreeMap<String, Entry>| {
        let path = join(&policy, key);
        if of.len() > ENTRIES_MAX {
            problems.say(&path, format!("at most {ENTRIES_MAX}"));
        }
        of.iter()
            .map(|(name, said)| {
                let path = join(&path, name);
                (name.clone(), entry(said, &declared, &path, problems))
            })
            .collect()
    };
    let wanted = authz::Policy {
        mode: said.policy.mode,
        default_scopes,
        tools: entries("tools", &said.policy.tools),
        resources: entries("resources", &said.policy.resources),
        resource_templates: entries("resource_templates", &said.policy.resource_templates),
        prompts: entries("prompts", &said.policy.prompts),
        scopes,
        roles: said.policy.roles.clone(),
        default_role: said.policy.default_role.clone(),
        subject_rules: said.policy.rules.clone(),
        rate_limits: said.policy.rate_limits.clone(),
        ..authz::Policy::default()
    };
    for mistake in authz::check(&wanted, |tool| input_schemas?.get(tool)) {
        problems.say(&format!("{policy}.{}", mistake.place), &mistake.message);
    }
    wanted
}

fn scopes(said: &Server, path: &str, problems: &mut Problems<'_>) -> Vec<ScopeDeclaration> {
    if said.scopes.len() > SCOPES_MAX {
        problems.say(&join(path, "scopes"), format!("at most {SCOPES_MAX}"));
    }
    let (mut names, mut ids) = (BTreeSet::new(), BTreeSet::new());
    let mut scopes = Vec::new();
    for (index, scope) in said.scopes.iter().enumerate() {
        let path = format!("{path}.scopes[{index}]");
        if !names.insert(&scope.name) {
            problems.say(&join(&path, "name"), format!("{} stands twice", scope.name));
        }
        if scope.id.is_empty() || scope.id.len() > 200 || !ids.insert(&scope.id) {
            let words = "an id is what a rename keeps: 1 to 200 bytes, each once";
            problems.say(&join(&path, "id"), words);
        }
        title(&scope.title, &join(&path, "title"), problems);
        match Scope::parse(&scope.name) {
            Ok(name) => scopes.push(ScopeDeclaration {
                id: scope.id.clone(),
                name,
                title: scope.title.clone(),
                risk: scope.risk,
                implies: set(&scope.implies, &join(&path, "implies"), problems),
            }),
            Err(error) => problems.say(&join(&path, "name"), error),
        }
    }
    scopes
}

fn entry(
    said: &Entry,
    declared: &ScopeSet,
    path: &str,
    problems: &mut Problems<'_>,
) -> authz::Entry {
    if said.title.chars().count() > TITLE_CHARS_MAX || said.title.contains('\0') {
        problems.say(
            &join(path, "title"),
            "at most 200 characters, without U+0000",
        );
    }
    if said.description.chars().count() > TITLE_CHARS_MAX || said.description.contains('\0') {
        problems.say(
            &join(path, "description"),
            "at most 200 characters, without U+0000",
        );
    }
    let requirement = match (&said.needs, said.access) {
        _ if problems.has(path) => Requirement::Denied,
        (Some(_), Some(_)) => {
            problems.say(path, "needs and access are both said; leave one out");
            Requirement::Denied
        }
        (None, None) => {
            let words = "needs is missing: a list of scopes, or access = \"public\" or \"denied\"";
            problems.say(path, words);
            Requirement::Denied
        }
        (None, Some(Access::Public)) => Requirement::Public,
        (None, Some(Access::Denied)) => Requirement::Denied,
        (Some(sets), None) => {
            let path = join(path, "needs");
            let mut all = Vec::new();
            for said in sets {
                let scopes = set(said, &path, problems);
                if scopes.is_empty() {
                    problems.say(
                        &path,
                        "an empty text would let everybody in; say access = \"public\"",
                    );
                }
                all_declared(&scopes, declared, &path, problems);
                all.push(scopes);
            }
            Requirement::AnyOf(all)
        }
    };
    authz::Entry {
        requirement,
        title: said.title.clone(),
        description: said.description.clone(),
        fingerprint: said.fingerprint.clone(),
        pinned: said.pinned,
        conditions: said.conditions.clone(),
        recorded_arguments: said.recorded_arguments.clone(),
        ..authz::Entry::default()
    }
}

fn title(said: &str, path: &str, problems: &mut Problems<'_>) {
    let length = said.chars().count();
    if !(1..=TITLE_CHARS_MAX).contains(&length) || said.contains(char::is_control) {
        problems.say(
            path,
            format!("1 to {TITLE_CHARS_MAX} characters, none of them a control character"),
        );
    }
}

/// Scopes with spaces between them. Unlike a client's, a file's mistake is told.
pub(super) fn set(said: &str, path: &str, problems: &mut Problems<'_>) -> ScopeSet {
    let mut scopes = ScopeSet::new();
    for word in said.split_ascii_whitespace() {
        match Scope::parse(word) {
            Ok(scope) => {
                scopes.insert(scope);
            }
            Err(error) => problems.say(path, error),
        }
    }
    scopes
}

fn all_declared(scopes: &ScopeSet, declared: &ScopeSet, path: &str, problems: &mut Problems<'_>) {
    if let Some(scope) = scopes.difference(declared).iter().next() {
        problems.say(
            path,
            format!("{scope} is no scope of this server; it has: {declared}"),
        );
    }
}
