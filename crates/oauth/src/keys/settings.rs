use std::time::Duration;

use base::Timestamp;
use domain::{AuditEventKind, KeyAlgorithm};
use store::{Store, StoreError};

use super::event;

const ALGORITHM_SETTING: &str = "signing_algorithm";
const SCHEDULE_SETTING: &str = "key_rotation_seconds";
const ROTATED_EVERY: Duration = Duration::from_secs(90 * 24 * 3600);

/// How keys are to be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeySettings {
    /// What new keys for access tokens are. Keys for `Portcullis-Identity` are always ES256.
    pub algorithm: KeyAlgorithm,
    /// How old the newest key becomes until it is rotated by itself; `None` is never.
    pub rotated_every: Option<Duration>,
}

/// How keys are to be made.
///
/// # Errors
/// When the store fails.
pub async fn settings(store: &Store) -> Result<KeySettings, StoreError> {
    let algorithm = store.find_setting(ALGORITHM_SETTING).await?;
    let seconds = store.find_setting(SCHEDULE_SETTING).await?;
    Ok(KeySettings {
        algorithm: algorithm
            .and_then(|name| KeyAlgorithm::parse(&name))
            .unwrap_or(KeyAlgorithm::Es256),
        rotated_every: match seconds.as_deref().map(str::parse) {
            Some(Ok(0)) => None,
            Some(Ok(seconds)) => Some(Duration::from_secs(seconds)),
            None | Some(Err(_)) => Some(ROTATED_EVERY),
        },
    })
}

/// Says how keys are to be made from now on, also to a running authority.
///
/// # Errors
/// When the store fails.
pub async fn save_settings(
    store: &Store,
    settings: KeySettings,
    now: Timestamp,
) -> Result<(), StoreError> {
    let seconds = settings.rotated_every.map_or(0, |every| every.as_secs());
    let values = vec![
        (ALGORITHM_SETTING, settings.algorithm.as_str().to_owned()),
        (SCHEDULE_SETTING, seconds.to_string()),
    ];
    let detail = format!("{}, every {seconds} seconds", settings.algorithm.as_str());
    let event = event(AuditEventKind::KeySettingsChanged, now, detail);
    store.put_key_settings(values, event).await
}
