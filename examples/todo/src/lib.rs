//! A todo list for each person, written with rmcp. Who may use which tool stands in [`policy`]; the tools only ask who calls.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use portcullis::LocalPolicy;
use portcullis::rmcp::{Caller, http_config};
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{ServerCapabilities, ServerConfig};
use rmcp::transport::streamable_http_server::StreamableHttpService;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::{ErrorData, Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// So many todos has one person.
const TODOS_MAX: usize = 100;

/// The scopes of each tool. An authority begins with this when it hears of the server for the first time.
pub fn policy() -> LocalPolicy {
    LocalPolicy::new()
        .scope("todo:read", "See your todos")
        .scope("todo:write", "Add todos")
        .scope("todo:delete", "Delete all your todos")
        .scope("todo:urgent", "Mark todos as urgent")
        .tool("list_todos", "todo:read")
        .tool("add_todo", "todo:write")
        .tool("delete_todos", "todo:delete")
}

/// The MCP server, not protected yet.
pub fn mcp() -> StreamableHttpService<Todos, LocalSessionManager> {
    let todos = Todos::default();
    StreamableHttpService::new(move || Ok(todos.clone()), Arc::default(), http_config())
}

/// The todos of everybody, by the `sub` of their token.
#[derive(Debug, Clone)]
pub struct Todos {
    by_subject: Arc<Mutex<HashMap<String, Vec<Todo>>>>,
    tool_router: ToolRouter<Self>,
}

#[derive(Debug, Clone, Serialize, JsonSchema)]
struct Todo {
    title: String,
    urgent: bool,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TodoList {
    todos: Vec<Todo>,
}

#[derive(Debug, Deserialize, JsonSchema)]
struct AddTodo {
    /// What is to be done.
    title: String,
    /// Whether it cannot wait.
    #[serde(default)]
    urgent: bool,
}

impl Default for Todos {
    fn default() -> Self {
        Self {
            by_subject: Arc::default(),
            tool_router: Self::tool_router(),
        }
    }
}

impl Todos {
    fn of<T>(&self, caller: &Caller, change: impl FnOnce(&mut Vec<Todo>) -> T) -> T {
        let mut all = self
            .by_subject
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let subject = caller.principal().subject.to_string();
        change(all.entry(subject).or_default())
    }
}

#[tool_router]
impl Todos {
    #[tool(description = "Lists your todos.", annotations(read_only_hint = true))]
    async fn list_todos(&self, caller: Caller) -> Json<TodoList> {
        let todos = self.of(&caller, |todos| todos.clone());
        Json(TodoList { todos })
    }

    #[tool(
        description = "Adds a todo.",
        annotations(read_only_hint = false, destructive_hint = false)
    )]
    async fn add_todo(
        &self,
        caller: Caller,
        Parameters(AddTodo { title, urgent }): Parameters<AddTodo>,
    ) -> Result<Json<TodoList>, ErrorData> {
        if urgent {
            // What only some calls of a tool need cannot stand in the policy.
            caller.require_scope("todo:urgent")?;
        }
        self.of(&caller, |todos| {
            if todos.len() >= TODOS_MAX {
                return Err(ErrorData::invalid_params("Your list is full.", None));
            }
            todos.push(Todo { title, urgent });
            Ok(Json(TodoList {
                todos: todos.clone(),
            }))
        })
    }

    #[tool(
        description = "Deletes all your todos.",
        annotations(read_only_hint = false, destructive_hint = true)
    )]
    async fn delete_todos(&self, caller: Caller) -> String {
        let deleted = self.of(&caller, std::mem::take);
        format!("Deleted {} todos.", deleted.len())
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for Todos {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
    }
}
