//! Everything that `up` runs: the store, the authority, the gateway, the bundled todo server, on one listener.

mod chores;
mod identity_keys;
mod inventory;
mod join;
mod protect;
mod records;
mod report;
mod self_check;
mod service_tokens;
mod todo_server;
mod upstreams;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{Clock, OsRandom, Random, SystemClock, random_token};
use domain::{McpServer, ServerSlug, Upstream};
use gateway::{Gateway, ServerSettings};
use oauth::{Authority, AuthoritySettings};
use store::{ActivityLog, ActivityOptions, DatabaseUrl, Store};
use tokio::sync::{Notify, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use tokio_util::sync::{CancellationToken, DropGuard};

use crate::child_env::ChildEnv;
use crate::connect_lines::connect_lines;
use crate::data_dir::{AuthorityFile, DataDirectory, DataDirectoryLock};
use crate::failure::usage;
use crate::listen::{self, Listeners};
use crate::maintenance::open_store;
use crate::master_key::MasterKeySource;
use crate::public_url::PublicUrl;
use crate::screen::{Screen, render};
use crate::target::Target;
use crate::terminal::{Paint, Terminal};
use crate::tool_scope::{self, ToolScope};
use crate::{accept, handshake, providers};

use identity_keys::IdentityKeys;
use service_tokens::ServiceTokens;
use upstreams::TodoAddress;
use watch::{First, Watch};

/// How long the screen waits for upstreams that take their time.
const SCREEN_PATIENCE: Duration = Duration::from_secs(5);
const RECORDS_WAITING_MAX: usize = 4096;
const SIGHTINGS_WAITING_MAX: usize = 1024;
/// At one MCP server; each is a row of about a kilobyte that a stranger on the network can make.
const REGISTRATIONS_MAX: i64 = 100_000;

/// What a stack is started with.
#[derive(Clone)]
pub struct UpOptions {
    /// The data directory; the default one when there is none.
    pub data_dir: Option<PathBuf>,
    /// What seals the signing keys.
    pub master_key: MasterKeySource,
    /// What to protect.
    pub target: Target,
    /// Its slug, when it is not to be made from the target.
    pub slug: Option<ServerSlug>,
    /// The port; 0 is any free one. Only the first start chooses.
    pub port: Option<u16>,
    /// The origin that clients see. Only the first start chooses.
    pub public_url: Option<PublicUrl>,
    /// A PEM file with certificates that are trusted in addition to the machine's own, when documents of clients are
    /// fetched.
    pub ca_file: Option<PathBuf>,
    /// What turns the names of their hosts into addresses; the system when there is none.
    pub names: Option<egress::Names>,
    /// Scopes that tools need instead of the usual ones.
    pub tool_scopes: Vec<ToolScope>,
    /// Where handshakes, children's messages and news of upstreams are told.
    pub terminal: Terminal,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Randomness.
    pub random: Arc<dyn Random>,
}

impl UpOptions {
    /// The todo server in `data_dir` at any free port; a start for tests.
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: Some(data_dir.into()),
            master_key: MasterKeySource::DataDirectory,
            target: Target::Everything,
            slug: None,
            port: Some(0),
            public_url: None,
            ca_file: None,
            names: None,
            tool_scopes: Vec::new(),
            terminal: Terminal::memory(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        }
    }
}

/// A running authority with its gateway. Dropping it stops it hard; [`Stack::shutdown`] lets answers finish.
#[must_use = "dropping a stack stops it"]
pub struct Stack {
    /// What a client is given: the resource of the MCP server that was asked for.
    pub mcp_url: String,
    /// That server's issuer.
    pub issuer: String,
    /// The authority's origin.
    pub authority_url: String,
    /// The dashboard.
    pub admin_url: String,
    /// The one-time link for the first person, while nobody exists.
    pub setup_url: Option<String>,
    /// The port on this machine.
    pub port: u16,
    screen: Screen,
    stop: DropGuard,
    accepting: JoinHandle<()>,
    gateway: Gateway,
    tasks: JoinSet<()>,
    telling: JoinSet<()>,
    store: Store,
    activity: ActivityLog,
    _lock: DataDirectoryLock,
}

