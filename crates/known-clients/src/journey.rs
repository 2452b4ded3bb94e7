use serde::Deserialize;
use serde_json::{Map, Value};

/// What a client does between the address that a person typed and the browser window, in its order.
///
/// `None`, or an empty list, means that nobody has established it. Where [`Journey::basis`] names a library, the
/// members that stand in the library's own journey have been filled in here already.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Journey {
    /// The id of the library that the client is built on, whose ways it has where nothing else is said.
    pub basis: Option<String>,
    /// Its first request.
    pub opens: Option<Opening>,
    /// The protocol version that its first request names.
    pub protocol_version: Option<String>,
    /// What it calls itself towards the MCP server; an ellipsis stands for a version.
    pub mcp_user_agent: Option<String>,
    /// What it calls itself while it looks for the authorization server. Empty: it sends no `User-Agent`.
    pub oauth_user_agent: Option<String>,
    /// Whether its discovery requests say what they accept.
    pub sends_accept: Option<bool>,
    /// Reads only the first word of the challenge: another scheme in front of `Bearer` hides it.
    pub reads_first_scheme_only: Option<bool>,
    /// Where it looks for the metadata of the protected resource, in its order.
    pub resource_metadata: Vec<ResourceMetadataPlace>,
    /// Where the challenge names an address, it asks at no other place.
    pub challenge_is_only_place: Option<bool>,
    /// A server error (5xx or 429) at one of these places ends the journey.
    pub resource_metadata_error_is_fatal: Option<bool>,
    /// What it does where there is no such metadata.
    pub without_resource_metadata: Option<WithoutResourceMetadata>,
    /// How `resource` must stand to the address that was typed.
    pub resource_must: Option<ResourceRule>,
    /// What it sends as `resource`.
    pub sends_as_resource: Option<SentResource>,
    /// Where it looks for the metadata of the authorization server, in its order.
    pub server_metadata: Vec<ServerMetadataPlace>,
    /// A server error at one of these places ends the journey.
    pub server_metadata_error_is_fatal: Option<bool>,
    /// A 502 is no such error: it goes on to the next place.
    pub server_metadata_502_is_passed_over: Option<bool>,
    /// Without metadata it uses `/authorize`, `/token` and `/register` at the root of the authorization server.
    pub guesses_endpoints: Option<bool>,
    /// How `issuer` must stand to the address under which it was found.
    pub issuer_must: Option<IssuerRule>,
    /// Members without which it does not accept the authorization server's metadata.
    pub needs_server_members: Vec<String>,
    /// Does not accept an OpenID document without the members that OpenID Connect Discovery demands.
    pub needs_openid_members: Option<bool>,
    /// Does not accept a member that is `null`.
    pub refuses_null: Option<bool>,
    /// Goes on only where `code_challenge_methods_supported` lists `S256`.
    pub needs_pkce_promise: Option<bool>,
    /// What it makes of `iss` in the authorization response (RFC 9207).
    pub iss: Option<IssRule>,
    /// Sends nothing to a token endpoint on `http` beyond this machine.
    pub refuses_http_token_endpoint: Option<bool>,
    /// Asks no address on `http` beyond this machine.
    pub refuses_http: Option<bool>,
    /// Which hosts it does not ask.
    pub refuses_private_hosts: Option<PrivateHosts>,
    /// Its own requests take at most so long.
    pub gives_up_after_seconds: Option<u32>,
    /// The metadata document that it uses as its `client_id` where the server takes one. A client with a document
    /// that is not named here has not been seen to use it.
    pub document: Option<String>,
    /// Uses its metadata document only where the server lists `none` as a way to authenticate.
    pub document_needs_none: Option<bool>,
    /// The return addresses that it registers, with `<port>` for one that it picks.
    pub registers: Vec<String>,
    /// The return address of its authorization request. Absent: the first that it registers.
    pub returns_to: Option<String>,
    /// What it uses instead where `iss` (RFC 9207) is not promised.
    pub without_iss_promise: Option<WithoutIssPromise>,
    /// Does not accept an answer to its registration without `redirect_uris`.
    pub needs_registered_redirect_uris: Option<bool>,
    /// Names the scopes that it will ask for in its registration request as well.
    pub registers_scope: Option<bool>,
    /// The members of its registration request, without its name, its return addresses and its scopes.
    pub registration_members: Map<String, Value>,
    /// How it authenticates at the token endpoint.
    pub token_auth: Option<TokenAuth>,
    /// Where it takes the scopes from that it asks for: the first that names any.
    pub scopes: Vec<ScopeSource>,
    /// Asks with `prompt=consent` where it asks for `offline_access`.
    pub prompts_for_consent: Option<bool>,
    /// What its user sees when the journey ends at a step.
    pub says: Vec<Says>,
    /// What is known to go wrong in it.
    pub known_bugs: Vec<KnownBug>,
}

/// A first request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Opening {
    /// `initialize`, posted to the MCP server.
    Initialize,
    /// `server/discover`, posted to the MCP server; `initialize` where that is not known.
    Discover,
    /// `GET` of the MCP server's address.
    Get,
    /// `HEAD` of the MCP server's address.
    Head,
    /// The metadata of the protected resource; the MCP server is not asked.
    ResourceMetadata,
    /// The metadata of the authorization server; nobody is asked who that is.
    ServerMetadata,
}

