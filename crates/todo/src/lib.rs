//! The sample MCP server: a todo list for each person.
//!
//! It knows nothing of OAuth. It trusts whoever holds its bearer token to have checked the caller, and tells people
//! apart by the signed `Portcullis-Identity` header. `portcullis up` runs it on a random loopback port behind a
//! random bearer; it is also the shortest example of an MCP server that takes its callers from the gateway.

mod access;
mod identity;
mod todos;
mod tools;

use std::fmt;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use access::Access;
use identity::IdentityVerifier;
use todos::Todos;
use tools::TodoTools;

/// The slug it goes by when nobody chose another one.
pub const SLUG: &str = "todo";

const BODY_BYTES_MAX: usize = 256 * 1024;

/// What the server needs to run.
pub struct Settings {
    /// Where to listen. Every path answers.
    pub listener: TcpListener,
    /// The token that every request must carry as `Authorization: Bearer`.
    pub bearer: String,
    /// The SQLite file; made when it is missing.
    pub database: PathBuf,
    /// The public keys that `Portcullis-Identity` is signed with, as a JWK Set. They change when keys are rotated.
    pub identity_keys: watch::Receiver<String>,
    /// The `iss` that the identity must name: the authority's `public_url`.
    pub issuer: String,
    /// The `aud` that the identity must name: the slug under which this server is protected.
    pub audience: String,
    /// The time in seconds since 1970, which the identity's `exp` is held against.
    pub now: Arc<dyn Fn() -> i64 + Send + Sync>,
}

impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Settings")
            .field("database", &self.database)
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Why the server cannot run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The identity keys are no usable JWK Set.
    #[error("identity_keys: {0}")]
    IdentityKeys(String),
    /// The SQLite file cannot be opened or prepared.
    #[error("the todo database {} cannot be used: {source}", .path.display())]
    Database {
        /// The file.
        path: PathBuf,
        /// What SQLite said.
        source: sqlx::Error,
    },
}

/// Which scopes each tool needs, where the general rule from annotations would give other names.
pub fn policy_overrides() -> Vec<(String, Vec<String>)> {
    [
        ("list_todos", "todo:read"),
        ("get_todo", "todo:read"),
        ("add_todo", "todo:write"),
        ("complete_todo", "todo:write"),
        ("delete_todo", "todo:delete"),
    ]
    .map(|(tool, scope)| (tool.to_owned(), vec![scope.to_owned()]))
    .into()
}

/// What each scope lets a client do, in the words of the consent page.
pub fn scope_titles() -> [(&'static str, &'static str); 3] {
    [
        ("todo:read", "See your todos"),
        ("todo:write", "Add and complete todos"),
        ("todo:delete", "Delete todos for good"),
    ]
}

/// Serves until the future is dropped, which ends every connection.
///
/// # Errors
/// At start, when the keys or the database cannot be used.
pub async fn serve(mut settings: Settings) -> Result<(), Error> {
    let identities = IdentityVerifier::new(
        &settings.identity_keys.borrow_and_update().clone(),
        &settings.issuer,
        &settings.audience,
        settings.now,
    )?;
    let todos = Todos::open(&settings.database)
        .await
        .map_err(|source| Error::Database {
            path: settings.database.clone(),
            source,
        })?;
    let access = Arc::new(Access::new(&settings.bearer, identities));
    let service = mcp_service(todos);
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = settings.listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&access), service.clone()));
                }
                Err(error) => {
                    // Out of descriptors, most likely: others must end before another try can succeed.
                    tracing::warn!(%error, "the todo server cannot accept a connection");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            Ok(()) = settings.identity_keys.changed() => {
                access.replace_keys(&settings.identity_keys.borrow_and_update());
            }
        }
    }
}

type McpService = StreamableHttpService<TodoTools, LocalSessionManager>;

/// Both eras of the protocol, without sessions: every request stands alone, and a restart is not noticed.
fn mcp_service(todos: Todos) -> McpService {
    let mut config = StreamableHttpServerConfig::default()
        .with_legacy_session_mode(false)
        .with_json_response(true);
    config.max_request_body_bytes = BODY_BYTES_MAX;
    let tools = TodoTools::new(todos);
    StreamableHttpService::new(move || Ok(tools.clone()), Arc::default(), config)
}

fn converse(
    stream: TcpStream,
    access: Arc<Access>,
    mcp: McpService,
) -> impl Future<Output = ()> + Send {
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: http::Request<Incoming>| {
        let access = Arc::clone(&access);
        let mcp = mcp.clone();
        async move {
            Ok::<_, std::convert::Infallible>(match access.admit(request) {
                Ok(request) => mcp.handle(request).await,
                Err(reason) => access::refusal(&reason),
            })
        }
    });
    async move {
        let served = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .serve_connection(TokioIo::new(stream), service)
            .await;
        if let Err(error) = served {
            tracing::debug!(%error, "a connection to the todo server broke off");
        }
    }
}