impl Stack {
    /// Starts everything and looks at the result from outside.
    ///
    /// # Errors
    /// One message that names the setting and the fix. What was there before is unchanged then.
    pub async fn start(options: UpOptions) -> anyhow::Result<Self> {
        providers::install();
        let overrides = tool_scope::overrides(&options.tool_scopes)?;
        let directory = DataDirectory::open_or_create(options.data_dir.as_deref())?;
        let mut lock = directory.lock()?;
        let known = directory.read_authority()?;
        let listeners = listen::listen(
            known.as_ref().map(|file| file.port),
            fixed_port(known.as_ref(), &options),
        )
        .await?;
        let file = authority_file(known.clone(), &options, listeners.port)?;
        let store = open_store(&directory).await?;
        let started = start(
            options,
            overrides,
            &directory,
            &mut lock,
            listeners,
            file,
            known.is_none(),
            store.clone(),
        )
        .await;
        match started {
            Ok(parts) => Ok(parts.into_stack(lock)),
            Err(error) => {
                store.close().await;
                Err(error)
            }
        }
    }

    /// What the terminal shows.
    pub fn screen(&self) -> &Screen {
        &self.screen
    }

    /// What the terminal shows when it has this many columns and no colours.
    pub fn screen_text(&self, width: usize) -> String {
        render(&self.screen, Paint { colour: false }, width)
    }

    /// How many checks of our own answers were made, and what they found.
    pub fn self_check(&self) -> (usize, &[String]) {
        (self.screen.checks, &self.screen.findings)
    }

