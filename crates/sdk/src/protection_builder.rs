use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use authz::{FeedSnapshot, Policy, Revocations, ServerSnapshot};
use base::{Clock, OsRandom, Random, Secret, SystemClock};
use egress::Names;
use wire::oauth::{JwkSet, Scope};

use crate::door::Door;
use crate::issuer_keys::{KeyRefresh, KeySource, is_trustworthy, key_client};
use crate::own_manifest::OwnScopes;
use crate::{
    AddressError, Addresses, AuthorityClient, AuthoritySettings, CanonicalResource, FeedClient,
    FeedNews, FeedPublisher, IssuerKeys, LocalPolicy, LocalPolicyMistake, OwnServer, PolicyFeed,
    ProtectedServer, ProtectedServerSettings, Protection, ResourceError, ServerCredential,
    policy_feed,
};

/// The slug of a server that no authority gave one.
const LOCAL_SLUG: &str = "local";
/// The largest request body that is read unless another number is set, in bytes.
const BODY_BYTES: usize = 4 * 1024 * 1024;

/// What a [`Protection`] is made of. It needs either an [`authority`](Self::authority), or a [`policy`](Self::policy) with an
/// [`issuer`](Self::issuer); everything else has a working default.
#[derive(Debug, Clone)]
pub struct ProtectionBuilder {
    resource: String,
    name: String,
    documentation_url: Option<String>,
    authority: Option<(String, Secret<String>)>,
    connect_to: Option<String>,
    policy: Option<LocalPolicy>,
    issuer: Option<(String, IssuerKeys)>,
    ca_file: Option<PathBuf>,
    alias_origins: Vec<String>,
    allowed_origins: Vec<String>,
    request_body_bytes_max: usize,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

/// Why a server cannot be protected so. The words name what was set, and what to change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ProtectionError {
    /// The resource.
    #[error("for_resource: {0}")]
    Resource(#[from] ResourceError),
    /// Another address.
    #[error(transparent)]
    Address(#[from] AddressError),
    /// The authority.
    #[error(
        "authority: {0:?} is not the issuer of an MCP server, such as https://auth.example.com/servers/todo; `portcullis servers \
         show SLUG` prints it"
    )]
    Authority(String),
    /// Its credential.
    #[error(
        "authority: the credential is not ID:SECRET, as `portcullis servers credential SLUG` prints it"
    )]
    Credential,
    /// The policy in the program.
    #[error(transparent)]
    Policy(#[from] LocalPolicyMistake),
    /// Where its issuer's keys are.
    #[error("issuer: the keys at {0:?} must be read over https, or from this machine")]
    Keys(String),
    /// Something is missing.
    #[error("without an authority, both a policy and an issuer are needed")]
    NobodyJudges,
    /// A policy has two sources.
    #[error("issuer: with an authority, it is the issuer; remove one of the two")]
    TwoIssuers,
    /// The outgoing client.
    #[error("ca_file: {0}")]
    Outgoing(#[from] egress::Error),
    /// Without a runtime nothing can be read.
    #[error("start must be called within a tokio runtime")]
    NoRuntime,
}

impl ProtectionBuilder {
    pub(crate) fn new(resource: &str) -> Self {
        Self {
            resource: resource.to_owned(),
            name: String::new(),
            documentation_url: None,
            authority: None,
            connect_to: None,
            policy: None,
            issuer: None,
            ca_file: None,
            alias_origins: Vec::new(),
            allowed_origins: Vec::new(),
            request_body_bytes_max: BODY_BYTES,
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        }
    }

    /// Has an authority decide: its policy, keys and revocations are followed, and what the server offers is told to it. `issuer`
    /// is the MCP server's own issuer there, such as `https://auth.example.com/servers/todo`; `credential` is what `portcullis
    /// servers credential todo` prints.
    pub fn authority(mut self, issuer: &str, credential: impl Into<String>) -> Self {
        self.authority = Some((issuer.to_owned(), Secret::new(credential.into())));
        self
    }

    /// Another origin that leads to the authority, by a way that is not the public one.
    pub fn connect_to(mut self, origin: &str) -> Self {
        self.connect_to = Some(origin.to_owned());
        self
    }

    /// Without an authority this is the policy. With one it is what the authority is told that this server needs: it begins with
    /// that when it hears of the server for the first time, and what people set there afterwards counts.
    pub fn policy(mut self, policy: LocalPolicy) -> Self {
        self.policy = Some(policy);
        self
    }

    /// Without an authority: whose tokens are taken, byte for byte as their `iss` says, and by which keys.
    pub fn issuer(mut self, issuer: &str, keys: IssuerKeys) -> Self {
        self.issuer = Some((issuer.to_owned(), keys));
        self
    }

    /// What people call it, for the resource metadata of a server without an authority.
    pub fn name(mut self, name: &str) -> Self {
        self.name = name.to_owned();
        self
    }

    /// Where people read about it, for the resource metadata of a server without an authority.
    pub fn documentation_url(mut self, url: &str) -> Self {
        self.documentation_url = Some(url.to_owned());
        self
    }

    /// A PEM file with certificates to trust in addition to the machine's own, towards the authority or the issuer.
    pub fn ca_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(file.into());
        self
    }

    /// Other origins under which the same server is reached.
    pub fn alias_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.alias_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// The only browser origins whose pages may call it.
    pub fn allowed_origins(mut self, origins: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.allowed_origins = origins.into_iter().map(Into::into).collect();
        self
    }

    /// The largest request body that is read, in bytes; 4 MiB by default.
    pub fn request_body_bytes_max(mut self, bytes: usize) -> Self {
        self.request_body_bytes_max = bytes;
        self
    }

    /// Another clock, for tests.
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = clock;
        self
    }

    /// Another source of randomness, for tests.
    pub fn random(mut self, random: Arc<dyn Random>) -> Self {
        self.random = random;
        self
    }

    /// Begins to follow the authority, or to read the issuer's keys. Nothing is waited for: calls are answered 503 until what they
    /// are judged by is here; [`Protection::ready`] tells when.
    ///
    /// # Errors
    /// When the settings cannot work. An authority or an issuer that is away is no such reason.
    pub fn start(self) -> Result<Protection, ProtectionError> {
        if tokio::runtime::Handle::try_current().is_err() {
            return Err(ProtectionError::NoRuntime);
        }
        let resource = CanonicalResource::parse(&self.resource)?;
        let policy = self.policy.as_ref().map(LocalPolicy::policy).transpose()?;
        let own_scopes = Arc::new(Mutex::new(self.own_scopes(policy.as_ref())));
        let (publisher, feed) = policy_feed(Arc::clone(&self.clock));
        match (&self.authority, policy, self.issuer.clone()) {
            (Some(_), _, Some(_)) => Err(ProtectionError::TwoIssuers),
            (Some((issuer, credential)), _, None) => {
                let authority = self.own_server(issuer, credential)?;
                let door = self.door(&resource, authority.slug(), feed)?;
                door.tasks.spawn(follow(
                    authority.clone(),
                    Arc::clone(&self.random),
                    publisher,
                    self.resource.clone(),
                ));
                Ok(Protection {
                    door,
                    authority: Some(authority),
                    scopes: own_scopes,
                })
            }
            (None, Some(policy), Some((issuer, keys))) => {
                let mut door = self.door(&resource, LOCAL_SLUG, feed)?;
                let publish = self.publishing(policy, issuer, publisher);
                match keys.0 {
                    KeySource::These(keys) => publish(keys),
                    KeySource::At(jwks_uri) => {
                        if !is_trustworthy(&jwks_uri) {
                            return Err(ProtectionError::Keys(jwks_uri));
                        }
                        let http = key_client(self.ca_file)?;
                        let refresh = Arc::new(KeyRefresh::new());
                        door.keys = Some(Arc::clone(&refresh));
                        door.tasks.spawn(async move {
                            refresh.run(&http, &jwks_uri, publish).await;
                        });
                    }
                }
                Ok(Protection {
                    door,
                    authority: None,
                    scopes: own_scopes,
                })
            }
            _ => Err(ProtectionError::NobodyJudges),
        }
    }

    fn door(
        &self,
        resource: &CanonicalResource,
        slug: &str,
        feed: PolicyFeed,
    ) -> Result<Door, ProtectionError> {
        let addresses = Addresses::new(
            resource.origin(),
            &self.alias_origins,
            &self.allowed_origins,
        )?;
        let server = ProtectedServer::new(
            ProtectedServerSettings {
                slug: slug.to_owned(),
                path: resource.path().to_owned(),
                request_body_bytes_max: self.request_body_bytes_max,
            },
            Arc::new(addresses),
            feed,
            Arc::clone(&self.clock),
            Arc::clone(&self.random),
        );
        Ok(Door::of(Arc::new(server)))
    }

    fn own_server(
        &self,
        issuer: &str,
        credential: &Secret<String>,
    ) -> Result<OwnServer, ProtectionError> {
        let no_issuer = || ProtectionError::Authority(issuer.to_owned());
        let (url, slug) = issuer.split_once("/servers/").ok_or_else(no_issuer)?;
        let is_slug = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        if slug.is_empty() || !slug.bytes().all(is_slug) {
            return Err(no_issuer());
        }
        let credential = ServerCredential::parse(credential.expose());
        let client = AuthorityClient::new(&AuthoritySettings {
            url: url.to_owned(),
            connect_to: self.connect_to.clone(),
            ca_file: self.ca_file.clone(),
            names: Names::default(),
        })?;
        Ok(client.server(slug, &credential.ok_or(ProtectionError::Credential)?))
    }

    fn own_scopes(&self, policy: Option<&Policy>) -> OwnScopes {
        let declared = policy.into_iter().flat_map(|policy| &policy.scopes);
        let titles: BTreeMap<Scope, String> = declared
            .map(|scope| (scope.name.clone(), scope.title.clone()))
            .collect();
        let tools = self.policy.as_ref().map(|policy| policy.tools.clone());
        OwnScopes::new(titles, tools.unwrap_or_default())
    }

    /// Puts keys and policy in force, as often as there are other keys.
    fn publishing(
        &self,
        policy: Policy,
        issuer: String,
        publisher: FeedPublisher,
    ) -> impl Fn(JwkSet) + Send + Sync + 'static {
        let mut session_mac_key = vec![0; 32];
        self.random.fill(&mut session_mac_key);
        let server = ServerSnapshot {
            slug: LOCAL_SLUG.to_owned(),
            name: self.name.clone(),
            issuer,
            former_issuers: Vec::new(),
            resource: self.resource.clone(),
            former_resources: Vec::new(),
            policy,
            policy_revision: 1,
            keys: JwkSet::default(),
            revocations: Revocations::default(),
            documentation_url: self.documentation_url.clone(),
            session_mac_key: Secret::new(session_mac_key),
            argument_digest_key: Secret::new(Vec::new()),
        };
        move |keys| {
            let server = ServerSnapshot {
                keys,
                ..server.clone()
            };
            publisher.publish_lasting(Arc::new(FeedSnapshot {
                change: 1,
                servers: HashMap::from([(LOCAL_SLUG.to_owned(), Arc::new(server))]),
            }));
        }
    }
}

