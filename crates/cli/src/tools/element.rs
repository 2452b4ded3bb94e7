use domain::McpServer;
use oauth::elements::{self, Element};

use super::command::{ElementKind, OneTool};
use crate::failure::usage;
use crate::maintenance::Maintenance;

impl Maintenance {
    /// The one that is meant: of several kinds of one name, the one that waits.
    pub(super) async fn element(
        &self,
        server: &McpServer,
        one: &OneTool,
    ) -> anyhow::Result<Element> {
        meant(
            elements::list(self.store(), server, Some(&one.tool)).await?,
            one,
        )
    }
}

fn meant(mut found: Vec<Element>, one: &OneTool) -> anyhow::Result<Element> {
    let (identity, slug) = (one.tool.escape_debug(), &one.server);
    found.retain(|element| one.kind.is_none_or(|kind| element.kind == kind.into()));
    if found.len() > 1 && found.iter().filter(|one| one.pending().is_some()).count() == 1 {
        found.retain(|one| one.pending().is_some());
    }
    if found.len() > 1 {
        let kinds = found.iter().map(|one| ElementKind::from(one.kind).as_str());
        let kinds: Vec<&str> = kinds.collect();
        return Err(usage(format!(
            "{slug} has a {} called {identity}; say which one with --kind {}",
            kinds.join(" and a "),
            kinds.join("|")
        )));
    }
    let kind = one
        .kind
        .map_or("tool, resource, template or prompt", ElementKind::as_str);
    found.pop().ok_or_else(|| {
        usage(format!(
            "{slug} has no {kind} {identity}; see portcullis tools list {slug}"
        ))
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use authz::ListKind;
    use base::Timestamp;
    use domain::{DefinitionState, ServerSlug, StoredDefinition};
    use wire::mcp::Json;
    use wire::mcp::definition::Definition;

    use super::*;

    fn element(kind: ListKind, state: DefinitionState) -> Element {
        let json = Json::object([("name", Json::from("add"))]);
        let read = Definition::read(kind, json).unwrap();
        Element {
            kind,
            identity: "add".to_owned(),
            entry: None,
            versions: vec![StoredDefinition::seen(&read, state, Timestamp::default())],
            is_gone: false,
            flags: Vec::new(),
        }
    }

    #[test]
    fn of_a_tool_and_a_prompt_of_one_name_the_one_that_waits_is_meant_or_the_kind_is_asked_for() {
        use DefinitionState::{Accepted, Pending};
        let named = |kind: Option<ElementKind>, states: &[(ListKind, DefinitionState)]| {
            let found = states.iter().map(|(kind, state)| element(*kind, *state));
            let one = OneTool {
                server: ServerSlug::parse("todo").unwrap(),
                tool: "add".to_owned(),
                kind,
            };
            let found = meant(found.collect(), &one);
            found.map(|one| one.kind).map_err(|error| error.to_string())
        };
        let both = |tool, prompt| [(ListKind::Tools, tool), (ListKind::Prompts, prompt)];
        let prompt = Some(ElementKind::Prompt);
        assert_eq!(named(None, &both(Accepted, Pending)), Ok(ListKind::Prompts));
        assert_eq!(named(None, &both(Pending, Accepted)), Ok(ListKind::Tools));
        for state in [Accepted, Pending] {
            let asked = named(None, &both(state, state)).unwrap_err();
            assert!(asked.contains("a tool and a prompt called add"), "{asked}");
            assert!(asked.contains("--kind tool|prompt"), "{asked}");
            assert_eq!(named(prompt, &both(state, state)), Ok(ListKind::Prompts));
        }
        assert_eq!(
            named(None, &both(Accepted, Accepted)[..1]),
            Ok(ListKind::Tools)
        );
        let none = named(prompt, &both(Accepted, Accepted)[..1]).unwrap_err();
        assert!(none.contains("has no prompt add"), "{none}");
    }
}
