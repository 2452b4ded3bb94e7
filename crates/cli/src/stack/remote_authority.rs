use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::Context as _;
use authz::FeedSlice;
use base::{Clock, Random};
use domain::{ServerSlug, Upstream};
use gateway::Feeds;
use sdk::{
    AuthorityClient, AuthoritySettings, FeedClient, FeedNews, Introspection, OwnServer,
    ServerCredential,
};
use store::ActivityQueue;
use tokio::sync::watch;
use tokio::task::JoinSet;
use wire::oauth::Jwk;

use super::activity_report::Reports;
use super::own_identity_key::OwnIdentityKey;
use super::served::Served;
use super::supply::{CallSink, Heard, Manifest, Supply};

/// How often the public half of our key is said; the authority lists it for five minutes.
const SAY_KEY_EVERY: Duration = Duration::from_secs(60);
const SAY_KEY_AGAIN_AFTER: Duration = Duration::from_millis(500);

/// An authority elsewhere, and the MCP servers that a gateway here answers for.
#[derive(Debug, Clone)]
pub struct RemoteAuthority {
    /// Its `public_url`.
    pub url: String,
    /// Another origin that leads to it.
    pub connect_to: Option<String>,
    /// More certificates to trust on the way.
    pub ca_file: Option<PathBuf>,
    /// Each with its credential.
    pub servers: Vec<(ServerSlug, ServerCredential)>,
}

impl RemoteAuthority {
    /// What a gateway lives on, brought over HTTP by `tasks`; `telling` end when everything is told.
    ///
    /// # Errors
    /// In words, when the settings cannot work; an authority that is away is waited for.
    pub fn supply(
        self,
        clock: &Arc<dyn Clock>,
        random: &Arc<dyn Random>,
        queue: ActivityQueue,
        tasks: &mut JoinSet<()>,
        telling: &mut JoinSet<()>,
    ) -> anyhow::Result<Supply> {
        let client = AuthorityClient::new(&AuthoritySettings {
            url: self.url,
            connect_to: self.connect_to,
            ca_file: self.ca_file,
            names: egress::Names::default(),
        })
        .context("[authority]")?;
        let servers: Arc<[OwnServer]> = self
            .servers
            .iter()
            .map(|(slug, credential)| client.server(slug.as_str(), credential))
            .collect();
        let key = OwnIdentityKey::new(&**random).context("a key for Portcullis-Identity")?;
        let (identity_key, key_reader) = watch::channel(key.private);
        let (served, reader) = watch::channel(Vec::new());
        let known = Arc::new(watch::Sender::new(BTreeMap::new()));
        let mut feeds = HashMap::new();
        let mut told_by = Vec::new();
        for server in &*servers {
            let (publisher, feed) = sdk::policy_feed(Arc::clone(clock));
            feeds.insert(server.slug().to_owned(), feed);
            let feed = FeedClient::new(server.clone(), Arc::clone(random));
            let told = Told {
                slug: server.slug().to_owned(),
                known: Arc::clone(&known),
                served: served.clone(),
                followed: false,
                heard: Arc::default(),
            };
            told_by.push((server.clone(), Arc::clone(&told.heard)));
            let (said, mut heard) = watch::channel(false);
            tasks.spawn(say_key(server.clone(), key.public.clone(), said));
            tasks.spawn(async move {
                // An upstream must find the key in the set before the first call that is signed with it.
                if heard.wait_for(|said| *said).await.is_ok() {
                    let mut told = told;
                    feed.follow(publisher, move |news| told.hear(news)).await;
                }
            });
        }
        let calls = CallSink::Elsewhere(Reports::begin(&servers, queue, telling));
        // It is never replaced: a gateway that starts again has another one.
        tasks.spawn(async move {
            identity_key.closed().await;
        });
        Ok(Supply {
            feeds: Feeds::Each(Arc::new(feeds)),
            former_origins: Vec::new(),
            served: reader,
            identity_key: key_reader,
            opaque_tokens: Arc::new(Introspection::new(servers.iter().cloned())),
            manifest: Manifest::Elsewhere(told_by.into()),
            calls,
        })
    }
}

type Known = BTreeMap<String, Served>;

/// Puts what one feed says beside what the others said.
struct Told {
    slug: String,
    known: Arc<watch::Sender<Known>>,
    served: watch::Sender<Vec<Served>>,
    followed: bool,
    heard: Arc<Heard>,
}

impl Told {
    fn hear(&mut self, news: FeedNews<'_>) {
        match news {
            FeedNews::Slice(slice) => {
                let revision = slice.server.policy_revision;
                self.heard.revision.store(revision, Ordering::Relaxed);
                if !std::mem::replace(&mut self.followed, true) {
                    self.heard.followed.fetch_add(1, Ordering::Relaxed);
                    tracing::info!(mcp.server = self.slug, "the policy feed is followed");
                }
                match served(slice) {
                    Some(served) => self.put(served),
                    None => tracing::error!(
                        mcp.server = self.slug,
                        "the feed names an upstream that this program does not know; it may be older than the authority"
                    ),
                }
            }
            FeedNews::Trouble(trouble) => {
                self.followed = false;
                let what_now = match trouble.closes() {
                    true => "nothing is in force, so calls are answered 503, and it is tried again",
                    false => "what was in force stays for five minutes, and it is tried again",
                };
                tracing::warn!(
                    mcp.server = self.slug,
                    reason = %trouble,
                    "the policy feed is not followed at the moment; {what_now}"
                );
            }
        }
    }

    fn put(&self, served: Served) {
        self.known.send_if_modified(|known| {
            let before = known.insert(self.slug.clone(), served.clone());
            let changed = before != Some(served);
            if changed {
                // Inside, so that of two feeds the one that comes later is not forgotten again.
                self.served.send_replace(known.values().cloned().collect());
            }
            changed
        });
    }
}

fn served(slice: &FeedSlice) -> Option<Served> {
    Some(Served {
        slug: ServerSlug::parse(&slice.server.slug).ok()?,
        resource: slice.server.resource.clone(),
        upstream: serde_json::from_value::<Upstream>(slice.upstream.clone()).ok()?,
        aliases: slice.aliases.clone(),
        created_at: slice.created_at,
    })
}

/// Says our key, again and again; `said` becomes true when it was taken for the first time.
async fn say_key(server: OwnServer, key: Jwk, said: watch::Sender<bool>) {
    let mut told = None;
    loop {
        let pause = match server.publish_identity_key(&key).await {
            Ok(()) => {
                said.send_replace(true);
                told = None;
                SAY_KEY_EVERY
            }
            Err(error) => {
                if told.as_ref() != Some(&error) {
                    tracing::warn!(mcp.server = server.slug(), reason = %error, "the authority does not take our identity key; it is tried again");
                    told = Some(error);
                }
                SAY_KEY_AGAIN_AFTER
            }
        };
        tokio::time::sleep(pause).await;
    }
}
