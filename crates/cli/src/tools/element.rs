use std::collections::BTreeMap;

use authz::{
    DefinitionChange, Entry, KnownNames, ListKind, NameFlag, Requirement, Risk, Severity,
    definition_changes, invisible_flag, severity,
};
use domain::{DefinitionState, McpServer, StoredDefinition};
use oauth::drift::LookedAt;
use wire::mcp::definition::Definition;
use wire::oauth::ScopeSet;

use super::command::{ElementKind, OneTool};
use crate::failure::usage;
use crate::maintenance::Maintenance;

/// With how many elements that are gone a new one is compared.
const GONE_MAX: usize = 1000;

/// A tool, resource, template or prompt, or the instructions of a server, with all that is known of it.
pub(super) struct Element {
    pub(super) kind: ListKind,
    pub(super) identity: String,
    pub(super) entry: Option<Entry>,
    versions: Vec<StoredDefinition>,
    /// Whether the last look did not find it.
    is_gone: bool,
    pub(super) flags: Vec<NameFlag>,
}

impl Element {
    pub(super) fn state(&self) -> &'static str {
        match &self.entry {
            Some(_) if self.is_quarantined() => "quarantined",
            Some(_) if self.kind == ListKind::Instructions => "accepted",
            Some(entry) => match &entry.requirement {
                Requirement::Public => "public",
                Requirement::AnyOf(_) => "mapped",
                Requirement::Denied => "denied",
            },
            None => match self.pending() {
                Some(_) => "unmapped",
                None => "rejected",
            },
        }
    }

    pub(super) fn is_pinned(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.pinned)
    }

    /// In words: the sets of scopes of which one suffices.
    pub(super) fn needs(&self) -> String {
        match self.entry.as_ref().map(|entry| &entry.requirement) {
            None => String::new(),
            _ if self.kind == ListKind::Instructions => String::new(),
            Some(Requirement::Public) => "a valid token".to_owned(),
            Some(Requirement::Denied) => "nobody may".to_owned(),
            Some(Requirement::AnyOf(sets)) => {
                let sets: Vec<String> = sets.iter().map(ScopeSet::to_string).collect();
                sets.join(" or ")
            }
        }
    }

    /// The gravest of the scopes that it may need.
    pub(super) fn risk(&self, server: &McpServer) -> Option<Risk> {
        match &self.entry.as_ref()?.requirement {
            Requirement::AnyOf(sets) => sets
                .iter()
                .flat_map(ScopeSet::iter)
                .filter_map(|scope| server.policy.declaration(scope))
                .map(|declared| declared.risk)
                .max(),
            _ => None,
        }
    }

    pub(super) fn pending(&self) -> Option<&StoredDefinition> {
        self.versions
            .iter()
            .find(|one| one.state == DefinitionState::Pending)
    }

    /// What waits for a decision.
    pub(super) fn waiting(&self) -> Option<LookedAt> {
        Some(LookedAt {
            kind: self.kind,
            identity: self.identity.clone(),
            fingerprint: self.pending()?.fingerprint.clone(),
        })
    }

    /// What the server lists and a person said no to.
    pub(super) fn rejected(&self) -> Option<&StoredDefinition> {
        let mut versions = self.versions.iter();
        versions.find(|one| one.state == DefinitionState::Rejected && one.unlisted_at.is_none())
    }

    /// Whether it is in quarantine and was listed last as it was accepted. A server may do that for a gateway alone, so
    /// nobody approves it in passing.
    pub(super) fn went_back(&self) -> bool {
        let accepted = self.entry.as_ref().map(|entry| &entry.fingerprint);
        let pending = self.pending().map(|one| &one.fingerprint);
        pending.is_some() && accepted.and_then(Option::as_ref) == pending
    }

    pub(super) fn is_quarantined(&self) -> bool {
        let state = self.entry.as_ref().map(|entry| entry.state);
        state.is_some_and(|state| !state.is_accepted())
    }

    fn accepted(&self) -> Option<Definition> {
        self.accepted_among(&self.versions)
    }

    fn accepted_among(&self, versions: &[StoredDefinition]) -> Option<Definition> {
        let fingerprint = self.entry.as_ref()?.fingerprint.as_ref()?;
        let mut versions = versions.iter();
        versions
            .find(|one| one.fingerprint == *fingerprint)
            .and_then(StoredDefinition::read)
    }

    /// The definition that waits, when it was kept.
    pub(super) fn proposed(&self) -> Option<Definition> {
        self.pending().and_then(StoredDefinition::read)
    }

    /// What differs; nothing for a new one, `None` when one of the two was not kept.
    pub(super) fn changes(&self) -> Option<Vec<DefinitionChange>> {
        match (&self.entry, self.pending()) {
            (Some(_), Some(_)) => Some(definition_changes(&self.accepted()?, &self.proposed()?)),
            _ => Some(Vec::new()),
        }
    }

    /// How grave it is; what is new or not known is grave.
    pub(super) fn severity(&self) -> Option<Severity> {
        self.pending().filter(|_| !self.went_back())?;
        let known = self.changes().and_then(|changes| severity(&changes));
        Some(known.unwrap_or(Severity::High))
    }
}

