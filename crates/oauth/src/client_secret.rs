use std::time::Duration;

use base::{Digest, Random, Secret, Timestamp, random_token};
use domain::{AuditEvent, AuditEventKind, Client, ClientId, ClientSecret};
use store::{Store, StoreError};
use subtle::{Choice, ConstantTimeEq as _};

use crate::{Authority, Error, token_text};

/// How long the secret before the newest stays good, so that a client can be given the new one in peace.
pub const OLDER_SECRET_LIFETIME: Duration = Duration::from_secs(7 * 24 * 3600);

/// Gives a client a new secret, which only this answer knows. The one it has stays good for `keep_older`, and one
/// before that ends at once. `None` when the client is gone.
///
/// # Errors
/// When the store fails.
pub async fn rotate(
    store: &Store,
    now: Timestamp,
    random: &dyn Random,
    client: &Client,
    keep_older: Duration,
) -> Result<Option<Secret<String>>, StoreError> {
    let text = random_token(random, token_text::CLIENT_SECRET);
    let secret = ClientSecret {
        digest: Digest::of(&text),
        client: client.id.clone(),
        created_at: now,
        expires_at: None,
    };
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::ClientSecretCreated,
        server: Some(client.server.clone()),
        user: None,
        client: Some(client.id.clone()),
        grant: None,
        detail: client.name.clone(),
    };
    let added = store
        .add_client_secret(&client.server, secret, now.after(keep_older), event)
        .await?;
    Ok(added.then(|| Secret::new(text)))
}

/// Checks a secret against those that are kept. It has 256 random bits, so guesses are not counted: a count would only
/// serve to lock the honest client out.
pub(crate) async fn verify(
    authority: &Authority,
    client: &ClientId,
    presented: &str,
) -> Result<(), Error> {
    let wrong = || {
        Error::invalid_client(
            "the client secret is wrong or was replaced; give the client its newest secret",
        )
    };
    let digest = token_text::digest(presented, token_text::CLIENT_SECRET).ok_or_else(wrong)?;
    let now = authority.now();
    let kept = authority.store().list_client_secrets(client).await?;
    let mut good = Choice::from(0);
    for secret in kept.iter().filter(|secret| secret.is_live(now)) {
        good |= digest.as_bytes().ct_eq(secret.digest.as_bytes());
    }
    if bool::from(good) {
        Ok(())
    } else {
        Err(wrong())
    }
}
