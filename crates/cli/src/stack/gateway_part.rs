use std::sync::Arc;

use anyhow::Context as _;
use domain::ServerSlug;
use gateway::{Feeds, Gateway, IdentityKey};
use sdk::OwnServer;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::JoinSet;

use super::NodeLimits;
use super::authority_part::Surroundings;
use super::records;
use super::server_set::{self, Asked, ServerSet};
use super::supply::{Manifest, Supply};
use super::upstreams::TodoAddress;
use super::watch::First;
use crate::accept::STREAMS_MAX;
use crate::terminal::Terminal;

/// More first looks than these are told to the terminal.
const FIRST_LOOKS_MAX: usize = 256;

/// The half of a node that answers for MCP servers. It has no database and does not care where its supply comes from.
pub struct GatewayPart {
    pub gateway: Gateway,
    pub feeds: Feeds,
    /// The ways to an authority elsewhere.
    pub elsewhere: Arc<[OwnServer]>,
    /// What the first look at each upstream finds; the terminal is told where nobody listens.
    pub first_looks: mpsc::Receiver<First>,
    /// The MCP servers of the start that have an address.
    pub placed: Vec<ServerSlug>,
}

impl GatewayPart {
    /// Starts to follow `supply`; `tasks` end before the supply does, `telling` when everything is told.
    ///
    /// # Errors
    /// In words.
    pub fn start(
        supply: Supply,
        around: &Surroundings<'_>,
        asked: Option<Asked>,
        todo: Option<TodoAddress>,
        terminal: &Terminal,
        tasks: &mut JoinSet<()>,
        telling: &mut JoinSet<()>,
    ) -> anyhow::Result<Self> {
        let (records, recorded) = mpsc::channel(places(around.limits));
        let identity_key = supply.identity_key.borrow().clone();
        let gateway = Gateway::new(
            gateway::Settings {
                public_url: around.public_url.to_owned(),
                alias_origins: Vec::new(),
                former_origins: supply.former_origins,
                allowed_origins: Vec::new(),
                reserved_paths: server::OWN_PATHS.map(str::to_owned).to_vec(),
                // They follow below, as they do each time that they change.
                servers: Vec::new(),
                identity_key,
                opaque_tokens: Some(supply.opaque_tokens),
                other_issuers: around.issuers.clone(),
                limits: around.limits.gateway.clone(),
            },
            supply.feeds.clone(),
            records,
            Arc::clone(around.clock),
            Arc::clone(around.random),
        )
        .context("the gateway")?;
        telling.spawn(records::follow(
            recorded,
            supply.calls,
            around.sightings.clone(),
            around.self_check_agent.to_owned(),
        ));
        tasks.spawn(follow_key(gateway.clone(), supply.identity_key));
        for issuer in around.issuers.values() {
            tasks.spawn(Arc::clone(issuer).follow(Arc::clone(around.clock)));
        }

        let elsewhere = match &supply.manifest {
            Manifest::Elsewhere(servers) => {
                servers.iter().map(|(server, _)| server.clone()).collect()
            }
            Manifest::Store { .. } => Arc::default(),
        };
        let (found, first_looks) = mpsc::channel(FIRST_LOOKS_MAX);
        let mut set = ServerSet::new(server_set::Surroundings {
            gateway: gateway.clone(),
            clock: Arc::clone(around.clock),
            manifest: supply.manifest,
            asked,
            todo,
            terminal: terminal.clone(),
            look_every: around.limits.look_every,
            first_looks: found,
        });
        // Before anybody is answered: a 404 would make clients forget what they know.
        let served = supply.served.borrow().clone();
        set.follow(&served);
        // Elsewhere it is another matter which servers there are.
        for slug in around.issuers.keys().filter(|_| elsewhere.is_empty()) {
            if !served.iter().any(|server| server.slug.as_str() == slug) {
                tracing::warn!(
                    mcp.server = slug,
                    "[[issuers]] names an MCP server that there is not; look at its slug"
                );
            }
        }
        let placed = served
            .into_iter()
            .map(|server| server.slug)
            .filter(|slug| set.has_place(slug))
            .collect();
        tasks.spawn(set.run(supply.served));
        Ok(Self {
            gateway,
            feeds: supply.feeds,
            elsewhere,
            first_looks,
            placed,
        })
    }
}

/// How many records of calls may be on their way to the log. Where each call must be recorded, every open one keeps
/// a place; that is a number, and takes no memory.
fn places(limits: &NodeLimits) -> usize {
    let open = match limits.gateway.records_waiting_max {
        Some(_) => limits
            .accept
            .connections_max
            .saturating_mul(STREAMS_MAX as usize),
        None => 0,
    };
    (limits.activity.records_max + open).min(Semaphore::MAX_PERMITS)
}

async fn follow_key(gateway: Gateway, mut key: watch::Receiver<IdentityKey>) {
    while key.changed().await.is_ok() {
        let next = key.borrow_and_update().clone();
        if let Err(error) = gateway.set_identity_key(&next) {
            tracing::error!(%error, "the gateway goes on with the identity key it had");
        }
    }
}
