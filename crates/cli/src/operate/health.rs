use std::sync::Arc;

use base::Clock;
use futures_util::future::BoxFuture;
use oauth::Authority;
use sdk::PolicyFeed;
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
    store: Check,
    policy_feed: Check,
    signing_keys: Check,
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
    authority: Authority,
    feed: PolicyFeed,
    clock: Arc<dyn Clock>,
    closing: CancellationToken,
    store: Probe<Look>,
}

type Look = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

impl Health {
    pub fn new(
        authority: Authority,
        feed: PolicyFeed,
        clock: Arc<dyn Clock>,
        closing: CancellationToken,
    ) -> Self {
        let store = authority.store().clone();
        Self {
            authority,
            feed,
            clock,
            closing,
            store: Probe::new(Box::new(move || Box::pin(small_read(store.clone())))),
        }
    }

    /// What `/readyz` says.
    pub async fn readiness(&self) -> Readiness {
        let checks = Checks {
            store: self.store.answer().await.into(),
            policy_feed: self.policy_feed().into(),
            signing_keys: self.signing_keys().into(),
            running: self.running().into(),
        };
        Readiness {
            ready: checks.store.ok
                && checks.policy_feed.ok
                && checks.signing_keys.ok
                && checks.running.ok,
            checks,
        }
    }

    fn policy_feed(&self) -> Result<(), String> {
        self.feed
            .current(self.clock.now())
            .map(|_| ())
            .map_err(|gap| gap.to_string())
    }

    fn signing_keys(&self) -> Result<(), String> {
        if self.authority.access_jwks().keys.is_empty() {
            return Err("no signing keys are loaded".to_owned());
        }
        Ok(())
    }

    fn running(&self) -> Result<(), String> {
        if self.closing.is_cancelled() {
            return Err("the shutdown has begun".to_owned());
        }
        Ok(())
    }
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
