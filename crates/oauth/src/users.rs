use base::{Clock, Random, Secret};
use domain::{AuditEvent, AuditEventKind, EmailAddress, User, UserId, UserRole};
use store::{InsertUser, Store, StoreError};

use crate::password::{self, PasswordError, Workspace};

/// Why a person was not added.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum AddUserError {
    #[error(transparent)]
    Password(#[from] PasswordError),
    #[error("somebody with the e-mail address {0} exists already")]
    EmailTaken(EmailAddress),
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Adds a person who may sign in. Hashes on the spot, so it is for maintenance commands, not for requests.
///
/// # Errors
/// When the password is weak, the address taken, or the store fails.
pub async fn add(
    store: &Store,
    clock: &dyn Clock,
    random: &dyn Random,
    email: EmailAddress,
    password: &Secret<String>,
    role: UserRole,
) -> Result<User, AddUserError> {
    password::check_new(password.expose(), email.as_str())?;
    let hash = password::hash(&mut Workspace::default(), password.expose(), random);
    let user = new_user(random, clock.now(), email, Secret::new(hash), role);
    match store.insert_user(&user, added_event(&user)).await? {
        InsertUser::Inserted => Ok(user),
        InsertUser::EmailTaken => Err(AddUserError::EmailTaken(user.email)),
    }
}

pub(crate) fn new_user(
    random: &dyn Random,
    now: base::Timestamp,
    email: EmailAddress,
    password_hash: Secret<String>,
    role: UserRole,
) -> User {
    User {
        id: UserId::random(random),
        name: email.local_part().to_owned(),
        email,
        password_hash: Some(password_hash),
        role,
        created_at: now,
        disabled_at: None,
    }
}

fn added_event(user: &User) -> AuditEvent {
    AuditEvent {
        at: user.created_at,
        kind: AuditEventKind::UserAdded,
        server: None,
        user: Some(user.id.clone()),
        client: None,
        grant: None,
        detail: format!("{} as {}", user.email, user.role.as_str()),
    }
}
