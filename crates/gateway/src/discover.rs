mod ask;
mod reading;

use std::time::Duration;

use authz::Inventory;
use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body_util::BodyExt as _;
use sdk::Era;
use wire::mcp::definition::ListKind;
use wire::mcp::json::{Json, Object};
use wire::mcp::{SseParser, method, version};

pub(crate) use self::reading::Reading;
pub use self::reading::Unread;

use self::ask::{Look, NoAnswer, client_capabilities, client_info, is_stream, principal};
use crate::settings::{Limits, Upstream};
use crate::stdio;
use crate::upstream::{Forwarder, UpstreamRequest};
use crate::upstream_error::UpstreamError;

/// Pages of one list that are read.
const PAGES_MAX: usize = 100;

/// What one look at an upstream found.
#[derive(Debug, Clone)]
pub struct Discovered {
    /// What it lists.
    pub inventory: Inventory,
    /// The lists that could not be read to their end.
    pub unread: Vec<Unread>,
    /// Whether it was read in the modern era: an HTTP server that speaks both is read in the legacy one.
    pub modern: bool,
    /// What it calls itself. Proves nothing.
    pub server_name: Option<String>,
}

/// Why the inventory of an upstream could not be read, in words for the terminal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiscoverError {
    /// Nobody answers.
    #[error("{0}")]
    Unreachable(String),
    /// It speaks only the HTTP+SSE transport of 2024-11-05.
    #[error("{0}")]
    OldTransport(String),
    /// It answered something that is no MCP.
    #[error("{0}")]
    NotMcp(String),
    /// It asked for credentials.
    #[error("{0}")]
    Unauthorized(String),
}

/// Reads the inventory of `upstream`: tools, resources, templates and prompts, all pages, bounded.
///
/// # Errors
/// In words that say what was seen and what to do.
pub async fn discover(upstream: &Upstream, limits: &Limits) -> Result<Discovered, DiscoverError> {
    if let Upstream::Stdio(settings) = upstream {
        let found = stdio::discover(settings).await?;
        return Ok(Discovered {
            inventory: found.inventory,
            unread: found.unread,
            modern: found.modern,
            server_name: found.server_name,
        });
    }
    if *upstream == Upstream::Unusable {
        return Err(DiscoverError::Unreachable(UpstreamError::unusable().words));
    }
    let forwarder = Forwarder::new("", upstream, limits)
        .map_err(|error| DiscoverError::Unreachable(error.to_string()))?;
    let mut look = Look {
        forwarder,
        list_bytes_max: limits.list_bytes_max,
        era: Era::Legacy,
        version: version::V2025_11_25.to_owned(),
        session: None,
        next_id: 0,
    };
    let found = look.open_and_read().await;
    look.close().await;
    found
}

impl Look {
    async fn open_and_read(&mut self) -> Result<Discovered, DiscoverError> {
        let opening = match self.ask(method::INITIALIZE, opening_params()).await {
            Ok(result) => {
                if let Some(version) = result.str("protocolVersion") {
                    self.version = version.to_owned();
                }
                self.tell(method::NOTIFICATIONS_INITIALIZED).await?;
                result
            }
            Err(NoAnswer::Failed(error)) => return Err(error),
            Err(refused) => self.open_modern(refused).await?,
        };
        let server_name = opening
            .get("serverInfo")
            .or_else(|| {
                opening
                    .get("_meta")?
                    .get("io.modelcontextprotocol/serverInfo")
            })
            .and_then(|info| info.get("name")?.as_str())
            .map(|name| name.chars().take(100).collect());
        let mut reading = Reading::default();
        reading.open(&opening);
        for kind in ListKind::ALL {
            let capability = match kind {
                ListKind::Tools => "tools",
                ListKind::Resources | ListKind::ResourceTemplates => "resources",
                ListKind::Prompts => "prompts",
                ListKind::Instructions => continue,
            };
            let offered = opening.get("capabilities");
            if offered.is_some_and(|offered| offered.get(capability).is_some()) {
                match self.read_list(kind, &mut reading).await {
                    Ok(()) => {}
                    Err(DiscoverError::NotMcp(reason)) => reading.leave_out(kind, reason),
                    Err(error) => return Err(error),
                }
            }
        }
        let (inventory, unread) = reading.finish();
        Ok(Discovered {
            inventory,
            unread,
            modern: self.era == Era::Modern,
            server_name,
        })
    }