    /// Refuses new connections, lets answers finish, writes everything down.
    pub async fn shutdown(mut self) {
        // Listening streams never end by themselves.
        self.gateway.close_streams();
        drop(self.stop);
        let _ = (&mut self.accepting).await;
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

/// Port 0 asks for any port, which a later start has already.
fn fixed_port(known: Option<&AuthorityFile>, options: &UpOptions) -> Option<u16> {
    options.port.filter(|port| known.is_none() || *port != 0)
}

fn authority_file(
    known: Option<AuthorityFile>,
    options: &UpOptions,
    port: u16,
) -> anyhow::Result<AuthorityFile> {
    match (known, &options.public_url) {
        (Some(known), Some(asked)) if known.public_url != asked.as_str() => Err(usage(format!(
            "--public-url {asked}: this authority has been {} since its first start, and its clients' tokens name it\n  \
             leave --public-url out, or start another authority with --data-dir",
            known.public_url
        ))),
        (Some(known), _) => Ok(known),
        (None, asked) => {
            let public_url = asked.clone().unwrap_or_else(|| PublicUrl::localhost(port));
            Ok(AuthorityFile::new(
                random_token(&*options.random, "aut_"),
                &public_url,
                port,
            ))
        }
    }
}

struct Parts {
    first: McpServer,
    authority_url: String,
    setup_url: Option<String>,
    port: u16,
    screen: Screen,
    stop: DropGuard,
    accepting: JoinHandle<()>,
    gateway: Gateway,
    tasks: JoinSet<()>,
    telling: JoinSet<()>,
    store: Store,
    activity: ActivityLog,
}

impl Parts {
    fn into_stack(self, lock: DataDirectoryLock) -> Stack {
        Stack {
            mcp_url: self.first.resource.clone(),
            issuer: format!("{}/servers/{}", self.authority_url, self.first.slug),
            admin_url: format!("{}/admin", self.authority_url),
            authority_url: self.authority_url,
            setup_url: self.setup_url,
            port: self.port,
            screen: self.screen,
            stop: self.stop,
            accepting: self.accepting,
            gateway: self.gateway,
            tasks: self.tasks,
            telling: self.telling,
            store: self.store,
            activity: self.activity,
            _lock: lock,
        }
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "the one place where everything meets"
)]
async fn start(
    options: UpOptions,
    overrides: Vec<(String, wire::oauth::ScopeSet)>,
    directory: &DataDirectory,
    lock: &mut DataDirectoryLock,
    listeners: Listeners,
    file: AuthorityFile,
    is_first_start: bool,
    store: Store,
) -> anyhow::Result<Parts> {
    let clock = Arc::clone(&options.clock);
    let public_url = file.public_url.clone();

    // The target is looked at before anything is written, so that one that cannot work leaves no trace.
    let plan = protect::plan(&store, &options, &overrides, &public_url).await?;
    if is_first_start {
        directory.write_authority(&file)?;
    }
    let first = protect::save(&store, &*clock, &plan).await?;
    let servers = store.list_servers().await?;

    let master_key = options
        .master_key
        .read(directory, &store, &*options.random)
        .await?;
    let authority = Authority::open(
        AuthoritySettings {
            public_url: public_url.clone(),
            authority_id: file.authority_id.clone(),
            hash_threads: hash_threads(),
            registrations_max: REGISTRATIONS_MAX,
            ca_file: options.ca_file.clone(),
            names: options.names.clone(),
        },
        store.clone(),
        Arc::clone(&clock),
        Arc::clone(&options.random),
        master_key,
    )
    .await?;
    let activity_path = directory.file("activity.db");
    let activity = ActivityLog::open(
        ActivityOptions {
            url: DatabaseUrl::Sqlite(activity_path.clone()),
        },
        &*clock,
    )
    .await
    .with_context(|| format!("the activity log {}", activity_path.display()))?;

    let mut tasks = JoinSet::new();
    let mut telling = JoinSet::new();
    let published_keys = IdentityKeys::published(&authority);
    let todo = todo_server::start(
        &servers,
        &authority,
        published_keys.subscribe(),
        directory,
        Arc::clone(&clock),
        &*options.random,
        &mut tasks,
    )
    .await?;
    let upstreams = upstreams(&servers, &plan, todo.as_ref(), &options.terminal)?;
    let (records, recorded) = mpsc::channel(RECORDS_WAITING_MAX);
    let (publisher, feed) = sdk::policy_feed(Arc::clone(&clock));
    let gateway = Gateway::new(
        gateway::Settings {
            public_url: public_url.clone(),
            alias_origins: Vec::new(),
            allowed_origins: Vec::new(),
            servers: upstreams
                .iter()
                .map(|(slug, upstream)| ServerSettings {
                    slug: slug.to_string(),
                    upstream: upstream.clone(),
                })
                .collect(),
            identity_key: identity_keys::key(&authority),
            opaque_tokens: Some(Arc::new(ServiceTokens(authority.clone()))),
            limits: gateway::Limits::default(),
        },
        feed,
        records,
        Arc::clone(&clock),
        Arc::clone(&options.random),
    )
    .context("the gateway")?;

    // Nothing is answered before the first snapshot is in force.
    publisher.publish(Arc::new(server::policy_feed::snapshot(&authority).await?));
    let wake = Arc::new(Notify::new());
    let identity_keys = IdentityKeys::new(authority.clone(), gateway.clone(), published_keys);
    tasks.spawn(server::policy_feed::run(
        authority.clone(),
        Arc::clone(&wake),
        move |update| {
            identity_keys.follow();
            match update {
                server::FeedUpdate::Snapshot(snapshot) => publisher.publish(snapshot),
                server::FeedUpdate::Contact => publisher.contact(),
            }
        },
    ));
    tasks.spawn(chores::keys(authority.clone(), Arc::clone(&clock)));

    let app = server::AppState::new(
        authority.clone(),
        server::Settings {
            extra_hosts: Vec::new(),
            connect_lines: Arc::new(|server: &McpServer| {
                connect_lines(server.slug.as_str(), &server.resource)
                    .into_iter()
                    .map(|(client, words)| (client.to_owned(), words.join(" ")))
                    .collect()
            }),
        },
    );
    let user_agent = random_token(&*options.random, "portcullis-self-check/");
    let (sightings, seen) = mpsc::channel(SIGHTINGS_WAITING_MAX);
    telling.spawn(handshake::follow(seen, options.terminal.clone()));
    telling.spawn(records::follow(
        recorded,
        activity.clone(),
        sightings.clone(),
        user_agent.clone(),
    ));
    tasks.spawn(chores::follow_events(
        app.events(),
        sightings,
        user_agent.clone(),
    ));
    tasks.spawn(chores::purge(
        store.clone(),
        activity.clone(),
        Arc::clone(&clock),
    ));

    tasks.spawn(chores::forget_idle_clients(
        store.clone(),
        Arc::clone(&clock),
    ));

    let token = CancellationToken::new();
    let port = listeners.port;
    let handler = join::Join::new(gateway.clone(), server::router(app));
    let accepting = tokio::spawn(accept::serve(
        listeners.sockets,
        handler,
        token.clone(),
        accept::Limits::default(),
    ));
    // From here on an error must not leave the listener behind.
    let stop = token.drop_guard();
    lock.announce(&public_url)?;

    let (found, first_looks) = mpsc::channel(servers.len().max(1));
    for server in &servers {
        let is_target = server.slug == first.slug;
        let (_, upstream) = upstreams
            .iter()
            .find(|(slug, _)| *slug == server.slug)
            .context("every server has an upstream")?;
        tasks.spawn(
            Watch {
                store: store.clone(),
                clock: Arc::clone(&clock),
                wake: Arc::clone(&wake),
                slug: server.slug.clone(),
                upstream: upstream.clone(),
                is_todo: server.upstream == Upstream::Todo,
                overrides: if is_target {
                    plan.overrides.clone()
                } else {
                    Vec::new()
                },
                terminal: options.terminal.clone(),
            }
            .run(
                if is_target { plan.found.clone() } else { None },
                found.clone(),
            ),
        );
    }
    drop(found);
    let looks = first_looks_of(first_looks, servers.len()).await;
    wake.notify_one();

    let local = format!("http://127.0.0.1:{port}");
    let checked = self_check::run(&self_check::Subject {
        local,
        public_url: public_url.clone(),
        user_agent,
        servers: servers
            .iter()
            .map(|server| (server.slug.to_string(), server.resource.clone()))
            .collect(),
        guarded: todo.map(|todo| todo.url),
    })
    .await;
    let setup_url = oauth::setup::create_link(&authority)
        .await
        .map_err(|error| anyhow::anyhow!("the setup link cannot be made: {error:?}"))?;
    let screen = Screen {
        loopback: PublicUrl::parse(&public_url).is_ok_and(|url| url.is_loopback()),
        public_url: public_url.clone(),
        port,
        data_dir: directory.path().display().to_string(),
        servers: report::servers(&servers, &first.slug, &looks, &checked),
        setup_url: setup_url.clone(),
        checks: checked.checks,
        findings: checked.findings,
    };
    Ok(Parts {
        first,
        authority_url: public_url,
        setup_url,
        port,
        screen,
        stop,
        accepting,
        gateway,
        tasks,
        telling,
        store,
        activity,
    })
}

fn upstreams(
    servers: &[McpServer],
    plan: &protect::Plan,
    todo: Option<&TodoAddress>,
    terminal: &Terminal,
) -> anyhow::Result<Vec<(ServerSlug, gateway::Upstream)>> {
    servers
        .iter()
        .map(|server| {
            let given: &[ChildEnv] = if server.slug == plan.slug {
                &plan.env
            } else {
                &[]
            };
            Ok((
                server.slug.clone(),
                upstreams::of(server, given, todo, terminal)?,
            ))
        })
        .collect()
}

async fn first_looks_of(mut looks: mpsc::Receiver<First>, expected: usize) -> Vec<First> {
    let mut all = Vec::with_capacity(expected);
    let collecting = async {
        while let Some(look) = looks.recv().await {
            all.push(look);
            if all.len() == expected {
                break;
            }
        }
    };
    // Those that are late tell the terminal themselves.
    let _ = tokio::time::timeout(SCREEN_PATIENCE, collecting).await;
    all
}

/// Half of the cores: sign-ins must leave room for tokens.
fn hash_threads() -> usize {
    std::thread::available_parallelism().map_or(1, |cores| (cores.get() / 2).max(1))
}
