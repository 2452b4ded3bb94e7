use base::{Clock, Random, Secret, Timestamp};
use domain::{
    AuditEvent, AuditEventKind, AuthMethod, Client, ClientAuthentication, ClientId, ClientKeys,
    ClientRegistration, McpServer,
};
use serde_json::{Map, Value};
use store::{Store, StoreError};
use wire::oauth::{ClientRegistrationResponse, RedirectUri, RedirectUriError, Scope, ScopeSet};

use crate::client_secret;
use crate::grant::GrantType;

/// A client that an admin adds, for applications that cannot register themselves.
#[derive(Debug, Clone, Default)]
pub struct NewClient<'a> {
    /// What the consent page calls it.
    pub name: &'a str,
    /// Where codes may go. One bad URI refuses all: a person is there to correct it.
    pub redirect_uris: &'a [String],
    /// How it proves that it is itself.
    pub proof: NewClientProof,
    /// What it may ask for on its own behalf (RFC 6749 section 4.4).
    pub service_scopes: ScopeSet,
}

/// How a new client will prove that it is itself.
#[derive(Debug, Clone, Default)]
pub enum NewClientProof {
    /// Not at all: a public client, which PKCE protects.
    #[default]
    Public,
    /// By a secret that is made here.
    Secret,
    /// By assertions signed with one of these keys.
    Keys(ClientKeys),
}

/// A client just added, with the secret that only this answer knows.
#[derive(Debug)]
pub struct AddedClient {
    /// The client.
    pub client: Client,
    /// Its secret, when it has one.
    pub secret: Option<Secret<String>>,
}

/// Why a client was not added.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum AddClientError {
    #[error("a client needs at least one redirect URI, or a service scope to act for itself")]
    NoRedirectUri,
    #[error("{text:?}: {cause}")]
    RedirectUri {
        text: String,
        cause: RedirectUriError,
    },
    #[error("the name must have 1 to 200 characters and no control characters")]
    Name,
    #[error("a client that acts for itself needs a secret or keys")]
    NoProof,
    #[error("{server} has no scope {scope}; it has: {known}")]
    UnknownScope {
        server: String,
        scope: Scope,
        known: ScopeSet,
    },
    #[error(
        "none of the keys can verify an assertion: ES256, EdDSA and RS256 of at least 2048 bits can"
    )]
    NoUsableKey,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a client by hand, with a secret, keys or neither.
///
/// # Errors
/// When something about it is unacceptable, or the store fails.
pub async fn create(
    store: &Store,
    clock: &dyn Clock,
    random: &dyn Random,
    server: &McpServer,
    new: NewClient<'_>,
) -> Result<AddedClient, AddClientError> {
    let now = clock.now();
    let id = ClientId::at(now, random);
    let client = describe(server, new, id, now)?;
    let event = event(AuditEventKind::ClientAdded, &client, now);
    store.insert_client(&client, None, event).await?;
    let secret = match client.authentication.accepts(AuthMethod::ClientSecret) {
        true => {
            let keep_older = client_secret::OLDER_SECRET_LIFETIME;
            client_secret::rotate(store, now, random, &client, keep_older).await?
        }
        false => None,
    };
    Ok(AddedClient { client, secret })
}

/// The event of a client that an admin added or changed.
pub fn event(kind: AuditEventKind, client: &Client, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: Some(client.server.clone()),
        user: None,
        client: Some(client.id.clone()),
        grant: None,
        detail: client.name.clone(),
    }
}

/// The client that an admin describes, under this id. Nothing is written.
///
/// # Errors
/// When something about it is unacceptable.
pub fn describe(
    server: &McpServer,
    new: NewClient<'_>,
    id: ClientId,
    now: Timestamp,
) -> Result<Client, AddClientError> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.contains(char::is_control) {
        return Err(AddClientError::Name);
    }
    let redirect_uris = redirect_uris(new.redirect_uris)?;
    let service_scopes = service_scopes(server, &new)?;
    if redirect_uris.is_empty() && service_scopes.is_none() {
        return Err(AddClientError::NoRedirectUri);
    }
    let (authentication, method) = authentication(new.proof)?;
    Ok(Client {
        server: server.slug.clone(),
        name: name.to_owned(),
        registration: ClientRegistration::PreRegistered,
        metadata: ClientRegistrationResponse {
            client_id: id.as_str().to_owned(),
            client_id_issued_at: now.unix_seconds(),
            redirect_uris: redirect_uris
                .iter()
                .map(|uri| uri.as_str().to_owned())
                .collect(),
            token_endpoint_auth_method: method.into(),
            grant_types: grant_types(!redirect_uris.is_empty(), service_scopes.is_some()),
            response_types: match redirect_uris.is_empty() {
                true => Vec::new(),
                false => vec!["code".into()],
            },
            client_name: Some(name.to_owned()),
            scope: None,
            application_type: None,
            client_uri: None,
            logo_uri: None,
            software_id: None,
            software_version: None,
            other: remote_keys(&authentication),
        },
        id,
        redirect_uris,
        authentication,
        service_scopes,
        created_at: now,
        waiting_since: None,
        disabled_at: None,
    })
}

fn redirect_uris(texts: &[String]) -> Result<Vec<RedirectUri>, AddClientError> {
    texts
        .iter()
        .map(|text| {
            RedirectUri::parse(text).map_err(|cause| AddClientError::RedirectUri {
                text: text.clone(),
                cause,
            })
        })
        .collect()
}

fn service_scopes(
    server: &McpServer,
    new: &NewClient<'_>,
) -> Result<Option<ScopeSet>, AddClientError> {
    if new.service_scopes.is_empty() {
        return Ok(None);
    }
    if matches!(new.proof, NewClientProof::Public) {
        return Err(AddClientError::NoProof);
    }
    let known = server.policy.declared_scopes();
    match new.service_scopes.difference(&known).iter().next() {
        None => Ok(Some(new.service_scopes.clone())),
        Some(scope) => Err(AddClientError::UnknownScope {
            server: server.slug.to_string(),
            scope: scope.clone(),
            known,
        }),
    }
}

fn authentication(
    proof: NewClientProof,
) -> Result<(ClientAuthentication, &'static str), AddClientError> {
    Ok(match proof {
        NewClientProof::Public => (ClientAuthentication::none(), "none"),
        NewClientProof::Secret => {
            let authentication = ClientAuthentication {
                methods: vec![AuthMethod::ClientSecret],
                keys: None,
            };
            (authentication, "client_secret_basic")
        }
        NewClientProof::Keys(keys) => {
            if let ClientKeys::Inline(keys) = &keys
                && authz::VerifyingKeys::from_client_jwks(keys).is_empty()
            {
                return Err(AddClientError::NoUsableKey);
            }
            let authentication = ClientAuthentication {
                methods: vec![AuthMethod::PrivateKeyJwt],
                keys: Some(keys),
            };
            (authentication, "private_key_jwt")
        }
    })
}

fn grant_types(for_people: bool, for_itself: bool) -> Vec<String> {
    let mut grants = Vec::new();
    if for_people {
        grants.extend([GrantType::AuthorizationCode, GrantType::RefreshToken]);
    }
    if for_itself {
        grants.push(GrantType::ClientCredentials);
    }
    grants
        .into_iter()
        .map(|grant| grant.as_str().to_owned())
        .collect()
}

fn remote_keys(authentication: &ClientAuthentication) -> Map<String, Value> {
    let mut other = Map::new();
    if let Some(ClientKeys::Remote(address)) = &authentication.keys {
        other.insert("jwks_uri".to_owned(), Value::String(address.clone()));
    }
    other
}
