use std::time::Duration;

use authz::{Call, Decision, Expected, TokenRefusal, VerifiedToken, decide};
use base::Timestamp;
use domain::{ClientId, GrantId, UserId};
use wire::oauth::ScopeSet;

use crate::standing::Standing;
use crate::throttle::{Key, Rate};
use crate::{Act, Authority, Error, ServerContext, administration, introspect};

/// Requests of one grant: as many as a script has that sets up a whole authority.
const REQUESTS: Rate = Rate {
    burst: 600,
    refill: Duration::from_millis(50),
};

/// Who uses the admin API: an owner through a client, or a client that an owner added for that. Only [`admit`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Administrator {
    user: Option<UserId>,
    client: ClientId,
}

/// What somebody wants to do there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing is changed by it.
    Look,
    /// Something is.
    Change,
}

/// Why somebody is not let in.
#[derive(Debug)]
pub enum NotAdmitted {
    /// The token is no good, or not here; in words.
    BadToken(&'static str),
    /// It would need these scopes, which can be had.
    NeedsScope(ScopeSet),
    /// They are no owner, or not any more.
    NoOwner,
    /// Too many requests; when the next one may come.
    TooMany(Duration),
    /// An MCP server of an earlier release has the slug of the admin API.
    Absent,
    /// Our own outage.
    Failed(Error),
}

impl Administrator {
    /// The person; nobody when a client acts for itself.
    pub fn user(&self) -> Option<&UserId> {
        self.user.as_ref()
    }

    /// The client.
    pub fn client(&self) -> &ClientId {
        &self.client
    }

    /// What they do now.
    pub fn act(&self, authority: &Authority) -> Act {
        Act {
            at: authority.now(),
            by: self.user.clone(),
            through: Some(self.client.clone()),
        }
    }
}

/// Lets somebody in by their access token alone. Whether its grant, the client and the person are still good, and whether the
/// person is an owner still, is asked of the store each time.
///
/// # Errors
/// Whatever speaks against it, our own outage included.
pub async fn admit(
    authority: &Authority,
    token: &str,
    access: Access,
) -> Result<Administrator, NotAdmitted> {
    let context = authority.administration().ok_or(NotAdmitted::Absent)?;
    let (server, now) = (&**context, authority.now());
    let verified = verify(authority, server, token, now);
    let verified = verified.map_err(|refusal| NotAdmitted::BadToken(told(&refusal)))?;
    // Not by grant: a machine makes itself a new one with each token.
    let key = Key::Administration(format!("{} {}", verified.sub, verified.client_id));
    let taken = authority.throttle().take(&[(key, REQUESTS)], now);
    taken.map_err(NotAdmitted::TooMany)?;

    let grant = GrantId::from_text(verified.grant_id.as_str());
    let grant = authority.store().find_grant(&grant).await;
    let grant = grant.map_err(|error| NotAdmitted::Failed(error.into()))?;
    if !grant.is_some_and(|grant| introspect::stands(&grant, &verified, server)) {
        return Err(NotAdmitted::BadToken("The access token was revoked"));
    }
    let client = ClientId::from_text(verified.client_id.as_str());
    let proven = verified.client_proven;
    let standing = Standing::of(authority, server, &verified.sub, &client, proven).await;
    let standing = standing.map_err(NotAdmitted::Failed)?;
    let caller = authz::Caller {
        roles: standing.roles,
        groups: Vec::new(),
        ..verified.caller()
    };
    let name = match access {
        Access::Look => administration::LOOK,
        Access::Change => administration::CHANGE,
    };
    let call = Call::Tool {
        name,
        arguments: None,
    };
    match decide(&server.server.policy, &caller, &call) {
        Decision::Allowed { .. } => Ok(Administrator {
            user: (caller.subject != caller.client)
                .then(|| UserId::from_text(caller.subject.as_str())),
            client,
        }),
        Decision::NeedsScope { required, .. } => Err(NotAdmitted::NeedsScope(required)),
        Decision::Denied { .. } => Err(NotAdmitted::NoOwner),
    }
}

fn verify(
    authority: &Authority,
    server: &ServerContext,
    token: &str,
    now: Timestamp,
) -> Result<VerifiedToken, TokenRefusal> {
    let keys = authority.signing_keys();
    let expected = Expected {
        issuer: &server.issuer,
        audience: &server.server.resource,
        keys: keys.access_verifying(),
        now,
        leeway: Duration::ZERO,
    };
    authz::verify_access_token(token, &expected)
}

fn told(refusal: &TokenRefusal) -> &'static str {
    tracing::debug!(reason = %refusal, "a token for the admin API");
    refusal.description()
}

impl ServerContext {
    /// Whether it is the admin API and no MCP server.
    pub fn is_administration(&self) -> bool {
        self.slug() == administration::SLUG
    }
}
