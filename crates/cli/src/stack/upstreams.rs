//! From what the authority keeps of an upstream to what the gateway calls.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use base::Secret;
use domain::Upstream;
use gateway::stdio::{StderrSink, StdioSettings};
use http::{HeaderValue, header};
use url::Url;

use super::served::Served;
use crate::child_env::ChildEnv;
use crate::header_file;
use crate::terminal::Terminal;

/// Where the bundled todo server listens in this run.
#[derive(Debug, Clone)]
pub struct TodoAddress {
    /// Its MCP URL.
    pub url: Url,
    /// What it wants to hear.
    pub bearer: Secret<String>,
}

/// What the gateway calls for `server`.
///
/// `given` are the variables of this start's command line. Only their names are kept with the server, so that no key
/// lies in the database; a later start that does not give a value takes it from our own environment.
///
/// # Errors
/// Names the setting.
pub fn of(
    server: &Served,
    given: &[ChildEnv],
    todo: Option<&TodoAddress>,
    terminal: &Terminal,
) -> anyhow::Result<gateway::Upstream> {
    match &server.upstream {
        Upstream::Todo => {
            let todo = todo.context(
                "the bundled todo server runs only where authority and gateway are in one process (role = \"all\")",
            )?;
            let mut value = HeaderValue::try_from(format!("Bearer {}", todo.bearer.expose()))
                .context("a bearer of our own making is printable ASCII")?;
            value.set_sensitive(true);
            Ok(gateway::Upstream::Http {
                url: todo.url.clone(),
                headers: vec![(header::AUTHORIZATION, value)],
            })
        }
        Upstream::Http { url, header_file } => Ok(gateway::Upstream::Http {
            url: Url::parse(url).with_context(|| format!("the upstream {url:?}"))?,
            headers: match header_file {
                Some(path) => header_file::read(Path::new(path))
                    .with_context(|| format!("the MCP server {}", server.slug))?,
                None => Vec::new(),
            },
        }),
        Upstream::Stdio {
            command,
            args,
            env,
            directory,
        } => {
            let mut settings = StdioSettings::new(command, args.clone(), directory.into());
            settings.env =
                variables(env, given).with_context(|| format!("the MCP server {}", server.slug))?;
            settings.stderr = Some(prefixed(server.slug.as_str(), terminal));
            Ok(gateway::Upstream::Stdio(settings))
        }
    }
}

fn variables(kept: &[String], given: &[ChildEnv]) -> anyhow::Result<Vec<(String, String)>> {
    kept.iter()
        .map(|name| {
            let set = given.iter().find_map(|variable| match variable {
                ChildEnv::Set(known, value) if known == name => Some(value.clone()),
                _ => None,
            });
            let value = match set {
                Some(value) => value,
                None => std::env::var(name).map_err(|_| {
                    anyhow!(
                        "--env {name}: it is not set here, and values given at an earlier start are not kept; \
                         give --env {name}=VALUE again or export it"
                    )
                })?,
            };
            Ok((name.clone(), value))
        })
        .collect()
}

/// Shows what a child writes to its standard error, so that its troubles are seen where the person looks.
fn prefixed(slug: &str, terminal: &Terminal) -> StderrSink {
    let terminal = terminal.clone();
    let prefix = terminal.paint.dim(format!("  {slug} |"));
    StderrSink::new(move |line| terminal.line(format!("{prefix} {line}")))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_given_value_is_used_and_a_missing_one_is_named() {
        let given = [ChildEnv::Set("API_KEY".into(), "k".into())];
        let read = variables(&["API_KEY".into()], &given).unwrap();
        assert_eq!(read, [("API_KEY".to_owned(), "k".to_owned())]);
        let error = variables(&["PORTCULLIS_NOT_SET".into()], &given).unwrap_err();
        assert!(
            error.to_string().contains("--env PORTCULLIS_NOT_SET=VALUE"),
            "{error}"
        );
    }
}
