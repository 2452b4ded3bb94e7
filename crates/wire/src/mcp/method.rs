//! The methods of all revisions.

#![allow(missing_docs, reason = "each is named as the protocol names it")]

pub const INITIALIZE: &str = "initialize";
pub const PING: &str = "ping";
pub const SERVER_DISCOVER: &str = "server/discover";
pub const LOGGING_SET_LEVEL: &str = "logging/setLevel";
pub const TOOLS_LIST: &str = "tools/list";
pub const TOOLS_CALL: &str = "tools/call";
pub const RESOURCES_LIST: &str = "resources/list";
pub const RESOURCES_TEMPLATES_LIST: &str = "resources/templates/list";
pub const RESOURCES_READ: &str = "resources/read";
pub const RESOURCES_SUBSCRIBE: &str = "resources/subscribe";
pub const RESOURCES_UNSUBSCRIBE: &str = "resources/unsubscribe";
pub const PROMPTS_LIST: &str = "prompts/list";
pub const PROMPTS_GET: &str = "prompts/get";
pub const COMPLETION_COMPLETE: &str = "completion/complete";
pub const SUBSCRIPTIONS_LISTEN: &str = "subscriptions/listen";
pub const TASKS_GET: &str = "tasks/get";
pub const TASKS_RESULT: &str = "tasks/result";
pub const TASKS_CANCEL: &str = "tasks/cancel";
pub const TASKS_UPDATE: &str = "tasks/update";
pub const TASKS_LIST: &str = "tasks/list";

pub const NOTIFICATIONS_INITIALIZED: &str = "notifications/initialized";
pub const NOTIFICATIONS_CANCELLED: &str = "notifications/cancelled";
pub const NOTIFICATIONS_PROGRESS: &str = "notifications/progress";
pub const NOTIFICATIONS_ROOTS_LIST_CHANGED: &str = "notifications/roots/list_changed";
pub const NOTIFICATIONS_TASKS_STATUS: &str = "notifications/tasks/status";

pub const NOTIFICATIONS_TOOLS_LIST_CHANGED: &str = "notifications/tools/list_changed";
pub const NOTIFICATIONS_RESOURCES_LIST_CHANGED: &str = "notifications/resources/list_changed";
pub const NOTIFICATIONS_RESOURCES_UPDATED: &str = "notifications/resources/updated";
pub const NOTIFICATIONS_PROMPTS_LIST_CHANGED: &str = "notifications/prompts/list_changed";
pub const NOTIFICATIONS_SUBSCRIPTIONS_ACKNOWLEDGED: &str =
    "notifications/subscriptions/acknowledged";

/// Whether a server of one era does not have `method` because only the other era does.
///
/// Spec: MCP 2026-07-28, Changes ("removed" and "added" methods); its tasks extension.
pub fn is_of_the_other_era(method: &str, modern: bool) -> bool {
    match method {
        RESOURCES_SUBSCRIBE
        | RESOURCES_UNSUBSCRIBE
        | LOGGING_SET_LEVEL
        | PING
        | INITIALIZE
        | TASKS_RESULT
        | TASKS_LIST => modern,
        SUBSCRIPTIONS_LISTEN | SERVER_DISCOVER | TASKS_UPDATE => !modern,
        _ => false,
    }
}
