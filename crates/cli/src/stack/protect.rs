//! Which MCP server this start adds or updates.

use anyhow::{Context as _, anyhow, bail};
use authz::{Inventory, ListKind};
use base::Clock;
use domain::{AuditEvent, AuditEventKind, McpServer, ServerSlug, Upstream};
use gateway::DiscoverError;
use store::{ServersApart, Store};
use wire::oauth::ScopeSet;

use super::{UpOptions, inventory, news, upstreams};
use crate::child_env::ChildEnv;
use crate::failure::usage;
use crate::target::{self, Target};
use crate::terminal::Terminal;

/// How often a slug may have been removed until a person has to choose.
const SLUGS_TRIED: usize = 100;

/// What to write, once it is known that it can work.
#[derive(Debug)]
pub struct Plan {
    /// The server that was asked for.
    pub slug: ServerSlug,
    /// Its variables, with the values that are not kept.
    pub env: Vec<ChildEnv>,
    /// The scopes of its tools that were given.
    pub overrides: Vec<(String, ScopeSet)>,
    /// What its upstream offers, when it was looked at already.
    pub found: Option<Inventory>,
    change: Change,
}

#[derive(Debug)]
enum Change {
    Nothing(McpServer),
    Add(McpServer),
    Update(McpServer),
}

/// Decides what to write and looks at an upstream that is new.
///
/// # Errors
/// When the target cannot be protected, or the flags do not say which server they mean.
pub async fn plan(
    store: &Store,
    options: &UpOptions,
    overrides: &[(String, ScopeSet)],
    public_url: &str,
) -> anyhow::Result<Plan> {
    let ServersApart { readable, closed } = store.list_servers_apart().await?;
    let known = readable.len() + closed.len();
    let names_none = options.target == Target::Everything && options.slug.is_none();
    if names_none && known > 0 {
        if !overrides.is_empty() && known > 1 {
            return Err(usage(
                "--tool-scope: there are several MCP servers; say which by naming its TARGET",
            ));
        }
        // With those that can be read it starts; the others are answered 503.
        let Some(first) = readable.into_iter().next() else {
            let unreadable = closed.into_iter().next().map(|(_, error)| error);
            return Err(unreadable.map_or_else(|| anyhow!("there is no MCP server"), Into::into));
        };
        return Ok(Plan {
            slug: first.slug.clone(),
            env: Vec::new(),
            overrides: with_todo(&first.upstream, overrides),
            found: None,
            change: Change::Nothing(first),
        });
    }
    let servers: Vec<&McpServer> = readable
        .iter()
        .chain(closed.iter().map(|(server, _)| server))
        .collect();
    let slug = slug(store, options, &servers).await?;
    if let Some((_, error)) = closed.into_iter().find(|(server, _)| server.slug == slug) {
        return Err(error.into());
    }
    let known = readable.into_iter().find(|server| server.slug == slug);
    let upstream = options
        .target
        .to_upstream(known.as_ref().map(|server| &server.upstream))?;
    let env = match &options.target {
        Target::Stdio { env, .. } => env.clone(),
        _ => Vec::new(),
    };
    let overrides = with_todo(&upstream, overrides);
    let change = match known {
        Some(known) if known.upstream == upstream => Change::Nothing(known),
        Some(known) => Change::Update(McpServer { upstream, ..known }),
        None => Change::Add(oauth::new_server::new_server(
            &slug,
            upstream,
            public_url,
            options.clock.now(),
        )),
    };
    let mut plan = Plan {
        slug,
        env,
        overrides,
        found: None,
        change,
    };
    if let Change::Add(server) | Change::Update(server) = &plan.change {
        plan.found = look(server, &plan.env, &plan.overrides, &options.terminal).await?;
    }
    Ok(plan)
}

