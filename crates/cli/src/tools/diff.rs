use authz::{DefinitionChange, ListKind, gravest_scope, suggested_scope};
use domain::McpServer;
use oauth::elements::Element;
use serde_json::json;

use super::command::{ElementKind, OneTool};
use crate::maintenance::Maintenance;
use crate::terminal::Terminal;

impl Maintenance {
    pub(super) async fn diff_tool(
        &self,
        one: &OneTool,
        as_json: bool,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let server = self.server(Some(&one.server), "SERVER").await?;
        let element = self.element(&server, one).await?;
        if as_json {
            let changes = element.changes().map(|changes| {
                let changes = changes.iter().map(|change| {
                    json!({
                        "kind": change.kind.as_str(),
                        "severity": change.kind.severity(),
                        "path": change.path,
                        "before": change.before,
                        "after": change.after,
                    })
                });
                changes.collect::<Vec<_>>()
            });
            let document = json!({
                "kind": element.kind.member(),
                "name": element.identity,
                "state": element.state(),
                "waiting": element.waiting().map(|waiting| waiting.fingerprint),
                "severity": element.severity(),
                "changes": changes,
                "definition": element.pending().and_then(|one| one.definition.as_deref())
                    .and_then(|text| serde_json::from_str::<serde_json::Value>(text).ok()),
            });
            out.line(serde_json::to_string_pretty(&document)?);
            return Ok(());
        }
        show(&server, &element, out);
        Ok(())
    }
}

/// What a person must know to decide. Nothing of it can hide: other characters than those of ASCII are escaped.
pub(super) fn show(server: &McpServer, element: &Element, out: &Terminal) {
    let name = element.identity.in_ascii();
    out.line(format!("{}  {}", out.paint.bold(&name), element.state()));
    for flag in &element.flags {
        out.line(out.paint.warn(format!("  name: {}", flag.words())));
    }
    let Some(waiting) = element.waiting() else {
        if let Some(rejected) = element.rejected() {
            out.line(format!(
                "  what is listed was rejected; to take that back: portcullis tools approve {} {} --kind {} --fingerprint {}",
                server.slug,
                in_shell(&element.identity),
                ElementKind::from(element.kind).as_str(),
                rejected.fingerprint
            ));
            return;
        }
        out.line(match element.is_quarantined() {
            true => "  nothing waits: it is not listed any more; it waits again when it is",
            false => "  it is as it was accepted; nothing waits",
        });
        return;
    };
    match (&element.entry, element.changes()) {
        _ if element.went_back() => {
            out.line("  the server went back to the accepted definition");
        }
        (Some(_), None) => out.line(
            "  what it was, or what it is, was not kept (it is longer than 64 KiB, or older than this release): look at the \
             server itself",
        ),
        (None, _) => {
            out.line("  new:");
            let pending = element.pending().and_then(|one| one.definition.as_deref());
            let text = pending.unwrap_or("not kept");
            out.line(format!("    {}", text.in_ascii()));
        }
        (Some(_), Some(changes)) => changes.iter().for_each(|change| line(change, out)),
    }
    let (slug, policy) = (server.slug.as_str(), &server.policy);
    let would_need = match element.proposed() {
        // Whoever may connect hears them.
        _ if element.kind == ListKind::Instructions => None,
        Some(proposed) => Some(format!(
            "  by what it says of itself it would need {}",
            suggested_scope(slug, policy, &proposed).name
        )),
        None => Some(format!(
            "  what it says of itself was not kept (it is longer than 64 KiB), so it would need {}",
            gravest_scope(slug, policy).name
        )),
    };
    would_need.into_iter().for_each(|words| out.line(words));
    out.line(format!("  fingerprint {}", waiting.fingerprint));
}

fn line(change: &DefinitionChange, out: &Terminal) {
    let kind = change.kind;
    out.line(format!(
        "  {} ({})  {}",
        kind.as_str(),
        kind.severity().as_str(),
        change.path.in_ascii()
    ));
    for (sign, text) in [("-", &change.before), ("+", &change.after)] {
        if let Some(text) = text {
            out.line(format!("    {sign} {text}"));
        }
    }
}

/// For a command that somebody copies: a server chooses the name, and no shell may read more into it. `TOOL` where it cannot be
/// typed, or would be taken for an option.
fn in_shell(name: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:/-".contains(letter);
    match name {
        "" => "TOOL".to_owned(),
        _ if name.starts_with('-') || !name.chars().all(|one| matches!(one, ' '..='~')) => {
            "TOOL".to_owned()
        }
        _ if name.chars().all(is_plain) => name.to_owned(),
        _ => format!("'{}'", name.replace('\'', r"'\''")),
    }
}

trait InAscii {
    fn in_ascii(&self) -> String;
}

impl InAscii for str {
    fn in_ascii(&self) -> String {
        let mut text = String::new();
        for letter in self.chars() {
            match letter {
                ' '..='~' => text.push(letter),
                _ => text.extend(letter.escape_unicode()),
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_in_a_command_is_one_word_of_a_shell_and_no_option() {
        for (name, shown) in [
            ("add_todo", "add_todo"),
            ("todo://lists/1.2", "todo://lists/1.2"),
            ("add; rm -rf ~", "'add; rm -rf ~'"),
            ("$(id)", "'$(id)'"),
            ("it's", r"'it'\''s'"),
            ("--all", "TOOL"),
            ("tödo", "TOOL"),
            ("two\nlines", "TOOL"),
            ("", "TOOL"),
        ] {
            assert_eq!(in_shell(name), shown, "{name}");
        }
    }
}
