use domain::{AuditEventKind, ServerSettings, ServerSettingsChange, ServerSlug};
use store::{SettingsChanged, Store, StoreError};

use crate::Act;

const ACCESS_TOKEN_SECONDS_MIN: u64 = 60;
const ACCESS_TOKEN_SECONDS_MAX: u64 = 24 * 3600;
const REFRESH_TOKEN_SECONDS_MIN: u64 = 3600;

/// Why settings cannot be so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum SettingsMistake {
    #[error("an access token lives between 60 and 86400 seconds")]
    AccessToken,
    #[error("a refresh token may lie unused for 3600 seconds at least")]
    RefreshToken,
    #[error("shorter than refresh_token_seconds, which could then never lie unused for so long")]
    FamilyBelowRefreshToken,
    #[error("shorter than access_token_seconds")]
    RefreshBelowAccessToken,
}

impl SettingsMistake {
    /// The setting that is to be changed.
    pub fn setting(self) -> &'static str {
        match self {
            Self::AccessToken => "access_token_seconds",
            Self::RefreshToken | Self::RefreshBelowAccessToken => "refresh_token_seconds",
            Self::FamilyBelowRefreshToken => "family_seconds",
        }
    }
}

/// What one setting alone cannot say.
///
/// # Errors
/// With the first that cannot be so.
pub fn check(
    change: &ServerSettingsChange,
    before: &ServerSettings,
) -> Result<(), SettingsMistake> {
    let after = change.of(before);
    let access = ACCESS_TOKEN_SECONDS_MIN..=ACCESS_TOKEN_SECONDS_MAX;
    if change.access_token_seconds.is_some() && !access.contains(&after.access_token_seconds) {
        return Err(SettingsMistake::AccessToken);
    }
    if change.refresh_token_seconds.is_some()
        && after.refresh_token_seconds < REFRESH_TOKEN_SECONDS_MIN
    {
        return Err(SettingsMistake::RefreshToken);
    }
    if after.family_seconds < after.refresh_token_seconds {
        return Err(SettingsMistake::FamilyBelowRefreshToken);
    }
    if after.refresh_token_seconds < after.access_token_seconds {
        return Err(SettingsMistake::RefreshBelowAccessToken);
    }
    Ok(())
}

/// Changes settings that [`check`] found good.
///
/// # Errors
/// When the store refuses.
pub async fn change(
    store: &Store,
    act: impl Into<Act>,
    slug: &ServerSlug,
    change: ServerSettingsChange,
) -> Result<SettingsChanged, StoreError> {
    let act = act.into();
    let event = act.event(AuditEventKind::ServerChanged, Some(slug), "");
    store.change_server_settings(slug, change, event).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_access_token_lives_for_a_minute_to_a_day() {
        let checked = |seconds: u64| {
            let change = ServerSettingsChange {
                access_token_seconds: Some(seconds),
                ..ServerSettingsChange::default()
            };
            check(&change, &ServerSettings::default())
        };
        for good in [60, 24 * 3600] {
            assert_eq!(checked(good), Ok(()));
        }
        for bad in [59, 24 * 3600 + 1] {
            assert_eq!(checked(bad), Err(SettingsMistake::AccessToken));
        }
    }
}
