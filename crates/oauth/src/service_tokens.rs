use std::time::Duration;

use base::{Digest, Random, Secret, Timestamp, random_token};
use domain::{
    AuditEvent, AuditEventKind, ClientId, GrantId, McpServer, ServerSlug, ServiceToken,
    ServiceTokenId, UserId,
};
use store::{InsertServiceToken, RevokeServiceToken, Store, StoreError};
use wire::oauth::ScopeSet;

use crate::issue::{self, TokenSubject};
use crate::standing::Standing;
use crate::{Authority, Error, ServerContext, revoke, token_text};

/// The longest that a service token may live.
pub const LIFETIME_MAX: Duration = Duration::from_secs(366 * 24 * 3600);

/// The shortest.
pub const LIFETIME_MIN: Duration = Duration::from_secs(60);

/// How long the access tokens live that it is exchanged for.
pub const EXCHANGED_LIFETIME: Duration = Duration::from_secs(300);

/// The most live tokens of one person, or of nobody, at one MCP server.
const LIVE_MAX: i64 = 100;

/// How many are listed at once.
const PAGE: usize = 500;

/// What a service token is to be.
#[derive(Debug, Clone, Copy)]
pub struct NewServiceToken<'a> {
    /// The one MCP server it is good for.
    pub server: &'a McpServer,
    /// Whose rights it has; none when it stands for itself.
    pub owner: Option<&'a UserId>,
    /// What people call it.
    pub name: &'a str,
    /// What it may do; each of them a scope of the server.
    pub scopes: &'a ScopeSet,
    /// How long.
    pub lifetime: Duration,
}

/// A service token just made, with the text that only this answer knows.
#[derive(Debug)]
pub struct CreatedServiceToken {
    /// What is kept of it.
    pub token: ServiceToken,
    /// What its machine sends as a bearer token.
    pub text: Secret<String>,
}

/// Why no service token was made, in words for the person who asked.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum CreateServiceTokenError {
    #[error("the name must have 1 to 100 characters and no control characters")]
    Name,
    #[error("choose at least one scope")]
    NoScope,
    #[error("{server} has no scope {scope}; it has: {known}")]
    UnknownScope {
        server: ServerSlug,
        scope: String,
        known: ScopeSet,
    },
    #[error("the lifetime must be between 1 minute and 366 days")]
    Lifetime,
    #[error("there are 100 live tokens for this MCP server already; revoke one first")]
    TooMany,
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Which service tokens.
#[derive(Debug, Clone, Copy, Default)]
pub struct ServiceTokenFilter<'a> {
    /// Those of this MCP server.
    pub server: Option<&'a ServerSlug>,
    /// Those of this person.
    pub owner: Option<&'a UserId>,
}

/// Who revokes.
#[derive(Debug, Clone, Copy)]
pub enum Revoker<'a> {
    /// A person, one of their own.
    Owner(&'a UserId),
    /// An admin, any.
    Admin,
}

/// Makes a service token. `by` is who asked for it, when a person did on a page.
///
/// # Errors
/// When the name, the scopes or the lifetime are unacceptable, there are too many, or the store fails.
pub async fn create(
    store: &Store,
    now: Timestamp,
    random: &dyn Random,
    new: NewServiceToken<'_>,
    by: Option<&UserId>,
) -> Result<CreatedServiceToken, CreateServiceTokenError> {
    let name = new.name.trim();
    if name.is_empty() || name.chars().count() > 100 || name.contains(char::is_control) {
        return Err(CreateServiceTokenError::Name);
    }
    if new.lifetime < LIFETIME_MIN || new.lifetime > LIFETIME_MAX {
        return Err(CreateServiceTokenError::Lifetime);
    }
    let known = new.server.policy.declared_scopes();
    if let Some(unknown) = new.scopes.difference(&known).iter().next() {
        return Err(CreateServiceTokenError::UnknownScope {
            server: new.server.slug.clone(),
            scope: unknown.to_string(),
            known,
        });
    }
    if new.scopes.is_empty() {
        return Err(CreateServiceTokenError::NoScope);
    }
    let text = random_token(random, token_text::SERVICE_TOKEN);
    let token = ServiceToken {
        id: ServiceTokenId::at(now, random),
        digest: Digest::of(&text),
        server: new.server.slug.clone(),
        user: new.owner.cloned(),
        name: name.to_owned(),
        scopes: new.scopes.clone(),
        grant: GrantId::at(now, random),
        created_at: now,
        expires_at: now.after(new.lifetime),
        revoked_at: None,
    };
    let mut event = event(AuditEventKind::ServiceTokenCreated, now, by);
    event.server = Some(token.server.clone());
    event.client = Some(ClientId::from_text(token.id.as_str()));
    event.grant = Some(token.grant.clone());
    event.detail = format!("{}: {}", token.name, token.scopes);
    match store.insert_service_token(&token, LIVE_MAX, event).await? {
        InsertServiceToken::Inserted => Ok(CreatedServiceToken {
            token,
            text: Secret::new(text),
        }),
        InsertServiceToken::TooMany => Err(CreateServiceTokenError::TooMany),
    }
}

