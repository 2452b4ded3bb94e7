//! What runs under `up` and `serve` alike: the authority, the gateway, the chores, and the listeners in front of them.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock, Random, random_token};
use domain::McpServer;
use gateway::Gateway;
use oauth::{Authority, AuthoritySettings, MasterKey};
use store::{ActivityLog, Store};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::identity_keys::{self, IdentityKeys};
use super::server_set::{Asked, ServerSet, Surroundings};
use super::service_tokens::ServiceTokens;
use super::upstreams::TodoAddress;
use super::watch::First;
use super::{chores, join, records, todo_server};
use crate::accept::{self, Socket};
use crate::connect_lines::connect_lines;
use crate::data_dir::DataDirectory;
use crate::forwarded::TrustedProxies;
use crate::handshake;
use crate::operate::{self, Operations};
use crate::terminal::Terminal;
use crate::tls::Certificates;

const RECORDS_WAITING_MAX: usize = 4096;
const SIGHTINGS_WAITING_MAX: usize = 1024;

/// What a node is started with.
pub struct NodeSettings {
    /// The authority's origin.
    pub public_url: String,
    /// Tells its cookies from those of others on the same host.
    pub authority_id: String,
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
    /// Whose word about the client's address counts.
    pub proxies: TrustedProxies,
    /// The authority's database.
    pub store: Store,
    /// The calls.
    pub activity: ActivityLog,
    /// Where the todo server keeps its file.
    pub directory: DataDirectory,
    /// What seals the signing keys.
    pub master_key: MasterKey,
    /// More roots for outgoing connections.
    pub ca_file: Option<PathBuf>,
    /// What turns names into addresses; the system when there is none.
    pub names: Option<egress::Names>,
    /// What bounds strangers.
    pub limits: NodeLimits,
    /// The server that the command line named.
    pub asked: Option<Asked>,
    /// Where handshakes, children's messages and news of upstreams are told.
    pub terminal: Terminal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
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
    /// Clients that may have registered themselves at one MCP server; each is a row of about a kilobyte that a stranger on the
    /// network can make.
    pub registrations_max: i64,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// How long calls stay in the activity log.
    pub activity_kept: Duration,
}

impl Default for NodeLimits {
    fn default() -> Self {
        Self {
            accept: accept::Limits::default(),
            gateway: gateway::Limits::default(),
            registrations_max: 100_000,
            hash_threads: hash_threads(),
            activity_kept: Duration::from_secs(30 * 24 * 3600),
        }
    }
}

/// A running node. Dropping it stops it hard; [`Node::shutdown`] lets answers finish.
#[must_use = "dropping a node stops it"]
pub struct Node {
    /// The authority.
    pub authority: Authority,
    /// What our own self-check calls itself, so that it is told to nobody.
    pub self_check_agent: String,
    /// Where the bundled todo server listens, when there is one.
    pub todo: Option<TodoAddress>,
    /// The MCP servers there were at the start.
    pub servers: Vec<McpServer>,
    /// Those of them that have an address.
    pub placed: Vec<McpServer>,
    /// What the first look at each upstream finds; the terminal is told where nobody listens.
    pub first_looks: mpsc::Receiver<First>,
    wake: Arc<Notify>,
    operations: Option<Operations>,
    closing: CancellationToken,
    stop: DropGuard,
    accepting: Vec<JoinHandle<()>>,
    gateway: Gateway,
    feed_board: server::FeedBoard,
    tasks: JoinSet<()>,
    telling: JoinSet<()>,
    store: Store,
    activity: ActivityLog,
}

