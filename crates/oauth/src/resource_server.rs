use std::time::Duration;

use base::{Digest, Random, Secret, Timestamp, random_token};
use domain::{AuditEvent, AuditEventKind, ResourceServerCredential, ResourceServerId, ServerSlug};
use store::{Store, StoreError};
use subtle::ConstantTimeEq as _;

use crate::{Authority, BasicCredentials, Error, Parameters, ServerContext, token_text};

/// How long the credential before the newest stays good.
pub const OLDER_CREDENTIAL_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// A credential just made, with the secret that only this answer knows.
#[derive(Debug)]
pub struct NewCredential {
    /// The user name.
    pub id: ResourceServerId,
    /// The password.
    pub secret: Secret<String>,
}

/// Gives an MCP server a credential to introspect tokens with. The one it has stays good for `keep_older`, and one
/// before that ends at once. `None` when there is no such server.
///
/// # Errors
/// When the store fails.
pub async fn create_credential(
    store: &Store,
    now: Timestamp,
    random: &dyn Random,
    server: &ServerSlug,
    keep_older: Duration,
) -> Result<Option<NewCredential>, StoreError> {
    let secret = random_token(random, token_text::RESOURCE_SERVER_SECRET);
    let credential = ResourceServerCredential {
        id: ResourceServerId::random(random),
        server: server.clone(),
        digest: Digest::of(&secret),
        created_at: now,
        expires_at: None,
    };
    let id = credential.id.clone();
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::ServerCredentialCreated,
        server: Some(server.clone()),
        user: None,
        client: None,
        grant: None,
        detail: id.to_string(),
    };
    let added = store
        .add_resource_server_credential(credential, now.after(keep_older), event)
        .await?;
    Ok(added.then(|| NewCredential {
        id,
        secret: Secret::new(secret),
    }))
}

/// An MCP server that proved it is itself. Only this file makes one.
#[derive(Debug)]
pub struct AuthenticatedResourceServer(ResourceServerCredential);

impl AuthenticatedResourceServer {
    /// Which credential proved it.
    pub fn credential(&self) -> &ResourceServerId {
        &self.0.id
    }

    /// Whether that credential is still good: for answers that go on for long.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn still_stands(&self, authority: &Authority) -> Result<bool, StoreError> {
        let before = &self.0;
        let store = authority.store();
        let kept = store.find_resource_server_credential(&before.server, &before.id);
        Ok(kept
            .await?
            .is_some_and(|kept| kept.digest == before.digest && is_live(&kept, authority.now())))
    }
}

/// Authenticates an MCP server by its credential in the header, for requests without a form.
///
/// # Errors
/// `invalid_client`, and our own outage.
pub async fn authenticate_header(
    authority: &Authority,
    server: &ServerContext,
    header: Option<&BasicCredentials>,
) -> Result<AuthenticatedResourceServer, Error> {
    authenticate(authority, server, &Parameters::parse(b"")?, header).await
}

/// Authenticates an MCP server by its credential, in the header or the form alike.
///
/// Spec: RFC 7662 section 2.1.
pub(crate) async fn authenticate(
    authority: &Authority,
    server: &ServerContext,
    form: &Parameters<'_>,
    header: Option<&BasicCredentials>,
) -> Result<AuthenticatedResourceServer, Error> {
    let in_header = header.map(|basic| {
        let secret = basic.secret.as_ref().map(|secret| secret.expose().as_str());
        (basic.client_id.as_str(), secret)
    });
    let in_form = form
        .get("client_id")
        .map(|id| (id, form.get("client_secret")));
    let (id, secret) = match (in_header, in_form) {
        (Some(_), Some(_)) => {
            return Err(Error::invalid_request(
                "the credential is given twice; use either the Authorization header or client_id and client_secret",
            ));
        }
        (Some(given), None) | (None, Some(given)) => given,
        (None, None) => ("", None),
    };
    let refused = |reason: &'static str| {
        Error::invalid_client(
            "this endpoint is for the MCP server itself, with its credential; `portcullis servers credential` makes one",
        )
        .because(reason)
    };
    let secret = secret.ok_or_else(|| refused("no credential came"))?;
    let digest = token_text::digest(secret, token_text::RESOURCE_SERVER_SECRET)
        .ok_or_else(|| refused("the secret is not of the shape that is made here"))?;
    let kept = authority
        .store()
        .find_resource_server_credential(&server.server.slug, &ResourceServerId::from_text(id))
        .await?
        .ok_or_else(|| refused("no MCP server has this credential here"))?;
    let same = bool::from(digest.as_bytes().ct_eq(kept.digest.as_bytes()));
    if is_live(&kept, authority.now()) && same {
        Ok(AuthenticatedResourceServer(kept))
    } else {
        Err(refused("the secret is wrong or was replaced"))
    }
}

fn is_live(credential: &ResourceServerCredential, now: Timestamp) -> bool {
    credential.expires_at.is_none_or(|end| now < end)
}
