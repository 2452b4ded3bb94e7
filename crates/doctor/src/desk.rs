use std::sync::Arc;

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
}
