use std::borrow::Cow;
use std::time::Duration;

use domain::{Client, ClientId, ClientRegistration, UserId};
use wire::oauth::{CodeChallenge, ErrorCode, RedirectUri, RedirectUriKind, ScopeSet};

use crate::find_client::find_client;
use crate::prompt::Prompt;
use crate::session::SignedIn;
use crate::{Authority, AuthorizationRequest, Error, Parameters, ServerContext, answer};

/// The longest `state` that is carried.
const STATE_BYTES_MAX: usize = 4096;
/// The longest `scope` that is read.
const SCOPE_BYTES_MAX: usize = 8192;
/// How many registered addresses are shown beside one that is not.
const REGISTERED_SHOWN_MAX: usize = 6;
/// How many unknown scopes are remembered, and the longest of them: they only explain.
const UNKNOWN_SCOPES_MAX: usize = 16;
const UNKNOWN_SCOPE_BYTES_MAX: usize = 100;

/// Why an authorization request goes no further, and who is told.
#[derive(Debug)]
pub enum Refusal {
    /// A page of ours: the client or the return address cannot be trusted, or the person has to act.
    Page {
        /// What is wrong.
        error: Error,
        /// What the person can do about it.
        what_to_do: Cow<'static, str>,
        /// What was compared: a label, and a text that may be a stranger's.
        details: Vec<(&'static str, String)>,
    },
    /// A page of ours: the client is good, and an owner has not decided about it yet.
    Waiting {
        /// The client.
        client: Box<Client>,
        /// For the log.
        error: Error,
    },
    /// The client is told, at an address that was checked.
    Redirect {
        /// What is wrong.
        error: Error,
        /// The whole address.
        address: String,
        /// Who is at the other end.
        kind: RedirectUriKind,
        /// The client's name, for the page in between.
        client_name: String,
    },
}

impl Refusal {
    /// A page.
    pub fn page(error: Error, what_to_do: impl Into<Cow<'static, str>>) -> Self {
        Self::Page {
            error,
            what_to_do: what_to_do.into(),
            details: Vec::new(),
        }
    }

    /// A page that also shows what was compared.
    pub fn with_detail(mut self, label: &'static str, text: impl Into<String>) -> Self {
        if let Self::Page { details, .. } = &mut self {
            details.push((label, text.into()));
        }
        self
    }

