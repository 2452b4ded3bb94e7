use rmcp::handler::server::common::Extension;
use rmcp::handler::server::router::tool::ToolRouter;
use rmcp::handler::server::wrapper::Parameters;
use rmcp::model::{Implementation, ServerCapabilities, ServerConfig};
use rmcp::{Json, ServerHandler, tool, tool_handler, tool_router};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::identity::Person;
use crate::todos::{Added, TODOS_MAX, Todo, Todos};

const TITLE_CHARACTERS_MAX: usize = 200;

/// The five tools.
#[derive(Debug, Clone)]
pub(crate) struct TodoTools {
    todos: Todos,
    tool_router: ToolRouter<Self>,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ListArguments {
    /// Which todos to list; all of them when it is missing.
    #[serde(default)]
    show: Show,
}

#[derive(Debug, Default, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum Show {
    #[default]
    All,
    Open,
    Done,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NumberArguments {
    /// The number of the todo, as list_todos shows it.
    #[schemars(range(min = 1))]
    number: i64,
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddArguments {
    /// What is to be done, in one line.
    #[schemars(length(min = 1, max = 200))]
    title: String,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TodoList {
    /// The todos, oldest first.
    todos: Vec<Todo>,
}

/// The request's head, where the access check left the person.
type Head = Extension<http::request::Parts>;

#[tool_router]
impl TodoTools {
    pub(crate) fn new(todos: Todos) -> Self {
        Self {
            todos,
            tool_router: Self::tool_router(),
        }
    }

    #[tool(
        title = "List todos",
        description = "Lists your todos with their numbers, oldest first.",
        annotations(
            read_only_hint = true,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn list_todos(
        &self,
        Extension(head): Head,
        Parameters(arguments): Parameters<ListArguments>,
    ) -> Result<Json<TodoList>, String> {
        let done = match arguments.show {
            Show::All => None,
            Show::Open => Some(false),
            Show::Done => Some(true),
        };
        let todos = self.todos.list(person(&head)?, done).await;
        Ok(Json(TodoList {
            todos: todos.map_err(|error| unavailable(&error))?,
        }))
    }

    #[tool(
        title = "Show a todo",
        description = "Shows one of your todos by its number.",
        annotations(
            read_only_hint = true,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn get_todo(
        &self,
        Extension(head): Head,
        Parameters(arguments): Parameters<NumberArguments>,
    ) -> Result<Json<Todo>, String> {
        let found = self.todos.find(person(&head)?, arguments.number).await;
        one(found, arguments.number)
    }

    #[tool(
        title = "Add a todo",
        description = "Adds a todo to your list and tells its number.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = false,
            open_world_hint = false
        )
    )]
    async fn add_todo(
        &self,
        Extension(head): Head,
        Parameters(arguments): Parameters<AddArguments>,
    ) -> Result<Json<Todo>, String> {
        let person = person(&head)?;
        let title = check_title(&arguments.title)?;
        match self.todos.add(person, title).await {
            Ok(Added::New(todo)) => Ok(Json(todo)),
            Ok(Added::ListIsFull) => Err(format!(
                "Your list is full: it holds {TODOS_MAX} todos. Delete some first."
            )),
            Err(error) => Err(unavailable(&error)),
        }
    }

    #[tool(
        title = "Complete a todo",
        description = "Marks one of your todos as done.",
        annotations(
            read_only_hint = false,
            destructive_hint = false,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn complete_todo(
        &self,
        Extension(head): Head,
        Parameters(arguments): Parameters<NumberArguments>,
    ) -> Result<Json<Todo>, String> {
        let completed = self.todos.complete(person(&head)?, arguments.number).await;
        one(completed, arguments.number)
    }

    #[tool(
        title = "Delete a todo",
        description = "Deletes one of your todos for good and shows what it was.",
        annotations(
            read_only_hint = false,
            destructive_hint = true,
            idempotent_hint = true,
            open_world_hint = false
        )
    )]
    async fn delete_todo(
        &self,
        Extension(head): Head,
        Parameters(arguments): Parameters<NumberArguments>,
    ) -> Result<Json<Todo>, String> {
        let deleted = self.todos.delete(person(&head)?, arguments.number).await;
        one(deleted, arguments.number)
    }
}

#[tool_handler(router = self.tool_router)]
impl ServerHandler for TodoTools {
    fn get_info(&self) -> ServerConfig {
        ServerConfig::new(ServerCapabilities::builder().enable_tools().build())
            .with_server_info(
                Implementation::new("portcullis-todo", env!("CARGO_PKG_VERSION"))
                    .with_title("Todo list"),
            )
            .with_instructions(
                "A todo list of your own. Ask list_todos first; the other tools take a number from it.",
            )
    }
}

fn person(head: &http::request::Parts) -> Result<&Person, String> {
    head.extensions.get::<Person>().ok_or_else(|| {
        "Whose todos these are is not known: the request carries no Portcullis-Identity.".to_owned()
    })
}

fn check_title(title: &str) -> Result<&str, String> {
    let title = title.trim();
    if title.is_empty() {
        return Err("title is empty. Say what is to be done.".to_owned());
    }
    let length = title.chars().count();
    if length > TITLE_CHARACTERS_MAX {
        return Err(format!(
            "title has {length} characters. It may have at most {TITLE_CHARACTERS_MAX}."
        ));
    }
    if title.chars().any(char::is_control) {
        return Err(
            "title has a line break or another control character. Use one line.".to_owned(),
        );
    }
    Ok(title)
}

fn one(found: Result<Option<Todo>, sqlx::Error>, number: i64) -> Result<Json<Todo>, String> {
    match found {
        Ok(Some(todo)) => Ok(Json(todo)),
        Ok(None) => Err(format!(
            "There is no todo number {number} in your list. list_todos shows the numbers."
        )),
        Err(error) => Err(unavailable(&error)),
    }
}

fn unavailable(error: &sqlx::Error) -> String {
    tracing::error!(%error, "the todo database failed");
    "The todo list cannot be reached right now. Try again in a moment.".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_title_is_one_line_of_at_most_two_hundred_characters() {
        assert_eq!(check_title("  buy milk "), Ok("buy milk"));
        assert_eq!(check_title(&"é".repeat(200)), Ok("é".repeat(200).as_str()));
        for refused in ["", "  ", "two\nlines", "nul\0", &"é".repeat(201)] {
            assert!(check_title(refused).is_err(), "{refused:?}");
        }
    }
}
