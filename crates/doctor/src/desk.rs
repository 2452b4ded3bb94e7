use std::sync::Arc;

use url::Url;

use crate::scene::is_loopback;
use crate::{Ask, Exchange, Notebook, Plan, Scene, Wire};

/// What every section works with: what is asked, the way out, what is known and what was found.
#[derive(Debug)]
pub struct Desk {
    /// What is to be examined.
    pub plan: Plan,
    /// The only way out.
    pub wire: Wire,
    /// What earlier sections learned.
    pub scene: Scene,
    /// What was found.
    pub notes: Notebook,
}

impl Desk {
    /// Sends one request; whatever comes of it is an exchange.
    pub async fn send(&self, ask: Ask) -> Arc<Exchange> {
        self.wire.send(ask).await
    }

    /// Whether what must be refused may be tried at `endpoint`: at servers of this machine, or where somebody said so. The
    /// authorization server of a server on this machine may be somebody else's.
    pub fn may_attack(&self, endpoint: &Url) -> bool {
        self.plan.attack || (self.scene.is_loopback && is_loopback(endpoint))
    }

    /// Whether a client may be registered at `endpoint`. A server elsewhere that names an address of this machine is not told
    /// what listens there.
    pub fn may_register(&self, endpoint: &Url) -> bool {
        self.plan.register || (self.scene.is_loopback && is_loopback(endpoint))
    }

    /// Whether a client's secret, or a token, may be sent to `endpoint` of the authorization server: to the issuer's own origin,
    /// and not in the clear.
    pub fn may_have_secrets(&self, endpoint: &Url) -> bool {
        let issuer = self
            .scene
            .issuer
            .as_deref()
            .and_then(|issuer| Url::parse(issuer).ok());
        let is_private = endpoint.scheme() == "https" || is_loopback(endpoint);
        is_private && issuer.is_some_and(|issuer| issuer.origin() == endpoint.origin())
    }
}
