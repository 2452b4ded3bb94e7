use serde_json::{Value, json};

use super::Hostility;

/// How the echo server behaves.
#[derive(Debug, Clone)]
pub struct EchoSettings {
    /// Definitions that `tools/list` answers, in this order. `tools/call` does not look at them.
    pub tools: Vec<Value>,
    /// Definitions that `resources/list` answers.
    pub resources: Vec<Value>,
    /// Definitions that `resources/templates/list` answers.
    pub resource_templates: Vec<Value>,
    /// Definitions that `prompts/list` answers.
    pub prompts: Vec<Value>,
    /// What it says of itself when a client connects.
    pub instructions: Option<String>,
    /// How many definitions stand on one page of a list.
    pub page_size: usize,
    /// Legacy sessions: `initialize` mints an id, and every later legacy request needs it.
    pub sessions: bool,
    /// Whether requests of the 2026-07-28 revision are understood, or refused as a legacy server does.
    pub modern: bool,
    /// Answer requests as server-sent events instead of one JSON document.
    pub answer_as_sse: bool,
    /// Keep what arrives, for [`super::Echo::requests`].
    pub record: bool,
    /// Require this bearer token, else 401.
    pub bearer: Option<String>,
    /// Misbehave from the start.
    pub hostility: Option<Hostility>,
}

impl Default for EchoSettings {
    /// Three tools, one read-only, one writing, one destructive; no sessions; both eras; answers in JSON.
    fn default() -> Self {
        Self {
            tools: vec![
                tool(
                    "echo",
                    "Answers with its arguments.",
                    json!({"readOnlyHint": true}),
                ),
                tool(
                    "write_note",
                    "Writes a note.",
                    json!({"readOnlyHint": false, "destructiveHint": false}),
                ),
                tool(
                    "delete_note",
                    "Deletes a note.",
                    json!({"readOnlyHint": false, "destructiveHint": true}),
                ),
            ],
            resources: vec![
                json!({"uri": "note://1", "name": "first note", "mimeType": "text/plain"}),
            ],
            resource_templates: vec![json!({"uriTemplate": "note://{number}", "name": "a note"})],
            prompts: vec![
                json!({"name": "summarize", "description": "Summarize a note.",
                       "arguments": [{"name": "number", "required": true}]}),
            ],
            instructions: None,
            page_size: 100,
            sessions: false,
            modern: true,
            answer_as_sse: false,
            record: false,
            bearer: None,
            hostility: None,
        }
    }
}

/// A tool definition that accepts any object.
pub fn tool(name: &str, description: &str, annotations: Value) -> Value {
    json!({
        "name": name,
        "description": description,
        "inputSchema": {"type": "object"},
        "annotations": annotations,
    })
}
