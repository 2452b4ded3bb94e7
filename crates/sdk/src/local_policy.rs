use std::collections::BTreeMap;

use authz::{Entry, ListKind, Policy, RateLimit, Requirement, Risk, ScopeDeclaration, SubjectRule};
use serde::{Deserialize, Serialize};
use wire::oauth::{Scope, ScopeSet};

/// Who may call what, where it stands in the program or in a file beside it. Whatever is not named is denied and hidden.
///
/// In code:
///
/// ```
/// let policy = portcullis::LocalPolicy::new()
///     .scope("weather:read", "See the weather")
///     .scope("weather:write", "Report the weather")
///     .tool("get_forecast", "weather:read")
///     .tool("report", "weather:read weather:write");
/// ```
///
/// The same as JSON; with the crate `toml` it is read from TOML as well:
///
/// ```
/// let policy: portcullis::LocalPolicy = serde_json::from_str(r#"{
///     "scopes": {"weather:read": "See the weather", "weather:write": "Report the weather"},
///     "tools": {"get_forecast": "weather:read", "report": "weather:read weather:write"}
/// }"#)?;
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LocalPolicy {
    /// The scopes there are, each with words for people, such as "See the weather".
    pub scopes: BTreeMap<String, String>,
    /// Tools by name, each with the scopes that a call needs, all of them, with spaces between.
    pub tools: BTreeMap<String, String>,
    /// Tools for which a valid token suffices.
    pub public_tools: Vec<String>,
    /// Resources by URI, as tools.
    pub resources: BTreeMap<String, String>,
    /// Resource templates by URI template (RFC 6570), as tools.
    pub resource_templates: BTreeMap<String, String>,
    /// Prompts by name, as tools.
    pub prompts: BTreeMap<String, String>,
    /// What a client is told to ask for; all scopes when it is empty.
    pub default_scopes: String,
    /// Who may or may not have what, whatever their token says.
    pub subject_rules: Vec<SubjectRule>,
    /// How often somebody may call.
    pub rate_limits: Vec<RateLimit>,
}

/// What is wrong with a policy: where, and what.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the policy's {place}: {words}")]
pub struct LocalPolicyMistake {
    place: String,
    words: String,
}

impl LocalPolicy {
    /// One that permits nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Declares a scope, with words for people, such as "See the weather".
    pub fn scope(mut self, name: &str, title: &str) -> Self {
        self.scopes.insert(name.to_owned(), title.to_owned());
        self
    }

    /// A tool, and the scopes that a call of it needs, all of them, with spaces between.
    pub fn tool(mut self, name: &str, scopes: &str) -> Self {
        self.tools.insert(name.to_owned(), scopes.to_owned());
        self
    }

    /// A tool for which a valid token suffices.
    pub fn public_tool(mut self, name: &str) -> Self {
        self.public_tools.push(name.to_owned());
        self
    }

    /// A resource by its URI, as [`LocalPolicy::tool`].
    pub fn resource(mut self, uri: &str, scopes: &str) -> Self {
        self.resources.insert(uri.to_owned(), scopes.to_owned());
        self
    }

    /// A resource template by its URI template, as [`LocalPolicy::tool`].
    pub fn resource_template(mut self, template: &str, scopes: &str) -> Self {
        let template = template.to_owned();
        self.resource_templates.insert(template, scopes.to_owned());
        self
    }

    /// A prompt, as [`LocalPolicy::tool`].
    pub fn prompt(mut self, name: &str, scopes: &str) -> Self {
        self.prompts.insert(name.to_owned(), scopes.to_owned());
        self
    }

