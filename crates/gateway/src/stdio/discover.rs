use std::sync::Arc;
use std::time::Duration;

use authz::Inventory;
use sdk::Era;
use wire::mcp::definition::ListKind;
use wire::mcp::message::Outcome;
use wire::mcp::{Json, Object, method, version};

use super::StdioSettings;
use super::child::Child;
use super::modern::{every_capability, probe, with_envelope};
use crate::DiscoverError;
use crate::discover::{Reading, Unread};

/// Pages of one list that are read.
const PAGES_MAX: usize = 100;
/// The child of the inventory is told to end when it has answered; this is only for when nobody tells it.
const IDLE: Duration = Duration::from_secs(10 * 60);

/// What one look at a stdio server found.
#[derive(Debug, Clone)]
pub struct StdioFound {
    /// What it lists.
    pub inventory: Inventory,
    /// The lists that could not be read to their end.
    pub unread: Vec<Unread>,
    /// Whether it speaks the modern era.
    pub modern: bool,
    /// What it calls itself. Proves nothing.
    pub server_name: Option<String>,
}

/// Starts a child, reads its inventory and ends it.
///
/// # Errors
/// In words that say what was seen and what to do.
pub async fn discover(settings: &StdioSettings) -> Result<StdioFound, DiscoverError> {
    let look = Look {
        child: start(settings)?,
        patience: settings.limits.discover_timeout,
        modern: false,
    };
    let found = look.probe_and_read().await;
    if let Err(Failure::BrokeAtProbe) = found {
        // It did not survive a question that it does not know. Legacy it is, with a new one.
        let look = Look {
            child: start(settings)?,
            patience: settings.limits.discover_timeout,
            modern: false,
        };
        return look.read_legacy().await.map_err(Failure::in_words);
    }
    found.map_err(Failure::in_words)
}

fn start(settings: &StdioSettings) -> Result<Arc<Child>, DiscoverError> {
    // In the modern era a child's own requests are refused at once, which is right for one that nobody listens to.
    Child::start(settings, Era::Modern, IDLE).map_err(DiscoverError::Unreachable)
}

enum Failure {
    BrokeAtProbe,
    Unreachable(String),
    NotMcp(String),
}

impl Failure {
    fn in_words(self) -> DiscoverError {
        match self {
            Self::BrokeAtProbe => {
                DiscoverError::Unreachable("the MCP server process ended at once".to_owned())
            }
            Self::Unreachable(words) => DiscoverError::Unreachable(words),
            Self::NotMcp(words) => DiscoverError::NotMcp(words),
        }
    }
}

/// One child that is being looked at; it ends with this value.
struct Look {
    child: Arc<Child>,
    patience: Duration,
    modern: bool,
}

impl Drop for Look {
    fn drop(&mut self) {
        self.child.stop();
    }
}

impl Look {
    async fn probe_and_read(mut self) -> Result<StdioFound, Failure> {
        if let Some(result) = probe(&self.child).await {
            self.modern = true;
            let named = result
                .get("_meta")
                .and_then(|meta| meta.get("io.modelcontextprotocol/serverInfo"));
            let server_name = name(named);
            return self.read(&result, server_name).await;
        }
        if !self.child.is_up() {
            return Err(Failure::BrokeAtProbe);
        }
        self.read_legacy().await
    }

    async fn read_legacy(self) -> Result<StdioFound, Failure> {
        let params = Object::from_iter([
            ("protocolVersion", Json::from(version::V2025_11_25)),
            ("capabilities", every_capability()),
            (
                "clientInfo",
                Json::object([
                    ("name", Json::from("portcullis")),
                    ("version", Json::from(env!("CARGO_PKG_VERSION"))),
                ]),
            ),
        ]);
        let result = self.ask(method::INITIALIZE, params).await?;
        self.child
            .tell(method::NOTIFICATIONS_INITIALIZED)
            .await
            .map_err(Failure::Unreachable)?;
        let server_name = name(result.get("serverInfo"));
        self.read(&result, server_name).await
    }

    async fn read(
        &self,
        opening: &Object,
        server_name: Option<String>,
    ) -> Result<StdioFound, Failure> {
        let mut reading = Reading::default();
        reading.open(opening);
        let capabilities = opening.get("capabilities");
        for kind in ListKind::ALL {
            let capability = match kind {
                ListKind::Tools => "tools",
                ListKind::Resources | ListKind::ResourceTemplates => "resources",
                ListKind::Prompts => "prompts",
                ListKind::Instructions => continue,
            };
            if capabilities.is_some_and(|all| all.get(capability).is_some()) {
                match self.read_list(kind, &mut reading).await {
                    Ok(()) => {}
                    Err(Failure::NotMcp(reason)) => reading.leave_out(kind, reason),
                    Err(failure) => return Err(failure),
                }
            }
        }
        let (inventory, unread) = reading.finish();
        Ok(StdioFound {
            inventory,
            unread,
            modern: self.modern,
            server_name,
        })
    }

    async fn read_list(&self, kind: ListKind, reading: &mut Reading) -> Result<(), Failure> {
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MAX {
            let mut params = Object::new();
            if let Some(cursor) = &cursor {
                params.insert("cursor", cursor.as_str());
            }
            let result = match self.ask(kind.method(), params).await {
                Ok(result) => result,
                // Many servers that offer resources know no templates.
                Err(Failure::NotMcp(_)) if kind == ListKind::ResourceTemplates => return Ok(()),
                Err(failure) => return Err(failure),
            };
            reading.add_page(kind, &result).map_err(Failure::NotMcp)?;
            cursor = result.str("nextCursor").map(str::to_owned);
            if cursor.is_none() {
                return Ok(());
            }
        }
        Err(Failure::NotMcp(format!(
            "{} has more than {PAGES_MAX} pages",
            kind.method()
        )))
    }

    async fn ask(&self, method: &str, params: Object) -> Result<Object, Failure> {
        let params = if self.modern {
            with_envelope(params)
        } else {
            params
        };
        match self.child.ask(method, params, self.patience).await {
            Ok(Outcome::Result(Json::Object(result))) => Ok(result),
            Ok(Outcome::Result(_)) => Err(Failure::NotMcp(format!(
                "the MCP server answered {method} with something that is no object"
            ))),
            Ok(Outcome::Error(error)) => Err(Failure::NotMcp(format!(
                "the MCP server answered {method} with an error: {}",
                error.str("message").unwrap_or("without words")
            ))),
            Err(words) => Err(Failure::Unreachable(words)),
        }
    }
}

fn name(info: Option<&Json>) -> Option<String> {
    let name = info?.get("name")?.as_str()?;
    Some(name.chars().take(100).collect())
}
