use serde_json::Value;

/// What a caller wants to do, read from the one parsed value that is also forwarded.
#[derive(Debug, Clone, PartialEq)]
pub enum Call<'a> {
    /// `tools/call`.
    Tool {
        /// The tool's name.
        name: &'a str,
        /// Its arguments.
        arguments: Option<&'a Value>,
    },
    /// `resources/read`, `resources/subscribe`, `resources/unsubscribe`.
    Resource {
        /// The URI.
        uri: &'a str,
    },
    /// `prompts/get`.
    Prompt {
        /// The prompt's name.
        name: &'a str,
    },
    /// `completion/complete` for a prompt's argument.
    PromptCompletion {
        /// The prompt's name.
        name: &'a str,
    },
    /// `completion/complete` for a resource template's variable.
    ResourceCompletion {
        /// The URI or URI template.
        uri: &'a str,
    },
    /// A list whose answer is filtered, so that asking is always allowed.
    List(ListKind),
    /// Protocol housekeeping that names no tool: `initialize`, `ping`, `server/discover`, `logging/setLevel`,
    /// notifications, answers to the server's own requests.
    Protocol {
        /// The JSON-RPC method; empty for an answer.
        method: &'a str,
    },
    /// A method that nobody here knows: denied, for what it does cannot be judged.
    Unknown {
        /// The JSON-RPC method.
        method: &'a str,
    },
}

/// What a list holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ListKind {
    /// `tools/list`.
    Tools,
    /// `resources/list`.
    Resources,
    /// `resources/templates/list`.
    ResourceTemplates,
    /// `prompts/list`.
    Prompts,
}