/// What is known of one name or address.
#[derive(Default)]
struct Known {
    waits: bool,
    /// Whether it was kept at all, and whether anything of it is listed.
    kept: bool,
    listed: bool,
}

impl Maintenance {
    /// All that the policy of `server` knows and all that was listed; the versions of what waits are read.
    pub(super) async fn elements(&self, server: &McpServer) -> anyhow::Result<Vec<Element>> {
        self.elements_called(server, None).await
    }

    /// The same, of one name or address alone.
    async fn elements_called(
        &self,
        server: &McpServer,
        wanted: Option<&str>,
    ) -> anyhow::Result<Vec<Element>> {
        let kept = self.store().list_definitions(&server.slug).await?;
        let mut all: BTreeMap<(ListKind, String), Known> = BTreeMap::new();
        for kind in ListKind::DEFINED {
            for identity in server.policy.entries(kind).keys() {
                all.insert((kind, identity.clone()), Known::default());
            }
        }
        for one in kept {
            let key = (one.kind, one.identity);
            // An accepted one that the policy does not know is of what it has no more.
            if one.state == DefinitionState::Accepted && !all.contains_key(&key) {
                continue;
            }
            let known = all.entry(key).or_default();
            known.waits |= one.state == DefinitionState::Pending;
            known.kept = true;
            known.listed |= one.unlisted_at.is_none();
        }
        let names: Vec<(ListKind, String)> = all.keys().cloned().collect();
        let by_kind = ListKind::DEFINED.map(|kind| {
            let of_kind = names.iter().filter(|(other, _)| *other == kind);
            let names: KnownNames<'_> = of_kind.map(|(_, name)| name.as_str()).collect();
            names
        });
        let mut elements = Vec::new();
        for ((kind, identity), known) in all {
            if wanted.is_some_and(|wanted| wanted != identity) {
                continue;
            }
            let flags = match kind {
                ListKind::Tools | ListKind::Prompts => by_kind[kind as usize].flags(&identity),
                // Nobody reads addresses letter by letter.
                ListKind::Resources | ListKind::ResourceTemplates | ListKind::Instructions => {
                    invisible_flag(&identity).into_iter().collect()
                }
            };
            let versions = match known.waits || wanted.is_some() {
                true => {
                    self.store()
                        .list_versions(&server.slug, kind, &identity)
                        .await?
                }
                false => Vec::new(),
            };
            elements.push(Element {
                kind,
                entry: server.policy.entries(kind).get(&identity).cloned(),
                versions,
                is_gone: known.kept && !known.listed,
                flags,
                identity,
            });
        }
        Ok(elements)
    }

