use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use base::{Clock, Random, Secret, Timestamp};
use bytes::Bytes;
use domain::{FormerOrigin, KeyPurpose, McpServer, ServerSlug};
use store::{ServersApart, Store, StoreError};
use wire::oauth::JwkSet;

use crate::administration;
use crate::client_id_metadata::{ClientDocuments, OutgoingSettings};
use crate::keys::{self, RotateError};
use crate::loopback::is_loopback;
use crate::master_key::{KeySealer, MasterKey, Subkeys};
use crate::password_pool::{PasswordPool, PoolOwner};
use crate::registration_quota::Registrations;
use crate::resource_indicator::CanonicalResource;
use crate::server_context::ServerContext;
use crate::signing_keys::{IdentityKey, SigningKeyError, SigningKeys};
use crate::throttle::Throttle;

/// One deployment's authorization server, without HTTP. Clones share everything.
#[derive(Clone)]
pub struct Authority(Arc<Inner>);

/// What an authority is told at start.
#[derive(Debug, Clone)]
pub struct AuthoritySettings {
    /// Its origin, without a slash at the end, such as `http://localhost:4180`.
    pub public_url: String,
    /// The origin of the dashboard and the admin API, when that is another one.
    pub admin_url: Option<String>,
    /// The origins that it had before it moved.
    pub former_origins: Vec<FormerOrigin>,
    /// Distinguishes the cookies of several authorities on one host: cookies ignore ports.
    pub authority_id: String,
    /// Threads that hash passwords.
    pub hash_threads: usize,
    /// The most clients that may have registered themselves at one MCP server.
    pub registrations_max: i64,
    /// A PEM file with certificates that are trusted in addition to the machine's own, when documents of clients are
    /// fetched.
    pub ca_file: Option<PathBuf>,
    /// What turns the names of their hosts into addresses; the system by default.
    pub names: Option<egress::Names>,
}

