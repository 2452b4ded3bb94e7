use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use authz::{Inventory, ListKind};
use base::{Digest, OsRandom, Random as _};
use domain::ServerSlug;
use gateway::{DiscoverError, Gateway, Limits, Upstream};
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;
use wire::oauth::ScopeSet;

use super::inventory::Mapped;
use super::news;
use super::supply::Manifest;
use crate::terminal::Terminal;

const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// A notice is followed after this, so that several that come together are one.
const NOTICE_PAUSE: Duration = Duration::from_secs(1);
/// A server that says all the time that it changed is looked at this often.
const NOTICE_PAUSE_MAX: Duration = Duration::from_secs(60);
/// The longest that one more look at an upstream may take, and as long again telling what it found.
const LOOK_MAX: Duration = Duration::from_secs(120);
/// A command is started for each look: it is looked at this many times less often.
const COMMAND_FACTOR: u32 = 12;
/// An authority elsewhere is told the same again after this.
const TELL_AGAIN_EVERY: Duration = Duration::from_secs(3600);
/// Whatever was not kept whole is told again after this.
const REST_AFTER: Duration = Duration::from_secs(60);

/// Looks at one upstream until it has answered once, and maps what it offers; then again and again.
pub struct Watch {
    pub manifest: Manifest,
    pub slug: ServerSlug,
    pub upstream: Upstream,
    pub is_todo: bool,
    pub overrides: Vec<(String, ScopeSet)>,
    pub terminal: Terminal,
    /// How long until it is looked at again.
    pub every: Duration,
    /// Denies what changed while nobody can be told.
    pub gateway: Gateway,
    /// It is looked at again when this says so.
    pub changes: Arc<Notify>,
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

/// What an authority elsewhere was told last. Whole it may be of any size.
struct Published {
    inventory: Digest,
    /// How often its feed had been followed anew.
    followed: u64,
    /// The policy that it is a part of since.
    revision: i64,
    again: bool,
    at: Instant,
}

impl Published {
    /// Whether it need not hear of `inventory`: it did, kept all of it, is the same authority still, and the policy that is
    /// in force is no later one, in which something may be missing.
    fn is_enough(&self, inventory: Digest, followed: u64, revision: i64) -> bool {
        self.inventory == inventory
            && !self.again
            && self.followed == followed
            && revision <= self.revision
            && self.at.elapsed() < TELL_AGAIN_EVERY
    }
}

impl Watch {
    /// Tells the first outcome, then goes on until it is a good one.
    pub async fn run(self, mut found: Option<Inventory>, first: mpsc::Sender<First>) {
        let mut first = Some(first);
        let mut pause = FIRST_PAUSE;
        loop {
            let outcome = self.look(found.take()).await;
            let worked = outcome.is_ok();
            let again = outcome.as_ref().is_ok_and(|seen| seen.mapped.again);
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
                return self.go_on(again).await;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Looks again on a schedule, and when the gateway noticed something; what that finds is told when it is news. `again`: not
    /// all of the first look was kept.
    async fn go_on(&self, again: bool) {
        let mut told = digest_of(&[], &[]);
        let mut published: Option<Published> = None;
        let mut pause = NOTICE_PAUSE;
        let mut rest_after = again.then_some(REST_AFTER);
        let mut looked = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.next_pause().min(rest_after.unwrap_or(Duration::MAX))) => {
                    pause = NOTICE_PAUSE;
                }
                () = self.changes.notified() => {
                    pause = match looked.elapsed() < NOTICE_PAUSE_MAX * self.factor() {
                        true => (pause * 2).min(NOTICE_PAUSE_MAX),
                        false => NOTICE_PAUSE,
                    };
                    tokio::time::sleep(pause * self.factor()).await;
                }
            }
            let outcome = self.look_again(&mut published).await;
            looked = Instant::now();
            let mapped = match outcome {
                Ok(Some(mapped)) => mapped,
                Ok(None) => continue,
                Err(reason) => {
                    tracing::warn!(server = %self.slug, reason, "an upstream could not be looked at again");
                    continue;
                }
            };
            rest_after = mapped.again.then_some(REST_AFTER);
            let news = digest_of(&mapped.hidden, &mapped.changed);
            if news != told {
                self.tell_news(&mapped.hidden, &mapped.changed);
                told = news;
            }
        }
    }

    /// What came of one more look; nothing when the authority knows it already.
    async fn look_again(
        &self,
        published: &mut Option<Published>,
    ) -> Result<Option<Mapped>, String> {
        let looking = tokio::time::timeout(LOOK_MAX, self.inventory(false));
        let inventory = looking.await.map_err(|_| "it took too long".to_owned())??;
        let Some(heard) = self.manifest.heard(&self.slug) else {
            let mapped = self.publish(&inventory, &[]).await?;
            return Ok(Some(mapped));
        };
        let digest = inventory.digest();
        let followed = heard.followed.load(Ordering::Relaxed);
        let revision = heard.revision.load(Ordering::Relaxed);
        let known = published.as_ref();
        if known.is_some_and(|known| known.is_enough(digest, followed, revision)) {
            return Ok(None);
        }
        let mapped = self.publish(&inventory, &[]).await?;
        *published = Some(Published {
            inventory: digest,
            followed,
            // An earlier release does not say it.
            revision: mapped.revision.max(revision),
            again: mapped.again,
            at: Instant::now(),
        });
        Ok(Some(mapped))
    }

