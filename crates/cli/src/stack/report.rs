use domain::{McpServer, ServerSlug, Upstream};

use super::inventory;
use super::news;
use super::self_check;
use super::watch::First;
use crate::screen::{OpenTools, ServerLines};
use crate::target;

/// What the screen says of each MCP server, the one that was asked for first.
pub fn servers(
    servers: &[McpServer],
    first: &ServerSlug,
    looks: &[First],
    checked: &self_check::Outcome,
) -> Vec<ServerLines> {
    let mut lines: Vec<ServerLines> = servers
        .iter()
        .map(|server| {
            let look = looks.iter().find(|look| look.slug == server.slug);
            let now = checked
                .open_tools
                .iter()
                .find(|(slug, _)| slug == server.slug.as_str())
                .map_or(0, |(_, count)| *count);
            let mut lines = ServerLines {
                slug: server.slug.to_string(),
                mcp_url: server.resource.clone(),
                upstream: target::describe(&server.upstream),
                ..ServerLines::default()
            };
            let mapped = match look.map(|look| &look.outcome) {
                Some(Ok(seen)) => {
                    lines.open_tools = seen.anonymous.map(|before| OpenTools { before, now });
                    if seen.anonymous.is_some_and(|tools| tools > 0)
                        && let Upstream::Http { url, .. } = &server.upstream
                    {
                        lines.bypass = Some(target::without_query(url));
                    }
                    seen.mapped.clone()
                }
                Some(Err(reason)) => {
                    lines.notes.push(format!(
                        "The upstream cannot be used now: {}. Calls fail; it is tried again.",
                        news::reason(reason)
                    ));
                    inventory::known(&server.policy)
                }
                None => {
                    lines.notes.push(
                        "The upstream has not answered yet; what it offers is told below.".into(),
                    );
                    inventory::known(&server.policy)
                }
            };
            lines.scopes = mapped.scopes;
            lines.also = mapped.also;
            lines.hidden = mapped.hidden;
            if !mapped.changed.is_empty() {
                lines.notes.push(format!(
                    "Changed since it was accepted: {} (portcullis tools list {}).",
                    news::in_short(&mapped.changed),
                    server.slug
                ));
            }
            lines
        })
        .collect();
    lines.sort_by_key(|lines| lines.slug != first.as_str());
    lines
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base::Timestamp;
    use domain::{OtherAddresses, ServerSettings};

    use super::super::inventory::Mapped;
    use super::super::watch::Seen;
    use super::*;

    #[test]
    fn the_notes_of_a_server_are_plain_whatever_its_upstream_says() {
        let slug = ServerSlug::parse("todo").unwrap();
        let server = McpServer {
            slug: slug.clone(),
            name: "Todo".to_owned(),
            resource: "http://localhost:4180/mcp/todo".to_owned(),
            other_addresses: OtherAddresses::default(),
            upstream: Upstream::Todo,
            settings: ServerSettings::default(),
            policy: authz::Policy::default(),
            policy_revision: 1,
            created_at: Timestamp::default(),
        };
        let clipboard = "get\u{1b}]52;c;cm0gLXJmIH4=\u{7}".to_owned();
        let changed = Seen {
            mapped: Mapped {
                changed: vec![clipboard.clone()],
                ..Mapped::default()
            },
            anonymous: None,
        };
        for outcome in [Ok(changed), Err(clipboard)] {
            let looks = [First {
                slug: slug.clone(),
                outcome,
            }];
            let checked = self_check::Outcome::default();
            let lines = servers(std::slice::from_ref(&server), &slug, &looks, &checked);
            let [note] = &lines[0].notes[..] else {
                panic!("{:?}", lines[0].notes);
            };
            assert!(note.contains("get]52;c;"), "{note:?}");
            assert!(!note.contains(char::is_control), "{note:?}");
        }
    }
}