impl Node {
    /// Starts everything that answers, and looks at each upstream.
    ///
    /// # Errors
    /// In words.
    pub async fn start(settings: NodeSettings) -> anyhow::Result<Self> {
        let (store, activity) = (&settings.store, &settings.activity);
        let (clock, random) = (&settings.clock, &settings.random);
        let terminal = &settings.terminal;
        let servers = store.list_servers().await?;
        let authority = Authority::open(
            AuthoritySettings {
                public_url: settings.public_url.clone(),
                authority_id: settings.authority_id.clone(),
                hash_threads: settings.limits.hash_threads,
                registrations_max: settings.limits.registrations_max,
                ca_file: settings.ca_file.clone(),
                names: settings.names.clone(),
            },
            store.clone(),
            Arc::clone(clock),
            Arc::clone(random),
            settings.master_key,
        )
        .await?;

        let mut tasks = JoinSet::new();
        let mut telling = JoinSet::new();
        let published_keys = IdentityKeys::published(&authority);
        let todo = todo_server::start(
            &servers,
            &authority,
            published_keys.subscribe(),
            &settings.directory,
            Arc::clone(clock),
            &**random,
            &mut tasks,
        )
        .await?;
        let (records, recorded) = mpsc::channel(RECORDS_WAITING_MAX);
        let (publisher, feed) = sdk::policy_feed(Arc::clone(clock));
        let gateway = Gateway::new(
            gateway::Settings {
                public_url: settings.public_url.clone(),
                alias_origins: Vec::new(),
                allowed_origins: Vec::new(),
                reserved_paths: server::OWN_PATHS.map(str::to_owned).to_vec(),
                // They follow below, as they do each time that they change.
                servers: Vec::new(),
                identity_key: identity_keys::key(&authority),
                opaque_tokens: Some(Arc::new(ServiceTokens(authority.clone()))),
                limits: settings.limits.gateway.clone(),
            },
            feed.clone(),
            records,
            Arc::clone(clock),
            Arc::clone(random),
        )
        .context("the gateway")?;

        let app = server::AppState::new(authority.clone(), http_settings());
        let board = app.feed();
        // Nothing is answered before the first snapshot is in force.
        let first = Arc::new(server::policy_feed::snapshot(&authority).await?);
        board.publish(Arc::clone(&first));
        publisher.publish(first);
        let wake = Arc::new(Notify::new());
        let (found, first_looks) = mpsc::channel(servers.len().max(1));
        let mut server_set = ServerSet::new(Surroundings {
            authority: authority.clone(),
            gateway: gateway.clone(),
            clock: Arc::clone(clock),
            wake: Arc::clone(&wake),
            asked: settings.asked,
            todo: todo.clone(),
            terminal: terminal.clone(),
            first_looks: found,
        });
        let servers_changed = Arc::new(Notify::new());
        let tell_servers = Arc::clone(&servers_changed);
        let identity_keys = IdentityKeys::new(authority.clone(), gateway.clone(), published_keys);
        tasks.spawn(server::policy_feed::run(
            authority.clone(),
            Arc::clone(&wake),
            move |update| {
                identity_keys.follow();
                match update {
                    server::FeedUpdate::Snapshot(snapshot) => {
                        board.publish(Arc::clone(&snapshot));
                        publisher.publish(snapshot);
                        tell_servers.notify_one();
                    }
                    server::FeedUpdate::Contact => {
                        board.contact();
                        publisher.contact();
                    }
                }
            },
        ));
        tasks.spawn(chores::keys(authority.clone(), Arc::clone(clock)));

        let self_check_agent = random_token(&**random, "portcullis-self-check/");
        let (sightings, seen) = mpsc::channel(SIGHTINGS_WAITING_MAX);
        telling.spawn(handshake::follow(seen, terminal.clone()));
        telling.spawn(records::follow(
            recorded,
            activity.clone(),
            sightings.clone(),
            self_check_agent.clone(),
        ));
        tasks.spawn(chores::follow_events(
            app.events(),
            sightings,
            self_check_agent.clone(),
        ));
        tasks.spawn(chores::purge(
            store.clone(),
            activity.clone(),
            Arc::clone(clock),
            settings.limits.activity_kept,
        ));
        tasks.spawn(chores::forget_idle_clients(
            store.clone(),
            Arc::clone(clock),
        ));

        // Before anybody is answered: a 404 would make clients forget what they know.
        server_set.follow(servers.iter());
        let placed = servers
            .iter()
            .filter(|server| server_set.has_place(&server.slug))
            .cloned()
            .collect();
        tasks.spawn(server_set.run(servers_changed));

        let stop = CancellationToken::new();
        let closing = stop.child_token();
        let operations = settings.counts.then(|| {
            Operations::new(
                authority.clone(),
                feed,
                Arc::clone(clock),
                closing.clone(),
                settings.certificates,
            )
        });
        if settings.counts {
            tasks.spawn(operate::upkeep(operate::install()));
        }
        let mut accepting = Vec::new();
        let side = match settings.admin {
            Some(_) => server::Side::Public,
            None => server::Side::Whole,
        };
        let entrance = join::Entrance::new(settings.proxies, Arc::clone(random));
        accepting.push(tokio::spawn(accept::serve(
            settings.public,
            join::Join::new(
                gateway.clone(),
                server::router(app.clone(), side),
                entrance.clone(),
            ),
            stop.clone(),
            settings.limits.accept.clone(),
        )));
        if let Some(admin) = settings.admin {
            accepting.push(tokio::spawn(accept::serve(
                admin.sockets,
                join::Join::alone(
                    server::router(app.at(&admin.url), server::Side::Admin),
                    entrance,
                ),
                stop.clone(),
                settings.limits.accept.clone(),
            )));
        }
        if let Some(operations) = &operations {
            accepting.push(tokio::spawn(accept::serve(
                settings.operations,
                operations.clone(),
                stop.clone(),
                settings.limits.accept.clone(),
            )));
        }
        Ok(Self {
            authority,
            self_check_agent,
            todo,
            servers,
            placed,
            first_looks,
            wake,
            operations,
            closing,
            stop: stop.drop_guard(),
            accepting,
            gateway,
            feed_board: app.feed(),
            tasks,
            telling,
            store: settings.store,
            activity: settings.activity,
        })
    }

    /// Has what was just written felt at once.
    pub fn wake(&self) {
        self.wake.notify_one();
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
        // Listening streams never end by themselves.
        self.gateway.close_streams();
        self.feed_board.close();
        drop(self.stop);
        for accepting in &mut self.accepting {
            let _ = accepting.await;
        }
        // Children of stdio servers get the chance to end by themselves.
        self.gateway.shutdown().await;
        self.tasks.shutdown().await;
        drop(self.gateway);
        // The senders are gone now, so what was told so far is written before these end.
        let _ = tokio::time::timeout(Duration::from_secs(2), async {
            while self.telling.join_next().await.is_some() {}
        })
        .await;
        self.activity.close().await;
        self.store.close().await;
    }
}

fn http_settings() -> server::Settings {
    server::Settings {
        connect_lines: Arc::new(|server: &McpServer| {
            connect_lines(server.slug.as_str(), &server.resource)
                .into_iter()
                .map(|(client, words)| (client.to_owned(), words.join(" ")))
                .collect()
        }),
    }
}

/// Half of the cores: sign-ins must leave room for tokens.
pub fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
