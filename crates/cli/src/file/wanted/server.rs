use domain::{McpServer, ServerSettings, ServerSettingsChange, ServerSlug};
use url::Url;

use super::super::document::{Server, Upstream, UpstreamKind};
use super::super::problems::{Problems, join};
use super::{Context, policy};
use crate::args::parse_mcp_url;
use crate::child_env::ChildEnv;
use crate::config::nearest;
use crate::public_url::is_loopback;
use crate::servers::{self, check, resource, rows, same_place, say};
use oauth::new_server::new_server;

/// The longest path, and the longest command line of a child.
const PATH_BYTES_MAX: usize = 4096;
const COMMAND_BYTES_MAX: usize = 64 * 1024;

/// What `said` makes of the server `slug`, which stands at `path`.
pub(super) fn read(
    slug: &ServerSlug,
    said: &Server,
    path: &str,
    with: &Context<'_>,
    problems: &mut Problems<'_>,
) -> McpServer {
    let known = with.now.servers.iter().find(|known| known.slug == *slug);
    let before = known.map_or_else(
        || new_server(slug, domain::Upstream::Todo, with.public_url, with.at),
        McpServer::clone,
    );
    let shown = Server::of(&before);
    let mut server = before.clone();
    if !said.name.is_empty() && said.name != shown.name {
        server.name = name(&said.name, &join(path, "name"), problems);
    }
    if !said.url.is_empty() && said.url != shown.url {
        let path = join(path, "url");
        match place(&said.url, with.public_url) {
            Ok(place) => server.resource = place,
            Err(words) => problems.say(&path, words),
        }
    }
    if known.is_none() || said.upstream != shown.upstream {
        let path = join(path, "upstream");
        if let Some(upstream) = upstream(&said.upstream, &before.upstream, &path, problems) {
            server.upstream = upstream;
        }
    }
    settings(said, &mut server, &join(path, "settings"), problems);
    if said.policy != shown.policy || said.scopes != shown.scopes {
        server.policy = policy::read(said, path, with.input_schemas.get(slug), problems)
            .written_over(&server.policy);
        if let Some(kept) = with.kept.get(slug) {
            let known =
                |kind, identity: &str, then: Option<&str>| kept.known_now(kind, identity, then);
            server.policy = server.policy.returning_over(&before.policy, known);
        }
        let policy = &mut server.policy;
        policy.quarantine_from = said
            .policy
            .quarantine_from
            .unwrap_or(policy.quarantine_from);
        policy.list_step_up = said.policy.list_step_up.unwrap_or(policy.list_step_up);
    }
    server
}

/// What pages call something: 1 to 100 characters that can be shown.
pub(super) fn name(said: &str, path: &str, problems: &mut Problems<'_>) -> String {
    servers::name(said).unwrap_or_else(|words| {
        problems.say(path, words);
        said.to_owned()
    })
}

fn place(said: &str, public_url: &str) -> Result<String, String> {
    let url = parse_mcp_url(said)?;
    let is_here = Url::parse(public_url).is_ok_and(|own| is_loopback(&own));
    if is_loopback(&url) && !is_here {
        return Err(format!(
            "is on this machine, and {public_url} is not: nobody else would reach it"
        ));
    }
    resource(&url, public_url).map_err(|error| plain_words(&error))
}

/// The words of a command's refusal, without the flag.
fn plain_words(error: &anyhow::Error) -> String {
    let words = error.to_string();
    words
        .strip_prefix("--url")
        .map_or(words.as_str(), |rest| rest.trim_start_matches([':', ' ']))
        .to_owned()
}

/// Two servers are never at one address, also not for the length of an apply: an address that a server leaves stays its
/// alias.
pub(super) fn check_places(servers: &[McpServer], with: &Context<'_>, problems: &mut Problems<'_>) {
    for (index, server) in servers.iter().enumerate() {
        let path = join(&join("servers", server.slug.as_str()), "url");
        let before = with.now.servers.iter().find(|one| one.slug == server.slug);
        if before.is_some_and(|before| before.resource == server.resource) {
            continue;
        }
        let stays = |one: &&McpServer| servers.iter().any(|other| other.slug == one.slug);
        let others = with.now.servers.iter().filter(stays);
        let mut others = others.filter(|one| one.slug != server.slug);
        if let Some(other) = others.find(|one| same_place(one, &server.resource)) {
            let slug = &other.slug;
            problems.say(&path, format!("is an address of {slug} already"));
        }
        let is_same = |other: &&McpServer| {
            other.resource.trim_end_matches('/') == server.resource.trim_end_matches('/')
        };
        if let Some(other) = servers[..index].iter().find(is_same) {
            problems.say(&path, format!("is where the file puts {} too", other.slug));
        }
        let own = before.map(|before| before.resource.trim_end_matches('/'));
        if own == Some(server.resource.trim_end_matches('/')) {
            problems.say(
                &path,
                "differs by its last slash alone, so it is there already",
            );
        }
    }
}

