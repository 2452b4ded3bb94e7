use wire::oauth::{Scope, ScopeSet};

/// `TOOL=SCOPE[,SCOPE]`: a caller of the tool needs all of these scopes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToolScope {
    /// The tool's name.
    pub tool: String,
    /// What it needs.
    pub scopes: ScopeSet,
}

impl ToolScope {
    /// Reads what follows `--tool-scope`.
    ///
    /// # Errors
    /// Says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, String> {
        // A tool's name may contain an equals sign, so may a scope; a name is the likelier of the two.
        let (tool, scopes) = text
            .split_once('=')
            .ok_or("write TOOL=SCOPE, such as add_todo=todo:write")?;
        if tool.is_empty() || tool.chars().any(char::is_control) {
            return Err("the tool's name before = is empty or has a control character".into());
        }
        let scopes = scopes
            .split(',')
            .map(|scope| Scope::parse(scope.trim()))
            .collect::<Result<ScopeSet, _>>()
            .map_err(|error| error.to_string())?;
        if let Some(reserved) = scopes
            .iter()
            .find(|scope| matches!(scope.as_str(), "offline_access" | "openid"))
        {
            return Err(format!(
                "{reserved} has a meaning of its own and guards no tool"
            ));
        }
        Ok(Self {
            tool: tool.into(),
            scopes,
        })
    }
}

/// The pairs that `authz` takes.
///
/// # Errors
/// When a tool is named twice: whether that means both or either is not ours to guess.
pub fn overrides(given: &[ToolScope]) -> anyhow::Result<Vec<(String, ScopeSet)>> {
    let mut pairs: Vec<(String, ScopeSet)> = Vec::with_capacity(given.len());
    for ToolScope { tool, scopes } in given {
        if pairs.iter().any(|(known, _)| known == tool) {
            return Err(crate::failure::usage(format!(
                "--tool-scope names {tool} twice; write all its scopes in one: --tool-scope {tool}=A,B"
            )));
        }
        pairs.push((tool.clone(), scopes.clone()));
    }
    Ok(pairs)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_or_more_scopes_are_read_and_a_broken_pair_says_what_is_wrong() {
        let read = ToolScope::parse("add_todo=todo:write, todo:read").unwrap();
        assert_eq!(
            (read.tool.as_str(), read.scopes.to_string().as_str()),
            ("add_todo", "todo:read todo:write")
        );
        for (text, reason) in [
            ("add_todo", "TOOL=SCOPE"),
            ("=x", "before = is empty"),
            ("a=", "is not a scope"),
            ("a=b,,c", "is not a scope"),
            ("a=b c", "is not a scope"),
            ("a=offline_access", "guards no tool"),
        ] {
            let error = ToolScope::parse(text).unwrap_err();
            assert!(error.contains(reason), "{text}: {error}");
        }
    }

    #[test]
    fn a_tool_named_once_passes_and_one_named_twice_is_refused() {
        let one = ToolScope::parse("a=x").unwrap();
        assert_eq!(overrides(std::slice::from_ref(&one)).unwrap().len(), 1);
        let error = overrides(&[one.clone(), one]).unwrap_err().to_string();
        assert!(error.contains("--tool-scope names a twice"), "{error}");
    }
}
