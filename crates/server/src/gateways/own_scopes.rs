use std::collections::BTreeMap;

use ::oauth::Error;
use authz::{Inventory, Policy, Risk, ScopeDeclaration, is_invisible};
use wire::gateway::{ENFORCED_SCOPES_MAX, SUGGESTED_TOOLS_MAX};
use wire::mcp::json::Object;
use wire::oauth::{Scope, ScopeSet};

/// The longest title of a scope that is taken, in characters.
const TITLE_CHARS_MAX: usize = 100;

/// What an MCP server that protects itself says of scopes: those that its code enforces, each with words for people, and which
/// of them its tools need. A suggestion for the first policy; later it only tells what is missing.
#[derive(Debug, Default)]
pub(super) struct OwnScopes {
    titles: BTreeMap<Scope, String>,
    tools: Vec<(String, ScopeSet)>,
}

impl OwnScopes {
    /// Reads the members `scopes` and `tools`, which gateways do not send.
    ///
    /// # Errors
    /// When one of them is not what it must be.
    pub(super) fn read(manifest: &Object) -> Result<Self, Error> {
        let mut own = Self::default();
        if let Some(scopes) = manifest.get("scopes") {
            for (name, title) in scopes.as_object().ok_or_else(no_scopes)?.iter() {
                let name = Scope::parse(name).map_err(|_| no_scopes())?;
                let title = title.as_str().ok_or_else(no_scopes)?;
                own.titles.insert(name, shown(title));
                if own.titles.len() > ENFORCED_SCOPES_MAX {
                    return Err(no_scopes());
                }
            }
        }
        if let Some(tools) = manifest.get("tools") {
            for (tool, scopes) in tools.as_object().ok_or_else(no_tools)?.iter() {
                let scopes = scopes.as_str().ok_or_else(no_tools)?;
                let scopes: ScopeSet = scopes
                    .split_ascii_whitespace()
                    .map(Scope::parse)
                    .collect::<Result<_, _>>()
                    .map_err(|_| no_tools())?;
                own.tools.push((tool.as_str().to_owned(), scopes));
                if own.tools.len() > SUGGESTED_TOOLS_MAX {
                    return Err(no_tools());
                }
            }
        }
        Ok(own)
    }

    /// What the tools need that there are.
    pub(super) fn of_tools(&self, inventory: &Inventory) -> Vec<(String, ScopeSet)> {
        let is_there = |tool: &str| inventory.tools.iter().any(|found| found.identity() == tool);
        let tools = self.tools.iter();
        tools.filter(|(tool, _)| is_there(tool)).cloned().collect()
    }

    /// Puts the scopes into a first policy, as they are called here.
    pub(super) fn declare(&self, policy: &mut Policy) {
        for (name, title) in &self.titles {
            let mut declared = policy.scopes.iter_mut();
            match declared.find(|declared| declared.name == *name) {
                Some(declared) if !title.is_empty() => declared.title.clone_from(title),
                Some(_) => {}
                None => {
                    policy.scopes.push(ScopeDeclaration {
                        id: name.as_str().to_owned(),
                        title: match title.is_empty() {
                            true => name.as_str().to_owned(),
                            false => title.clone(),
                        },
                        // What it opens stands in code that nobody here has seen.
                        risk: Risk::High,
                        implies: ScopeSet::new(),
                        name: name.clone(),
                    });
                    policy.default_scopes = policy.declared_scopes();
                }
            }
        }
    }

    /// Those that nobody can have, since `policy` does not declare them.
    pub(super) fn undeclared(&self, policy: &Policy) -> Vec<String> {
        let names = self.titles.keys();
        names
            .filter(|name| policy.declaration(name).is_none())
            .map(ToString::to_string)
            .collect()
    }
}

fn no_scopes() -> Error {
    Error::invalid_request("scopes must be an object of at most 64 scopes, each with its title")
}

fn no_tools() -> Error {
    Error::invalid_request(
        "tools must be an object of at most 1000 tools, each with the scopes that it needs",
    )
}

/// One line without what nobody sees.
fn shown(title: &str) -> String {
    let letters = title
        .chars()
        .filter(|letter| !is_invisible(*letter) && !letter.is_control());
    let title: String = letters.take(TITLE_CHARS_MAX).collect();
    title.trim().to_owned()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use wire::mcp::json::{Json, Limits, parse_strict};

    use super::*;

    fn read(text: &str) -> Result<OwnScopes, Error> {
        match parse_strict(text.as_bytes(), &Limits::default()) {
            Ok(Json::Object(manifest)) => OwnScopes::read(&manifest),
            other => panic!("{other:?}"),
        }
    }

    fn scopes(count: usize) -> String {
        let scopes: Vec<_> = (0..count).map(|n| format!("\"s:{n}\":\"\"")).collect();
        format!("{{\"scopes\":{{{}}}}}", scopes.join(","))
    }

    fn tools(count: usize) -> String {
        let tools: Vec<_> = (0..count).map(|n| format!("\"t{n}\":\"s:1\"")).collect();
        format!("{{\"tools\":{{{}}}}}", tools.join(","))
    }

    #[test]
    fn as_many_scopes_and_tools_are_read_as_one_server_has_and_no_more() {
        assert!(read(&scopes(ENFORCED_SCOPES_MAX)).is_ok());
        assert!(read(&scopes(ENFORCED_SCOPES_MAX + 1)).is_err());
        assert!(read(&tools(SUGGESTED_TOOLS_MAX)).is_ok());
        assert!(read(&tools(SUGGESTED_TOOLS_MAX + 1)).is_err());
        for wrong in [
            r#"{"scopes": ["a"]}"#,
            r#"{"scopes": {"a b": ""}}"#,
            r#"{"scopes": {"a": 1}}"#,
            r#"{"tools": {"t": ["a"]}}"#,
        ] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
        assert!(read(r#"{"scopes": {"a": "A"}, "tools": {"t": "a b"}}"#).is_ok());
    }

    #[test]
    fn what_code_enforces_is_declared_in_a_first_policy_and_missed_in_a_later_one() {
        let long = "x".repeat(TITLE_CHARS_MAX);
        let text = format!(r#"{{"scopes": {{"a": "See\u200b it {long}", "b": ""}}}}"#);
        let own = read(&text).unwrap();
        let mut policy = Policy::default();
        assert_eq!(own.undeclared(&policy), ["a", "b"]);
        own.declare(&mut policy);
        assert!(own.undeclared(&policy).is_empty());
        let titles: Vec<_> = policy.scopes.iter().map(|one| one.title.as_str()).collect();
        assert_eq!(titles[0].chars().count(), TITLE_CHARS_MAX);
        assert!(titles[0].starts_with("See it xx"));
        assert_eq!(titles[1], "b");
        assert_eq!(policy.default_scopes, policy.declared_scopes());
    }
}
