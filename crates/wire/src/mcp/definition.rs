//! What a server offers, as read from its lists.

use super::json::{Json, Object};
use super::method;

/// The longest name or URI that is read, in bytes.
const NAME_BYTES_MAX: usize = 2048;

/// The name under which a server's instructions are kept: there is one of them.
pub const INSTRUCTIONS: &str = "instructions";

/// What a list holds; or what stands in no list and is defined all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
    /// `prompts/list`.
    Prompts,
    /// No list: the `instructions` in the answer to `initialize` or `server/discover`, which clients give to the model.
    Instructions,
}

impl ListKind {
    /// All that are lists.
    pub const ALL: [Self; 4] = [
        Self::Tools,
        Self::Resources,
        Self::ResourceTemplates,
        Self::Prompts,
    ];

    /// All of which a definition is accepted once and compared ever after.
    pub const DEFINED: [Self; 5] = [
        Self::Tools,
        Self::Resources,
        Self::ResourceTemplates,
        Self::Prompts,
        Self::Instructions,
    ];

    /// The list that `method` asks for.
    pub fn of_method(method: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.method() == method)
    }

    /// The method that asks for it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => method::TOOLS_LIST,
            Self::Resources => method::RESOURCES_LIST,
            Self::ResourceTemplates => method::RESOURCES_TEMPLATES_LIST,
            Self::Prompts => method::PROMPTS_LIST,
            Self::Instructions => method::INITIALIZE,
        }
    }

    /// The member of the result that holds it.
    pub fn member(self) -> &'static str {
        match self {
            Self::Tools => "tools",
            Self::Resources => "resources",
            Self::ResourceTemplates => "resourceTemplates",
            Self::Prompts => "prompts",
            Self::Instructions => INSTRUCTIONS,
        }
    }

    /// The member of an element that tells it from the others.
    pub fn identity_member(self) -> &'static str {
        match self {
            Self::Tools | Self::Prompts | Self::Instructions => "name",
            Self::Resources => "uri",
            Self::ResourceTemplates => "uriTemplate",
        }
    }

    /// What tells `element` from the others; `None` when it has no such thing and so is no element.
    pub fn identity(self, element: &Json) -> Option<&str> {
        element
            .get(self.identity_member())?
            .as_str()
            .filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX)
    }
}

/// One element of a list, whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Definition {
    kind: ListKind,
    identity: String,
    json: Json,
}

/// What a server says of a tool's behaviour. It may lie: for a person's first reading, never for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ToolHints {
    /// It changes nothing.
    pub read_only: Option<bool>,
    /// It may destroy.
    pub destructive: Option<bool>,
    /// Twice is like once.
    pub idempotent: Option<bool>,
    /// It reaches outside.
    pub open_world: Option<bool>,
}

impl Definition {
    /// Reads an element of a list; `None` when it has no identity.
    pub fn read(kind: ListKind, json: Json) -> Option<Self> {
        let identity = kind.identity(&json)?.to_owned();
        Some(Self {
            kind,
            identity,
            json,
        })
    }

    /// The instructions of a server, in the form that elements of lists have; `None` when it gives none.
    pub fn of_instructions(text: Option<&str>) -> Self {
        let name = ("name", Json::from(INSTRUCTIONS));
        let text = text.filter(|text| !text.is_empty());
        let text = text.map(|text| ("description", Json::from(text)));
        let members: Object = [name].into_iter().chain(text).collect();
        Self {
            kind: ListKind::Instructions,
            identity: INSTRUCTIONS.to_owned(),
            json: members.into(),
        }
    }

    /// Whether these are the instructions of a server that gives none.
    pub fn is_silent(&self) -> bool {
        self.kind == ListKind::Instructions && self.description().is_none()
    }

    /// Which list it is of.
    pub fn kind(&self) -> ListKind {
        self.kind
    }

    /// The name, URI or URI template that tells it from the others.
    pub fn identity(&self) -> &str {
        &self.identity
    }

    /// The whole element.
    pub fn json(&self) -> &Json {
        &self.json
    }

    /// For people: `title`, or the title among the annotations.
    pub fn title(&self) -> Option<&str> {
        let own = self.text("title");
        own.or_else(|| self.json.get("annotations")?.get("title")?.as_str())
            .filter(|title| !title.trim().is_empty())
    }

    /// The `name` (of a resource, for people; of a tool or prompt, its identity).
    pub fn name(&self) -> Option<&str> {
        self.text("name")
    }

    /// The `description`.
    pub fn description(&self) -> Option<&str> {
        self.text("description")
    }

    /// The `inputSchema` of a tool.
    pub fn input_schema(&self) -> Option<&Json> {
        self.json.get("inputSchema")
    }

    /// The hints of a tool.
    pub fn hints(&self) -> ToolHints {
        let hint = |name| self.json.get("annotations")?.get(name)?.as_bool();
        ToolHints {
            read_only: hint("readOnlyHint"),
            destructive: hint("destructiveHint"),
            idempotent: hint("idempotentHint"),
            open_world: hint("openWorldHint"),
        }
    }

    fn text(&self, member: &str) -> Option<&str> {
        self.json.get(member)?.as_str()
    }
}

/// The elements of a list's `result`; what is no element is left out. `None` when the result holds no such list.
pub fn elements(kind: ListKind, result: &Object) -> Option<Vec<Definition>> {
    let elements = result.get(kind.member())?.as_array()?;
    Some(
        elements
            .iter()
            .filter_map(|element| Definition::read(kind, element.clone()))
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mcp::json::{Limits, parse_strict};

    #[test]
    fn a_tool_is_read_with_its_hints_and_one_without_a_name_is_left_out() {
        let result = parse_strict(
            br#"{"tools":[{"name":"add","title":"Add","annotations":{"readOnlyHint":false,"destructiveHint":"x"}},{"title":"?"},{"name":""},5]}"#,
            &Limits::default(),
        )
        .unwrap();
        let tools = elements(ListKind::Tools, result.as_object().unwrap()).unwrap();
        assert_eq!(tools.len(), 1);
        assert_eq!(tools[0].identity(), "add");
        assert_eq!(tools[0].title(), Some("Add"));
        assert_eq!(
            tools[0].hints(),
            ToolHints {
                read_only: Some(false),
                ..ToolHints::default()
            }
        );
        assert_eq!(
            elements(ListKind::Prompts, result.as_object().unwrap()),
            None
        );
    }

    #[test]
    fn instructions_are_a_definition_also_when_a_server_gives_none() {
        let said = Definition::of_instructions(Some("Ask first."));
        assert_eq!(said.description(), Some("Ask first."));
        let read = Definition::read(ListKind::Instructions, said.json().clone());
        assert_eq!(read, Some(said.clone()));
        assert!(!said.is_silent());
        for none in [None, Some("")].map(Definition::of_instructions) {
            assert_eq!((none.identity(), none.description()), (INSTRUCTIONS, None));
            assert!(none.is_silent());
        }
        for method in ["initialize", "server/discover"] {
            assert_eq!(ListKind::of_method(method), None);
        }
    }

    #[test]
    fn a_name_of_2048_bytes_is_read_and_a_longer_one_is_left_out() {
        for (bytes, read) in [(2048, 1), (2049, 0)] {
            let list = format!(r#"{{"tools":[{{"name":"{}"}}]}}"#, "n".repeat(bytes));
            let list = parse_strict(list.as_bytes(), &Limits::default()).unwrap();
            let tools = elements(ListKind::Tools, list.as_object().unwrap()).unwrap();
            assert_eq!(tools.len(), read, "{bytes}");
        }
    }
}
