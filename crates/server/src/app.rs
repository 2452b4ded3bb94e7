use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use ::oauth::{Authority, Error, ServerContext, session::SignedIn};
use base::Timestamp;
use domain::McpServer;
use http::{Extensions, HeaderMap, Uri, header};
use store::ActivityLog;
use tokio::sync::broadcast;

use crate::cookies::CookieNames;
use crate::event::{Event, EventKind};
use crate::gateways::board::FeedBoard;
use crate::hosts::AllowedHosts;

/// How many events a slow terminal may lag behind before it misses some.
const EVENTS_KEPT: usize = 1024;

/// Makes the lines that say how to add an MCP server to each client: name of the client, what to run.
pub type ConnectLines = Arc<dyn Fn(&McpServer) -> Vec<(String, String)> + Send + Sync>;

/// What the HTTP side is told at start.
#[derive(Clone)]
pub struct Settings {
    /// For the dashboard.
    pub connect_lines: ConnectLines,
    /// Where it is written down which calls went through gateways elsewhere; nowhere when there is none.
    pub activity: Option<ActivityLog>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            connect_lines: Arc::new(|_| Vec::new()),
            activity: None,
        }
    }
}

/// The address that a request comes from: the other end of the connection, or whom a trusted proxy there names. Whoever
/// accepts connections puts it into the request's extensions; without it all requests count as one stranger's.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Everything a handler needs. Clones share it.
#[derive(Clone)]
pub struct AppState(Arc<App>);

/// What [`AppState`] shares.
pub struct App {
    pub(crate) authority: Authority,
    pub(crate) hosts: AllowedHosts,
    former_hosts: Vec<(AllowedHosts, Timestamp)>,
    pub(crate) cookies: CookieNames,
    pub(crate) connect_lines: ConnectLines,
    pub(crate) feed: FeedBoard,
    pub(crate) activity: Option<ActivityLog>,
    events: broadcast::Sender<Event>,
    /// Which program last read which metadata in which second.
    metadata_reader: AtomicU64,
}

impl AppState {
    /// The state of one authority's HTTP side.
    pub fn new(authority: Authority, settings: Settings) -> Self {
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        Self(Arc::new(App {
            hosts: AllowedHosts::new(authority.public_url()),
            former_hosts: authority
                .former_origins()
                .iter()
                .map(|former| (AllowedHosts::new(&former.origin), former.kept_until))
                .collect(),
            cookies: CookieNames::new(authority.public_url(), authority.authority_id()),
            connect_lines: settings.connect_lines,
            feed: FeedBoard::default(),
            activity: settings.activity,
            authority,
            events,
            metadata_reader: AtomicU64::new(0),
        }))
    }

    /// The same at another origin, with sign-ins of its own: for a dashboard apart from the public address.
    pub fn at(&self, origin: &str) -> Self {
        Self(Arc::new(App {
            authority: self.authority.clone(),
            hosts: AllowedHosts::new(origin),
            former_hosts: Vec::new(),
            cookies: CookieNames::new(origin, self.authority.authority_id()),
            connect_lines: Arc::clone(&self.connect_lines),
            feed: self.feed.clone(),
            activity: self.activity.clone(),
            events: self.events.clone(),
            metadata_reader: AtomicU64::new(0),
        }))
    }

    /// Where the policy feed is to hang what gateways elsewhere read.
    pub fn feed(&self) -> FeedBoard {
        self.feed.clone()
    }

    /// What happens from now on, for the terminal.
    pub fn events(&self) -> broadcast::Receiver<Event> {
        self.0.events.subscribe()
    }
}

impl std::ops::Deref for AppState {
    type Target = App;
    fn deref(&self) -> &App {
        &self.0
    }
}

impl App {
    /// Whether the request names a host at which we were before a move and are answered still.
    pub(crate) fn is_at_former_host(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let now = self.authority.now();
        self.former_hosts
            .iter()
            .any(|(hosts, until)| now < *until && hosts.accept(uri, headers))
    }

    /// Tells the terminal, if one listens. `kind` is only made then.
    pub(crate) fn emit(
        &self,
        server: Option<&str>,
        headers: &HeaderMap,
        kind: impl FnOnce() -> EventKind,
    ) {
        if self.events.receiver_count() == 0 {
            return;
        }
        // A lagging or closed terminal is its own loss.
        let _ = self.events.send(Event {
            at: self.authority.now(),
            server: server.map(str::to_owned),
            user_agent: user_agent(headers),
            kind: kind(),
        });
    }

    /// Tells the terminal that metadata was read: once a second for one program, since the three reads of one
    /// handshake, or the thousands of a load, say nothing more.
    pub(crate) fn emit_metadata_served(&self, server: &str, headers: &HeaderMap) {
        if self.events.receiver_count() == 0 {
            return;
        }
        let mut hasher = DefaultHasher::new();
        server.hash(&mut hasher);
        headers.get(header::USER_AGENT).hash(&mut hasher);
        self.authority.now().unix_seconds().hash(&mut hasher);
        let reader = hasher.finish();
        if self.metadata_reader.swap(reader, Ordering::Relaxed) != reader {
            self.emit(Some(server), headers, || EventKind::MetadataServed);
        }
    }

    /// The MCP server `slug`, or the admin API.
    pub(crate) fn server(&self, slug: &str) -> Option<Arc<ServerContext>> {
        self.authority.issuer_of(slug)
    }

    /// The origin of the dashboard and the admin API.
    pub(crate) fn admin_origin(&self) -> &str {
        self.authority.admin_url()
    }

    /// Who is signed in with this browser.
    pub(crate) async fn signed_in(&self, headers: &HeaderMap) -> Result<Option<SignedIn>, Error> {
        match self.cookies.login(headers) {
            Some(cookie) => ::oauth::session::find(&self.authority, cookie).await,
            None => Ok(None),
        }
    }

    /// The id that a refusal shows and the log repeats: the request's own.
    pub(crate) fn correlation_id(&self) -> String {
        base::CorrelationId::current(self.authority.random()).to_string()
    }
}

/// The address that the request comes from, when the accept loop said it.
pub(crate) fn peer_address(extensions: &Extensions) -> Option<IpAddr> {
    extensions.get::<Peer>().map(|peer| peer.0)
}

fn user_agent(headers: &HeaderMap) -> Option<String> {
    let text = headers.get(header::USER_AGENT)?.to_str().ok()?;
    Some(text.chars().take(200).collect())
}