/// Why an authority does not start.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message says it")]
pub enum OpenError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    SigningKey(#[from] SigningKeyError),
    #[error(transparent)]
    Outgoing(#[from] egress::Error),
    #[error("the first signing keys: {0}")]
    FirstKeys(#[from] RotateError),
}

struct Inner {
    settings: AuthoritySettings,
    store: Store,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
    subkeys: Subkeys,
    signing_keys: ArcSwap<SigningKeys>,
    servers: ArcSwap<HashMap<String, Arc<ServerContext>>>,
    closed: ArcSwap<Vec<McpServer>>,
    administration: Option<Arc<ServerContext>>,
    client_documents: ClientDocuments,
    passwords: PoolOwner,
    throttle: Throttle,
    registrations: Registrations,
}

impl Authority {
    /// Opens the authority: makes signing keys if there are none, and reads its MCP servers.
    ///
    /// # Errors
    /// When the store fails, or the keys in it were sealed under another master key.
    pub async fn open(
        settings: AuthoritySettings,
        store: Store,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
        master_key: MasterKey,
    ) -> Result<Self, OpenError> {
        let subkeys = Subkeys::derive(&master_key);
        keys::ensure(&store, &subkeys.key_sealer, random.as_ref(), clock.now()).await?;
        let records = store.list_signing_keys().await?;
        let signing_keys = SigningKeys::open(&subkeys.key_sealer, records, clock.now(), None)?;
        let outgoing = OutgoingSettings {
            public_url: settings.public_url.clone(),
            ca_file: settings.ca_file.clone(),
            names: settings.names.clone(),
        };
        let client_documents = ClientDocuments::new(
            outgoing,
            store.clone(),
            Arc::clone(&clock),
            Arc::clone(&random),
        )?;
        let administration = administration(&settings, &store, clock.now()).await?;
        let authority = Self(Arc::new(Inner {
            administration,
            client_documents,
            passwords: PasswordPool::start(settings.hash_threads),
            settings,
            store,
            clock,
            random,
            subkeys,
            signing_keys: ArcSwap::new(signing_keys),
            servers: ArcSwap::default(),
            closed: ArcSwap::default(),
            throttle: Throttle::default(),
            registrations: Registrations::default(),
        }));
        authority.reload().await?;
        Ok(authority)
    }

    /// Reads the MCP servers and signing keys again, after they may have changed.
    ///
    /// # Errors
    /// When the store fails; everything then stays as it was.
    pub async fn reload(&self) -> Result<(), OpenError> {
        let ServersApart { readable, closed } = self.0.store.list_servers_apart().await?;
        let servers = readable;
        for (server, error) in &closed {
            tracing::error!(
                server = %server.slug,
                reason = %error,
                "this node cannot read the policy of an MCP server, as when a later release wrote it: it answers 503 for that one \
                 until it can"
            );
        }
        let now = self.now();
        let mut records = self.0.store.list_signing_keys().await?;
        keys::note_token_lifetime(&self.0.store, &mut records, &servers, now).await?;
        let before = self.0.signing_keys.load_full();
        let sealer = &self.0.subkeys.key_sealer;
        let signing_keys = SigningKeys::open(sealer, records, now, Some(&before))?;
        let contexts = servers
            .into_iter()
            .map(|server| {
                let slug = server.slug.as_str().to_owned();
                let settings = &self.0.settings;
                let context =
                    ServerContext::new(server, &settings.public_url, &settings.former_origins);
                (slug, Arc::new(context))
            })
            .collect();
        self.0.signing_keys.store(signing_keys);
        self.0.servers.store(Arc::new(contexts));
        let closed = closed.into_iter().map(|(server, _)| server).collect();
        self.0.closed.store(Arc::new(closed));
        Ok(())
    }

    /// The MCP server `slug`.
    pub fn server(&self, slug: &str) -> Option<Arc<ServerContext>> {
        self.0.servers.load().get(slug).cloned()
    }

    /// The admin API; nothing when an MCP server of an earlier release has its slug.
    pub fn administration(&self) -> Option<&Arc<ServerContext>> {
        self.0.administration.as_ref()
    }

    /// What the slug of an issuer names: an MCP server, or the admin API.
    pub fn issuer_of(&self, slug: &str) -> Option<Arc<ServerContext>> {
        self.server(slug).or_else(|| {
            let administration = self.administration();
            administration.filter(|own| own.slug() == slug).cloned()
        })
    }

    /// Every MCP server.
    pub fn servers(&self) -> Arc<HashMap<String, Arc<ServerContext>>> {
        self.0.servers.load_full()
    }

    /// Those whose policy cannot be read: nobody signs in to them or calls them here. The one in them is empty.
    pub fn closed_servers(&self) -> Arc<Vec<McpServer>> {
        self.0.closed.load_full()
    }

    /// Whether the policy of `slug` cannot be read.
    pub fn is_closed(&self, slug: &str) -> bool {
        let closed = self.0.closed.load();
        closed.iter().any(|server| server.slug.as_str() == slug)
    }

    /// The slug of the only MCP server whose resource is at our own origin, while there is exactly one: only then does the
    /// bare origin name one. It may be [closed](Authority::is_closed).
    pub fn only_slug(&self) -> Option<String> {
        let (servers, closed) = (self.0.servers.load(), self.0.closed.load());
        let readable = servers
            .values()
            .filter(|context| context.resource.is_at(self.public_url()))
            .map(|context| context.server.slug.as_str());
        let closed = closed
            .iter()
            .filter(|server| CanonicalResource::new(&server.resource).is_at(self.public_url()))
            .map(|server| server.slug.as_str());
        let mut here = readable.chain(closed);
        match (here.next(), here.next()) {
            (Some(only), None) => Some(only.to_owned()),
            _ => None,
        }
    }

    /// The origin, without a slash at the end.
    pub fn public_url(&self) -> &str {
        &self.0.settings.public_url
    }

    /// The origin of the dashboard and the admin API.
    pub fn admin_url(&self) -> &str {
        let settings = &self.0.settings;
        settings.admin_url.as_ref().unwrap_or(&settings.public_url)
    }

    /// The origins that it had before it moved.
    pub fn former_origins(&self) -> &[FormerOrigin] {
        &self.0.settings.former_origins
    }

    /// Whether only this machine reaches it. Otherwise who comes from here may be anybody, through a proxy or tunnel.
    pub fn is_on_loopback(&self) -> bool {
        is_loopback(&self.0.settings.public_url)
    }

    /// Distinguishes this authority's cookies.
    pub fn authority_id(&self) -> &str {
        &self.0.settings.authority_id
    }

    /// The store.
    pub fn store(&self) -> &Store {
        &self.0.store
    }

    /// The present moment.
    pub fn now(&self) -> Timestamp {
        self.0.clock.now()
    }

    /// The random source.
    pub fn random(&self) -> &dyn Random {
        self.0.random.as_ref()
    }

    /// What clients say about themselves at addresses of their own.
    pub fn client_documents(&self) -> &ClientDocuments {
        &self.0.client_documents
    }

    /// Public keys of access tokens.
    pub fn access_jwks(&self) -> JwkSet {
        self.0.signing_keys.load().access_jwks.clone()
    }

    /// The document at `/jwks.json`.
    pub fn access_jwks_json(&self) -> Bytes {
        self.0.signing_keys.load().access_jwks_json.clone()
    }

    /// The document at `/identity/jwks.json`.
    pub fn identity_jwks_json(&self) -> Bytes {
        self.0.signing_keys.load().identity_jwks_json.clone()
    }

    /// The document at `/servers/{slug}/identity/jwks.json`: our own keys, and those of the gateways of this server.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn identity_jwks_of(&self, slug: &ServerSlug) -> Result<JwkSet, StoreError> {
        let mut set = self.0.signing_keys.load().identity_jwks.clone();
        let of_gateways = self.0.store.list_gateway_keys(slug, self.now()).await?;
        set.keys.extend(of_gateways);
        Ok(set)
    }

    /// The key that signs `Portcullis-Identity` now, for the gateway.
    pub fn identity_key(&self) -> IdentityKey {
        self.0.signing_keys.load().identity_key(self.now()).clone()
    }

    /// How long the key of `purpose` has signed that signs now.
    pub fn signing_key_age(&self, purpose: KeyPurpose) -> Option<Duration> {
        let now = self.now();
        let since = self.0.signing_keys.load().signs_since(purpose, now)?;
        Some(now.since(since))
    }

    /// Seals the keys that are made by rotation; see [`keys`](crate::keys).
    pub fn key_sealer(&self) -> &KeySealer {
        &self.0.subkeys.key_sealer
    }

    /// Binds the MCP session ids of one server to their principal, for gateways. Each server has its own key: a gateway
    /// of one must not make ids for another.
    pub fn session_mac_key(&self, slug: &str) -> Secret<Vec<u8>> {
        self.0.subkeys.session_mac_of(slug)
    }

    /// Makes digests of the arguments of calls to one server, for gateways: the same ones for as long as the master key is.
    pub fn argument_digest_key(&self, slug: &str) -> Secret<Vec<u8>> {
        self.0.subkeys.argument_digest_of(slug)
    }

    pub(crate) fn settings(&self) -> &AuthoritySettings {
        &self.0.settings
    }

    pub(crate) fn shared_random(&self) -> Arc<dyn Random> {
        Arc::clone(&self.0.random)
    }

    pub(crate) fn subkeys(&self) -> &Subkeys {
        &self.0.subkeys
    }

    pub(crate) fn signing_keys(&self) -> arc_swap::Guard<Arc<SigningKeys>> {
        self.0.signing_keys.load()
    }

    pub(crate) fn passwords(&self) -> &PasswordPool {
        &self.0.passwords
    }

    pub(crate) fn throttle(&self) -> &Throttle {
        &self.0.throttle
    }

    pub(crate) fn registrations(&self) -> &Registrations {
        &self.0.registrations
    }
}

/// The admin API, with what hangs on it.
async fn administration(
    settings: &AuthoritySettings,
    store: &Store,
    now: Timestamp,
) -> Result<Option<Arc<ServerContext>>, StoreError> {
    if !administration::ensure(store, now).await? {
        tracing::error!(
            slug = administration::SLUG,
            "an MCP server has the slug of the admin API, which is therefore closed; commands do all that it does"
        );
        return Ok(None);
    }
    let origin = settings.admin_url.as_ref().unwrap_or(&settings.public_url);
    let server = administration::server(origin);
    let context = ServerContext::new(server, &settings.public_url, &settings.former_origins);
    Ok(Some(Arc::new(context)))
}

impl std::fmt::Debug for Authority {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Authority")
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}
