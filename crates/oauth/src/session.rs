use std::time::Duration;

use base::{Digest, Secret, Timestamp, random_token};
use domain::{AuditEvent, AuditEventKind, LoginSession, SessionId, User};

use crate::{Authority, Error, token_text};

/// How long a sign-in lasts however much it is used.
pub const SESSION_LIFETIME: Duration = Duration::from_secs(14 * 24 * 3600);

/// A person with a live session in this browser.
#[derive(Debug, Clone)]
pub struct SignedIn {
    /// The session.
    pub session: LoginSession,
    /// The person.
    pub user: User,
}

/// A session just begun, with the cookie that only this answer knows.
#[derive(Debug)]
pub struct NewSession {
    /// What goes into the cookie.
    pub cookie: Secret<String>,
    /// The session and the person.
    pub signed_in: SignedIn,
}

/// The live session of `cookie`, with a person who is not disabled.
///
/// # Errors
/// When the store fails.
pub async fn find(authority: &Authority, cookie: &str) -> Result<Option<SignedIn>, Error> {
    let Some(digest) = token_text::digest(cookie, token_text::LOGIN_COOKIE) else {
        return Ok(None);
    };
    let found = authority.store().find_login_session(digest).await?;
    let now = authority.now();
    Ok(found
        .filter(|(session, user)| session.is_live(now) && user.disabled_at.is_none())
        .map(|(session, user)| SignedIn { session, user }))
}

/// Ends a session on the server; the cookie is worth nothing afterwards.
///
/// # Errors
/// When the store fails.
pub async fn end(authority: &Authority, signed_in: &SignedIn) -> Result<(), Error> {
    let now = authority.now();
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::SignedOut,
        server: None,
        user: Some(signed_in.user.id.clone()),
        client: None,
        grant: None,
        detail: signed_in.session.id.to_string(),
    };
    authority
        .store()
        .end_login_session(&signed_in.session.id, now, event)
        .await?;
    Ok(())
}

/// A new session for `user`, not yet stored. The cookie is new at each sign-in, so a planted one is worth nothing.
pub(crate) fn begin(authority: &Authority, user: User, now: Timestamp) -> NewSession {
    let cookie = random_token(authority.random(), token_text::LOGIN_COOKIE);
    let session = LoginSession {
        id: SessionId::random(authority.random()),
        cookie_digest: Digest::of(&cookie),
        user: user.id.clone(),
        authenticated_at: now,
        expires_at: now.after(SESSION_LIFETIME),
        ended_at: None,
    };
    NewSession {
        cookie: Secret::new(cookie),
        signed_in: SignedIn { session, user },
    }
}
