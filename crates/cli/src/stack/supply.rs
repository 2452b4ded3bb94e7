use std::sync::Arc;

use authz::Inventory;
use base::Clock;
use domain::{CallRecord, ServerSlug};
use gateway::{Feeds, IdentityKey};
use sdk::{OpaqueTokens, OwnServer};
use store::Store;
use tokio::sync::{Notify, watch};
use wire::oauth::ScopeSet;

use super::inventory::{self, Mapped};
use super::served::Served;
use crate::failure;

/// All that a gateway lives on, from the authority in its process or from one elsewhere: it cannot tell them apart.
pub struct Supply {
    /// By what calls are judged.
    pub feeds: Feeds,
    /// Where the authority in this process was before it moved.
    pub former_origins: Vec<String>,
    /// Which MCP servers there are.
    pub served: watch::Receiver<Vec<Served>>,
    /// What signs `Portcullis-Identity`.
    pub identity_key: watch::Receiver<IdentityKey>,
    /// What service tokens stand for.
    pub opaque_tokens: Arc<dyn OpaqueTokens>,
    /// Where it goes what upstreams offer.
    pub manifest: Manifest,
    /// Where calls are written down. It never waits.
    pub calls: CallSink,
}

/// Takes what is written down of a call.
pub type CallSink = Box<dyn Fn(CallRecord) + Send>;

/// Where the inventories of upstreams are published.
#[derive(Clone)]
pub enum Manifest {
    /// In the store of this process.
    Store {
        store: Store,
        clock: Arc<dyn Clock>,
        /// Makes the policy feed look at once.
        wake: Arc<Notify>,
    },
    /// At an authority elsewhere.
    Elsewhere(Arc<[OwnServer]>),
}

impl Manifest {
    /// Whether the authority is another process.
    pub fn is_elsewhere(&self) -> bool {
        matches!(self, Self::Elsewhere(_))
    }

    /// Publishes what an upstream offers; says what came of it.
    ///
    /// # Errors
    /// In words.
    pub async fn publish(
        &self,
        slug: &ServerSlug,
        inventory: &Inventory,
        overrides: &[(String, ScopeSet)],
    ) -> Result<Mapped, String> {
        match self {
            Self::Store { store, clock, wake } => {
                let mapped = inventory::publish(store, &**clock, slug, inventory, overrides)
                    .await
                    .map_err(|error| failure::message(&error))?;
                wake.notify_one();
                Ok(mapped)
            }
            Self::Elsewhere(servers) => {
                let server = servers
                    .iter()
                    .find(|server| server.slug() == slug.as_str())
                    .ok_or("it has no credential here")?;
                let told = server
                    .publish_inventory(inventory)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(Mapped {
                    tools: told.tools,
                    hidden: told.hidden,
                    changed: told.changed,
                    ..Mapped::default()
                })
            }
        }
    }
}
