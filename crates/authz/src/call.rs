use wire::mcp::message::{Message, Request};
use wire::mcp::{Json, Object, method};

pub use wire::mcp::definition::ListKind;

/// The most resources that one `subscriptions/listen` may name.
const SUBSCRIBED_RESOURCES_MAX: usize = 256;

/// What a caller wants to do, read from the one parsed value that is also forwarded.
#[derive(Debug, Clone, PartialEq)]
pub enum Call<'a> {
    /// `tools/call`, retries with `inputResponses` and those with a `task` included.
    Tool {
        /// The tool's name.
        name: &'a str,
        /// Its arguments.
        arguments: Option<&'a Json>,
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
    /// `subscriptions/listen`: hears of each of these resources.
    Subscription {
        /// The URIs; none when only changes of lists are heard of.
        uris: Vec<&'a str>,
    },
    /// `tasks/get`, `tasks/result`, `tasks/update`, `tasks/cancel`: goes on with a call that was judged when it began.
    Task {
        /// The JSON-RPC method.
        method: &'a str,
        /// The task's id, which nobody can guess.
        id: &'a str,
    },
    /// A list whose answer is filtered, so that asking is always allowed.
    List(ListKind),
    /// Protocol housekeeping that names no tool: `initialize`, `ping`, `server/discover`, `logging/setLevel`,
    /// notifications, answers to the server's own requests.
    Protocol {
        /// The JSON-RPC method; empty for an answer.
        method: &'a str,
    },
    /// A method that nobody here knows, or one whose parameters do not say what it is about: denied, for what it does
    /// cannot be judged.
    Unknown {
        /// The JSON-RPC method.
        method: &'a str,
    },
}

/// Reads what a message of a client wants to do. Total: what is not in the table is [`Call::Unknown`].
pub fn read_call(message: &Message) -> Call<'_> {
    match message {
        Message::Request(request) => read_request(request),
        Message::Notification(notification) => read_notification(&notification.method),
        // Answers to sampling, elicitation and roots requests of the server, in the legacy era.
        Message::Response(_) => Call::Protocol { method: "" },
    }
}

fn read_request(request: &Request) -> Call<'_> {
    let method = request.method.as_str();
    let known = match method {
        method::TOOLS_CALL => text(request, "name").and_then(|name| {
            match request.params.as_ref()?.get("arguments") {
                // Some clients write what they leave out.
                None | Some(Json::Null) => Some(Call::Tool {
                    name,
                    arguments: None,
                }),
                arguments @ Some(Json::Object(_)) => Some(Call::Tool { name, arguments }),
                // No arguments to any rule, and something else to some server.
                Some(_) => None,
            }
        }),
        method::RESOURCES_READ | method::RESOURCES_SUBSCRIBE | method::RESOURCES_UNSUBSCRIBE => {
            text(request, "uri").map(|uri| Call::Resource { uri })
        }
        method::PROMPTS_GET => text(request, "name").map(|name| Call::Prompt { name }),
        method::COMPLETION_COMPLETE => completion(request.params.as_ref()),
        method::SUBSCRIPTIONS_LISTEN => subscription(request.params.as_ref()),
        method::TASKS_GET | method::TASKS_RESULT | method::TASKS_UPDATE | method::TASKS_CANCEL => {
            text(request, "taskId").map(|id| Call::Task { method, id })
        }
        method::TOOLS_LIST => Some(Call::List(ListKind::Tools)),
        method::RESOURCES_LIST => Some(Call::List(ListKind::Resources)),
        method::RESOURCES_TEMPLATES_LIST => Some(Call::List(ListKind::ResourceTemplates)),
        method::PROMPTS_LIST => Some(Call::List(ListKind::Prompts)),
        method::INITIALIZE | method::PING | method::SERVER_DISCOVER | method::LOGGING_SET_LEVEL => {
            Some(Call::Protocol { method })
        }
        // `tasks/list` names everybody's tasks to whoever asks, unless the server tells its callers apart; it left the
        // protocol with 2026-07-28 for that reason. It is unknown here like any other method.
        _ => None,
    };
    known.unwrap_or(Call::Unknown { method })
}

fn read_notification(method: &str) -> Call<'_> {
    match method {
        method::NOTIFICATIONS_INITIALIZED
        | method::NOTIFICATIONS_CANCELLED
        | method::NOTIFICATIONS_PROGRESS
        | method::NOTIFICATIONS_ROOTS_LIST_CHANGED
        | method::NOTIFICATIONS_TASKS_STATUS => Call::Protocol { method },
        _ => Call::Unknown { method },
    }
}

fn text<'a>(request: &'a Request, member: &str) -> Option<&'a str> {
    request.params.as_ref()?.str(member)
}

fn completion(params: Option<&Object>) -> Option<Call<'_>> {
    let reference = params?.get("ref")?.as_object()?;
    match reference.str("type")? {
        "ref/prompt" => Some(Call::PromptCompletion {
            name: reference.str("name")?,
        }),
        "ref/resource" => Some(Call::ResourceCompletion {
            uri: reference.str("uri")?,
        }),
        _ => None,
    }
}

fn subscription(params: Option<&Object>) -> Option<Call<'_>> {
    let filter = params?.get("notifications")?.as_object()?;
    let uris = match filter.get("resourceSubscriptions") {
        None => Vec::new(),
        Some(uris) => uris
            .as_array()?
            .iter()
            .map(Json::as_str)
            .collect::<Option<Vec<_>>>()?,
    };
    (uris.len() <= SUBSCRIBED_RESOURCES_MAX).then_some(Call::Subscription { uris })
}

#[cfg(test)]
mod tests;