    /// A server that refuses `initialize` may speak the modern era alone, or the transport of 2024-11-05.
    async fn open_modern(&mut self, refused: NoAnswer) -> Result<Object, DiscoverError> {
        self.era = Era::Modern;
        version::V2026_07_28.clone_into(&mut self.version);
        self.session = None;
        match self.ask(method::SERVER_DISCOVER, Object::new()).await {
            Ok(result) => Ok(result),
            Err(NoAnswer::Failed(DiscoverError::Unauthorized(words))) => {
                Err(DiscoverError::Unauthorized(words))
            }
            Err(_) if self.speaks_old_transport().await => Err(DiscoverError::OldTransport(
                "It speaks only the HTTP+SSE transport of 2024-11-05, which has been replaced by Streamable HTTP. Start \
                 it with Streamable HTTP (often a flag such as --transport http, and the path /mcp), or run it as a \
                 command: portcullis up -- COMMAND"
                    .to_owned(),
            )),
            Err(_) => Err(self.in_words(method::INITIALIZE, refused)),
        }
    }

    /// There, a GET opens a stream whose first event says where to post.
    async fn speaks_old_transport(&mut self) -> bool {
        let request = UpstreamRequest {
            principal: principal(),
            era: Era::Legacy,
            method: Method::GET,
            headers: HeaderMap::from_iter([(
                ACCEPT,
                HeaderValue::from_static("text/event-stream"),
            )]),
            body: Bytes::new(),
        };
        let looking = async {
            let response = self.forwarder.send(request).await.ok()?;
            if !is_stream(&response) {
                return None;
            }
            let mut body = response.into_body();
            let mut parser = SseParser::new(64 * 1024);
            loop {
                let data = body.frame().await?.ok()?.into_data().ok()?;
                parser.push(&data).ok()?;
                if let Some(event) = parser.next_event().filter(|event| event.data().is_some()) {
                    return event.event().map(|name| name == "endpoint");
                }
            }
        };
        let looked = tokio::time::timeout(Duration::from_secs(5), looking).await;
        looked.ok().flatten().unwrap_or(false)
    }

    async fn read_list(
        &mut self,
        kind: ListKind,
        reading: &mut Reading,
    ) -> Result<(), DiscoverError> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut params = Object::new();
            if let Some(cursor) = &cursor {
                params.insert("cursor", cursor.as_str());
            }
            let result = match self.ask(kind.method(), params).await {
                Ok(result) => result,
                // Many servers that offer resources know no templates.
                Err(NoAnswer::Error(_) | NoAnswer::Status(StatusCode::NOT_FOUND))
                    if kind == ListKind::ResourceTemplates =>
                {
                    return Ok(());
                }
                Err(no_answer) => return Err(self.in_words(kind.method(), no_answer)),
            };
            reading
                .add_page(kind, &result)
                .map_err(DiscoverError::NotMcp)?;
            cursor = result.str("nextCursor").map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(DiscoverError::NotMcp(format!(
            "{} has more than {PAGES_MAX} pages",
            kind.method()
        )))
    }

    fn in_words(&self, method: &str, no_answer: NoAnswer) -> DiscoverError {
        match no_answer {
            NoAnswer::Failed(error) => error,
            NoAnswer::Status(status) => DiscoverError::NotMcp(format!(
                "It answered {method} with {status}. Check the address, path included"
            )),
            NoAnswer::Error(error) => DiscoverError::NotMcp(format!(
                "It answered {method} with an error: {}",
                error.str("message").unwrap_or("without words")
            )),
        }
    }
}

fn opening_params() -> Object {
    Object::from_iter([
        ("protocolVersion", Json::from(version::V2025_11_25)),
        ("capabilities", client_capabilities()),
        ("clientInfo", client_info()),
    ])
}
