use std::collections::BTreeMap;

use wire::mcp::definition::Definition;
use wire::oauth::{Scope, ScopeSet};

use crate::harm::{self, Harm};
use crate::look_alike::{KnownNames, NameFlag, is_invisible};
use crate::{Entry, Inventory, ListKind, Policy, Requirement, Risk, ScopeDeclaration, fingerprint};

/// The longest title that is kept, in characters.
const TITLE_CHARS_MAX: usize = 100;
/// The longest description that is kept, in characters.
const DESCRIPTION_CHARS_MAX: usize = 200;

/// The policy of a server that is seen for the first time: `{slug}:read`, `{slug}:write` and `{slug}:destructive`,
/// told apart by what the tools say of themselves and by their names, all three asked for by default.
///
/// `overrides` name the scopes that a tool needs instead, all of them; they may be new ones. When every tool has its
/// own, a general scope that nothing needs is left out.
pub fn first_policy(slug: &str, inventory: &Inventory, overrides: &[(String, ScopeSet)]) -> Policy {
    let generic = GenericScopes::of(slug);
    let mut policy = Policy::default();
    for tool in readable(&inventory.tools) {
        let scope = generic.for_harm(harm::of_tool(tool));
        insert(&mut policy, tool, [scope.clone()].into_iter().collect());
    }
    for kind in [
        ListKind::Resources,
        ListKind::ResourceTemplates,
        ListKind::Prompts,
    ] {
        for definition in readable(inventory.of_kind(kind)) {
            insert(
                &mut policy,
                definition,
                [generic.read.clone()].into_iter().collect(),
            );
        }
    }
    for instructions in &inventory.instructions {
        let entry = Entry::of(instructions, Requirement::Public);
        let name = instructions.identity().to_owned();
        policy.instructions.insert(name, entry);
    }
    let overrides: BTreeMap<_, _> = overrides
        .iter()
        .filter(|(_, scopes)| !scopes.is_empty())
        .map(|(tool, scopes)| (tool.as_str(), scopes))
        .collect();
    for (tool, scopes) in &overrides {
        let requirement = Requirement::AnyOf(vec![(*scopes).clone()]);
        match policy.tools.get_mut(*tool) {
            Some(entry) => entry.requirement = requirement,
            // Named before it was listed: whoever named it knows it.
            None => {
                let entry = Entry {
                    requirement,
                    title: plain_text(tool, TITLE_CHARS_MAX),
                    ..Entry::default()
                };
                policy.tools.insert((*tool).to_owned(), entry);
            }
        }
    }
    let all_overridden = !policy.tools.is_empty()
        && policy
            .tools
            .keys()
            .all(|tool| overrides.contains_key(tool.as_str()));
    policy.scopes = declarations(slug, &generic, &policy, all_overridden);
    policy.default_scopes = policy.declared_scopes();
    policy
}

struct GenericScopes {
    read: Scope,
    write: Scope,
    destructive: Scope,
}

impl GenericScopes {
    fn of(slug: &str) -> Self {
        // A slug is a scope name's beginning; anything else here is a caller's mistake and is made harmless.
        let prefix: String = slug
            .chars()
            .filter(|letter| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.'))
            .take(64)
            .collect();
        let scope = |action: &str| {
            Scope::parse(&format!("{prefix}:{action}")).expect("letters, digits, a colon: a scope")
        };
        Self {
            read: scope("read"),
            write: scope("write"),
            destructive: scope("destructive"),
        }
    }

    fn for_harm(&self, harm: Harm) -> &Scope {
        match harm {
            Harm::Read => &self.read,
            Harm::Write => &self.write,
            Harm::Destructive => &self.destructive,
        }
    }
}

/// All scopes that the policy needs, in the order of harm. The three general ones are declared although no tool needs
/// them yet, unless somebody gave each tool its own.
fn declarations(
    slug: &str,
    generic: &GenericScopes,
    policy: &Policy,
    only_needed: bool,
) -> Vec<ScopeDeclaration> {
    let mut needed: BTreeMap<Scope, Harm> = BTreeMap::new();
    let entries = ListKind::ALL
        .into_iter()
        .flat_map(|kind| policy.entries(kind).values());
    for entry in entries {
        if let Requirement::AnyOf(sets) = &entry.requirement {
            for scope in sets.iter().flat_map(ScopeSet::iter) {
                needed.insert(scope.clone(), harm_of_scope(scope));
            }
        }
    }
    for (scope, harm) in [
        (&generic.read, Harm::Read),
        (&generic.write, Harm::Write),
        (&generic.destructive, Harm::Destructive),
    ] {
        if !only_needed || needed.contains_key(scope) {
            needed.insert(scope.clone(), harm);
        }
    }
    let mut declarations: Vec<_> = needed
        .into_iter()
        .map(|(name, harm)| declaration(slug, name, harm, generic))
        .collect();
    declarations.sort_by_key(|declaration| declaration.risk);
    declarations
}

/// What the last part of a scope's name says: `todo:delete` destroys.
fn harm_of_scope(scope: &Scope) -> Harm {
    let action = scope.as_str().rsplit(':').next().unwrap_or_default();
    harm::of_name(action).unwrap_or(Harm::Destructive)
}

fn title(slug: &str, scope: &Scope, generic: &GenericScopes) -> String {
    let server = server_name(slug);
    if *scope == generic.read {
        return format!("Read from {server}");
    }
    if *scope == generic.write {
        return format!("Add and change things in {server}");
    }
    if *scope == generic.destructive {
        return format!("Delete things in {server}, or do what cannot be undone");
    }
    let name = scope.as_str();
    match name.rsplit_once(':') {
        Some((prefix, action)) if prefix == slug => {
            format!("{} in {server}", capitalised(&spaced(action)))
        }
        _ => format!("{} ({server})", spaced(name)),
    }
}

fn server_name(slug: &str) -> String {
    capitalised(&spaced(slug))
}

fn spaced(text: &str) -> String {
    text.replace(['-', '_', '.', ':'], " ")
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        None => String::new(),
        Some(first) => first.to_uppercase().chain(letters).collect(),
    }
}