    /// What is wrong.
    pub fn error(&self) -> &Error {
        match self {
            Self::Page { error, .. }
            | Self::Waiting { error, .. }
            | Self::Redirect { error, .. } => error,
        }
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        let what_to_do = match error.code() {
            ErrorCode::TemporarilyUnavailable => "Wait a moment, then try again.",
            ErrorCode::ServerError => {
                "Try again; if it happens again, give the owner the reference below."
            }
            _ => "Go back to the application and start the sign-in again.",
        };
        Self::page(error, what_to_do)
    }
}

/// An authorization request that passed every check.
#[derive(Debug)]
pub struct Validated {
    /// The request.
    pub request: AuthorizationRequest,
    /// Its client.
    pub client: Client,
}

/// Validates an authorization request. Writes nothing: a scanner or a double-open may ask as often as it likes.
///
/// The client and its redirect URI come first, since until both are good there is nobody to redirect an error to.
///
/// # Errors
/// A page or a redirect; see [`Refusal`].
///
/// Spec: RFC 6749 section 4.1.1; OAuth 2.1 section 4.1.1; RFC 9700 section 4.11.
pub async fn validate(
    authority: &Authority,
    server: &ServerContext,
    parameters: &Parameters<'_>,
    signed_in: Option<&SignedIn>,
) -> Result<Validated, Refusal> {
    let client = client_that_asks(authority, server, parameters).await?;
    let redirect_uri = find_redirect_uri(authority, &client, parameters)?;

    match read_request(authority, server, parameters, &client, &redirect_uri) {
        Ok(request) => Ok(Validated { request, client }),
        Err(error) => {
            let user = signed_in.map(|signed_in| &signed_in.user.id);
            let state = parameters
                .get("state")
                .filter(|state| state.len() <= STATE_BYTES_MAX && !parameters.is_repeated("state"));
            Err(tell(
                authority,
                server,
                &client,
                &redirect_uri,
                state,
                user,
                error,
            )
            .await)
        }
    }
}

/// The client is told of `error` where that is safe; otherwise the person is.
pub(crate) async fn tell(
    authority: &Authority,
    server: &ServerContext,
    client: &Client,
    redirect_uri: &RedirectUri,
    state: Option<&str>,
    user: Option<&UserId>,
    error: Error,
) -> Refusal {
    match may_be_told(authority, client, redirect_uri, user).await {
        Ok(true) => Refusal::Redirect {
            address: answer::failure(server, redirect_uri, state, &error),
            kind: redirect_uri.kind(),
            client_name: client.name.clone(),
            error,
        },
        // Nothing that the client chose stands here: whoever registers could write to people in our name.
        Ok(false) => Refusal::page(
            error,
            "Go back to the application and try again; if it happens again, tell its makers what this page says.",
        ),
        Err(refusal) => refusal,
    }
}

async fn client_that_asks(
    authority: &Authority,
    server: &ServerContext,
    parameters: &Parameters<'_>,
) -> Result<Client, Refusal> {
    let start_again = "Go back to the application and start the sign-in again.";
    if parameters.is_repeated("client_id") {
        let error = Error::invalid_request("parameter client_id stands there more than once");
        return Err(Refusal::page(error, start_again));
    }
    let Some(asked) = parameters.get("client_id") else {
        let error = Error::invalid_request("client_id is missing");
        return Err(Refusal::page(error, start_again));
    };
    find_enabled_client(authority, server, &ClientId::from_text(asked)).await
}

/// The client, or a page that says how an application gets rid of a registration we do not know.
pub(crate) async fn find_enabled_client(
    authority: &Authority,
    server: &ServerContext,
    id: &ClientId,
) -> Result<Client, Refusal> {
    match find_client(authority, server, id).await? {
        Some(client) if client.disabled_at.is_none() => Ok(client),
        found => {
            let cause = match found {
                Some(_) => "the client is disabled",
                None => "the client is not registered",
            };
            Err(Refusal::page(
                Error::invalid_client("this application is not registered here").because(cause),
                "The application remembers a registration that this server does not know, perhaps from an earlier \
                 installation. Remove the server from the application (or clear its stored authentication for it), \
                 add it again, and sign in.",
            ))
        }
    }
}

fn find_redirect_uri(
    authority: &Authority,
    client: &Client,
    parameters: &Parameters<'_>,
) -> Result<RedirectUri, Refusal> {
    let refused = |error: Error| {
        Refusal::page(
            error,
            "Nothing was sent anywhere. The application asked for the answer to go to an address that it did not \
             register; remove the server from the application, add it again, and sign in.",
        )
    };
    if parameters.is_repeated("redirect_uri") {
        return Err(refused(Error::invalid_request(
            "parameter redirect_uri stands there more than once",
        )));
    }
    let asked = parameters
        .get("redirect_uri")
        .ok_or_else(|| refused(Error::invalid_request("redirect_uri is missing")))?;
    let asked = RedirectUri::parse(asked)
        .map_err(|error| refused(Error::invalid_request(error.to_string())))?;
    if crate::registered_redirects::is_ours(authority, &asked) {
        return Err(refused(Error::invalid_request(
            "redirect_uri is an address of this server itself",
        )));
    }
    if client.accepted_redirect_uri(&asked).is_none() {
        return Err(not_registered(client, &asked, refused));
    }
    Ok(asked)
}

/// Shows both sides, so that whoever set the client up sees the slash that is too many. Only addresses of permitted
/// shape come here: they have no blanks to write a sentence with, and the page makes no links of them.
fn not_registered(
    client: &Client,
    asked: &RedirectUri,
    refused: impl Fn(Error) -> Refusal,
) -> Refusal {
    let error = Error::invalid_request("redirect_uri is not one that this application registered");
    let mut page = refused(error).with_detail("Asked for", asked.as_str());
    for registered in client.redirect_uris.iter().take(REGISTERED_SHOWN_MAX) {
        page = page.with_detail("Registered", registered.as_str());
    }
    page
}

/// Everything that a client may be told about by redirect.
fn read_request(
    authority: &Authority,
    server: &ServerContext,
    parameters: &Parameters<'_>,
    client: &Client,
    redirect_uri: &RedirectUri,
) -> Result<AuthorizationRequest, Error> {
    let now = authority.now();
    parameters.refuse_repeats(&["resource"])?;
    let state = parameters.get("state");
    if state.is_some_and(|state| state.len() > STATE_BYTES_MAX) {
        return Err(Error::invalid_request("state is longer than 4096 bytes"));
    }
    // RFC 6749 appendix A.5 has none, and escaped they would make the sealed request longer than we read.
    if state.is_some_and(|state| state.contains(char::is_control)) {
        return Err(Error::invalid_request("state has a control character"));
    }
    for unsupported in ["request", "request_uri", "registration"] {
        if parameters.get(unsupported).is_some() {
            return Err(Error::invalid_request(format!(
                "parameter {unsupported} is not supported"
            )));
        }
    }
    match parameters.get("response_type") {
        Some("code") => {}
        Some(_) => {
            return Err(Error::unsupported_response_type(
                "response_type must be code",
            ));
        }
        None => return Err(Error::invalid_request("response_type is missing")),
    }
    if !matches!(parameters.get("response_mode"), None | Some("query")) {
        return Err(Error::invalid_request("response_mode must be query"));
    }
    let challenge = read_challenge(parameters)?;
    server.check_resources(parameters.all("resource"), now)?;
    let (scopes, unknown_scopes) = read_scopes(server, parameters.get("scope"))?;
    let prompt = Prompt::parse(parameters.get("prompt"))?;
    let mut authenticated_since = None;
    if let Some(max_age) = parameters.get("max_age") {
        let seconds: u32 = max_age
            .parse()
            .map_err(|_| Error::invalid_request("max_age must be a number of seconds"))?;
        authenticated_since = Some(now.before(Duration::from_secs(seconds.into())));
    }
    if prompt.login {
        authenticated_since = Some(now);
    }
    Ok(AuthorizationRequest {
        server: server.server.slug.clone(),
        client: client.id.clone(),
        client_name: client.name.clone(),
        redirect_uri: redirect_uri.clone(),
        state: state.map(str::to_owned),
        code_challenge: challenge.to_text(),
        scopes,
        authenticated_since,
        login_hint: parameters
            .get("login_hint")
            .filter(|hint| hint.len() <= 254)
            .map(str::to_owned),
        prompt,
        unknown_scopes,
        sealed_at: now,
    })
}

/// OAuth 2.1 section 4.1.1 and RFC 7636 section 4.3, where a missing method would mean `plain`: refused like it.
fn read_challenge(parameters: &Parameters<'_>) -> Result<CodeChallenge, Error> {
    let challenge = parameters
        .get("code_challenge")
        .ok_or_else(|| Error::invalid_request("code_challenge is missing: PKCE is required"))?;
    if parameters.get("code_challenge_method") != Some("S256") {
        return Err(Error::invalid_request("code_challenge_method must be S256"));
    }
    CodeChallenge::parse(challenge).map_err(|error| Error::invalid_request(error.to_string()))
}

/// What was asked, as far as this server declares it. Names of other servers, `openid` and `offline_access` are
/// dropped; asking for nothing that is left means the default set.
fn read_scopes(server: &ServerContext, asked: Option<&str>) -> Result<(ScopeSet, ScopeSet), Error> {
    let asked = asked.unwrap_or_default();
    if asked.len() > SCOPE_BYTES_MAX {
        return Err(Error::invalid_request("scope is longer than 8192 bytes"));
    }
    let asked = ScopeSet::parse_lenient(asked);
    let known = asked.intersection(&server.declared_scopes);
    let unknown = asked
        .iter()
        .filter(|scope| !server.declared_scopes.contains(scope))
        .filter(|scope| scope.as_str() != "offline_access")
        .filter(|scope| scope.as_str().len() <= UNKNOWN_SCOPE_BYTES_MAX)
        .take(UNKNOWN_SCOPES_MAX)
        .cloned()
        .collect();
    if known.is_empty() {
        let default = &server.server.policy.default_scopes;
        return Ok((default.intersection(&server.declared_scopes), unknown));
    }
    Ok((known, unknown))
}

/// Whether an error may be redirected. Anybody can register an address and send people to us with a broken request;
/// if we passed them on, we would be an open redirector (RFC 9700 section 4.11.2).
pub(crate) async fn may_be_told(
    authority: &Authority,
    client: &Client,
    redirect_uri: &RedirectUri,
    user: Option<&UserId>,
) -> Result<bool, Refusal> {
    if redirect_uri.kind() == RedirectUriKind::Loopback
        || client.registration == ClientRegistration::PreRegistered
        || known_clients::by_redirect_uri(redirect_uri).is_some()
    {
        return Ok(true);
    }
    let Some(user) = user else { return Ok(false) };
    let consented = authority
        .store()
        .find_consent(user, &client.server, &client.id, redirect_uri.as_str())
        .await
        .map_err(Error::from)?;
    Ok(consented.is_some())
}
