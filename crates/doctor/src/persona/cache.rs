use std::collections::HashMap;
use std::sync::Arc;

use crate::{Ask, Desk, Exchange};

/// What was asked before by any persona, so that a server is asked once by all who ask the same.
#[derive(Debug, Default)]
pub(super) struct Cache(HashMap<String, Arc<Exchange>>);

impl Cache {
    /// What `ask` is answered, now or earlier.
    pub async fn send(&mut self, desk: &Desk, ask: Ask) -> Arc<Exchange> {
        let key = format!(
            "{} {} {:?} {:?}",
            ask.method, ask.url, ask.headers, ask.body
        );
        if let Some(known) = self.0.get(&key) {
            return known.clone();
        }
        let exchange = desk.send(ask).await;
        self.0.insert(key, exchange.clone());
        exchange
    }
}
