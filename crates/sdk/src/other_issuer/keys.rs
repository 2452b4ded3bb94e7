use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use authz::VerifyingKeys;
use base::{Clock, Timestamp};
use tokio::sync::Mutex;

use super::IssuerSource;

/// How often keys are fetched when nothing asks for more: a key that was withdrawn is refused after this.
const FRESH_FOR: Duration = Duration::from_secs(5 * 60);
/// How soon after a fetch another one may begin, whoever sends tokens of unknown keys.
pub(super) const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// The keys of another issuer. Those that are known stay while it cannot be reached.
#[derive(Debug)]
pub(super) struct IssuerKeys {
    algorithms: Vec<String>,
    in_force: ArcSwap<VerifyingKeys>,
    last: Mutex<LastFetch>,
}

#[derive(Debug)]
struct LastFetch {
    at: Option<Timestamp>,
    outcome: Result<(), String>,
}

impl IssuerKeys {
    pub(super) fn new(algorithms: Vec<String>) -> Self {
        Self {
            algorithms,
            in_force: ArcSwap::default(),
            last: Mutex::new(LastFetch {
                at: None,
                outcome: Ok(()),
            }),
        }
    }

    pub(super) fn in_force(&self) -> Arc<VerifyingKeys> {
        self.in_force.load_full()
    }

    /// Fetches them, unless that was done less than `again_after` ago. Whoever comes meanwhile waits for the same answer.
    ///
    /// # Errors
    /// Why they could not be fetched last, in words for the log.
    pub(super) async fn look_again(
        &self,
        source: &dyn IssuerSource,
        now: Timestamp,
        again_after: Duration,
    ) -> Result<(), String> {
        let mut last = self.last.lock().await;
        // A clock that was set back by more counts as a long time.
        let is_recent = |at: Timestamp| now < at.after(again_after) && at < now.after(again_after);
        if !last.at.is_some_and(is_recent) {
            last.at = Some(now);
            // Whoever asked may go away in the middle of it.
            last.outcome = Err("the last try to fetch its keys was not ended".to_owned());
            last.outcome = self.fetch(source).await;
        }
        last.outcome.clone()
    }

    async fn fetch(&self, source: &dyn IssuerSource) -> Result<(), String> {
        let keys = VerifyingKeys::from_jwks(&source.keys().await?).only(&self.algorithms);
        if keys.is_empty() {
            let algorithms = self.algorithms.join(", ");
            return Err(format!(
                "its JWKS has no key with an id for {algorithms}; the keys that were known go on working"
            ));
        }
        self.in_force.store(Arc::new(keys));
        Ok(())
    }

    pub(super) async fn follow(&self, issuer: &str, source: &dyn IssuerSource, clock: &dyn Clock) {
        let mut told: Option<String> = None;
        loop {
            let outcome = self.look_again(source, clock.now(), Duration::ZERO).await;
            match &outcome {
                // One that goes on is told once.
                Err(reason) if told.as_ref() != Some(reason) => {
                    tracing::warn!(issuer, %reason, "the keys of another issuer cannot be fetched");
                }
                Ok(()) if told.is_some() => {
                    tracing::info!(issuer, "the keys of another issuer are fetched again");
                }
                _ => {}
            }
            told = outcome.err();
            let pause = if told.is_some() {
                AGAIN_AFTER
            } else {
                FRESH_FOR
            };
            tokio::time::sleep(pause).await;
        }
    }
}
