mod settings;
mod states;

use std::time::Duration;

use base::{Random, Timestamp};
use domain::{
    AuditEvent, AuditEventKind, KeyAlgorithm, KeyId, KeyPurpose, McpServer, SigningKeyRecord,
};
use store::{KeyAdded, Store, StoreError};

use crate::master_key::KeySealer;
use crate::signer;
use crate::signing_keys::{in_turn, seal_new};

pub use settings::{KeySettings, save_settings, settings};
pub use states::{KeyState, states};

/// How long others may keep our JWK Sets.
pub const JWKS_MAX_AGE: Duration = Duration::from_secs(300);
/// How long a new key is published before it signs: everybody who keeps the set for as long as they may has read it
/// again by then, with as much time to spare for slow clocks and caches.
pub const PUBLISHED_AHEAD: Duration = Duration::from_secs(600);
/// How much longer than its last token a key verifies: twice what clocks may differ at a verifier.
const SKEW: Duration = Duration::from_secs(60);
/// A verifier reads 64 keys of a set at most; no honest schedule comes near half of them.
const KEYS_MAX: usize = 32;
/// How long one `Portcullis-Identity` is good.
const IDENTITY_SECONDS: u64 = 60;
const PURPOSES: [KeyPurpose; 2] = [KeyPurpose::AccessToken, KeyPurpose::Identity];
/// How often a rotation is tried again when another node was faster.
const TRIES: usize = 5;

/// How a key takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rotation {
    /// Published now, signing later; the ones before it verify until their last token has ended.
    Planned,
    /// Signing now; every other key of the purpose is withdrawn, and what it signed refused.
    Emergency,
}

/// Why keys were not rotated.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum RotateError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("key {key} was published already and is about to sign; rotate again after that")]
    UnderWay { key: KeyId, signs_from: Timestamp },
    #[error(
        "{KEYS_MAX} keys still verify tokens, and verifiers read no longer sets; wait until some have ended, or withdraw \
         them all with an emergency rotation"
    )]
    TooMany,
    #[error("other nodes rotate keys all the time; look whether a key was made just now")]
    Contended,
    #[error("the thread that makes keys ended")]
    Thread,
}

/// Makes a key for whichever purpose has none that is good.
///
/// # Errors
/// When the store fails.
pub async fn ensure(
    store: &Store,
    sealer: &KeySealer,
    random: &dyn Random,
    now: Timestamp,
) -> Result<(), RotateError> {
    for purpose in PURPOSES {
        let records = store.list_signing_keys().await?;
        if in_turn(&records, purpose).next().is_none() {
            let algorithm = algorithm(store, purpose).await?;
            let key = new_key(store, sealer, random, purpose, algorithm, now, now).await?;
            // Stale means that another node has made one, which is just as good.
            add(store, &key, &records, false, now).await?;
        }
    }
    Ok(())
}

/// Rotates the keys of `purpose`, and gives the new one. An emergency goes through even while a planned rotation is
/// under way.
///
/// # Errors
/// In words, when the time is not right, or when the store fails.
pub async fn rotate(
    store: &Store,
    sealer: &KeySealer,
    random: &dyn Random,
    now: Timestamp,
    purpose: KeyPurpose,
    rotation: Rotation,
) -> Result<SigningKeyRecord, RotateError> {
    for _ in 0..TRIES {
        let records = store.list_signing_keys().await?;
        let turns: Vec<_> = in_turn(&records, purpose).collect();
        if rotation == Rotation::Planned {
            may_rotate_one(&turns, now)?;
        }
        let signs_from = match rotation {
            Rotation::Planned if !turns.is_empty() => now.after(PUBLISHED_AHEAD),
            _ => now,
        };
        let algorithm = algorithm(store, purpose).await?;
        let key = new_key(store, sealer, random, purpose, algorithm, now, signs_from).await?;
        let emergency = rotation == Rotation::Emergency;
        if add(store, &key, &records, emergency, now).await? == KeyAdded::Added {
            return Ok(key);
        }
    }
    Err(RotateError::Contended)
}

/// Whether a planned rotation of all keys may begin now.
///
/// # Errors
/// Why not, in words.
pub fn may_rotate(records: &[SigningKeyRecord], now: Timestamp) -> Result<(), RotateError> {
    PURPOSES.into_iter().try_for_each(|purpose| {
        let turns: Vec<_> = in_turn(records, purpose).collect();
        may_rotate_one(&turns, now)
    })
}

fn may_rotate_one(turns: &[&SigningKeyRecord], now: Timestamp) -> Result<(), RotateError> {
    if turns.len() >= KEYS_MAX {
        return Err(RotateError::TooMany);
    }
    match turns.last().filter(|last| last.signs_from > now) {
        None => Ok(()),
        Some(last) => Err(RotateError::UnderWay {
            key: last.id.clone(),
            signs_from: last.signs_from,
        }),
    }
}

