use std::time::Duration;

use base::{Digest, Secret, random_token};
use domain::{AuditEvent, AuditEventKind, EmailAddress, UserRole};
use store::{SetupSpent, StoreError};

use crate::password::{self, PasswordError};
use crate::session::{self, NewSession};
use crate::{Authority, Error, known_device, token_text, users};

/// How long a setup link is good for.
const LINK_LIFETIME: Duration = Duration::from_secs(24 * 3600);

/// Why the first owner was not made.
#[derive(Debug)]
pub enum SetupRefusal {
    /// The link was used, is too old, or was replaced by a newer one.
    LinkUsed,
    /// The form has to be filled in again, for this reason.
    Form(String),
    /// We failed, or are too busy.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for SetupRefusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Makes the one-time address at which the first owner chooses their password, and kills the one before. `None` when
/// somebody exists already: there is no default password, and no way back to this page.
///
/// # Errors
/// When the store fails.
pub async fn create_link(authority: &Authority) -> Result<Option<String>, Error> {
    if somebody_exists(authority).await? {
        return Ok(None);
    }
    let token = random_token(authority.random(), token_text::SETUP_TOKEN);
    authority
        .store()
        .replace_setup_token(Digest::of(&token), authority.now().after(LINK_LIFETIME))
        .await?;
    Ok(Some(format!(
        "{}/setup?token={token}",
        authority.public_url()
    )))
}

/// Whether anybody can sign in at all.
///
/// # Errors
/// When the store fails.
pub async fn somebody_exists(authority: &Authority) -> Result<bool, Error> {
    Ok(authority.store().count_users().await? > 0)
}

/// Whether `token` is good. Looking at the page spends nothing: link previews look too.
///
/// # Errors
/// When the store fails.
pub async fn is_live(authority: &Authority, token: &str) -> Result<bool, Error> {
    let Some(digest) = token_text::digest(token, token_text::SETUP_TOKEN) else {
        return Ok(false);
    };
    Ok(authority
        .store()
        .setup_token_is_live(digest, authority.now())
        .await?)
}

/// Spends the link: makes the first owner and signs their browser in, in one transaction.
///
/// # Errors
/// See [`SetupRefusal`].
pub async fn complete(
    authority: &Authority,
    token: &str,
    email: &str,
    password: Secret<String>,
) -> Result<(NewSession, String), SetupRefusal> {
    let digest =
        token_text::digest(token, token_text::SETUP_TOKEN).ok_or(SetupRefusal::LinkUsed)?;
    // Before the hash, so that a dead link costs nothing; the spending below is what counts.
    if !is_live(authority, token).await? {
        return Err(SetupRefusal::LinkUsed);
    }
    let email =
        EmailAddress::parse(email).map_err(|error| SetupRefusal::Form(error.to_string()))?;
    password::check_new(password.expose(), email.as_str())
        .map_err(|error: PasswordError| SetupRefusal::Form(error.to_string()))?;
    let hash = authority
        .passwords()
        .hash(password, authority.shared_random())
        .await
        .map_err(|busy| Error::temporarily_unavailable(Duration::from_secs(1), busy))?;
    let now = authority.now();
    let user = users::new_user(authority.random(), now, email, hash, UserRole::Owner);
    let device = known_device::issue(authority, &user.id);
    let session = session::begin(authority, user, now);
    let user = &session.signed_in.user;
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::SetupLinkUsed,
        server: None,
        user: Some(user.id.clone()),
        client: None,
        grant: None,
        detail: format!("as {}", user.role.as_str()),
    };
    let spent = authority
        .store()
        .consume_setup_token(digest, user, &session.signed_in.session, event)
        .await;
    match spent {
        Ok(SetupSpent::Fresh) => Ok((session, device)),
        Ok(SetupSpent::Repeated | SetupSpent::Unknown) => Err(SetupRefusal::LinkUsed),
        Err(StoreError::Conflict(_)) => Err(SetupRefusal::Form(
            "somebody with this e-mail address exists already".into(),
        )),
        Err(error) => Err(error.into()),
    }
}
