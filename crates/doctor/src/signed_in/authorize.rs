use std::sync::Arc;

use base::{Digest, Secret, random_token};
use url::Url;

use super::token_endpoint::TokenEndpoint;
use super::{
    BrowserSignIn, Client, Session, Visit, client, found, not_examined, resource, say, scopes,
    token_response, well,
};
use crate::explain::shown;
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange, Flaw};

/// What is added to the state, so that it is changed by whoever decodes it twice or once too little: VS Code's looks so.
const HARD_STATE: &str = "/+a%2Fb==";

/// A code, and what redeems it.
pub struct Code {
    code: Secret<String>,
    verifier: Secret<String>,
    redirect_uri: String,
    /// The client that it was given to.
    pub client: Client,
}

impl Code {
    /// Exchanges it.
    pub async fn exchange(
        &self,
        desk: &Desk,
        endpoint: &TokenEndpoint,
        purpose: &str,
        resource: &str,
    ) -> Arc<Exchange> {
        let fields = [
            ("grant_type", "authorization_code"),
            ("code", self.code.expose()),
            ("redirect_uri", self.redirect_uri.as_str()),
            ("code_verifier", self.verifier.expose()),
            ("resource", resource),
        ];
        desk.send(endpoint.ask(purpose, &fields)).await
    }
}

/// Signs a person in and exchanges the code.
pub(super) async fn session(desk: &mut Desk, sign_in: &BrowserSignIn) -> Option<Session> {
    let code = code(
        desk,
        sign_in,
        "Sign in in the browser, as with any MCP client.",
    )
    .await?;
    let Some(endpoint) = TokenEndpoint::of(desk, code.client.clone()) else {
        not_examined(desk, "a token: the metadata names no token_endpoint");
        return None;
    };
    let resource = resource(desk);
    let exchange = code
        .exchange(desk, &endpoint, "exchange the code for a token", &resource)
        .await;
    if exchange.status() != Some(200) {
        code_refused(desk, &exchange);
        return None;
    }
    let asked = scopes(desk);
    let tokens = token_response::check(desk, &exchange, asked.as_deref())?;
    token_response::check_refresh(desk, &tokens);
    Some(Session {
        endpoint,
        resource,
        tokens,
        replaced: None,
        is_accepted: false,
    })
}

fn code_refused(desk: &mut Desk, exchange: &Arc<Exchange>) {
    let has_cause = desk.notes.findings().iter().any(|finding| {
        matches!(
            finding.flaw.id,
            "token-wants-json" | "token-error-html" | "token-unknown-client-500"
        )
    });
    if has_cause || super::is_busy(exchange) {
        return not_examined(
            desk,
            format!(
                "a token: the token endpoint answered {}",
                exchange.outcome()
            ),
        );
    }
    found(
        desk,
        flaw::CODE_REFUSED,
        [
            format!("The code is not exchanged for a token: {}", super::refusal(exchange)),
            "The client, the redirect URI, the resource and the PKCE verifier were those of the authorization request, in a form.".to_owned(),
            "Exchange codes of public clients by PKCE alone, read the request as application/x-www-form-urlencoded, and look into the log of the token endpoint at this moment.".to_owned(),
        ],
        [Arc::clone(exchange)],
    );
}

/// Sends the person through the browser for a code, and looks at how they come back.
pub(super) async fn code(desk: &mut Desk, sign_in: &BrowserSignIn, why: &str) -> Option<Code> {
    let Some(endpoint) = desk.scene.endpoint("authorization_endpoint") else {
        not_examined(
            desk,
            "signing in: the metadata names no authorization_endpoint",
        );
        return None;
    };
    if let (None, Err(why)) = (&sign_in.client, client::may_register(desk)) {
        not_examined(desk, why);
        return None;
    }
    let visit: Box<dyn Visit> = match sign_in.browser.listen().await {
        Ok(visit) => visit,
        Err(why) => {
            not_examined(desk, format!("signing in: {why}"));
            return None;
        }
    };
    let redirect_uri = visit.redirect_uri();
    let client = match &sign_in.client {
        Some(client) => client.clone(),
        None => client::register(desk, &redirect_uri).await?,
    };
    let verifier = random_token(&*desk.plan.random, "");
    let state = random_token(&*desk.plan.random, "") + HARD_STATE;
    desk.wire.keep_secret(&verifier);
    let authorize = address(desk, &endpoint, &client, &redirect_uri, &verifier, &state);
    sign_in.browser.say(why);
    let back = match visit.open(&authorize, &state).await {
        Ok(back) => back,
        Err(why) => {
            not_examined(
                desk,
                format!(
                    "a token: {why}. If the browser shows an error of the authorization server, that is the reason"
                ),
            );
            return None;
        }
    };
    let code = look_at_return(desk, &back, &state)?;
    desk.wire.keep_secret(&code);
    Some(Code {
        code: Secret::new(code),
        verifier: Secret::new(verifier),
        redirect_uri,
        client,
    })
}

