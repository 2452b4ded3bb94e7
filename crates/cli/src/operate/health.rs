use std::sync::Arc;

use base::Clock;
use futures_util::future::BoxFuture;
use gateway::Feeds;
use oauth::Authority;
use serde::Serialize;
use store::Store;
use tokio_util::sync::CancellationToken;

use super::probe::Probe;

/// Whether a node can be sent requests, and if not, why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Readiness {
    ready: bool,
    checks: Checks,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Checks {
    /// Of an authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<Check>,
    #[serde(skip_serializing_if = "Option::is_none")]
    policy_feed: Option<Check>,
    /// Of an authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_keys: Option<Check>,
    running: Check,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

impl Readiness {
    /// Whether every check is good.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// The same for somebody who does not count the checks of these names; none when there is no check of one.
    pub fn excluding(mut self, excluded: &[&str]) -> Option<Self> {
        let checks = [
            ("store", &self.checks.store),
            ("policy_feed", &self.checks.policy_feed),
            ("signing_keys", &self.checks.signing_keys),
        ];
        let is_known = |name: &&str| checks.iter().any(|(known, _)| known == name);
        if !excluded.iter().all(is_known) {
            return None;
        }
        let counted = checks.iter().filter(|(name, _)| !excluded.contains(name));
        let is_good = counted
            .filter_map(|(_, check)| check.as_ref())
            .all(|check| check.ok);
        self.ready = is_good && self.checks.running.ok;
        Some(self)
    }
}

impl From<Result<(), String>> for Check {
    fn from(result: Result<(), String>) -> Self {
        Self {
            ok: result.is_ok(),
            reason: result.err(),
        }
    }
}

/// Looks at everything that a request needs.
pub struct Health {
    authority: Option<Authority>,
    feeds: Option<Feeds>,
    clock: Arc<dyn Clock>,
    closing: CancellationToken,
    store: Option<Probe<Look>>,
}

type Look = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

impl Health {
    pub fn new(
        authority: Option<Authority>,
        feeds: Option<Feeds>,
        clock: Arc<dyn Clock>,
        closing: CancellationToken,
    ) -> Self {
        let store = authority.as_ref().map(|authority| {
            let store = authority.store().clone();
            Probe::new(Box::new(move || -> BoxFuture<'static, _> {
                Box::pin(small_read(store.clone()))
            }) as Look)
        });
        Self {
            authority,
            feeds,
            clock,
            closing,
            store,
        }
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> Readiness {
        let store = match &self.store {
            Some(probe) => Some(probe.answer().await.into()),
            None => None,
        };
        let checks = Checks {
            store,
            policy_feed: self
                .feeds
                .as_ref()
                .map(|feeds| self.policy_feed(feeds).into()),
            signing_keys: self
                .authority
                .as_ref()
                .map(|part| signing_keys(part).into()),
            running: self.running().into(),
        };
        let ready = [&checks.store, &checks.policy_feed, &checks.signing_keys]
            .into_iter()
            .flatten()
            .chain([&checks.running])
            .all(|check| check.ok);
        Readiness { ready, checks }
    }

    /// Every feed must be good: a node that answers for half of its servers is none to send requests to.
    fn policy_feed(&self, feeds: &Feeds) -> Result<(), String> {
        let now = self.clock.now();
        let gap = feeds.all().find_map(|feed| feed.current(now).err());
        gap.map_or(Ok(()), |gap| Err(gap.to_string()))
    }

    fn running(&self) -> Result<(), String> {
        if self.closing.is_cancelled() {
            return Err("the shutdown has begun".to_owned());
        }
        Ok(())
    }
}

fn signing_keys(authority: &Authority) -> Result<(), String> {
    if authority.access_jwks().keys.is_empty() {
        return Err("no signing keys are loaded".to_owned());
    }
    Ok(())
}

async fn small_read(store: Store) -> Result<(), String> {
    match store.change_counter().await {
        Ok(_) => Ok(()),
        Err(error) => {
            // Its words may name files and hosts, and whoever probes need not know them.
            tracing::warn!(%error, "the store does not answer a read");
            Err("it answers with an error; the log says which".to_owned())
        }
    }
}