/// Follows the feed of the authority, and says what came of it.
async fn follow(
    authority: OwnServer,
    random: Arc<dyn Random>,
    publisher: FeedPublisher,
    resource: String,
) {
    let mut followed = false;
    let slug = authority.slug().to_owned();
    let heard = move |news: FeedNews<'_>| match news {
        FeedNews::Slice(slice) => {
            if !std::mem::replace(&mut followed, true) {
                tracing::info!(mcp.server = slug, "the policy feed is followed");
            }
            if slice.server.resource != resource {
                tracing::error!(
                    mcp.server = slug,
                    expected = resource,
                    found = slice.server.resource,
                    "the authority knows this MCP server under another URL, for which its tokens are: none will be good here; \
                     give for_resource that URL, or change it at the authority"
                );
            }
        }
        FeedNews::Trouble(trouble) => {
            followed = false;
            let what_now = match trouble.closes() {
                true => "nothing is in force, so calls are answered 503, and it is tried again",
                false => "what was in force stays for five minutes, and it is tried again",
            };
            tracing::warn!(
                mcp.server = slug,
                reason = %trouble,
                "the policy feed is not followed at the moment; {what_now}"
            );
        }
    };
    FeedClient::new(authority, random)
        .follow(publisher, heard)
        .await;
}