fn address(
    desk: &Desk,
    endpoint: &Url,
    client: &Client,
    redirect_uri: &str,
    verifier: &str,
    state: &str,
) -> Url {
    let mut url = endpoint.clone();
    url.query_pairs_mut()
        .append_pair("response_type", "code")
        .append_pair("client_id", &client.id)
        .append_pair("redirect_uri", redirect_uri)
        .append_pair("code_challenge", &Digest::of(verifier).to_text())
        .append_pair("code_challenge_method", "S256")
        .append_pair("state", state)
        .append_pair("resource", &resource(desk));
    if let Some(scopes) = scopes(desk) {
        url.query_pairs_mut().append_pair("scope", &scopes);
    }
    url
}

/// The code, when there is one.
fn look_at_return(desk: &mut Desk, back: &[(String, String)], state: &str) -> Option<String> {
    let field = |name: &str| {
        let mut values = back.iter().filter(|(known, _)| known == name);
        values.next().map(|(_, value)| value.clone())
    };
    match field("state") {
        Some(came) if came == state => {}
        came => add(
            desk,
            flaw::STATE_CHANGED,
            "The redirect does not carry the state that was sent",
            format!(
                "Sent: {}. Came back: {}. Every client refuses such a return as forged.",
                shown(state, 100),
                came.map_or("none".to_owned(), |came| shown(&came, 100))
            ),
            "Treat state as opaque: decode it once from the request and encode it once into the redirect.",
        ),
    }
    check_issuer(desk, field("iss"));
    if let Some(error) = field("error") {
        refused(
            desk,
            &error,
            &field("error_description").unwrap_or_default(),
        );
        return None;
    }
    let code = field("code");
    if code.is_none() {
        not_examined(
            desk,
            "a token: the redirect had neither a code nor an error",
        );
    }
    code
}

/// Spec: RFC 9207 section 2.4.
fn check_issuer(desk: &mut Desk, iss: Option<String>) {
    let metadata = desk.scene.server_metadata.clone().unwrap_or_default();
    let is_promised = metadata
        .get("authorization_response_iss_parameter_supported")
        .and_then(|promise| promise.as_bool())
        .unwrap_or(false);
    let issuer = metadata.get("issuer").and_then(|issuer| issuer.as_str());
    match (iss, issuer) {
        (Some(iss), Some(issuer)) if iss == issuer => {
            well(desk, "state and iss come back as they must");
        }
        (Some(iss), Some(issuer)) => add(
            desk,
            flaw::ISS_IN_REDIRECT_OTHER,
            "The redirect names another issuer than the metadata",
            format!(
                "iss is {}, the metadata says {}. Clients that compare stop here, since a mix-up attack looks so.",
                shown(&iss, 200),
                shown(issuer, 200)
            ),
            "Send the issuer of the metadata as iss, byte for byte.",
        ),
        (None, _) if is_promised => add(
            desk,
            flaw::ISS_NOT_IN_REDIRECT,
            "The redirect has no iss, though the metadata promises it",
            "Gemini CLI, Codex, Inspector and mcp-remote refuse the return: \"missing iss parameter\".".to_owned(),
            "Add iss with the issuer to each redirect, also to those with an error.",
        ),
        // That no iss is promised is said where the metadata is looked at.
        _ => {}
    }
}

fn refused(desk: &mut Desk, error: &str, description: &str) {
    let error = shown(error, 60);
    let description = shown(description, 200);
    let colon = if description.is_empty() { "" } else { ": " };
    if error == "access_denied" {
        return not_examined(
            desk,
            format!("a token: access was not given in the browser{colon}{description}"),
        );
    }
    let asked = scopes(desk).map_or("no scope".to_owned(), |scopes| {
        format!("scope={}", shown(&scopes, 200))
    });
    add(
        desk,
        flaw::AUTHORIZE_REFUSED,
        &format!("The authorization request comes back with {error}"),
        format!(
            "{error}{colon}{description}. It was made of what the metadata says: {asked}, resource={}, PKCE with S256.",
            shown(&resource(desk), 200)
        ),
        match error.as_str() {
            "invalid_scope" => {
                "Grant what is known and permitted of the scopes that are asked for, and drop the rest; list in the metadata only what can be had."
            }
            "invalid_target" => {
                "Accept the resource that the resource metadata names (RFC 8707), also with a slash at the end of a bare origin."
            }
            _ => "Look into the log of the authorization endpoint at this moment.",
        },
    );
}

fn add(desk: &mut Desk, flaw: Flaw, title: &str, detail: String, change: &str) {
    say(desk, format!("In the browser: {title}."));
    found(
        desk,
        flaw,
        [title.to_owned(), detail, change.to_owned()],
        [],
    );
}
