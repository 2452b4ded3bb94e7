use authz::{Policy, RuleClient, SubjectRule};
use domain::{Client, ClientId, ClientRegistration, ServerSlug};
use store::{Store, StoreError};
use wire::oauth::ScopeSet;

/// As many clients that rules name are judged, and as many hosts.
const NAMED_MAX: usize = 8;

/// Through which clients people are judged.
#[derive(Debug)]
pub(super) struct Throughs {
    pub(super) judged: Vec<Through>,
    /// How many are not, though rules name them.
    pub(super) left_out: usize,
}

/// A client that callers come through, as rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Through {
    pub(crate) client: String,
    /// Whether an admin added it.
    pub(crate) vouched: bool,
    /// Whether it is the one of its document. What only says so is judged nowhere: it has less than one that registered itself.
    pub(crate) proven: bool,
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
            proven: false,
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
            proven: client.is_metadata_document(),
            service_scopes: found
                .as_ref()
                .and_then(|client| client.service_scopes.clone()),
            words: found.map_or_else(|| id.to_owned(), |client| client.name),
        })
    }

    /// One that registered itself. Where rules of either policy speak of clients also one that an admin added, one of a host
    /// that nobody names, and those that they name, first of all where the policies differ.
    pub(super) async fn told_apart_by(
        before: &Policy,
        after: &Policy,
        store: &Store,
        server: &ServerSlug,
    ) -> Result<Throughs, StoreError> {
        let mut throughs = Throughs {
            judged: vec![Self::default()],
            left_out: 0,
        };
        let (one, other) = (&before.subject_rules, &after.subject_rules);
        let changed = |rule: &&SubjectRule| !one.contains(rule) || !other.contains(rule);
        let all = || one.iter().chain(other);
        if all().all(|rule| rule.client == RuleClient::Any) {
            return Ok(throughs);
        }
        let (mut ids, mut hosts) = (Vec::new(), Vec::new());
        for rule in all().filter(changed).chain(all()) {
            match &rule.client {
                RuleClient::Id(id) if !ids.contains(&id) => ids.push(id),
                RuleClient::VerifiedHost(host) if !hosts.contains(&host) => hosts.push(host),
                _ => {}
            }
        }
        throughs.left_out =
            ids.len().saturating_sub(NAMED_MAX) + hosts.len().saturating_sub(NAMED_MAX);
        throughs.judged.push(Self {
            vouched: true,
            words: "a client that an admin added".to_owned(),
            ..Self::default()
        });
        throughs.judged.push(Self {
            client: format!("https://{}/", unnamed(&hosts)),
            proven: true,
            words: "a client of a host that no rule names".to_owned(),
            ..Self::default()
        });
        for id in ids.into_iter().take(NAMED_MAX) {
            throughs.judged.push(Self::of(store, server, id).await?);
        }
        let hosts = hosts.into_iter().take(NAMED_MAX);
        throughs.judged.extend(hosts.map(|host| Self {
            client: format!("https://{}/", host.replacen('*', "any", 1)),
            proven: true,
            words: format!("clients of {host}"),
            ..Self::default()
        }));
        Ok(throughs)
    }
}

/// A host that none of `hosts` is. It has one label, so it is below none of them either.
pub(super) fn unnamed(hosts: &[&String]) -> String {
    let mut host = "elsewhere".to_owned();
    while hosts.contains(&&host) {
        host.push('x');
    }
    host
}
