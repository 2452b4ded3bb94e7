use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use authz::Inventory;
use base::{Clock, Timestamp};
use domain::{ServerSlug, Upstream};
use gateway::{Gateway, ServerSettings, SettingsError};
use tokio::sync::{mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use wire::oauth::ScopeSet;

use super::served::Served;
use super::supply::Manifest;
use super::upstreams::{self, TodoAddress};
use super::watch::{First, Watch};
use crate::child_env::ChildEnv;
use crate::failure;
use crate::terminal::{Terminal, plain};

/// How often settings that cannot be used are read again: a file that is missing may come.
const TRY_AGAIN_EVERY: Duration = Duration::from_secs(5);
/// How often aliases are looked at that answer now.
const ALIASES_EVERY: Duration = Duration::from_millis(500);
const REASON_CHARS_MAX: usize = 500;

/// Keeps the gateway at the MCP servers that the authority has, and looks at the upstream of each one that is new.
pub struct ServerSet {
    with: Surroundings,
    known: BTreeMap<ServerSlug, Known>,
    in_force: Vec<ServerSettings>,
    looks: JoinSet<()>,
}

/// What a set of servers works with.
pub struct Surroundings {
    pub gateway: Gateway,
    pub clock: Arc<dyn Clock>,
    /// Where it goes what they offer.
    pub manifest: Manifest,
    /// Nothing where no command line named one.
    pub asked: Option<Asked>,
    pub todo: Option<TodoAddress>,
    pub terminal: Terminal,
    /// How long until an upstream is looked at again.
    pub look_every: Duration,
    /// Who hears what each upstream's first look found; the terminal does when nobody listens any more.
    pub first_looks: mpsc::Sender<First>,
}

/// The server that the command line named, with what it said of it.
pub struct Asked {
    pub slug: ServerSlug,
    pub env: Vec<ChildEnv>,
    pub overrides: Vec<(String, ScopeSet)>,
    pub found: Option<Inventory>,
}

/// What was made of a server's row.
struct Known {
    upstream: Upstream,
    settings: ServerSettings,
    /// Those that answer now; in the settings are those of them that the gateway takes.
    aliases: Vec<String>,
    created_at: Timestamp,
    /// Why it cannot be used, which was told.
    trouble: Option<String>,
    /// Whether its resource is an address at which it can be.
    has_place: bool,
    look: Option<AbortHandle>,
}

impl ServerSet {
    /// An empty set.
    pub fn new(with: Surroundings) -> Self {
        Self {
            with,
            known: BTreeMap::new(),
            in_force: Vec::new(),
            looks: JoinSet::new(),
        }
    }

    /// Follows what the authority says, for as long as it says something.
    pub async fn run(mut self, mut served: watch::Receiver<Vec<Served>>) {
        loop {
            let in_trouble = self.known.values().any(|known| known.trouble.is_some());
            let has_aliases = self.known.values().any(|known| !known.aliases.is_empty());
            tokio::select! {
                changed = served.changed() => if changed.is_err() {
                    return;
                },
                // Their end comes by the clock alone.
                () = tokio::time::sleep(ALIASES_EVERY), if has_aliases => {}
                () = tokio::time::sleep(TRY_AGAIN_EVERY), if in_trouble => {}
            }
            let servers = served.borrow_and_update().clone();
            self.follow(&servers);
        }
    }

    /// Makes `servers` the ones that are served. One that cannot be used is told once and does not keep the others from
    /// it: with an upstream that cannot be called it still guides clients through their sign-in and answers calls 503,
    /// since a 404 would make them forget it; with a resource that cannot be answered at, it is nowhere.
    pub fn follow(&mut self, servers: &[Served]) {
        while self.looks.try_join_next().is_some() {}
        let mut before = std::mem::take(&mut self.known);
        let mut told = BTreeMap::new();
        let mut is_as_before = true;
        let now = self.with.clock.now();
        for server in servers {
            let mut known = match before.remove(&server.slug) {
                Some(known) if known.is_of(server) && known.trouble.is_none() => known,
                other => {
                    is_as_before = false;
                    if let Some(mut other) = other {
                        other.stop_looking();
                        told.extend(other.trouble.map(|trouble| (server.slug.clone(), trouble)));
                    }
                    self.read(server)
                }
            };
            let live = server.aliases.iter().filter(|(_, until)| now < *until);
            let aliases: Vec<String> = live.map(|(url, _)| url.clone()).collect();
            if known.aliases != aliases {
                known.aliases = aliases;
                is_as_before = false;
            }
            self.known.insert(server.slug.clone(), known);
        }
        for left in before.values_mut() {
            left.stop_looking();
        }
        if is_as_before && before.is_empty() {
            return;
        }
        self.put_in_force();
        for (slug, known) in &mut self.known {
            match &known.trouble {
                Some(trouble) if told.get(slug) != Some(trouble) => {
                    self.with.tell_trouble(slug, trouble);
                }
                Some(_) => {}
                None if known.look.is_none() => {
                    let look = self.with.look(slug, known);
                    known.look = Some(self.looks.spawn(look));
                }
                None => {}
            }
        }
    }

    /// Whether there is an address at which `slug` answers.
    pub fn has_place(&self, slug: &ServerSlug) -> bool {
        self.known.get(slug).is_some_and(|known| known.has_place)
    }

    fn read(&self, server: &Served) -> Known {
        let Surroundings {
            asked,
            todo,
            terminal,
            ..
        } = &self.with;
        let given: &[ChildEnv] = match asked {
            Some(asked) if server.slug == asked.slug => &asked.env,
            _ => &[],
        };
        let (upstream, trouble) = match upstreams::of(server, given, todo.as_ref(), terminal) {
            Ok(upstream) => (upstream, None),
            Err(error) => (gateway::Upstream::Unusable, Some(failure::message(&error))),
        };
        Known {
            upstream: server.upstream.clone(),
            settings: ServerSettings {
                slug: server.slug.to_string(),
                resource: server.resource.clone(),
                aliases: Vec::new(),
                upstream,
            },
            aliases: Vec::new(),
            created_at: server.created_at,
            trouble,
            has_place: true,
            look: None,
        }
    }

    /// Takes out what the gateway refuses until it takes the rest. Of two at one address the older one stays.
    fn put_in_force(&mut self) {
        for known in self.known.values_mut() {
            known.settings.aliases.clone_from(&known.aliases);
        }
        loop {
            let mut known: Vec<_> = self
                .known
                .values()
                .filter(|known| known.has_place)
                .collect();
            known.sort_by_key(|known| known.created_at);
            let wanted: Vec<_> = known.iter().map(|known| known.settings.clone()).collect();
            if wanted == self.in_force {
                return;
            }
            let refusal = match self.with.gateway.set_servers(wanted.clone()) {
                Ok(()) => {
                    self.in_force = wanted;
                    return;
                }
                Err(refusal) => refusal,
            };
            let refused = self
                .known
                .values_mut()
                .find(|known| refusal.server() == Some(&*known.settings.slug));
            let Some(refused) = refused else {
                tracing::error!(error = %refusal, "the gateway goes on with the MCP servers it had");
                return;
            };
            if let SettingsError::Alias { url, .. } = &refusal {
                tracing::error!(server = refused.settings.slug, reason = %refusal, "an alias does not answer");
                refused.settings.aliases.retain(|alias| alias != url);
                continue;
            }
            refused.trouble = Some(refusal.to_string());
            match refusal {
                SettingsError::Upstream { .. } => {
                    refused.settings.upstream = gateway::Upstream::Unusable;
                }
                _ => refused.has_place = false,
            }
        }
    }
}

impl Known {
    fn is_of(&self, server: &Served) -> bool {
        self.upstream == server.upstream
            && self.settings.resource == server.resource
            && self.created_at == server.created_at
    }

    fn stop_looking(&mut self) {
        if let Some(look) = self.look.take() {
            look.abort();
        }
    }
}

impl Surroundings {
    fn look(
        &mut self,
        slug: &ServerSlug,
        known: &Known,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (overrides, found) = match &mut self.asked {
            Some(asked) if *slug == asked.slug => {
                (std::mem::take(&mut asked.overrides), asked.found.take())
            }
            _ => (Vec::new(), None),
        };
        Watch {
            manifest: self.manifest.clone(),
            slug: slug.clone(),
            upstream: known.settings.upstream.clone(),
            is_todo: known.upstream == Upstream::Todo,
            overrides,
            terminal: self.terminal.clone(),
            every: self.look_every,
            gateway: self.gateway.clone(),
            changes: self.gateway.upstream_changes(slug.as_str()),
        }
        .run(found, self.first_looks.clone())
    }

    fn tell_trouble(&self, slug: &ServerSlug, trouble: &str) {
        tracing::error!(server = %slug, reason = trouble, "an MCP server cannot be served");
        let reason = plain(trouble, REASON_CHARS_MAX);
        self.terminal.line(self.terminal.paint.bad(format!(
            "  {slug} cannot be served: {reason}; the others go on, and it is tried again"
        )));
        let _ = self.first_looks.try_send(First {
            slug: slug.clone(),
            outcome: Err(reason),
        });
    }
}

#[cfg(test)]
mod tests;
