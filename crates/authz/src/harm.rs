//! How much harm a tool can do, guessed from what it says of itself and from its name.

use wire::mcp::definition::{Definition, ToolHints};

/// From bad to worse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// It only looks.
    Read,
    /// It adds or changes.
    Write,
    /// It destroys, or nobody can tell.
    Destructive,
}

const READS: &[&str] = &[
    "get",
    "list",
    "read",
    "search",
    "find",
    "fetch",
    "show",
    "view",
    "describe",
    "lookup",
    "count",
    "check",
    "inspect",
    "preview",
    "retrieve",
    "browse",
    "status",
    "info",
    "whoami",
    "ping",
    "echo",
    "help",
    "explain",
    "compare",
    "diff",
    "stat",
    "head",
    "tail",
    "grep",
    "ls",
    "cat",
    "peek",
    "discover",
    "resolve",
    "summarize",
    "lists",
    "gets",
    "reads",
];

const WRITES: &[&str] = &[
    "add",
    "create",
    "update",
    "set",
    "insert",
    "put",
    "post",
    "write",
    "edit",
    "rename",
    "move",
    "copy",
    "upload",
    "append",
    "save",
    "complete",
    "send",
    "comment",
    "reply",
    "assign",
    "tag",
    "label",
    "enable",
    "import",
    "upsert",
    "patch",
    "modify",
    "change",
    "replace",
    "submit",
    "store",
    "draft",
    "schedule",
    "invite",
    "subscribe",
    "mark",
    "toggle",
    "open",
    "reopen",
    "restore",
    "duplicate",
    "fork",
    "increment",
];

const DESTROYS: &[&str] = &[
    "delete",
    "remove",
    "drop",
    "destroy",
    "purge",
    "clear",
    "erase",
    "wipe",
    "reset",
    "kill",
    "terminate",
    "revoke",
    "truncate",
    "uninstall",
    "execute",
    "exec",
    "run",
    "eval",
    "shell",
    "bash",
    "sudo",
    "overwrite",
    "shutdown",
    "rm",
    "rmdir",
    "force",
    "prune",
    "rollback",
];

/// The graver of what the hints and the name say; what neither says anything about may be anything.
pub(crate) fn of_tool(tool: &Definition) -> Harm {
    let named = of_name(tool.identity());
    match (from_hints(tool.hints()), named) {
        (Hinted::At(hinted), Some(named)) => hinted.max(named),
        (Hinted::At(hinted), None) => hinted,
        // "Not destructive" leaves open whether it writes, "not read-only" whether it destroys: the name may say.
        (Hinted::AtMostWrite, named) => named.unwrap_or(Harm::Write),
        (Hinted::AtLeastWrite, named) => named.unwrap_or(Harm::Destructive).max(Harm::Write),
        (Hinted::Nothing, named) => named.unwrap_or(Harm::Destructive),
    }
}

enum Hinted {
    At(Harm),
    AtMostWrite,
    AtLeastWrite,
    Nothing,
}

fn from_hints(hints: ToolHints) -> Hinted {
    match (hints.read_only, hints.destructive) {
        // A contradiction.
        (Some(true), Some(true)) | (_, Some(true)) => Hinted::At(Harm::Destructive),
        (Some(true), _) => Hinted::At(Harm::Read),
        (Some(false), Some(false)) => Hinted::At(Harm::Write),
        (None, Some(false)) => Hinted::AtMostWrite,
        (Some(false), None) => Hinted::AtLeastWrite,
        (None, None) => Hinted::Nothing,
    }
}

/// What the verbs of a name say, the worst of them first: `get_or_create` writes.
pub(crate) fn of_name(name: &str) -> Option<Harm> {
    let words = words(name);
    let any = |verbs: &[&str]| words.iter().any(|word| verbs.contains(&word.as_str()));
    if any(DESTROYS) {
        Some(Harm::Destructive)
    } else if any(WRITES) {
        Some(Harm::Write)
    } else if any(READS) {
        Some(Harm::Read)
    } else {
        None
    }
}

/// `getUserByID`, `get-user.by_id` → get, user, by, id.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut after_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (letter.is_uppercase() && after_small) {
            words.push(String::new());
        }
        if letter.is_alphanumeric()
            && let Some(word) = words.last_mut()
        {
            word.extend(letter.to_lowercase());
        }
        after_small = letter.is_lowercase() || letter.is_numeric();
    }
    words.retain(|word| !word.is_empty());
    words
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire::mcp::Json;
    use wire::mcp::definition::ListKind;

    use super::*;

    #[test]
    fn hints_and_name_are_weighed_and_the_unclear_is_destructive() {
        let harm = |name: &str, read_only: Option<bool>, destructive: Option<bool>| {
            let hints = [
                ("readOnlyHint", read_only),
                ("destructiveHint", destructive),
            ]
            .into_iter()
            .filter_map(|(name, hint)| Some((name, Json::Bool(hint?))))
            .collect();
            let json = Json::object([
                ("name", Json::from(name)),
                ("annotations", Json::Object(hints)),
            ]);
            of_tool(&Definition::read(ListKind::Tools, json).unwrap())
        };
        for (name, read_only, destructive, expected) in [
            ("list_todos", None, None, Harm::Read),
            ("getUserByID", None, None, Harm::Read),
            ("add_todo", None, None, Harm::Write),
            ("get_or_create", None, None, Harm::Write),
            ("delete_todo", None, None, Harm::Destructive),
            ("frobnicate", None, None, Harm::Destructive),
            ("query", None, None, Harm::Destructive),
            ("frobnicate", Some(true), None, Harm::Read),
            ("list_todos", Some(true), Some(false), Harm::Read),
            ("delete_todo", Some(true), None, Harm::Destructive),
            ("add_todo", Some(true), None, Harm::Write),
            ("frobnicate", Some(true), Some(true), Harm::Destructive),
            ("frobnicate", None, Some(false), Harm::Write),
            ("list_todos", None, Some(false), Harm::Read),
            ("frobnicate", Some(false), Some(false), Harm::Write),
            ("list_todos", Some(false), Some(false), Harm::Write),
            ("frobnicate", Some(false), None, Harm::Destructive),
            ("add_todo", Some(false), None, Harm::Write),
            ("list_todos", Some(false), None, Harm::Write),
            ("add_todo", Some(false), Some(true), Harm::Destructive),
            ("updates", None, None, Harm::Destructive),
            ("list_updates", None, None, Harm::Read),
        ] {
            assert_eq!(
                harm(name, read_only, destructive),
                expected,
                "{name} {read_only:?} {destructive:?}"
            );
        }
    }
}