fn upstream(
    said: &Upstream,
    before: &domain::Upstream,
    path: &str,
    problems: &mut Problems<'_>,
) -> Option<domain::Upstream> {
    if problems.has(path) {
        return None;
    }
    let belongs = [
        ("url", said.url.is_some(), UpstreamKind::Http),
        (
            "header_file",
            said.header_file.is_some(),
            UpstreamKind::Http,
        ),
        ("command", !said.command.is_empty(), UpstreamKind::Stdio),
        ("env", !said.env.is_empty(), UpstreamKind::Stdio),
        ("directory", said.directory.is_some(), UpstreamKind::Stdio),
    ];
    for (key, is_said, kind) in belongs {
        if is_said && kind != said.kind {
            let word = if kind == UpstreamKind::Http {
                "http"
            } else {
                "stdio"
            };
            problems.say(&join(path, key), format!("is for the kind {word} only"));
        }
    }
    let absolute = |key: &str, text: &Option<String>, problems: &mut Problems<'_>| {
        let fits = |text: &String| {
            text.starts_with('/') && text.len() <= PATH_BYTES_MAX && !text.contains('\0')
        };
        if text.as_ref().is_some_and(|text| !fits(text)) {
            problems.say(&join(path, key), "must be a path that begins with /");
        }
    };
    Some(match said.kind {
        UpstreamKind::Todo => domain::Upstream::Todo,
        UpstreamKind::Http => {
            absolute("header_file", &said.header_file, problems);
            let url = said.url.as_deref().unwrap_or_default();
            match parse_mcp_url(url) {
                Ok(url) => domain::Upstream::Http {
                    url: url.to_string(),
                    header_file: said.header_file.clone(),
                },
                Err(words) => {
                    problems.say(&join(path, "url"), words);
                    return None;
                }
            }
        }
        UpstreamKind::Stdio => {
            absolute("directory", &said.directory, problems);
            let bytes: usize = said.command.iter().map(String::len).sum();
            let has_nul = said.command.iter().any(|word| word.contains('\0'));
            let (Some((program, arguments)), false) = (said.command.split_first(), has_nul) else {
                problems.say(&join(path, "command"), "needs a program, without U+0000");
                return None;
            };
            if program.is_empty() || bytes > COMMAND_BYTES_MAX {
                let words = format!("needs a program; at most {COMMAND_BYTES_MAX} bytes");
                problems.say(&join(path, "command"), words);
            }
            let Some(directory) = said.directory.clone() else {
                problems.say(
                    &join(path, "directory"),
                    "is missing: where the program runs",
                );
                return None;
            };
            domain::Upstream::Stdio {
                command: program.clone(),
                args: arguments.to_vec(),
                env: variables(&said.env, before, &join(path, "env"), problems),
                directory,
            }
        }
    })
}

/// A variable that was there keeps its value, which no file has.
fn variables(
    said: &[String],
    before: &domain::Upstream,
    path: &str,
    problems: &mut Problems<'_>,
) -> Vec<String> {
    let kept: &[String] = match before {
        domain::Upstream::Stdio { env, .. } => env,
        _ => &[],
    };
    let is_of = |kept: &&String, name: &str| kept.split('=').next() == Some(name);
    said.iter()
        .map(|name| {
            match ChildEnv::parse(name) {
                Ok(ChildEnv::Inherit(_)) => {}
                Ok(ChildEnv::Set(name, _)) => problems.say(
                    path,
                    format!("{name}: values are not kept; give the name alone and set it where the authority runs"),
                ),
                Err(words) => problems.say(path, words),
            }
            let known = kept.iter().find(|kept| is_of(kept, name));
            known.unwrap_or(name).clone()
        })
        .collect()
}

/// A setting that is not said has its default.
fn settings(said: &Server, server: &mut McpServer, path: &str, problems: &mut Problems<'_>) {
    let before = rows(&server.settings);
    let mut change = ServerSettingsChange::default();
    for (flag, default) in rows(&ServerSettings::default()) {
        let word = said.settings.get(flag).unwrap_or(&default);
        let is_known = before
            .iter()
            .any(|(known, kept)| *known == flag && kept == word);
        if !is_known && let Err(words) = say(&mut change, flag, word) {
            problems.say(&join(path, flag), words);
        }
    }
    for name in said.settings.keys() {
        if !before.iter().any(|(flag, _)| flag == name) {
            let known = before.iter().map(|(flag, _)| *flag);
            let hint = match nearest(name, known.clone()) {
                Some(near) => format!("did you mean {}?", join(path, near)),
                None => format!("there are: {}", known.collect::<Vec<_>>().join(", ")),
            };
            problems.say(&join(path, name), format!("unknown key; {hint}"));
        }
    }
    if let Err(error) = check(&change, &server.settings) {
        let words = error.to_string();
        let (flag, words) = words
            .trim_start_matches("--")
            .split_once([':', ' '])
            .unwrap_or(("", &words));
        problems.say(&join(path, flag), words.trim());
    }
    server.settings = change.of(&server.settings);
}
