use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64};

use authz::Inventory;
use base::Clock;
use domain::{CallRecord, ServerSlug};
use gateway::{Feeds, IdentityKey};
use sdk::{OpaqueTokens, OwnServer};
use store::{ActivityLog, Store};
use tokio::sync::{Notify, watch};
use wire::oauth::ScopeSet;

use super::activity_report::Reports;
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
    /// Where calls are written down.
    pub calls: CallSink,
}

/// Where calls are written down.
pub enum CallSink {
    /// In the activity log of this process.
    Log(ActivityLog),
    /// At an authority elsewhere.
    Elsewhere(Reports),
}

impl CallSink {
    /// Writes a call down: never waits, but for room where no call may be lost.
    pub async fn write_down(&self, call: CallRecord) {
        match self {
            Self::Log(log) => log.record_in_turn(call).await,
            Self::Elsewhere(reports) => reports.put(call).await,
        }
    }
}

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
    /// At an authority elsewhere, which says by each feed what is in force.
    Elsewhere(Arc<[(OwnServer, Arc<Heard>)]>),
}

/// What was heard in the feed of one MCP server.
#[derive(Debug, Default)]
pub struct Heard {
    /// How often it was followed anew: the authority may be another release since.
    pub followed: AtomicU64,
    /// The revision of the policy in force.
    pub revision: AtomicI64,
}

impl Manifest {
    /// What the feed of a server said, when the authority is another process.
    pub fn heard(&self, slug: &ServerSlug) -> Option<&Heard> {
        let Self::Elsewhere(servers) = self else {
            return None;
        };
        let mut servers = servers.iter();
        let found = servers.find(|(server, _)| server.slug() == slug.as_str());
        found.map(|(_, heard)| &**heard)
    }

    /// As much of it as can be told at once, when that is not all: to an authority that is another process.
    pub fn shortened(&self, inventory: &Inventory) -> Option<Inventory> {
        match self {
            Self::Store { .. } => None,
            Self::Elsewhere(_) => sdk::shortened_inventory(inventory),
        }
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
                let (server, _) = servers
                    .iter()
                    .find(|(server, _)| server.slug() == slug.as_str())
                    .ok_or("it has no credential here")?;
                let told = server
                    .publish_inventory(inventory)
                    .await
                    .map_err(|error| error.to_string())?;
                Ok(Mapped {
                    tools: told.tools,
                    hidden: told.hidden,
                    changed: told.changed,
                    revision: told.revision,
                    again: told.again,
                    ..Mapped::default()
                })
            }
        }
    }
}
