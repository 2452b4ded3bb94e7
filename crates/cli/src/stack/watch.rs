use std::time::Duration;

use authz::Inventory;
use domain::ServerSlug;
use gateway::{DiscoverError, Limits, Upstream};
use tokio::sync::mpsc;
use wire::oauth::ScopeSet;

use super::inventory::Mapped;
use super::supply::Manifest;
use crate::terminal::Terminal;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Looks at one upstream until it has answered once, and maps what it offers.
pub struct Watch {
    pub manifest: Manifest,
    pub slug: ServerSlug,
    pub upstream: Upstream,
    pub is_todo: bool,
    pub overrides: Vec<(String, ScopeSet)>,
    pub terminal: Terminal,
}

/// What the first look found.
#[derive(Debug)]
pub struct First {
    /// Of which server.
    pub slug: ServerSlug,
    /// What is there, or why not.
    pub outcome: Result<Seen, String>,
}

/// An upstream that answered.
#[derive(Debug)]
pub struct Seen {
    /// What became of it.
    pub mapped: Mapped,
    /// How many tools it lists to whoever asks it directly. `None` when that is nobody's to ask.
    pub anonymous: Option<usize>,
}

impl Watch {
    /// Tells the first outcome, then goes on until it is a good one.
    pub async fn run(self, mut found: Option<Inventory>, first: mpsc::Sender<First>) {
        let mut first = Some(first);
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = self.look(found.take()).await;
            let worked = outcome.is_ok();
            match first.take() {
                Some(first) => {
                    let slug = self.slug.clone();
                    let late = first.is_closed();
                    if late {
                        self.tell(&outcome);
                    } else {
                        let _ = first.send(First { slug, outcome }).await;
                    }
                }
                None if worked => self.tell(&outcome),
                None => {}
            }
            if worked {
                return;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    async fn look(&self, found: Option<Inventory>) -> Result<Seen, String> {
        let inventory = match found {
            Some(inventory) => inventory,
            None => {
                gateway::discover(&self.upstream, &Limits::default())
                    .await
                    .map_err(|error| error.to_string())?
                    .inventory
            }
        };
        let publishing = self
            .manifest
            .publish(&self.slug, &inventory, &self.overrides);
        let mapped = publishing.await?;
        Ok(Seen {
            anonymous: self.anonymous(mapped.tools).await,
            mapped,
        })
    }

    /// How many tools the upstream gives to a caller that shows nothing.
    async fn anonymous(&self, listed: usize) -> Option<usize> {
        match &self.upstream {
            // Nothing is looked at that cannot be called.
            Upstream::Unusable => None,
            // A child's pipes, and the todo server before it was put behind a bearer of ours, take any caller.
            Upstream::Stdio(_) => Some(listed),
            Upstream::Http { .. } if self.is_todo => Some(listed),
            Upstream::Http { headers, .. } if headers.is_empty() => Some(listed),
            Upstream::Http { url, .. } => {
                let bare = Upstream::Http {
                    url: url.clone(),
                    headers: Vec::new(),
                };
                match gateway::discover(&bare, &Limits::default()).await {
                    Ok(found) => Some(found.inventory.tools.len()),
                    Err(DiscoverError::Unauthorized(_)) => Some(0),
                    Err(_) => None,
                }
            }
        }
    }

    fn tell(&self, outcome: &Result<Seen, String>) {
        let paint = self.terminal.paint;
        self.terminal.line(match outcome {
            Ok(seen) => paint.good(format!(
                "  {} answers: {} tools protected",
                self.slug, seen.mapped.tools
            )),
            Err(reason) => paint.warn(format!(
                "  {} cannot be used now: {reason}; it is tried again",
                self.slug
            )),
        });
        if let Ok(seen) = outcome
            && let Some(name) = seen.mapped.hidden.first()
        {
            let names = seen.mapped.hidden.join(", ");
            self.terminal.line(format!(
                "  new and hidden until mapped: {names} (up again with --tool-scope {name}=SCOPE)"
            ));
        }
    }
}
