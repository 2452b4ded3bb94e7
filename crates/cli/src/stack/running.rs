//! What runs under `up` and `serve` alike: the authority, the gateway, the chores, and the listeners in front of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, Random, random_token};
use sdk::OtherIssuer;
use store::ActivityQueue;
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::alias_relay::AliasRelay;
use super::authority_part::{AuthorityPart, OwnAuthority, Surroundings};
use super::clock_watch;
use super::gateway_door::GatewayDoor;
use super::gateway_part::GatewayPart;
use super::remote_authority::RemoteAuthority;
use super::server_set::Asked;
use super::upstreams::TodoAddress;
use super::{join, todo_server};
use crate::accept::{self, Socket};
use crate::forwarded::TrustedProxies;
use crate::handshake;
use crate::operate::{self, Operations};
use crate::terminal::Terminal;
use crate::tls::Certificates;

const SIGHTINGS_WAITING_MAX: usize = 1024;

/// What a node is started with.
pub struct NodeSettings {
    /// The authority's origin.
    pub public_url: String,
    /// Where clients and people connect.
    pub public: Vec<Socket>,
    /// Where the dashboard is, when that is somewhere else.
    pub admin: Option<AdminListeners>,
    /// Where `/metrics`, `/healthz` and `/readyz` are.
    pub operations: Vec<Socket>,
    /// Whether what happens is counted, for them and for [`Node::operations`]; then the recorder was installed first of all.
    pub counts: bool,
    /// The certificates that its listeners show, to be watched.
    pub certificates: Option<Arc<Certificates>>,
    /// Whether spans are sent somewhere.
    pub traces: bool,
    /// Whose word about the client's address counts.
    pub proxies: TrustedProxies,
    /// Which parts run here.
    pub role: Role,
    /// Whose tokens MCP servers take in the place of the authority's, by slug.
    pub issuers: HashMap<String, Arc<OtherIssuer>>,
    /// What bounds strangers.
    pub limits: NodeLimits,
    /// Where handshakes, children's messages and news of upstreams are told.
    pub terminal: Terminal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

/// Which parts of Portcullis run in a node.
pub enum Role {
    /// Both; with the server that the command line named.
    All(OwnAuthority, Option<Box<Asked>>),
    /// It issues tokens, shows pages, and says to gateways elsewhere what is in force.
    Authority(OwnAuthority),
    /// It answers for MCP servers of an authority elsewhere, without a database.
    Gateway(RemoteAuthority),
}

/// The listeners of the dashboard.
pub struct AdminListeners {
    /// Where it listens.
    pub sockets: Vec<Socket>,
    /// The origin under which browsers reach it.
    pub url: String,
}

/// Sizes, times and counts.
#[derive(Debug, Clone)]
pub struct NodeLimits {
    /// Of connections.
    pub accept: accept::Limits,
    /// Of calls.
    pub gateway: gateway::Limits,
    /// How long until what an upstream offers is read again.
    pub look_every: Duration,
    /// Clients that may have registered themselves at one MCP server; each is a row of about a kilobyte that a stranger on the
    /// network can make.
    pub registrations_max: i64,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// What waits to be written to the activity log.
    pub activity: ActivityQueue,
    /// How long calls stay in it.
    pub activity_kept: Duration,
    /// How long audit events are kept; none without end.
    pub audit_kept: Option<Duration>,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            accept: accept::Limits::default(),
            gateway: gateway::Limits::default(),
            look_every: Duration::from_secs(5 * 60),
            registrations_max: 100_000,
            hash_threads: hash_threads(),
            activity: ActivityQueue::default(),
            activity_kept: Duration::from_secs(30 * 24 * 3600),
            audit_kept: Some(Duration::from_secs(400 * 24 * 3600)),
        }
    }
}

/// A running node. Dropping it stops it hard; [`Node::shutdown`] lets answers finish.
#[must_use = "dropping a node stops it"]
pub struct Node {
    /// The part with the database, where it runs.
    pub authority: Option<AuthorityPart>,
    /// The part that answers for MCP servers, where it runs.
    pub gateway: Option<GatewayPart>,
    /// What our own self-check calls itself, so that it is told to nobody.
    pub self_check_agent: String,
    /// Where the bundled todo server listens, when there is one.
    pub todo: Option<TodoAddress>,
    operations: Option<Operations>,
    closing: CancellationToken,
    stop: DropGuard,
    accepting: Vec<JoinHandle<()>>,
    tasks: JoinSet<()>,
    telling: JoinSet<()>,
}

