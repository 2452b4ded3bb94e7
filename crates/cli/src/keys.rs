//! `portcullis keys`.

use std::time::Duration;

use anyhow::Context as _;
use base::{Clock as _, OsRandom, SystemClock};
use domain::{KeyAlgorithm, KeyPurpose};
use oauth::KeySealer;
use oauth::keys::{self, KeyState, Rotation};

use crate::args::{KeyAlgorithmArgument, KeysCommand};
use crate::id_list::IdList;
use crate::maintenance::{Maintenance, date};
use crate::master_key::MasterKeySource;
use crate::terminal::Terminal;

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Maintenance {
    /// Runs `portcullis keys`.
    ///
    /// # Errors
    /// In words, when keys cannot be rotated now or the master key is not the right one.
    pub async fn keys(
        &self,
        command: KeysCommand,
        master_key: &MasterKeySource,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        match command {
            KeysCommand::List => self.list_keys(out).await,
            KeysCommand::Rotate { algorithm, now } => {
                self.rotate_keys(algorithm, now, master_key, out).await
            }
            KeysCommand::Schedule { every } => self.schedule_keys(every.0, out).await,
        }
    }

    async fn list_keys(&self, out: &Terminal) -> anyhow::Result<()> {
        let records = self.store().list_signing_keys().await?;
        let heads = ["ID", "FOR", "ALGORITHM", "MADE", "STATE"];
        let mut list = IdList::new(out, &heads);
        for (record, state) in keys::states(&records, SystemClock.now()) {
            let state = match state {
                KeyState::Published(from) => format!("published, signs from {}", date(from)),
                KeyState::Signs => "signs".to_owned(),
                KeyState::Verifies(until) => format!("verifies until {}", date(until)),
                KeyState::Withdrawn(_) => "withdrawn".to_owned(),
            };
            list.add([
                record.id.to_string(),
                record.purpose.as_str().to_owned(),
                record.algorithm.as_str().to_owned(),
                date(record.created_at),
                state,
            ]);
        }
        list.show();
        Ok(())
    }

    async fn rotate_keys(
        &self,
        algorithm: Option<KeyAlgorithmArgument>,
        emergency: bool,
        master_key: &MasterKeySource,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let (store, now) = (self.store(), SystemClock.now());
        let master_key = master_key.read(self.directory(), store, &OsRandom).await?;
        let sealer = KeySealer::new(&master_key);
        // Before anything is written: a key sealed with another master key would stop the authority.
        let records = store.list_signing_keys().await?;
        sealer.check(&records)?;
        let rotation = match emergency {
            true => Rotation::Emergency,
            false => {
                keys::may_rotate(&records, now).context("keys rotate")?;
                Rotation::Planned
            }
        };
        if let Some(algorithm) = algorithm {
            let mut settings = keys::settings(store).await?;
            settings.algorithm = algorithm.into();
            keys::save_settings(store, settings, now).await?;
        }
        for purpose in [KeyPurpose::AccessToken, KeyPurpose::Identity] {
            let key = keys::rotate(store, &sealer, &OsRandom, now, purpose, rotation)
                .await
                .with_context(|| format!("keys rotate, for {}", purpose.as_str()))?;
            let signs = match emergency {
                true => "signs now, and every older one is withdrawn".to_owned(),
                false => format!("is published now and signs from {}", date(key.signs_from)),
            };
            out.line(format!(
                "{}  {} for {}: {signs}",
                key.id,
                key.algorithm.as_str(),
                purpose.as_str()
            ));
        }
        Ok(())
    }

    async fn schedule_keys(&self, every: Option<Duration>, out: &Terminal) -> anyhow::Result<()> {
        let store = self.store();
        let mut settings = keys::settings(store).await?;
        settings.rotated_every = every;
        keys::save_settings(store, settings, SystemClock.now()).await?;
        out.line(match every {
            Some(every) => format!(
                "keys are rotated when the newest is {} days old",
                every.as_secs() / DAY.as_secs()
            ),
            None => "keys are rotated by hand only".to_owned(),
        });
        Ok(())
    }
}

/// How often keys are rotated, as it is written: `90d`, or `off`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule(pub Option<Duration>);

impl Schedule {
    /// Reads a number of days.
    ///
    /// # Errors
    /// When it is something else, or no rotation could end before the next.
    pub fn parse(text: &str) -> Result<Self, String> {
        if text == "off" {
            return Ok(Self(None));
        }
        text.strip_suffix('d')
            .and_then(|days| days.parse::<u32>().ok())
            .filter(|days| (1..=3650).contains(days))
            .map(|days| Self(Some(DAY * days)))
            .ok_or_else(|| "write a number of days, 1d to 3650d, or off".to_owned())
    }
}

impl From<KeyAlgorithmArgument> for KeyAlgorithm {
    fn from(argument: KeyAlgorithmArgument) -> Self {
        match argument {
            KeyAlgorithmArgument::Es256 => Self::Es256,
            KeyAlgorithmArgument::Eddsa => Self::EdDsa,
            KeyAlgorithmArgument::Rs256 => Self::Rs256,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_a_number_of_days_or_off_and_nothing_else() {
        assert_eq!(Schedule::parse("off"), Ok(Schedule(None)));
        assert_eq!(Schedule::parse("90d"), Ok(Schedule(Some(DAY * 90))));
        for wrong in ["", "0d", "90", "90h", "-1d", "3651d", "OFF"] {
            assert!(Schedule::parse(wrong).is_err(), "{wrong}");
        }
    }
}
