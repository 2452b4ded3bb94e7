use base::{Clock, Random};
use domain::{
    AuditEvent, AuditEventKind, Client, ClientAuthentication, ClientId, ClientRegistration,
    McpServer,
};
use serde_json::Map;
use store::{Store, StoreError};
use wire::oauth::{ClientRegistrationResponse, RedirectUri, RedirectUriError};

/// Why a client was not added.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum AddClientError {
    #[error("a client needs at least one redirect URI")]
    NoRedirectUri,
    #[error("{text:?}: {cause}")]
    RedirectUri {
        text: String,
        cause: RedirectUriError,
    },
    #[error("the name must have 1 to 200 characters and no control characters")]
    Name,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a public client by hand, for applications that cannot register themselves.
///
/// # Errors
/// When a redirect URI or the name is unacceptable, or the store fails. One bad URI refuses all: a person is there to
/// correct it.
pub async fn add(
    store: &Store,
    clock: &dyn Clock,
    random: &dyn Random,
    server: &McpServer,
    name: &str,
    redirect_uris: &[String],
) -> Result<Client, AddClientError> {
    let name = name.trim();
    if name.is_empty() || name.chars().count() > 200 || name.contains(char::is_control) {
        return Err(AddClientError::Name);
    }
    if redirect_uris.is_empty() {
        return Err(AddClientError::NoRedirectUri);
    }
    let redirect_uris = redirect_uris
        .iter()
        .map(|text| {
            RedirectUri::parse(text).map_err(|cause| AddClientError::RedirectUri {
                text: text.clone(),
                cause,
            })
        })
        .collect::<Result<Vec<_>, _>>()?;
    let now = clock.now();
    let id = ClientId::at(now, random);
    let words = |list: &[&str]| list.iter().map(|word| (*word).to_owned()).collect();
    let metadata = ClientRegistrationResponse {
        client_id: id.as_str().to_owned(),
        client_id_issued_at: now.unix_seconds(),
        redirect_uris: redirect_uris
            .iter()
            .map(|uri| uri.as_str().to_owned())
            .collect(),
        token_endpoint_auth_method: "none".into(),
        grant_types: words(&["authorization_code", "refresh_token"]),
        response_types: words(&["code"]),
        client_name: Some(name.to_owned()),
        scope: None,
        application_type: None,
        client_uri: None,
        logo_uri: None,
        software_id: None,
        software_version: None,
        other: Map::new(),
    };
    let client = Client {
        id,
        server: server.slug.clone(),
        name: name.to_owned(),
        redirect_uris,
        registration: ClientRegistration::PreRegistered,
        authentication: ClientAuthentication::none(),
        service_scopes: None,
        metadata,
        created_at: now,
        waiting_since: None,
        disabled_at: None,
    };
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::ClientAdded,
        server: Some(client.server.clone()),
        user: None,
        client: Some(client.id.clone()),
        grant: None,
        detail: client.name.clone(),
    };
    store.insert_client(&client, None, event).await?;
    Ok(client)
}
