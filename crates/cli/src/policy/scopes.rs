use authz::{Risk, ScopeDeclaration};
use clap::{Subcommand, ValueEnum};
use domain::{McpServer, ServerSlug};
use wire::oauth::{Scope, ScopeSet};

use crate::failure::usage;
use crate::maintenance::{Maintenance, table};
use crate::terminal::{Terminal, plain};

#[derive(Debug, Subcommand)]
pub enum ScopesCommand {
    /// List the scopes that a server declares
    List {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Print them as a JSON array
        #[arg(long)]
        json: bool,
    },
    /// Declare a scope
    Add {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// What stands in tokens, such as todo:admin
        #[arg(value_parser = scope)]
        scope: Scope,
        #[command(flatten)]
        words: ScopeWords,
    },
    /// Change what is said of a scope; `export` and `apply` rename one
    Set {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Which
        #[arg(value_parser = scope)]
        scope: Scope,
        #[command(flatten)]
        words: ScopeWords,
    },
    /// Take back a scope that nothing needs any more
    Remove {
        /// The MCP server
        #[arg(value_parser = ServerSlug::parse)]
        server: ServerSlug,
        /// Which
        #[arg(value_parser = scope)]
        scope: Scope,
    },
}

/// What is said of a scope.
#[derive(Debug, clap::Args)]
pub struct ScopeWords {
    /// What a person reads on the consent page, such as "See your todos"
    #[arg(long, value_name = "TEXT")]
    title: Option<String>,
    /// How much harm it can do [default of a new one: high]
    #[arg(long)]
    risk: Option<RiskArgument>,
    /// The scopes that it contains; '' for none
    #[arg(long, value_name = "SCOPES")]
    implies: Option<String>,
    /// Whether a client gets it asked for when it asks for nothing
    #[arg(long, value_name = "YES-OR-NO")]
    default: Option<YesOrNo>,
}

/// How much harm a scope can do.
#[derive(Debug, Clone, Copy, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum RiskArgument {
    Low,
    Medium,
    High,
    Critical,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "the name says it")]
pub enum YesOrNo {
    Yes,
    No,
}

impl From<RiskArgument> for Risk {
    fn from(risk: RiskArgument) -> Self {
        match risk {
            RiskArgument::Low => Self::Low,
            RiskArgument::Medium => Self::Medium,
            RiskArgument::High => Self::High,
            RiskArgument::Critical => Self::Critical,
        }
    }
}

fn scope(text: &str) -> Result<Scope, String> {
    Scope::parse(text).map_err(|error| error.to_string())
}

impl Maintenance {
    /// Runs `portcullis scopes`.
    ///
    /// # Errors
    /// In words, when it cannot be done.
    pub async fn scopes(&self, command: ScopesCommand, out: &Terminal) -> anyhow::Result<()> {
        match command {
            ScopesCommand::List { server, json } => {
                let server = self.server(Some(&server), "SERVER").await?;
                list(&server, json, out)
            }
            ScopesCommand::Add {
                server,
                scope,
                words,
            } => {
                let server = self.server(Some(&server), "SERVER").await?;
                let mut policy = server.policy.clone();
                if policy.declaration(&scope).is_some() {
                    return Err(usage(format!("{scope}: {} has it already", server.slug)));
                }
                policy.scopes.push(ScopeDeclaration {
                    id: scope.to_string(),
                    name: scope.clone(),
                    title: scope.to_string(),
                    risk: Risk::High,
                    implies: ScopeSet::new(),
                });
                say(&mut policy, &scope, words);
                let detail = format!("scope added: {scope}");
                self.publish(&server, &policy, detail.clone()).await?;
                out.line(detail);
                Ok(())
            }
            ScopesCommand::Set {
                server,
                scope,
                words,
            } => {
                let server = self.server(Some(&server), "SERVER").await?;
                declared(&server, &scope)?;
                let mut policy = server.policy.clone();
                say(&mut policy, &scope, words);
                let detail = format!("scope changed: {scope}");
                self.publish(&server, &policy, detail.clone()).await?;
                out.line(detail);
                Ok(())
            }
            ScopesCommand::Remove { server, scope } => {
                let server = self.server(Some(&server), "SERVER").await?;
                declared(&server, &scope)?;
                if let Some(needing) = needing(&server, &scope) {
                    return Err(usage(format!(
                        "{scope}: {needing} needs it; nobody could call that any more"
                    )));
                }
                let mut policy = server.policy.clone();
                policy.scopes.retain(|declared| declared.name != scope);
                let only: ScopeSet = [scope.clone()].into_iter().collect();
                policy.default_scopes = policy.default_scopes.difference(&only);
                for declared in &mut policy.scopes {
                    declared.implies = declared.implies.difference(&only);
                }
                let detail = format!("scope removed: {scope}");
                self.publish(&server, &policy, detail.clone()).await?;
                out.line(detail);
                Ok(())
            }
        }
    }
}

fn declared(server: &McpServer, scope: &Scope) -> anyhow::Result<()> {
    match server.policy.declaration(scope) {
        Some(_) => Ok(()),
        None => Err(usage(format!(
            "{scope}: {} has no such scope; it has: {}",
            server.slug,
            server.policy.declared_scopes()
        ))),
    }
}

/// An element that cannot be called without this scope.
fn needing(server: &McpServer, scope: &Scope) -> Option<String> {
    let elements = authz::ListKind::ALL.into_iter();
    let mut elements = elements.flat_map(|kind| server.policy.entries(kind));
    let needs = |requirement: &authz::Requirement| match requirement {
        authz::Requirement::AnyOf(sets) => sets.iter().any(|set| set.contains(scope)),
        _ => false,
    };
    let found = elements.find(|(_, entry)| needs(&entry.requirement));
    found.map(|(name, _)| name.escape_debug().take(60).collect())
}

fn say(policy: &mut authz::Policy, scope: &Scope, words: ScopeWords) {
    for declared in &mut policy.scopes {
        if declared.name != *scope {
            continue;
        }
        if let Some(title) = &words.title {
            declared.title.clone_from(title);
        }
        if let Some(risk) = words.risk {
            declared.risk = risk.into();
        }
        if let Some(implies) = &words.implies {
            declared.implies = ScopeSet::parse_lenient(&implies.replace(',', " "));
        }
    }
    let only: ScopeSet = [scope.clone()].into_iter().collect();
    match words.default {
        None => {}
        Some(YesOrNo::Yes) => policy.default_scopes = policy.default_scopes.union(&only),
        Some(YesOrNo::No) => policy.default_scopes = policy.default_scopes.difference(&only),
    }
}

fn list(server: &McpServer, json: bool, out: &Terminal) -> anyhow::Result<()> {
    let policy = &server.policy;
    if json {
        out.line(serde_json::to_string_pretty(&policy.scopes)?);
        return Ok(());
    }
    let mut table = table(out, &["SCOPE", "RISK", "CONTAINS", "BY DEFAULT", "WORDS"]);
    for scope in &policy.scopes {
        let is_default = policy.default_scopes.contains(&scope.name);
        table.add_row([
            scope.name.to_string(),
            format!("{:?}", scope.risk).to_lowercase(),
            scope.implies.to_string(),
            if is_default { "yes" } else { "" }.to_owned(),
            plain(&scope.title, 100),
        ]);
    }
    out.line(table.trim_fmt());
    Ok(())
}