impl Node {
    /// Starts everything that answers, and looks at each upstream.
    ///
    /// # Errors
    /// In words.
    pub async fn start(settings: NodeSettings) -> anyhow::Result<Self> {
        let (clock, random) = (&settings.clock, &settings.random);
        let self_check_agent = random_token(&**random, "portcullis-self-check/");
        let (sightings, seen) = mpsc::channel(SIGHTINGS_WAITING_MAX);
        let mut tasks = JoinSet::new();
        let mut telling = JoinSet::new();
        telling.spawn(handshake::follow(seen, settings.terminal.clone()));
        let around = Surroundings {
            public_url: &settings.public_url,
            admin_url: settings.admin.as_ref().map(|admin| admin.url.as_str()),
            limits: &settings.limits,
            issuers: &settings.issuers,
            clock,
            random,
            self_check_agent: &self_check_agent,
            sightings: &sightings,
        };
        let (authority, gateway, todo) = match settings.role {
            Role::All(own, asked) => {
                let authority = AuthorityPart::start(own, &around, &mut tasks).await?;
                let todo = todo_server::start(
                    &authority.servers,
                    &authority.authority,
                    authority.identity_set.clone(),
                    &authority.directory,
                    Arc::clone(clock),
                    &**random,
                    &mut tasks,
                )
                .await?;
                let gateway = GatewayPart::start(
                    authority.supply(),
                    &around,
                    asked.map(|asked| *asked),
                    todo.clone(),
                    &settings.terminal,
                    &mut tasks,
                    &mut telling,
                )?;
                (Some(authority), Some(gateway), todo)
            }
            Role::Authority(own) => {
                let authority = AuthorityPart::start(own, &around, &mut tasks).await?;
                (Some(authority), None, None)
            }
            Role::Gateway(remote) => {
                let gateway = GatewayPart::start(
                    remote.supply(
                        clock,
                        random,
                        settings.limits.activity,
                        &mut tasks,
                        &mut telling,
                    )?,
                    &around,
                    None,
                    None,
                    &settings.terminal,
                    &mut tasks,
                    &mut telling,
                )?;
                (None, Some(gateway), None)
            }
        };

        let stop = CancellationToken::new();
        let closing = stop.child_token();
        let operations = settings.counts.then(|| {
            let feeds = match (&gateway, &authority) {
                (Some(gateway), _) => Some(gateway.feeds.clone()),
                (None, authority) => authority.as_ref().map(|part| part.feed.clone().into()),
            };
            Operations::new(
                authority.as_ref().map(|part| part.authority.clone()),
                feeds,
                Arc::clone(clock),
                closing.clone(),
                settings.certificates,
            )
        });
        let store = authority
            .as_ref()
            .map(|part| part.authority.store().clone());
        clock_watch::start(clock, store, &mut tasks).await;
        if settings.counts {
            tasks.spawn(operate::upkeep(operate::install()));
        }
        let mut accepting = Vec::new();
        let accept_limits = &settings.limits.accept;
        let side = match settings.admin {
            Some(_) => server::Side::Public,
            None => server::Side::Whole,
        };
        let entrance =
            join::Entrance::new(settings.proxies, Arc::clone(random)).traced(settings.traces);
        let pages = authority
            .as_ref()
            .map(|part| server::router(part.app.clone(), side));
        accepting.push(match (pages, &gateway) {
            (Some(pages), gateway) => {
                let door = match gateway {
                    Some(part) => join::Join::new(part.gateway.clone(), pages, entrance.clone()),
                    None => join::Join::alone(pages, entrance.clone()),
                };
                let (stop, limits) = (stop.clone(), accept_limits.clone());
                tokio::spawn(accept::serve(settings.public, door, stop, limits))
            }
            (None, Some(part)) => {
                let door = GatewayDoor {
                    gateway: part.gateway.clone(),
                    feeds: part.feeds.clone(),
                    aliases: AliasRelay::new(Arc::clone(&part.elsewhere)),
                    random: Arc::clone(random),
                    entrance: entrance.clone(),
                };
                let (stop, limits) = (stop.clone(), accept_limits.clone());
                tokio::spawn(accept::serve(settings.public, door, stop, limits))
            }
            (None, None) => anyhow::bail!("a node without a part answers nobody"),
        });
        if let (Some(admin), Some(part)) = (settings.admin, &authority) {
            accepting.push(tokio::spawn(accept::serve(
                admin.sockets,
                join::Join::alone(
                    server::router(part.app.at(&admin.url), server::Side::Admin),
                    entrance,
                ),
                stop.clone(),
                accept_limits.clone(),
            )));
        }
        if let Some(operations) = &operations {
            accepting.push(tokio::spawn(accept::serve(
                settings.operations,
                operations.clone(),
                stop.clone(),
                accept_limits.clone(),
            )));
        }
        Ok(Self {
            authority,
            gateway,
            self_check_agent,
            todo,
            operations,
            closing,
            stop: stop.drop_guard(),
            accepting,
            tasks,
            telling,
        })
    }

    /// What answers `/metrics`, `/healthz` and `/readyz`, when what happens is counted.
    pub fn operations(&self) -> Option<Operations> {
        self.operations.clone()
    }

    /// Says at `/readyz` that the end has begun, while everything is still answered: a load balancer needs a moment to
    /// send requests elsewhere. [`Node::shutdown`] does not wait for that.
    pub fn announce_shutdown(&self) {
        self.closing.cancel();
    }

    /// Refuses new connections, lets answers finish, writes everything down.
    pub async fn shutdown(mut self) {
        // Streams that only listen never end by themselves.
        if let Some(part) = &self.gateway {
            part.gateway.close_streams();
        }
        if let Some(part) = &self.authority {
            part.close_streams();
        }
        drop(self.stop);
        for accepting in &mut self.accepting {
            let _ = accepting.await;
        }
        // Children of stdio servers get the chance to end by themselves.
        if let Some(part) = self.gateway {
            part.gateway.shutdown().await;
        }
        self.tasks.shutdown().await;
        // The senders are gone now, so what was told so far is written before these end.
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while self.telling.join_next().await.is_some() {}
        })
        .await;
        if !self.telling.is_empty() {
            tracing::warn!(
                "not all calls that waited for it were told in the two seconds of an end"
            );
        }
        // What still waits for room would keep the log from closing.
        self.telling.shutdown().await;
        if let Some(part) = self.authority {
            part.close().await;
        }
    }
}

/// Half of the cores: sign-ins must leave room for tokens.
pub fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