/// Where the metadata of the protected resource may be (RFC 9728 sections 3.1 and 5.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceMetadataPlace {
    /// Where the challenge says.
    Challenge,
    /// Where the challenge says, if that is on the MCP server's own origin; another is passed over.
    ChallengeOfSameOrigin,
    /// Where the challenge says; one on another origin ends the journey.
    ChallengeOnSameOrigin,
    /// The well-known address with the path of the MCP server behind it.
    Path,
    /// The well-known address behind the path of the MCP server, where no standard puts it.
    Appended,
    /// The well-known address without a path.
    Root,
}

/// What a client does where no protected resource is described.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum WithoutResourceMetadata {
    /// Takes the MCP server's origin for the issuer.
    OriginIsIssuer,
    /// Asks the MCP server's origin at `/.well-known/oauth-authorization-server`, and nowhere else.
    OriginAtRootOnly,
    /// Takes the MCP server's whole address for the issuer.
    AddressIsIssuer,
    /// Ends.
    Stops,
}

/// How `resource` is compared with the address that was typed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ResourceRule {
    /// Character by character.
    SameText,
    /// As addresses, so that a bare origin may end in `/` or not.
    SameAddress,
    /// The same text, or the bare origin.
    SameTextOrOrigin,
    /// The same origin and a path that the typed one begins with.
    Parent,
    /// There must be one; what it says is not compared.
    Present,
}

/// What a client sends as `resource` (RFC 8707).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SentResource {
    /// What the metadata says; nothing where there is none.
    Metadata,
    /// What the metadata says; the typed address where there is none.
    MetadataOrTyped,
    /// The address that was typed, as a URL library writes it.
    Typed,
    /// The address that was typed, without a slash at its end.
    TypedWithoutSlash,
    /// Nothing.
    Nothing,
}

/// Where the metadata of an authorization server may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ServerMetadataPlace {
    /// `/.well-known/oauth-authorization-server` between host and path (RFC 8414 section 3.1).
    OauthInserted,
    /// `/.well-known/openid-configuration` between host and path.
    OpenidInserted,
    /// `/.well-known/openid-configuration` behind the path (OpenID Connect Discovery section 4.1).
    OpenidAppended,
    /// `/.well-known/oauth-authorization-server` of the host, whatever the path.
    OauthAtRoot,
}

/// How `issuer` is compared with the address under which it was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssuerRule {
    /// Character by character.
    SameText,
    /// As above; but where the address ends in a slash, `issuer` may lack it.
    MayLackSlash,
    /// As above; but a bare origin may end in a slash on either side.
    RootSlashEither,
    /// As addresses.
    SameAddress,
}

/// What a client makes of `iss` in the authorization response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum IssRule {
    /// Does not look at it.
    NotRead,
    /// Compares it, and demands it where the metadata promises it.
    AsPromised,
    /// Demands it where the metadata promises it and refuses it where not.
    OnlyAsPromised,
    /// Demands it always.
    Needed,
}

/// Which hosts a client does not ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PrivateHosts {
    /// Private ones, unless the MCP server is private too.
    UnlessServerIsPrivate,
    /// Private ones, whatever the MCP server is; loopback only where the MCP server is on loopback.
    Refused,
    /// Private ones, by their digits; names are not looked up.
    LiteralsRefused,
}

/// How a client authenticates at the token endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenAuth {
    /// Not at all.
    None,
    /// Not at all where `none` is listed, else with a secret in the form.
    NoneElsePost,
    /// By whatever the metadata lists first; with a secret in the form where it lists nothing.
    FirstListed,
    /// With a signed assertion (RFC 7523).
    PrivateKeyJwt,
}

/// Where a client takes scopes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScopeSource {
    /// `scope` of the challenge.
    Challenge,
    /// `scopes_supported` of the protected resource.
    ResourceMetadata,
    /// Both of these together.
    ChallengeAndResourceMetadata,
    /// `scopes_supported` of the authorization server, all of them.
    ServerMetadata,
    /// `scope` of the answer to its registration.
    Registration,
}

/// Who a client is where the authorization server does not promise `iss`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WithoutIssPromise {
    /// Its metadata document.
    pub document: String,
    /// Its return address.
    pub returns_to: String,
}

/// A part of the journey.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JourneyStep {
    /// Reaching the server.
    Reach,
    /// Being told to sign in.
    Challenge,
    /// Reading what the protected resource says about itself.
    ResourceMetadata,
    /// Reading what the authorization server says about itself.
    ServerMetadata,
    /// Coming by a `client_id`.
    Registration,
    /// The page that the browser opens.
    Authorization,
    /// The way back from the browser.
    Callback,
}

/// What a client's user sees.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Says {
    /// Where the journey has ended.
    pub at: JourneyStep,
    /// The words on the screen.
    pub words: String,
}

/// Something that goes wrong in a client, whatever the server does.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KnownBug {
    /// What goes wrong.
    pub what: String,
    /// Where it can be read, as `owner/repository#number`; absent when it was seen here.
    #[serde(default)]
    pub source: Option<String>,
}

impl Journey {
    /// What the client's user sees when the journey ends at `step`.
    pub fn says_at(&self, step: JourneyStep) -> Option<&str> {
        self.says
            .iter()
            .find(|says| says.at == step)
            .map(|says| says.words.as_str())
    }
}