/// Rotates what is older than the schedule allows, and says how many keys it made.
///
/// # Errors
/// When the store fails.
pub async fn rotate_when_due(
    store: &Store,
    sealer: &KeySealer,
    random: &dyn Random,
    now: Timestamp,
) -> Result<usize, RotateError> {
    let Some(every) = settings(store).await?.rotated_every else {
        return Ok(0);
    };
    let records = store.list_signing_keys().await?;
    let mut rotated = 0;
    for purpose in PURPOSES {
        let newest = in_turn(&records, purpose).last();
        if newest.is_some_and(|newest| now >= newest.signs_from.after(every)) {
            match rotate(store, sealer, random, now, purpose, Rotation::Planned).await {
                Ok(_) => rotated += 1,
                // Another node was faster, or somebody has rotated by hand.
                Err(RotateError::UnderWay { .. } | RotateError::Contended) => {}
                Err(error) => return Err(error),
            }
        }
    }
    Ok(rotated)
}

/// Deletes the keys under which no token can be good any more, and says how many went.
///
/// # Errors
/// When the store fails.
pub async fn purge(store: &Store, now: Timestamp) -> Result<usize, StoreError> {
    let records = store.list_signing_keys().await?;
    let mut deleted = 0;
    for (record, state) in states(&records, now) {
        let (KeyState::Verifies(until) | KeyState::Withdrawn(until)) = state else {
            continue;
        };
        if until < now {
            let event = event(
                AuditEventKind::KeyRemoved,
                now,
                format!("{} for {}", record.id, record.purpose.as_str()),
            );
            deleted += usize::from(store.delete_signing_key(&record.id, event).await?);
        }
    }
    Ok(deleted)
}

/// Writes down, before anything is signed, that tokens now live longer than any that a signing key has signed.
pub(crate) async fn note_token_lifetime(
    store: &Store,
    records: &mut [SigningKeyRecord],
    servers: &[McpServer],
    now: Timestamp,
) -> Result<(), StoreError> {
    let seconds = longest_token(servers);
    let signing: Vec<KeyId> = states(records, now)
        .into_iter()
        .filter(|(record, state)| {
            record.purpose == KeyPurpose::AccessToken
                && record.token_seconds_max < seconds
                && matches!(state, KeyState::Signs | KeyState::Published(_))
        })
        .map(|(record, _)| record.id.clone())
        .collect();
    for id in signing {
        store.raise_token_seconds(&id, seconds).await?;
        if let Some(record) = records.iter_mut().find(|record| record.id == id) {
            record.token_seconds_max = seconds;
        }
    }
    Ok(())
}

async fn algorithm(store: &Store, purpose: KeyPurpose) -> Result<KeyAlgorithm, StoreError> {
    match purpose {
        KeyPurpose::AccessToken => Ok(settings(store).await?.algorithm),
        // Who reads the header is an MCP server, of which few know more than this one.
        KeyPurpose::Identity => Ok(KeyAlgorithm::Es256),
    }
}

async fn new_key(
    store: &Store,
    sealer: &KeySealer,
    random: &dyn Random,
    purpose: KeyPurpose,
    algorithm: KeyAlgorithm,
    now: Timestamp,
    signs_from: Timestamp,
) -> Result<SigningKeyRecord, RotateError> {
    let token_seconds_max = match purpose {
        KeyPurpose::AccessToken => longest_token(&store.list_servers_apart().await?.all()),
        KeyPurpose::Identity => IDENTITY_SECONDS,
    };
    let new = tokio::task::spawn_blocking(move || signer::generate(algorithm))
        .await
        .map_err(|_| RotateError::Thread)?;
    Ok(SigningKeyRecord {
        token_seconds_max,
        ..seal_new(sealer, random, purpose, new, now, signs_from)
    })
}

fn longest_token(servers: &[McpServer]) -> u64 {
    let lifetimes = servers
        .iter()
        .map(|server| server.settings.access_token_seconds);
    // Those for the admin API are signed with the same key.
    lifetimes
        .max()
        .unwrap_or(0)
        .max(crate::administration::ACCESS_TOKEN_SECONDS)
}

async fn add(
    store: &Store,
    key: &SigningKeyRecord,
    records: &[SigningKeyRecord],
    withdraw_others: bool,
    now: Timestamp,
) -> Result<KeyAdded, StoreError> {
    let purpose = key.purpose;
    let newest = records
        .iter()
        .filter(|record| record.purpose == purpose)
        .max_by_key(|record| (record.signs_from, &record.id));
    let mut events = vec![event(
        AuditEventKind::KeyCreated,
        now,
        format!("{} for {}", key.id, purpose.as_str()),
    )];
    if withdraw_others {
        events.extend(in_turn(records, purpose).map(|record| {
            event(
                AuditEventKind::KeyWithdrawn,
                now,
                format!("{} for {}", record.id, purpose.as_str()),
            )
        }));
    }
    let newest = newest.map(|record| &record.id);
    store
        .add_signing_key(key, newest, withdraw_others, events)
        .await
}

fn event(kind: AuditEventKind, at: Timestamp, detail: String) -> AuditEvent {
    AuditEvent {
        at,
        kind,
        server: None,
        user: None,
        client: None,
        grant: None,
        detail,
    }
}
