use domain::{McpServer, Upstream};
use serde_json::{Map, Value, json};

use super::rows;

/// One MCP server for a program: what `servers show` tells, whole.
pub(super) fn document(server: &McpServer) -> Value {
    let settings: Map<String, Value> = rows(&server.settings)
        .into_iter()
        .map(|(flag, word)| (flag.to_owned(), Value::String(word)))
        .collect();
    let scopes: Vec<&str> = server
        .policy
        .scopes
        .iter()
        .map(|scope| scope.name.as_str())
        .collect();
    json!({
        "slug": server.slug.as_str(),
        "name": server.name,
        "url": server.resource,
        "upstream": upstream(&server.upstream),
        "mapped": !server.policy.is_blank(),
        "enforced": server.policy.enforced(),
        "tools": server.policy.tools.len(),
        "scopes": scopes,
        "settings": settings,
    })
}

/// The same of one whose policy cannot be read: what hangs on it is not known.
pub(super) fn unreadable_document(server: &McpServer, why: &str) -> Value {
    let mut document = document(server);
    for unknown in ["mapped", "enforced", "tools", "scopes"] {
        document[unknown] = Value::Null;
    }
    document["unreadable"] = why.into();
    document
}

/// The values of a child's variables may be secrets and stay out.
fn upstream(upstream: &Upstream) -> Value {
    match upstream {
        Upstream::Todo => json!({ "kind": "todo" }),
        Upstream::Http { url, header_file } => {
            json!({ "kind": "http", "url": url, "header_file": header_file })
        }
        Upstream::Stdio {
            command,
            args,
            env,
            directory,
        } => {
            let names: Vec<&str> = env
                .iter()
                .map(|one| one.split_once('=').map_or(one.as_str(), |(name, _)| name))
                .collect();
            json!({
                "kind": "stdio",
                "command": command,
                "args": args,
                "env": names,
                "directory": directory,
            })
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_variable_of_a_child_is_named_and_its_value_stays_out() {
        let shown = upstream(&Upstream::Stdio {
            command: "npx".into(),
            args: vec!["-y".into()],
            env: vec!["TOKEN=hush=hush".into(), "HOME".into()],
            directory: "/srv".into(),
        });
        assert_eq!(shown["env"], json!(["TOKEN", "HOME"]));
        assert!(!shown.to_string().contains("hush"));
    }
}