/// A name with characters that nobody sees, or that an eye takes for another one, is left unmapped: a person could not tell
/// it from the other. Addresses are not read letter by letter; of them only what hides is left out.
fn readable(definitions: &[Definition]) -> impl Iterator<Item = &Definition> {
    let known: KnownNames<'_> = definitions.iter().map(Definition::identity).collect();
    definitions.iter().filter(move |definition| {
        let flags = known.grave_flags(definition.identity());
        match definition.kind() {
            ListKind::Tools | ListKind::Prompts => flags.is_empty(),
            ListKind::Resources | ListKind::ResourceTemplates | ListKind::Instructions => {
                !flags.contains(&NameFlag::Invisible)
            }
        }
    })
}

fn insert(policy: &mut Policy, definition: &Definition, scopes: ScopeSet) {
    let entry = Entry::of(definition, Requirement::AnyOf(vec![scopes]));
    policy
        .entries_mut(definition.kind())
        .insert(definition.identity().to_owned(), entry);
}

impl Entry {
    /// The entry of an element that is accepted as it is defined.
    pub fn of(definition: &Definition, requirement: Requirement) -> Self {
        let title = definition
            .title()
            .or_else(|| definition.name())
            .map(|title| plain_text(title, TITLE_CHARS_MAX))
            .filter(|title| !title.is_empty())
            .unwrap_or_else(|| plain_text(definition.identity(), TITLE_CHARS_MAX));
        let description = definition
            .description()
            .and_then(|text| text.lines().find(|line| !line.trim().is_empty()))
            .map(|line| plain_text(line, DESCRIPTION_CHARS_MAX))
            .unwrap_or_default();
        Self {
            requirement,
            title,
            description,
            fingerprint: Some(fingerprint(definition)),
            ..Self::default()
        }
    }
}

/// The general scope that `definition` would need, by what it says of itself and by its name: a suggestion for a person. Where
/// the policy has it under another name by now, it is that one.
pub fn suggested_scope(slug: &str, policy: &Policy, definition: &Definition) -> ScopeDeclaration {
    let harm = match definition.kind() {
        ListKind::Tools => harm::of_tool(definition),
        ListKind::Resources
        | ListKind::ResourceTemplates
        | ListKind::Prompts
        | ListKind::Instructions => Harm::Read,
    };
    general_scope(slug, policy, harm)
}

/// The same for what nobody knows anything of but its name: it may do all harm.
pub fn gravest_scope(slug: &str, policy: &Policy) -> ScopeDeclaration {
    general_scope(slug, policy, Harm::Destructive)
}

fn general_scope(slug: &str, policy: &Policy, harm: Harm) -> ScopeDeclaration {
    let generic = GenericScopes::of(slug);
    let suggested = declaration(slug, generic.for_harm(harm).clone(), harm, &generic);
    let mut declared = policy.scopes.iter();
    let renamed = declared.find(|declared| declared.id == suggested.id);
    renamed.cloned().unwrap_or(suggested)
}

fn declaration(slug: &str, name: Scope, harm: Harm, generic: &GenericScopes) -> ScopeDeclaration {
    ScopeDeclaration {
        id: name.as_str().to_owned(),
        title: title(slug, &name, generic),
        risk: match harm {
            Harm::Read => Risk::Low,
            Harm::Write => Risk::Medium,
            Harm::Destructive => Risk::High,
        },
        implies: ScopeSet::new(),
        name,
    }
}

/// One line without characters that hide or reorder others, for pages that people decide on.
fn plain_text(text: &str, chars_max: usize) -> String {
    let visible: String = text
        .chars()
        .filter(|letter| !is_invisible(*letter))
        .collect();
    let mut words = String::new();
    for word in visible.split_whitespace() {
        if !words.is_empty() {
            words.push(' ');
        }
        words.push_str(word);
    }
    if words.chars().count() <= chars_max {
        return words;
    }
    let mut short: String = words.chars().take(chars_max - 1).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests;
