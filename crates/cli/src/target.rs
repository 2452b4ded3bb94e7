use std::path::PathBuf;

use anyhow::Context as _;
use domain::{ServerSlug, Upstream};
use url::Url;

use crate::args::parse_mcp_url;
use crate::child_env::ChildEnv;
use crate::terminal::plain;
use crate::{failure, slug};

/// What `up` was asked to protect.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Target {
    /// Nothing was named: what the authority protects already, or the todo server when that is nothing.
    #[default]
    Everything,
    /// The bundled todo server.
    Todo,
    /// A Streamable HTTP MCP server.
    Http {
        /// Its MCP URL.
        url: Url,
        /// A file of headers to send it.
        header_file: Option<PathBuf>,
    },
    /// A stdio MCP server.
    Stdio {
        /// Program and arguments; never empty.
        command: Vec<String>,
        /// Its variables.
        env: Vec<ChildEnv>,
        /// Its working directory.
        directory: PathBuf,
    },
}

impl Target {
    /// Reads TARGET, COMMAND and the flags that belong to them.
    ///
    /// # Errors
    /// When TARGET is no URL, or the working directory is gone.
    pub fn read(
        target: Option<&str>,
        child: &[String],
        env: &[ChildEnv],
        header_file: Option<PathBuf>,
    ) -> anyhow::Result<Self> {
        if child.is_empty() && !env.is_empty() {
            return Err(failure::usage(
                "--env is for a stdio server; put its command after --: portcullis up --env NAME=VALUE -- COMMAND",
            ));
        }
        match target {
            _ if !child.is_empty() => Ok(Self::Stdio {
                command: child.to_vec(),
                env: env.to_vec(),
                directory: std::env::current_dir().context(
                    "the current directory, in which the MCP server would run, cannot be read",
                )?,
            }),
            None => Ok(Self::Everything),
            Some("todo") if header_file.is_none() => Ok(Self::Todo),
            Some("todo") => Err(failure::usage(
                "--upstream-header-file is for the URL of an MCP server; the bundled todo server needs none",
            )),
            Some(text) => {
                let url = parse_mcp_url(text).map_err(|reason| {
                    let text = plain(text, 200);
                    failure::usage(format!(
                        "TARGET {text:?}: {reason}\n  for a stdio server put the command after --: portcullis up -- {text}"
                    ))
                })?;
                Ok(Self::Http { url, header_file })
            }
        }
    }

    /// The slug when nobody gave one.
    pub fn slug(&self) -> ServerSlug {
        match self {
            Self::Everything | Self::Todo => {
                ServerSlug::parse("todo").expect("`todo` has the shape of a slug")
            }
            Self::Http { url, .. } => slug::from_url(url),
            Self::Stdio { command, .. } => slug::from_command(command),
        }
    }

    /// As the authority keeps it. What this start leaves out (a header file, variables) is taken from `known` when
    /// that is the same upstream, so that a second start need not repeat it.
    ///
    /// # Errors
    /// When the header file's path cannot be made absolute.
    pub fn to_upstream(&self, known: Option<&Upstream>) -> anyhow::Result<Upstream> {
        Ok(match self {
            Self::Everything | Self::Todo => Upstream::Todo,
            Self::Http { url, header_file } => {
                let header_file = match (header_file, known) {
                    (Some(path), _) => Some(
                        std::path::absolute(path)
                            .with_context(|| format!("--upstream-header-file {}", path.display()))?
                            .to_string_lossy()
                            .into_owned(),
                    ),
                    (
                        None,
                        Some(Upstream::Http {
                            url: known,
                            header_file,
                        }),
                    ) if known == url.as_str() => header_file.clone(),
                    (None, _) => None,
                };
                Upstream::Http {
                    url: url.to_string(),
                    header_file,
                }
            }
            Self::Stdio {
                command,
                env,
                directory,
            } => {
                let (program, arguments) = command
                    .split_first()
                    .expect("clap gives COMMAND at least one word");
                let env = match known {
                    Some(Upstream::Stdio {
                        command: known,
                        args,
                        env: kept,
                        ..
                    }) if env.is_empty() && known == program && args == arguments => kept.clone(),
                    _ => env
                        .iter()
                        .map(|variable| variable.name().to_owned())
                        .collect(),
                };
                Upstream::Stdio {
                    command: program.clone(),
                    args: arguments.to_vec(),
                    env,
                    directory: directory.to_string_lossy().into_owned(),
                }
            }
        })
    }
}

pub use oauth::new_server::without_query;

/// What calls go to, in words.
pub fn describe(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Todo => "the bundled todo server".into(),
        Upstream::Http { url, .. } => without_query(url),
        Upstream::Stdio { command, args, .. } => std::iter::once(command)
            .chain(args)
            .map(|word| {
                if word.is_empty() || word.contains([' ', '\t', '"', '\'']) {
                    format!("{word:?}")
                } else {
                    word.clone()
                }
            })
            .collect::<Vec<_>>()
            .join(" "),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_url_is_a_target_and_a_bare_command_is_told_where_to_go() {
        let read = Target::read(Some("http://127.0.0.1:8765/mcp"), &[], &[], None).unwrap();
        assert!(matches!(read, Target::Http { .. }));
        let error = Target::read(Some("npx"), &[], &[], None)
            .unwrap_err()
            .to_string();
        assert!(error.contains("portcullis up -- npx"), "{error}");
        assert_eq!(
            Target::read(None, &[], &[], None).unwrap(),
            Target::Everything
        );
    }

    #[test]
    fn a_query_is_not_shown() {
        let shown = |url: &str| {
            describe(&Upstream::Http {
                url: url.into(),
                header_file: None,
            })
        };
        assert_eq!(
            shown("https://example.com/mcp?key=k"),
            "https://example.com/mcp?…"
        );
        assert_eq!(shown("https://example.com/mcp"), "https://example.com/mcp");
    }

    #[test]
    fn a_second_start_keeps_the_header_file_of_the_same_url_and_drops_it_for_another() {
        let first = Target::read(
            Some("http://127.0.0.1:8765/mcp"),
            &[],
            &[],
            Some("/k".into()),
        )
        .unwrap();
        let kept = first.to_upstream(None).unwrap();
        let again = Target::read(Some("http://127.0.0.1:8765/mcp"), &[], &[], None).unwrap();
        assert_eq!(again.to_upstream(Some(&kept)).unwrap(), kept);
        let other = Target::read(Some("http://127.0.0.1:8766/mcp"), &[], &[], None).unwrap();
        assert!(matches!(
            other.to_upstream(Some(&kept)).unwrap(),
            Upstream::Http {
                header_file: None,
                ..
            }
        ));
    }
}