    /// The policy by which is judged.
    ///
    /// # Errors
    /// The first mistake: a scope that is none or is not declared, a rule that cannot work.
    pub(crate) fn policy(&self) -> Result<Policy, LocalPolicyMistake> {
        let mut policy = Policy {
            subject_rules: self.subject_rules.clone(),
            rate_limits: self.rate_limits.clone(),
            ..Policy::default()
        };
        for (name, title) in &self.scopes {
            policy.scopes.push(ScopeDeclaration {
                id: name.clone(),
                name: Scope::parse(name)
                    .map_err(|_| mistake("scopes", format!("{name:?} is no scope")))?,
                title: title.clone(),
                risk: Risk::Medium,
                implies: ScopeSet::new(),
            });
        }
        let lists = [
            (ListKind::Tools, &self.tools),
            (ListKind::Resources, &self.resources),
            (ListKind::ResourceTemplates, &self.resource_templates),
            (ListKind::Prompts, &self.prompts),
        ];
        for (kind, entries) in lists {
            for (identity, scopes) in entries {
                let place = format!("{} {identity}", kind.member());
                let needed = declared(&policy, &place, scopes)?;
                if needed.is_empty() {
                    let words =
                        "it names no scope; a tool for everybody with a token is a public_tool";
                    return Err(mistake(&place, words.to_owned()));
                }
                let entry = entry(identity, Requirement::AnyOf(vec![needed]));
                policy.entries_mut(kind).insert(identity.clone(), entry);
            }
        }
        for tool in &self.public_tools {
            let entry = entry(tool, Requirement::Public);
            if policy.tools.insert(tool.clone(), entry).is_some() {
                let words = format!("{tool} also stands in tools, with scopes");
                return Err(mistake("public_tools", words));
            }
        }
        policy.default_scopes = match self.default_scopes.is_empty() {
            true => policy.declared_scopes(),
            false => declared(&policy, "default_scopes", &self.default_scopes)?,
        };
        match authz::check(&policy, |_| None).into_iter().next() {
            Some(wrong) => Err(mistake(&wrong.place, wrong.message)),
            None => Ok(policy),
        }
    }
}

fn declared(policy: &Policy, place: &str, scopes: &str) -> Result<ScopeSet, LocalPolicyMistake> {
    let mut found = ScopeSet::new();
    for name in scopes.split_ascii_whitespace() {
        let scope = Scope::parse(name).ok();
        match scope.filter(|scope| policy.declaration(scope).is_some()) {
            Some(scope) => {
                found = found.union(&[scope].into_iter().collect());
            }
            None => {
                let words = format!("{name:?} is not among its scopes; declare it there");
                return Err(mistake(place, words));
            }
        }
    }
    Ok(found)
}

fn entry(identity: &str, requirement: Requirement) -> Entry {
    Entry {
        requirement,
        title: identity.to_owned(),
        ..Entry::default()
    }
}

fn mistake(place: &str, words: String) -> LocalPolicyMistake {
    LocalPolicyMistake {
        place: place.to_owned(),
        words,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn weather() -> LocalPolicy {
        LocalPolicy::new()
            .scope("weather:read", "See the weather")
            .scope("weather:write", "Report the weather")
            .tool("get_forecast", "weather:read")
            .tool("report", "weather:read weather:write")
            .public_tool("about")
            .prompt("summary", "weather:read")
            .resource("weather://now", "weather:read")
            .resource_template("weather://{city}", "weather:read")
    }

    #[test]
    fn a_policy_in_code_and_its_text_are_the_same() {
        let policy = weather().policy().unwrap();
        assert_eq!(policy.tools.len(), 3);
        assert_eq!(policy.tools["about"].requirement, Requirement::Public);
        assert_eq!(
            policy.default_scopes.to_string(),
            "weather:read weather:write"
        );
        let text = serde_json::to_string(&weather()).unwrap();
        let read: LocalPolicy = serde_json::from_str(&text).unwrap();
        assert_eq!(read.policy().unwrap(), policy);
        assert!(serde_json::from_str::<LocalPolicy>(r#"{"tool": {}}"#).is_err());
    }

    #[test]
    fn each_mistake_is_named_with_its_place() {
        for (policy, words) in [
            (weather().scope("a b", ""), "scopes: \"a b\" is no scope"),
            (
                weather().tool("report", "weather:wrte"),
                "tools report: \"weather:wrte\" is not among its scopes",
            ),
            (
                weather().tool("report", " "),
                "tools report: it names no scope",
            ),
            (
                weather().public_tool("report"),
                "public_tools: report also stands in tools",
            ),
        ] {
            let mistake = policy.policy().unwrap_err().to_string();
            assert!(mistake.contains(words), "{mistake}");
        }
    }
}