    /// How those of `elements` were defined that callers may use and the server does not list any more; nothing when there
    /// is no new one that could be one of them.
    pub(super) async fn gone(
        &self,
        server: &McpServer,
        elements: &[Element],
    ) -> anyhow::Result<Vec<Definition>> {
        let mut gone = Vec::new();
        if !elements.iter().any(|one| one.entry.is_none()) {
            return Ok(gone);
        }
        let all = elements.iter().filter(|one| one.is_gone);
        for one in all.filter(|one| one.entry.is_some()).take(GONE_MAX) {
            let store = self.store();
            let versions = store.list_versions(&server.slug, one.kind, &one.identity);
            gone.extend(one.accepted_among(&versions.await?));
        }
        Ok(gone)
    }

    /// The one that is meant: of several kinds of one name, the one that waits.
    pub(super) async fn element(
        &self,
        server: &McpServer,
        one: &OneTool,
    ) -> anyhow::Result<Element> {
        meant(self.elements_called(server, Some(&one.tool)).await?, one)
    }
}

fn meant(mut found: Vec<Element>, one: &OneTool) -> anyhow::Result<Element> {
    let (identity, slug) = (one.tool.escape_debug(), &one.server);
    found.retain(|element| one.kind.is_none_or(|kind| element.kind == kind.into()));
    if found.len() > 1 && found.iter().filter(|one| one.pending().is_some()).count() == 1 {
        found.retain(|one| one.pending().is_some());
    }
    if found.len() > 1 {
        let kinds = found.iter().map(|one| ElementKind::from(one.kind).as_str());
        let kinds: Vec<&str> = kinds.collect();
        return Err(usage(format!(
            "{slug} has a {} called {identity}; say which one with --kind {}",
            kinds.join(" and a "),
            kinds.join("|")
        )));
    }
    let kind = one
        .kind
        .map_or("tool, resource, template or prompt", ElementKind::as_str);
    found.pop().ok_or_else(|| {
        usage(format!(
            "{slug} has no {kind} {identity}; see portcullis tools list {slug}"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base::Timestamp;
    use domain::ServerSlug;
    use wire::mcp::Json;

    use super::*;

    fn element(kind: ListKind, state: DefinitionState) -> Element {
        let json = Json::object([("name", Json::from("add"))]);
        let read = Definition::read(kind, json).unwrap();
        Element {
            kind,
            identity: "add".to_owned(),
            entry: None,
            versions: vec![StoredDefinition::seen(&read, state, Timestamp::default())],
            is_gone: false,
            flags: Vec::new(),
        }
    }

    #[test]
    fn of_a_tool_and_a_prompt_of_one_name_the_one_that_waits_is_meant_or_the_kind_is_asked_for() {
        use DefinitionState::{Accepted, Pending};
        let named = |kind: Option<ElementKind>, states: &[(ListKind, DefinitionState)]| {
            let found = states.iter().map(|(kind, state)| element(*kind, *state));
            let one = OneTool {
                server: ServerSlug::parse("todo").unwrap(),
                tool: "add".to_owned(),
                kind,
            };
            let found = meant(found.collect(), &one);
            found.map(|one| one.kind).map_err(|error| error.to_string())
        };
        let both = |tool, prompt| [(ListKind::Tools, tool), (ListKind::Prompts, prompt)];
        let prompt = Some(ElementKind::Prompt);
        assert_eq!(named(None, &both(Accepted, Pending)), Ok(ListKind::Prompts));
        assert_eq!(named(None, &both(Pending, Accepted)), Ok(ListKind::Tools));
        for state in [Accepted, Pending] {
            let asked = named(None, &both(state, state)).unwrap_err();
            assert!(asked.contains("a tool and a prompt called add"), "{asked}");
            assert!(asked.contains("--kind tool|prompt"), "{asked}");
            assert_eq!(named(prompt, &both(state, state)), Ok(ListKind::Prompts));
        }
        assert_eq!(
            named(None, &both(Accepted, Accepted)[..1]),
            Ok(ListKind::Tools)
        );
        let none = named(prompt, &both(Accepted, Accepted)[..1]).unwrap_err();
        assert!(none.contains("has no prompt add"), "{none}");
    }
}