    /// Tells what was found. When that does not succeed, what changed is denied here until it does and the policy that came of it
    /// is in force.
    async fn publish(
        &self,
        inventory: &Inventory,
        overrides: &[(String, ScopeSet)],
    ) -> Result<Mapped, String> {
        let shorter = self.manifest.shortened(inventory);
        let untold = shorter.map(|shorter| inventory.left_out(&shorter));
        let publishing = self.manifest.publish(&self.slug, inventory, overrides);
        let published = tokio::time::timeout(LOOK_MAX, publishing).await;
        let published = published
            .unwrap_or_else(|_| Err("what it offers could not be told in time".to_owned()));
        let slug = self.slug.as_str();
        match &published {
            // An earlier release does not say the revision, which is 0 then.
            Ok(mapped) => {
                self.gateway.unsuspend_from(slug, mapped.revision);
                if let Some(untold) = untold {
                    tracing::warn!(
                        server = slug,
                        tools = untold.tools.len(),
                        resources = untold.resources.len(),
                        resource_templates = untold.resource_templates.len(),
                        prompts = untold.prompts.len(),
                        "an upstream offers more than an authority is told at once (16 MiB); what is new of the rest stays hidden, \
                         and what changed of it is denied"
                    );
                    self.gateway.suspend_changed(slug, &untold);
                }
            }
            Err(_) => self.gateway.suspend_changed(slug, inventory),
        }
        published
    }

    /// How many times less often than others this one is looked at, by the schedule and after notices.
    fn factor(&self) -> u32 {
        match self.upstream {
            Upstream::Stdio(_) => COMMAND_FACTOR,
            _ => 1,
        }
    }

    /// A tenth more or less, so that nodes do not look all at once.
    fn next_pause(&self) -> Duration {
        let every = self.every * self.factor();
        let every = every.max(Duration::from_secs(1));
        let mut dice = [0_u8];
        OsRandom.fill(&mut dice);
        every.mul_f64(0.9 + 0.2 * f64::from(dice[0]) / 255.0)
    }

    fn tell_news(&self, hidden: &[String], changed: &[String]) {
        if hidden.is_empty() && changed.is_empty() {
            tracing::info!(server = %self.slug, "what an upstream offers is as it was accepted again");
            return;
        }
        tracing::warn!(
            server = %self.slug,
            hidden = news::in_log(hidden),
            changed = news::in_log(changed),
            "what an upstream offers is not as it was accepted"
        );
        for line in news::of_changes(&self.slug, hidden, changed, self.terminal.paint) {
            self.terminal.line(line);
        }
    }

    /// What is mapped at the first look is mapped without a person: then no tool may be missing that comes later as a new one.
    async fn inventory(&self, is_first: bool) -> Result<Inventory, String> {
        let found = gateway::discover(&self.upstream, &Limits::default())
            .await
            .map_err(|error| news::reason(&error.to_string()))?;
        for unread in found.unread {
            if is_first && unread.kind == ListKind::Tools {
                return Err(news::reason(&unread.reason));
            }
            tracing::warn!(
                server = %self.slug,
                list = unread.kind.method(),
                reason = news::reason(&unread.reason),
                "a list of an upstream could not be read to its end; what was read is looked at"
            );
        }
        Ok(found.inventory)
    }

    async fn look(&self, found: Option<Inventory>) -> Result<Seen, String> {
        let inventory = match found {
            Some(inventory) => inventory,
            None => self.inventory(true).await?,
        };
        // As of a list that could not be read: a tool that is missing now would come later as a new one.
        if let Some(shorter) = self.manifest.shortened(&inventory)
            && shorter.tools.len() < inventory.tools.len()
        {
            self.gateway.suspend_changed(self.slug.as_str(), &inventory);
            return Err(
                "its tools are longer together than the 16 MiB that an authority is told at once; let it list fewer, or shorter ones"
                    .to_owned(),
            );
        }
        let mapped = self.publish(&inventory, &self.overrides).await?;
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
        for line in news::of_answer(&self.slug, outcome, self.terminal.paint) {
            self.terminal.line(line);
        }
    }
}

/// Of what is told of a look: equal exactly when it is no news.
fn digest_of(hidden: &[String], changed: &[String]) -> Digest {
    let mut all = Vec::new();
    for name in hidden.iter().chain(changed) {
        all.extend(Digest::of(name).as_bytes());
    }
    all.extend(hidden.len().to_be_bytes());
    Digest::of(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_elsewhere_hears_the_same_again_when_it_may_not_have_it() {
        let (this, other) = (Digest::of("this"), Digest::of("other"));
        let published = |again: bool| Published {
            inventory: this,
            followed: 1,
            revision: 7,
            again,
            at: Instant::now(),
        };
        assert!(published(false).is_enough(this, 1, 7));
        assert!(published(false).is_enough(this, 1, 6), "it comes yet");
        assert!(!published(false).is_enough(other, 1, 7));
        assert!(!published(false).is_enough(this, 2, 7), "an authority anew");
        assert!(!published(false).is_enough(this, 1, 8), "another policy");
        assert!(!published(true).is_enough(this, 1, 7));
    }
}
