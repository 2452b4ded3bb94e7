//! Everything that `up` runs: the store, the authority, the gateway, the bundled todo server, on one listener.

mod activity_report;
mod alias_relay;
mod authority_part;
pub(crate) mod caught;
mod chores;
mod clock_watch;
mod gateway_door;
mod gateway_part;
mod housekeeping;
mod identity_keys;
mod inventory;
mod join;
mod news;
mod own_identity_key;
mod protect;
mod records;
mod remote_authority;
mod report;
mod running;
mod self_check;
mod served;
mod server_set;
mod service_tokens;
mod supply;
mod todo_server;
mod upstreams;
mod watch;

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, OsRandom, Random, SystemClock, random_token};
use domain::{McpServer, ServerSlug, Upstream};
use store::Store;
use tokio::sync::mpsc;

use crate::accept::Socket;
use crate::authority_place::AuthorityPlace;
use crate::data_dir::{AuthorityFile, DataDirectory, DataDirectoryLock};
use crate::failure::usage;
use crate::forwarded::TrustedProxies;
use crate::listen::{self, Listeners};
use crate::master_key::MasterKeySource;
use crate::operate::{self, Operations};
use crate::providers;
use crate::public_url::PublicUrl;
use crate::screen::{Screen, render};
use crate::target::Target;
use crate::terminal::{Paint, Terminal};
use crate::tool_scope::{self, ToolScope};

use server_set::Asked;
use watch::First;

pub use authority_part::OwnAuthority;
pub use inventory::publish as mapped;
pub use protect::look;
pub use remote_authority::RemoteAuthority;
pub use running::{AdminListeners, Node, NodeLimits, NodeSettings, Role, hash_threads};

/// How long the screen waits for upstreams that take their time.
const SCREEN_PATIENCE: Duration = Duration::from_secs(5);

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
    /// Whether what happens is counted, for [`Stack::operations`].
    pub operations: bool,
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
            operations: false,
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
    node: Node,
    _lock: DataDirectoryLock,
}

impl Stack {
    /// Starts everything and looks at the result from outside.
    ///
    /// # Errors
    /// One message that names the setting and the fix. What was there before is unchanged then.
    pub async fn start(options: UpOptions) -> anyhow::Result<Self> {
        providers::install();
        // First of all: what was made before it counts nothing. Where nobody can ask, nothing is counted either.
        if options.operations {
            operate::install();
        }
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
        let store = AuthorityPlace::of_up(&directory).open_store().await?;
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

    /// What answers `/metrics`, `/healthz` and `/readyz`, for a listener that is not the public one; when
    /// [`UpOptions::operations`] asked for it.
    pub fn operations(&self) -> Option<Operations> {
        self.node.operations()
    }

    /// Says at `/readyz` that the end has begun, while everything is still answered: a load balancer needs a moment to
    /// send requests elsewhere. [`Stack::shutdown`] does not wait for that.
    pub fn announce_shutdown(&self) {
        self.node.announce_shutdown();
    }

    /// Makes it look at once whether something changed, which it otherwise does four times a second of the real clock.
    pub fn look_now(&self) {
        if let Some(authority) = &self.node.authority {
            authority.wake.notify_one();
        }
    }

    /// Refuses new connections, lets answers finish, writes everything down.
    pub async fn shutdown(self) {
        self.node.shutdown().await;
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
            "--public-url {asked}: this authority is at {}, and its clients' tokens name it\n  \
             leave --public-url out, move it with `portcullis move --public-url {asked}`, or start another authority with \
             --data-dir",
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
    node: Node,
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
            node: self.node,
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
    let file = match is_first_start {
        true => file,
        false => AuthorityPlace::of_up(directory)
            .read_authority(&store)
            .await?
            .unwrap_or(file),
    };
    let public_url = file.public_url.clone();

    // The target is looked at before anything is written, so that one that cannot work leaves no trace.
    let plan = protect::plan(&store, &options, &overrides, &public_url).await?;
    if is_first_start {
        directory.write_authority(&file)?;
    }
    let first = protect::save(&store, &*options.clock, &plan).await?;
    let master_key = options
        .master_key
        .read(directory, &store, &*options.random)
        .await?;
    // Whoever named a server is told at once that it cannot be used; another one does not keep this one from starting.
    let names_one = options.target != Target::Everything || options.slug.is_some();
    if (names_one || store.list_servers_apart().await?.all().len() == 1)
        && first.upstream != Upstream::Todo
    {
        upstreams::of(&(&first).into(), &plan.env, None, &options.terminal)?;
    }
    let activity = AuthorityPlace::of_up(directory)
        .open_activity(store::ActivityQueue::default(), &*options.clock)
        .await?;
    let port = listeners.port;
    let mut node = Node::start(NodeSettings {
        public_url: public_url.clone(),
        public: listeners.sockets.into_iter().map(Socket::from).collect(),
        admin: None,
        operations: Vec::new(),
        counts: options.operations,
        certificates: None,
        traces: false,
        proxies: TrustedProxies::default(),
        role: Role::All(
            OwnAuthority {
                authority_id: file.authority_id,
                store,
                activity,
                directory: directory.clone(),
                master_key,
                ca_file: options.ca_file,
                names: options.names,
            },
            Some(Box::new(Asked {
                slug: plan.slug,
                env: plan.env,
                overrides: plan.overrides,
                found: plan.found,
            })),
        ),
        issuers: HashMap::new(),
        limits: NodeLimits::default(),
        terminal: options.terminal,
        clock: options.clock,
        random: options.random,
    })
    .await?;
    lock.announce(&public_url)?;
    let (Some(authority), Some(gateway)) = (&node.authority, &mut node.gateway) else {
        anyhow::bail!("up runs both parts");
    };

    let servers = authority.servers.clone();
    let looks = first_looks_of(&mut gateway.first_looks, servers.len()).await;
    authority.wake.notify_one();

    let local = format!("http://127.0.0.1:{port}");
    let checked = self_check::run(&self_check::Subject {
        local,
        public_url: public_url.clone(),
        user_agent: node.self_check_agent.clone(),
        servers: servers
            .iter()
            .filter(|server| gateway.placed.contains(&server.slug))
            .map(|server| (server.slug.to_string(), server.resource.clone()))
            .collect(),
        guarded: node.todo.as_ref().map(|todo| todo.url.clone()),
    })
    .await;
    let setup_url = oauth::setup::create_link(&authority.authority)
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
        node,
    })
}

async fn first_looks_of(looks: &mut mpsc::Receiver<First>, expected: usize) -> Vec<First> {
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
    looks.close();
    all
}
