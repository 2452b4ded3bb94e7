use std::net::IpAddr;
use std::time::Duration;

use base::{Secret, Timestamp};
use domain::{AuditEvent, AuditEventKind, EmailAddress, User};

use crate::password::PASSWORD_BYTES_MAX;
use crate::session::{self, NewSession, SignedIn};
use crate::throttle::{AddressBlock, Key, Rate};
use crate::{Authority, Error, known_device};

/// One account from devices it was never used on: ten guesses, then one a minute, however many addresses guess.
const ACCOUNT: Rate = Rate {
    burst: 10,
    refill: Duration::from_secs(60),
};
/// One account from a browser it was used on: the owner mistypes; strangers have no such browser.
const DEVICE: Rate = Rate {
    burst: 10,
    refill: Duration::from_secs(15),
};
/// One address, whatever account.
const ADDRESS: Rate = Rate {
    burst: 30,
    refill: Duration::from_secs(10),
};

/// Somebody who says who they are.
#[derive(Debug)]
pub struct SignInAttempt<'a> {
    /// As typed.
    pub email: &'a str,
    /// As typed.
    pub password: Secret<String>,
    /// Where it comes from, when that is known.
    pub address: Option<IpAddr>,
    /// The browser's cookie that says this account was used with it before.
    pub known_device: Option<&'a str>,
    /// The session this browser has now; it ends.
    pub replaces: Option<&'a SignedIn>,
}

/// A person who proved who they are.
#[derive(Debug)]
pub struct SignInSuccess {
    /// The session.
    pub session: NewSession,
    /// For the long-lived cookie.
    pub known_device: String,
}

/// Why nobody is signed in.
#[derive(Debug)]
pub enum SignInRefusal {
    /// The e-mail address or the password is wrong; nobody is told which.
    Wrong,
    /// Too many guesses.
    Throttled {
        /// How long until the next one is judged.
        retry_after: Duration,
    },
    /// We failed, or are too busy.
    Failed(Error),
}

impl<E: Into<Error>> From<E> for SignInRefusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

/// Signs a person in with e-mail address and password.
///
/// The work is the same whether the account exists or not. Guesses are counted before they are judged; an honest
/// sign-in gives its count back.
///
/// # Errors
/// See [`SignInRefusal`].
pub async fn sign_in(
    authority: &Authority,
    attempt: SignInAttempt<'_>,
) -> Result<SignInSuccess, SignInRefusal> {
    let now = authority.now();
    if attempt.password.expose().len() > PASSWORD_BYTES_MAX
        || attempt.password.expose().contains('\0')
    {
        return Err(SignInRefusal::Wrong);
    }
    let Ok(email) = EmailAddress::parse(attempt.email) else {
        return Err(SignInRefusal::Wrong);
    };
    let user = authority.store().find_user_by_email(&email).await?;
    let keys = throttle_keys(authority, &attempt, &email, user.as_ref());
    authority
        .throttle()
        .take(&keys, now)
        .map_err(|retry_after| SignInRefusal::Throttled { retry_after })?;

    let stored = user
        .as_ref()
        .filter(|user| user.disabled_at.is_none())
        .and_then(|user| user.password_hash.clone());
    let verified = authority.passwords().verify(attempt.password, stored).await;
    let right = match verified {
        Ok(right) => right,
        Err(busy) => {
            authority.throttle().give_back(&keys);
            return Err(Error::temporarily_unavailable(Duration::from_secs(1), busy).into());
        }
    };
    let Some(user) = user.clone().filter(|_| right) else {
        authority
            .store()
            .insert_audit_event(refused_event(user.as_ref(), now))
            .await?;
        return Err(SignInRefusal::Wrong);
    };
    authority.throttle().give_back(&keys);

    let known_device = known_device::issue(authority, &user.id);
    let session = session::begin(authority, user, now);
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::UserSignedIn,
        server: None,
        user: Some(session.signed_in.user.id.clone()),
        client: None,
        grant: None,
        detail: session.signed_in.session.id.to_string(),
    };
    let begun = authority
        .store()
        .insert_login_session(&session.signed_in.session, event)
        .await?;
    if !begun {
        // Disabled or deleted while the password was checked.
        return Err(SignInRefusal::Wrong);
    }
    if let Some(earlier) = attempt.replaces {
        session::end(authority, earlier).await?;
    }
    Ok(SignInSuccess {
        session,
        known_device,
    })
}

fn throttle_keys(
    authority: &Authority,
    attempt: &SignInAttempt<'_>,
    email: &EmailAddress,
    user: Option<&User>,
) -> Vec<(Key, Rate)> {
    let device = user
        .zip(attempt.known_device)
        .and_then(|(user, text)| known_device::read(authority, &user.id, text));
    if let Some(device) = device {
        return vec![(Key::Device(device), DEVICE)];
    }
    let mut keys = vec![(Key::Account(email.key()), ACCOUNT)];
    // Behind a proxy on this machine everybody comes from loopback, and one guesser would lock all of them out.
    if let Some(address) = attempt
        .address
        .filter(|address| !address.to_canonical().is_loopback())
    {
        keys.push((Key::SignInAddress(AddressBlock::of(address)), ADDRESS));
    }
    keys
}

/// What was typed is not recorded: now and then it is a password in the wrong field.
fn refused_event(user: Option<&User>, now: Timestamp) -> AuditEvent {
    AuditEvent {
        at: now,
        kind: AuditEventKind::SignInRefused,
        server: None,
        user: user.map(|user| user.id.clone()),
        client: None,
        grant: None,
        detail: match user {
            Some(user) if user.disabled_at.is_some() => "the person is disabled".into(),
            Some(_) => "wrong password".into(),
            None => "no such account".into(),
        },
    }
}
