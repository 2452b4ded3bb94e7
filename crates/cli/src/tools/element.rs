use std::collections::BTreeMap;

use authz::{
    DefinitionChange, Entry, KnownNames, ListKind, NameFlag, Requirement, Risk, Severity,
    definition_changes, renamed_from, severity,
};
use domain::{DefinitionState, McpServer, StoredDefinition};
use oauth::drift::LookedAt;
use wire::mcp::definition::Definition;
use wire::oauth::ScopeSet;

use crate::failure::usage;
use crate::maintenance::Maintenance;

/// A tool, resource, template or prompt, with all that is known of it.
pub(super) struct Element {
    pub(super) kind: ListKind,
    pub(super) identity: String,
    pub(super) entry: Option<Entry>,
    versions: Vec<StoredDefinition>,
    pub(super) flags: Vec<NameFlag>,
}

impl Element {
    pub(super) fn state(&self) -> &'static str {
        match &self.entry {
            Some(_) if self.is_quarantined() => "quarantined",
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
        let fingerprint = self.entry.as_ref()?.fingerprint.as_ref()?;
        let mut versions = self.versions.iter();
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

    /// The accepted element that a new one seems to be under another name.
    pub(super) fn renamed_from(&self, all: &[Self]) -> Option<String> {
        if self.entry.is_some() {
            return None;
        }
        let gone: Vec<Definition> = all.iter().filter_map(Self::accepted).collect();
        renamed_from(&self.proposed()?, &gone).map(|old| old.identity().to_owned())
    }
}

impl Maintenance {
    /// All that the policy of `server` knows and all that was listed; the versions of what waits are read.
    pub(super) async fn elements(&self, server: &McpServer) -> anyhow::Result<Vec<Element>> {
        let kept = self.store().list_definitions(&server.slug).await?;
        let mut all: BTreeMap<(ListKind, String), bool> = BTreeMap::new();
        for kind in ListKind::ALL {
            for identity in server.policy.entries(kind).keys() {
                all.insert((kind, identity.clone()), false);
            }
        }
        for one in kept {
            let key = (one.kind, one.identity.clone());
            // An accepted one that the policy does not know is of what it has no more.
            if one.state != DefinitionState::Accepted {
                *all.entry(key).or_default() |= one.state == DefinitionState::Pending;
            }
        }
        let mut elements = Vec::with_capacity(all.len());
        let names: Vec<(ListKind, String)> = all.keys().cloned().collect();
        let known = ListKind::ALL.map(|kind| {
            let of_kind = names.iter().filter(|(other, _)| *other == kind);
            let names: KnownNames<'_> = of_kind.map(|(_, name)| name.as_str()).collect();
            names
        });
        for ((kind, identity), waits) in all {
            let mut flags = known[kind as usize].flags(&identity);
            if matches!(kind, ListKind::Resources | ListKind::ResourceTemplates) {
                // Nobody reads addresses letter by letter.
                flags.retain(|flag| *flag == NameFlag::Invisible);
            }
            let versions = match waits {
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
                flags,
                identity,
            });
        }
        Ok(elements)
    }

    /// The one of this name; a tool before anything else.
    pub(super) async fn element(
        &self,
        server: &McpServer,
        identity: &str,
    ) -> anyhow::Result<Element> {
        let elements = self.elements(server).await?;
        let mut found = elements.into_iter().filter(|one| one.identity == identity);
        let mut element = found.next().ok_or_else(|| {
            usage(format!(
                "{} has no {}; see portcullis tools list {}",
                server.slug,
                identity.escape_debug(),
                server.slug
            ))
        })?;
        element.versions = self
            .store()
            .list_versions(&server.slug, element.kind, identity)
            .await?;
        Ok(element)
    }
}