/// The service tokens that are kept, the oldest first; those that ended are among them for 90 days.
///
/// # Errors
/// When the store fails.
pub async fn list(
    store: &Store,
    filter: ServiceTokenFilter<'_>,
) -> Result<Vec<ServiceToken>, StoreError> {
    let mut all: Vec<ServiceToken> = Vec::new();
    loop {
        let after = all.last().map(|token| token.id.clone());
        let page = store
            .list_service_tokens(filter.server, filter.owner, after.as_ref(), PAGE)
            .await?;
        let last = page.len() < PAGE;
        all.extend(page);
        if last {
            return Ok(all);
        }
    }
}

/// Revokes a service token: within a second its access tokens end everywhere. False when there is none to revoke.
///
/// # Errors
/// When the store fails.
pub async fn revoke(
    store: &Store,
    now: Timestamp,
    id: &ServiceTokenId,
    by: Revoker<'_>,
) -> Result<bool, StoreError> {
    let owner = match by {
        Revoker::Owner(owner) => Some(owner.clone()),
        Revoker::Admin => None,
    };
    let mut event = event(AuditEventKind::ServiceTokenRevoked, now, owner.as_ref());
    event.client = Some(ClientId::from_text(id.as_str()));
    let revocation = RevokeServiceToken {
        id: id.clone(),
        owner,
        revocation_until: revoke::remembered_for(EXCHANGED_LIFETIME, now),
        now,
        event,
    };
    store.revoke_service_token(revocation).await
}

/// Exchanges a service token for an access token that lives for minutes, so that nothing behind the gateway's door
/// knows two kinds of tokens. Nothing is written.
///
/// # Errors
/// `invalid_grant` when the token is no good here, for whatever reason; else our own outage.
pub async fn exchange(
    authority: &Authority,
    server: &ServerContext,
    text: &str,
) -> Result<String, Error> {
    let now = authority.now();
    let digest = token_text::digest(text, token_text::SERVICE_TOKEN)
        .ok_or_else(|| refused("it is no service token"))?;
    let found = authority.store().find_service_token(digest).await?;
    let found = found.ok_or_else(|| refused("the service token is unknown"))?;
    let token = &found.token;
    if token.server != server.server.slug {
        return Err(refused("the service token is for another MCP server"));
    }
    if found.ended || !token.is_live(now) {
        return Err(refused("the service token was revoked or has expired"));
    }
    if found.user_disabled {
        return Err(refused("the service token's owner is disabled"));
    }
    let id = ClientId::from_text(token.id.as_str());
    // The token itself is the secret.
    let standing = Standing::of(authority, server, token.subject(), &id, true).await?;
    let scopes = standing.grantable(server, &token.scopes).granted;
    let lifetime = EXCHANGED_LIFETIME
        .min(server.server.settings.access_token_lifetime())
        .min(token.expires_at.since(now));
    let subject = TokenSubject {
        subject: token.subject(),
        client: token.id.as_str(),
        grant: &token.grant,
        authenticated_at: None,
    };
    Ok(issue::access_token(
        authority, server, subject, &standing, &scopes, lifetime, now,
    ))
}

/// Revokes the service token of this text: whoever has it may end it, such as a scanner that found it in public.
pub(crate) async fn revoke_by_text(
    authority: &Authority,
    server: &ServerContext,
    digest: Digest,
) -> Result<Option<ServiceToken>, Error> {
    let found = authority.store().find_service_token(digest).await?;
    let Some(found) = found.filter(|found| found.token.server == server.server.slug) else {
        return Ok(None);
    };
    let id = &found.token.id;
    let revoked = revoke(authority.store(), authority.now(), id, Revoker::Admin).await?;
    Ok(revoked.then_some(found.token))
}

fn refused(reason: &'static str) -> Error {
    Error::invalid_grant("the service token is not valid any more, or not for this MCP server")
        .because(reason)
}

fn event(kind: AuditEventKind, now: Timestamp, user: Option<&UserId>) -> AuditEvent {
    AuditEvent {
        at: now,
        kind,
        server: None,
        user: user.cloned(),
        client: None,
        grant: None,
        detail: String::new(),
    }
}
