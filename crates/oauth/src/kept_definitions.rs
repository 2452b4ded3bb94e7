use std::collections::HashMap;

use authz::{KnownNow, ListKind};
use domain::{DefinitionState, ServerSlug, StoredDefinition};
use store::{Store, StoreError};

/// The definitions that are kept of what an MCP server offers, by element.
#[derive(Debug, Default)]
pub struct KeptDefinitions(HashMap<(ListKind, String), Vec<StoredDefinition>>);

impl KeptDefinitions {
    /// All of one server.
    ///
    /// # Errors
    /// When they cannot be read.
    pub async fn load(store: &Store, server: &ServerSlug) -> Result<Self, StoreError> {
        let mut kept = Self::default();
        for one in store.list_definitions(server).await? {
            let of_element = kept.0.entry((one.kind, one.identity.clone())).or_default();
            of_element.push(one);
        }
        Ok(kept)
    }

    /// What they say of an element that some policy calls accepted, in the definition with this fingerprint. Nobody knows whether one
    /// that cannot be compared was another one, so then anything that waits, or was refused, speaks against it.
    pub fn known_now(&self, kind: ListKind, identity: &str, then: Option<&str>) -> KnownNow {
        let kept = self.0.get(&(kind, identity.to_owned()));
        let kept = kept.map_or(&[][..], Vec::as_slice);
        let is_other = kept.iter().any(|one| {
            let is_then = Some(one.fingerprint.as_str()) == then;
            match one.state {
                DefinitionState::Pending => !is_then,
                DefinitionState::Rejected => is_then || then.is_none(),
                DefinitionState::Accepted => false,
            }
        });
        if is_other {
            return KnownNow::Other;
        }
        let accepted = kept
            .iter()
            .filter(|one| one.state == DefinitionState::Accepted)
            .max_by_key(|one| one.decided_at);
        let newest = accepted.map(|one| one.fingerprint.as_str());
        KnownNow::AsAccepted(then.or(newest).map(str::to_owned))
    }
}
