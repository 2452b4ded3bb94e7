use std::collections::HashMap;

use domain::{ClientId, ServerSlug, UserId};
use store::Store;

use crate::terminal::plain;

/// The longest name that is shown, in characters.
const NAME_CHARS_MAX: usize = 40;
/// How much is shown of an id that says nothing.
const ID_CHARS_MAX: usize = 12;

/// Whom people know by which name, looked up once each.
pub(super) struct Names<'a> {
    store: &'a Store,
    people: HashMap<String, String>,
    clients: HashMap<String, String>,
}

impl<'a> Names<'a> {
    pub(super) fn new(store: &'a Store) -> Self {
        Self {
            store,
            people: HashMap::new(),
            clients: HashMap::new(),
        }
    }

    /// The address of a person; of anybody else the subject.
    pub(super) async fn person(&mut self, subject: &str) -> anyhow::Result<String> {
        if let Some(name) = self.people.get(subject) {
            return Ok(name.clone());
        }
        let user = self.store.find_user(&UserId::from_text(subject)).await?;
        let name = match user {
            Some(user) => plain(user.email.as_str(), NAME_CHARS_MAX),
            None => plain(subject, NAME_CHARS_MAX),
        };
        self.people.insert(subject.to_owned(), name.clone());
        Ok(name)
    }

    /// What a client calls itself, which proves nothing, with the beginning of its id; of one with a document the id, which
    /// is its address.
    pub(super) async fn client(&mut self, server: &str, client: &str) -> anyhow::Result<String> {
        let key = format!("{server} {client}");
        if let Some(name) = self.clients.get(&key) {
            return Ok(name.clone());
        }
        let found = match ServerSlug::parse(server) {
            Ok(slug) if !client.starts_with("https:") => {
                let id = ClientId::from_text(client);
                self.store.find_client(&slug, &id).await?
            }
            _ => None,
        };
        let name = match found {
            Some(found) => format!(
                "{} ({})",
                plain(&found.name, NAME_CHARS_MAX),
                plain(client, ID_CHARS_MAX)
            ),
            None => plain(client, 2 * NAME_CHARS_MAX),
        };
        self.clients.insert(key, name.clone());
        Ok(name)
    }
}

/// A name that a server or a caller chose: what hides or moves something is spelled out, and it is cut.
pub(super) fn visible(name: &str, chars_max: usize) -> String {
    let shown = name.escape_debug().to_string();
    match shown.char_indices().nth(chars_max) {
        None => shown,
        Some((end, _)) => format!("{}…", &shown[..end]),
    }
}

/// What was called: a tool by its name, anything else with its method.
pub(super) fn called(method: &str, name: Option<&str>, chars_max: usize) -> String {
    match name {
        Some(name) if method == wire::mcp::method::TOOLS_CALL => visible(name, chars_max),
        Some(name) => format!(
            "{} {}",
            visible(method, chars_max),
            visible(name, chars_max)
        ),
        None => visible(method, chars_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_hide_or_forge_something_is_spelled_out() {
        assert_eq!(
            visible("a\u{202e}b\nc\u{200b}", 40),
            "a\\u{202e}b\\nc\\u{200b}"
        );
        assert_eq!(visible("add_todo", 8), "add_todo");
        assert_eq!(visible("add_todos", 8), "add_todo…");
        assert_eq!(called("tools/call", Some("add"), 20), "add");
        assert_eq!(
            called("resources/read", Some("a://b"), 20),
            "resources/read a://b"
        );
        assert_eq!(called("x\u{1b}[2J", None, 20), "x\\u{1b}[2J");
    }
}
