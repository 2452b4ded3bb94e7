use std::collections::BTreeMap;

use authz::{
    DefinitionChange, Entry, KnownNames, ListKind, NameFlag, Requirement, Risk, Severity,
    definition_changes, invisible_flag, severity,
};
use domain::{DefinitionState, McpServer, StoredDefinition};
use store::{Store, StoreError};
use wire::mcp::definition::Definition;
use wire::oauth::ScopeSet;

use crate::drift::LookedAt;

/// With how many elements that are gone a new one is compared.
const GONE_MAX: usize = 1000;

/// A tool, resource, template or prompt, or the instructions of a server, with all that is known of it.
#[derive(Debug)]
pub struct Element {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// What the policy says of it.
    pub entry: Option<Entry>,
    /// How it is and was defined; read where something of it waits, or it was asked for by name.
    pub versions: Vec<StoredDefinition>,
    /// Whether the last look did not find it.
    pub is_gone: bool,
    /// What is wrong with its name.
    pub flags: Vec<NameFlag>,
}

impl Element {
    /// One word for what it is to callers.
    pub fn state(&self) -> &'static str {
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

    /// Whether somebody decided what it needs.
    pub fn is_pinned(&self) -> bool {
        self.entry.as_ref().is_some_and(|entry| entry.pinned)
    }

    /// In words: the sets of scopes of which one suffices.
    pub fn needs(&self) -> String {
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
    pub fn risk(&self, server: &McpServer) -> Option<Risk> {
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

    /// The definition that waits for a decision.
    pub fn pending(&self) -> Option<&StoredDefinition> {
        self.versions
            .iter()
            .find(|one| one.state == DefinitionState::Pending)
    }

    /// What waits for a decision.
    pub fn waiting(&self) -> Option<LookedAt> {
        Some(LookedAt {
            kind: self.kind,
            identity: self.identity.clone(),
            fingerprint: self.pending()?.fingerprint.clone(),
        })
    }

    /// What the server lists and a person said no to.
    pub fn rejected(&self) -> Option<&StoredDefinition> {
        let mut versions = self.versions.iter();
        versions.find(|one| one.state == DefinitionState::Rejected && one.unlisted_at.is_none())
    }

    /// Whether it is in quarantine and was listed last as it was accepted. A server may do that for a gateway alone, so
    /// nobody approves it in passing.
    pub fn went_back(&self) -> bool {
        let accepted = self.entry.as_ref().map(|entry| &entry.fingerprint);
        let pending = self.pending().map(|one| &one.fingerprint);
        pending.is_some() && accepted.and_then(Option::as_ref) == pending
    }

    /// Whether it is hidden and denied until somebody approves what it has become.
    pub fn is_quarantined(&self) -> bool {
        let state = self.entry.as_ref().map(|entry| entry.state);
        state.is_some_and(|state| !state.is_accepted())
    }

    fn accepted(&self) -> Option<Definition> {
        self.accepted_among(&self.versions)
    }

    /// Its accepted definition, among `versions` of it.
    pub fn accepted_among(&self, versions: &[StoredDefinition]) -> Option<Definition> {
        let fingerprint = self.entry.as_ref()?.fingerprint.as_ref()?;
        let mut versions = versions.iter();
        versions
            .find(|one| one.fingerprint == *fingerprint)
            .and_then(StoredDefinition::read)
    }

    /// The definition that waits, when it was kept.
    pub fn proposed(&self) -> Option<Definition> {
        self.pending().and_then(StoredDefinition::read)
    }

    /// What differs; nothing for a new one, `None` when one of the two was not kept.
    pub fn changes(&self) -> Option<Vec<DefinitionChange>> {
        match (&self.entry, self.pending()) {
            (Some(_), Some(_)) => Some(definition_changes(&self.accepted()?, &self.proposed()?)),
            _ => Some(Vec::new()),
        }
    }

    /// How grave it is; what is new or not known is grave.
    pub fn severity(&self) -> Option<Severity> {
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

/// All that the policy of `server` knows and all that was listed, by kind and name; of one name or address alone, if that is
/// `wanted`.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    server: &McpServer,
    wanted: Option<&str>,
) -> Result<Vec<Element>, StoreError> {
    let kept = store.list_definitions(&server.slug).await?;
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
            true => store.list_versions(&server.slug, kind, &identity).await?,
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

/// How those of `elements` were defined that callers may use and the server does not list any more; nothing when there is
/// no new one that could be one of them.
///
/// # Errors
/// When the store fails.
pub async fn gone(
    store: &Store,
    server: &McpServer,
    elements: &[Element],
) -> Result<Vec<Definition>, StoreError> {
    let mut gone = Vec::new();
    if !elements.iter().any(|one| one.entry.is_none()) {
        return Ok(gone);
    }
    let all = elements.iter().filter(|one| one.is_gone);
    for one in all.filter(|one| one.entry.is_some()).take(GONE_MAX) {
        let versions = store.list_versions(&server.slug, one.kind, &one.identity);
        gone.extend(one.accepted_among(&versions.await?));
    }
    Ok(gone)
}
