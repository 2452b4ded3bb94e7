use std::collections::BTreeSet;

use authz::{Policy, RuleClient};
use domain::{Client, ClientId, ClientRegistration, ServerSlug};
use store::{Store, StoreError};
use wire::oauth::ScopeSet;

/// As many clients that rules name are looked at.
const NAMED_MAX: usize = 8;

/// A client that callers come through, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Through {
    pub(crate) client: String,
    /// Whether an admin added it.
    pub(crate) vouched: bool,
    /// What it is called.
    pub(crate) words: String,
    /// What an admin gave it to act for itself.
    pub(crate) service_scopes: Option<ScopeSet>,
}

impl Default for Through {
    /// One that registered itself: nobody has less.
    fn default() -> Self {
        Self {
            client: "cli_".to_owned(),
            vouched: false,
            words: "a client that registered itself".to_owned(),
            service_scopes: None,
        }
    }
}

impl Through {
    /// The client with this id, also one that is gone.
    pub(crate) async fn of(
        store: &Store,
        server: &ServerSlug,
        id: &str,
    ) -> Result<Self, StoreError> {
        let client = ClientId::from_text(id);
        let found = match client.is_metadata_document() {
            true => None,
            false => store.find_client(server, &client).await?,
        };
        let added = |client: &Client| client.registration == ClientRegistration::PreRegistered;
        Ok(Self {
            client: id.to_owned(),
            // As for a token: a service token was made by whom it belongs to.
            vouched: id.starts_with("svt_") || found.as_ref().is_some_and(added),
            service_scopes: found
                .as_ref()
                .and_then(|client| client.service_scopes.clone()),
            words: found.map_or_else(|| id.to_owned(), |client| client.name),
        })
    }

    /// One that registered itself, and those that rules of `policies` speak of.
    pub(super) async fn named_in(
        policies: &[&Policy],
        store: &Store,
        server: &ServerSlug,
    ) -> Result<Vec<Self>, StoreError> {
        let rules = policies.iter().flat_map(|policy| &policy.subject_rules);
        let (mut ids, mut hosts) = (BTreeSet::new(), BTreeSet::new());
        for rule in rules {
            match &rule.client {
                RuleClient::Id(id) => ids.insert(id),
                RuleClient::VerifiedHost(host) => hosts.insert(host),
                RuleClient::Any | RuleClient::Unverified => false,
            };
        }
        let mut all = vec![Self::default()];
        for id in ids.into_iter().take(NAMED_MAX) {
            all.push(Self::of(store, server, id).await?);
        }
        all.extend(hosts.into_iter().take(NAMED_MAX).map(|host| Self {
            client: format!("https://{}/", host.replacen('*', "any", 1)),
            vouched: false,
            words: format!("clients of {host}"),
            service_scopes: None,
        }));
        Ok(all)
    }
}
