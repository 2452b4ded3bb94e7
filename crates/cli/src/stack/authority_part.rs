use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context as _;
use base::{Clock, Random, random_token};
use domain::McpServer;
use gateway::{Feeds, IdentityKey};
use oauth::aliases::AliasProver;
use oauth::audit_seals::AuditSealer;
use oauth::{Authority, AuthoritySettings, MasterKey};
use sdk::{OtherIssuer, PolicyFeed};
use store::{ActivityLog, Store};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinSet;

use super::chores;
use super::housekeeping::Housekeeper;
use super::identity_keys::IdentityKeys;
use super::running::NodeLimits;
use super::served::Served;
use super::service_tokens::ServiceTokens;
use super::supply::{CallSink, Manifest, Supply};
use crate::connect_lines::connect_lines;
use crate::data_dir::DataDirectory;
use crate::handshake::Sighting;

/// What an authority of this process is started with.
pub struct OwnAuthority {
    /// Tells its cookies from those of others on the same host.
    pub authority_id: String,
    /// Its database.
    pub store: Store,
    /// The calls.
    pub activity: ActivityLog,
    /// Where the todo server keeps its file.
    pub directory: DataDirectory,
    /// What seals the signing keys.
    pub master_key: MasterKey,
    /// More roots for outgoing connections.
    pub ca_file: Option<PathBuf>,
    /// What turns names into addresses; the system when there is none.
    pub names: Option<egress::Names>,
}

/// What the parts of a node have in common.
pub struct Surroundings<'a> {
    pub public_url: &'a str,
    /// The origin of the dashboard, when that is another one.
    pub admin_url: Option<&'a str>,
    pub limits: &'a NodeLimits,
    /// Whose tokens MCP servers take in the place of the authority's, by slug.
    pub issuers: &'a HashMap<String, Arc<OtherIssuer>>,
    pub clock: &'a Arc<dyn Clock>,
    pub random: &'a Arc<dyn Random>,
    /// What our own self-check calls itself, so that it is told to nobody.
    pub self_check_agent: &'a str,
    /// Who tells the terminal about handshakes.
    pub sightings: &'a mpsc::Sender<Sighting>,
}

/// The half of a node that has the database: it issues, and says what is in force.
pub struct AuthorityPart {
    pub authority: Authority,
    pub app: server::AppState,
    /// The MCP servers there were at the start.
    pub servers: Vec<McpServer>,
    /// How long ago the store was read.
    pub feed: PolicyFeed,
    pub directory: DataDirectory,
    /// The public halves of what signs `Portcullis-Identity`, for the bundled todo server.
    pub identity_set: watch::Receiver<String>,
    /// Makes the policy feed look at once.
    pub wake: Arc<Notify>,
    served: watch::Receiver<Vec<Served>>,
    identity_key: watch::Receiver<IdentityKey>,
    store: Store,
    activity: ActivityLog,
    clock: Arc<dyn Clock>,
}