/// The slug that was given, or the one that is made from the target; with a number behind it when a server that had it was
/// removed, for a slug is never given again.
async fn slug(
    store: &Store,
    options: &UpOptions,
    servers: &[&McpServer],
) -> anyhow::Result<ServerSlug> {
    let base = options
        .slug
        .clone()
        .unwrap_or_else(|| options.target.slug());
    for number in 1..=SLUGS_TRIED {
        let slug = match number {
            1 => base.clone(),
            number => {
                ServerSlug::parse(&format!("{base}-{number}")).map_err(|error| anyhow!(error))?
            }
        };
        let is_there = servers.iter().any(|server| server.slug == slug);
        if is_there || !store.slug_is_taken(&slug).await? {
            return Ok(slug);
        }
        if options.slug.is_some() {
            return Err(usage(format!(
                "--slug {slug}: an MCP server of this name was removed, and a slug is never given again; choose another"
            )));
        }
    }
    bail!(
        "{base} and its first {SLUGS_TRIED} numbers were all given before; choose another name with --slug"
    )
}

/// Looks at an upstream before it is written down. Nobody answering is no reason to refuse: it may come up later.
///
/// # Errors
/// When what answers cannot be protected, a command does not start, or `overrides` name a tool that is not there.
pub async fn look(
    server: &McpServer,
    env: &[ChildEnv],
    overrides: &[(String, ScopeSet)],
    terminal: &Terminal,
) -> anyhow::Result<Option<Inventory>> {
    let shown = target::describe(&server.upstream);
    match server.upstream {
        // It runs with the authority alone.
        Upstream::Todo => return Ok(None),
        Upstream::Stdio { .. } => terminal.line(format!("  Starting {shown} …")),
        Upstream::Http { .. } => {}
    }
    let upstream = upstreams::of(&server.into(), env, None, terminal)?;
    match gateway::discover(&upstream, &gateway::Limits::default()).await {
        Ok(found) => {
            let mut unread = found.unread.iter();
            if let Some(tools) = unread.find(|unread| unread.kind == ListKind::Tools) {
                let reason = news::reason(&tools.reason);
                bail!("{shown} cannot be protected: {reason}");
            }
            inventory::check_overrides(&found.inventory, overrides)?;
            Ok(Some(found.inventory))
        }
        Err(DiscoverError::Unreachable(reason))
            if matches!(server.upstream, Upstream::Stdio { .. }) =>
        {
            // A command that does not start at all is a mistyped one.
            Err(anyhow!(
                "{shown} cannot be protected: {}",
                news::reason(&reason)
            ))
        }
        Err(DiscoverError::Unreachable(_)) => Ok(None),
        Err(error) => {
            let reason = news::reason(&error.to_string());
            bail!("{shown} cannot be protected: {reason}")
        }
    }
}

/// Writes the plan and answers with the server it is about.
///
/// # Errors
/// When the store refuses.
pub async fn save(store: &Store, clock: &dyn Clock, plan: &Plan) -> anyhow::Result<McpServer> {
    let event = |kind, server: &McpServer| AuditEvent {
        at: clock.now(),
        kind,
        server: Some(server.slug.clone()),
        user: None,
        client: None,
        grant: None,
        detail: target::describe(&server.upstream),
    };
    match &plan.change {
        Change::Nothing(server) => Ok(server.clone()),
        Change::Add(server) => {
            store
                .insert_server(server, event(AuditEventKind::ServerAdded, server))
                .await
                .with_context(|| format!("the MCP server {} cannot be added", server.slug))?;
            Ok(server.clone())
        }
        Change::Update(server) => {
            let known = store
                .update_server(server, event(AuditEventKind::ServerChanged, server))
                .await?;
            anyhow::ensure!(known, "the MCP server {} is gone", server.slug);
            Ok(server.clone())
        }
    }
}

/// The todo server's own mapping, except where the command line says otherwise.
fn with_todo(upstream: &Upstream, given: &[(String, ScopeSet)]) -> Vec<(String, ScopeSet)> {
    let mut all = given.to_vec();
    if *upstream == Upstream::Todo {
        for (tool, scopes) in todo::policy_overrides() {
            if !all.iter().any(|(known, _)| *known == tool) {
                all.push((tool, ScopeSet::parse_lenient(&scopes.join(" "))));
            }
        }
    }
    all
}