impl AuthorityPart {
    /// Opens the authority, reads what is in force, and goes on doing so.
    ///
    /// # Errors
    /// In words.
    pub async fn start(
        own: OwnAuthority,
        around: &Surroundings<'_>,
        tasks: &mut JoinSet<()>,
    ) -> anyhow::Result<Self> {
        let (store, clock) = (&own.store, around.clock);
        let servers = store.list_servers_apart().await?.readable;
        let sealer = AuditSealer::new(&own.master_key);
        let authority = Authority::open(
            AuthoritySettings {
                public_url: around.public_url.to_owned(),
                admin_url: around.admin_url.map(str::to_owned),
                former_origins: store.former_origins().await?,
                authority_id: own.authority_id,
                hash_threads: around.limits.hash_threads,
                registrations_max: around.limits.registrations_max,
                ca_file: own.ca_file,
                names: own.names,
            },
            store.clone(),
            Arc::clone(clock),
            Arc::clone(around.random),
            own.master_key,
        )
        .await?;
        let settings = http_settings(own.activity.clone());
        let app = server::AppState::new(authority.clone(), settings);

        let (publisher, feed) = sdk::policy_feed(Arc::clone(clock));
        let board = app.feed();
        // Nothing is answered before the first snapshot is in force.
        let first = Arc::new(server::policy_feed::snapshot(&authority).await?);
        board.publish(Arc::clone(&first));
        publisher.publish(first);
        let (tell_served, served) = watch::channel(served_by(&authority));
        let (identity_keys, identity_set, identity_key) = IdentityKeys::new(authority.clone());
        let wake = Arc::new(Notify::new());
        let of_feed = authority.clone();
        tasks.spawn(server::policy_feed::run(
            authority.clone(),
            Arc::clone(&wake),
            move |update| {
                identity_keys.follow();
                match update {
                    server::FeedUpdate::Snapshot(snapshot) => {
                        board.publish(Arc::clone(&snapshot));
                        publisher.publish(snapshot);
                        tell_served.send_replace(served_by(&of_feed));
                    }
                    server::FeedUpdate::Contact => {
                        board.contact();
                        publisher.contact();
                    }
                }
            },
        ));
        let prover = AliasProver::new(authority.clone()).context("aliases")?;
        tasks.spawn(chores::aliases(prover));
        tasks.spawn(chores::keys(authority.clone(), Arc::clone(clock)));
        tasks.spawn(chores::follow_events(
            app.events(),
            around.sightings.clone(),
            around.self_check_agent.to_owned(),
        ));
        tasks.spawn(chores::seal_audit_log(
            store.clone(),
            sealer,
            Arc::clone(clock),
        ));
        tasks.spawn(chores::keep_house(Housekeeper {
            store: store.clone(),
            activity: own.activity.clone(),
            clock: Arc::clone(clock),
            holder: random_token(&**around.random, "node_"),
            activity_kept: around.limits.activity_kept,
            audit_kept: around.limits.audit_kept,
        }));
        Ok(Self {
            authority,
            app,
            servers,
            feed,
            directory: own.directory,
            identity_set,
            wake,
            served,
            identity_key,
            store: own.store,
            activity: own.activity,
            clock: Arc::clone(clock),
        })
    }

    /// What a gateway in the same process lives on.
    pub fn supply(&self) -> Supply {
        let former = self.authority.former_origins().iter();
        Supply {
            feeds: Feeds::One(self.feed.clone()),
            former_origins: former.map(|former| former.origin.clone()).collect(),
            served: self.served.clone(),
            identity_key: self.identity_key.clone(),
            opaque_tokens: Arc::new(ServiceTokens(self.authority.clone())),
            manifest: Manifest::Store {
                store: self.store.clone(),
                clock: Arc::clone(&self.clock),
                wake: Arc::clone(&self.wake),
            },
            calls: CallSink::Log(self.activity.clone()),
        }
    }

    /// Ends every feed that a gateway elsewhere reads: they never end by themselves.
    pub fn close_streams(&self) {
        self.app.feed().close();
    }

    /// Writes down what waits, and closes the databases.
    pub async fn close(self) {
        self.activity.close().await;
        self.store.close().await;
    }
}

fn served_by(authority: &Authority) -> Vec<Served> {
    let (servers, closed) = (authority.servers(), authority.closed_servers());
    let servers = servers.values().map(|context| &context.server);
    // Without a policy in the feed a gateway answers 503 for these; without an address it would be 404, and clients forget.
    servers.chain(&*closed).map(Served::from).collect()
}

fn http_settings(activity: ActivityLog) -> server::Settings {
    server::Settings {
        connect_lines: Arc::new(|server: &McpServer| {
            connect_lines(server.slug.as_str(), &server.resource)
                .into_iter()
                .map(|(client, words)| (client.to_owned(), words.join(" ")))
                .collect()
        }),
        activity: Some(activity),
    }
}
