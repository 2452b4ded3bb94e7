use std::sync::Arc;

use base::Secret;
use serde_json::{Map, Value};

use super::found;
use crate::flaws::signed_in as flaw;
use crate::{Desk, Exchange, Flaw};

/// The shortest life of an access token that does not make clients refresh before every request, in seconds.
const LIFE_SECONDS_MIN: i64 = 600;

/// What a token response gave.
#[derive(Clone)]
pub struct Tokens {
    pub access: Secret<String>,
    pub refresh: Option<Secret<String>>,
    /// The granted scopes, as it names them.
    pub scope: Option<String>,
    /// The response; none of a token that was given.
    pub exchange: Option<Arc<Exchange>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Tokens")
            .field("scope", &self.scope)
            .finish_non_exhaustive()
    }
}

impl Tokens {
    /// A token that was given.
    pub fn given(access: Secret<String>) -> Self {
        Self {
            access,
            refresh: None,
            scope: None,
            exchange: None,
        }
    }

    /// Whether `scope` is among the granted ones.
    pub fn has_scope(&self, scope: &str) -> bool {
        let mut granted = self.scope.as_deref().unwrap_or_default().split(' ');
        granted.any(|held| held == scope)
    }
}

/// Reads the tokens out of an answer; from now on they stand in no evidence.
pub fn read(desk: &Desk, exchange: &Arc<Exchange>) -> Option<Tokens> {
    let response = object(exchange)?;
    let text = |name: &str| {
        let text = response
            .get(name)?
            .as_str()
            .filter(|text| !text.is_empty())?;
        Some(text.to_owned())
    };
    let secret = |name: &str| {
        let secret = text(name)?;
        desk.wire.keep_secret(&secret);
        Some(Secret::new(secret))
    };
    Some(Tokens {
        access: secret("access_token")?,
        refresh: secret("refresh_token"),
        scope: text("scope"),
        exchange: Some(Arc::clone(exchange)),
    })
}

fn object(exchange: &Exchange) -> Option<Map<String, Value>> {
    match exchange.json() {
        Some(Value::Object(response)) => Some(response),
        _ => None,
    }
}

/// Looks at the shape of a token response, and reads it.
///
/// Spec: RFC 6749 section 5.1.
pub fn check(
    desk: &mut Desk,
    exchange: &Arc<Exchange>,
    asked_scope: Option<&str>,
) -> Option<Tokens> {
    let Some(tokens) = read(desk, exchange) else {
        add(
            desk,
            exchange,
            flaw::TOKEN_NO_ACCESS_TOKEN,
            "The token endpoint answers 200 without an access token",
            &format!(
                "The answer is {} and no JSON object with an access_token; clients say \"invalid token response\".",
                exchange.outcome()
            ),
            "Answer application/json with access_token, token_type, expires_in, refresh_token and scope.",
        );
        return None;
    };
    let response = object(exchange).unwrap_or_default();
    check_nulls(desk, exchange, &response);
    check_life(desk, exchange, &response);
    check_type(desk, exchange, &response);
    check_cache(desk, exchange);
    check_scope(desk, exchange, &response, asked_scope);
    Some(tokens)
}

/// The tokens of a person must come with a refresh token.
pub fn check_refresh(desk: &mut Desk, tokens: &Tokens) {
    let (None, Some(exchange)) = (&tokens.refresh, &tokens.exchange) else {
        return;
    };
    let exchange = Arc::clone(exchange);
    if object(&exchange).is_some_and(|response| response.get("refresh_token") == Some(&Value::Null))
    {
        // Said already: a null where nothing should be.
        return;
    }
    add(
        desk,
        &exchange,
        flaw::TOKEN_NO_REFRESH,
        "No refresh token is issued",
        "When the access token ends, every client must send its person through the browser again; people say they are logged out every hour.",
        "Issue a refresh token with each authorization code, whether or not offline_access was asked for, and list refresh_token in grant_types_supported.",
    );
}

fn check_nulls(desk: &mut Desk, exchange: &Arc<Exchange>, response: &Map<String, Value>) {
    let nulls: Vec<&str> = response
        .iter()
        .filter(|(_, value)| value.is_null())
        .map(|(name, _)| name.as_str())
        .collect();
    if nulls.is_empty() {
        return;
    }
    add(
        desk,
        exchange,
        flaw::TOKEN_NULL_MEMBERS,
        &format!("The token response has null for {}", nulls.join(", ")),
        "Clients with strict readers refuse the whole response: \"expected string, received null\".",
        "Leave members without a value out.",
    );
}

fn check_life(desk: &mut Desk, exchange: &Arc<Exchange>, response: &Map<String, Value>) {
    match response.get("expires_in") {
        None => add(
            desk,
            exchange,
            flaw::TOKEN_NO_EXPIRES_IN,
            "The token response does not say how long the token is good",
            "Clients that refresh only when they know the expiry, such as the Python SDK, go to the browser again instead.",
            "Add expires_in, in seconds.",
        ),
        // Said already.
        Some(Value::Null) => {}
        Some(Value::Number(seconds)) => match seconds.as_i64() {
            Some(seconds) if seconds >= LIFE_SECONDS_MIN => {}
            Some(seconds @ 1..) => add(
                desk,
                exchange,
                flaw::TOKEN_SHORT_LIVED,
                &format!("The access token lives for {seconds} seconds"),
                "Claude Code refreshes when less than about five minutes are left, so it refreshes before every request.",
                "Let access tokens live for ten minutes at least; an hour is usual.",
            ),
            _ => odd_life(desk, exchange, &seconds.to_string()),
        },
        Some(other) => odd_life(desk, exchange, &other.to_string()),
    }
}

fn odd_life(desk: &mut Desk, exchange: &Arc<Exchange>, shown: &str) {
    let shown = crate::explain::shown(shown, 60);
    add(
        desk,
        exchange,
        flaw::TOKEN_EXPIRES_STRING,
        &format!("expires_in is {shown}, which is no whole number of seconds"),
        "Clients with strict readers refuse the whole response.",
        "Write the seconds as a JSON number: \"expires_in\": 3600.",
    );
}

fn check_type(desk: &mut Desk, exchange: &Arc<Exchange>, response: &Map<String, Value>) {
    let kind = match response.get("token_type") {
        Some(Value::Null) => return,
        Some(Value::String(kind)) if kind == "Bearer" => return,
        Some(other) => crate::explain::shown(&other.to_string(), 60),
        None => "missing".to_owned(),
    };
    add(
        desk,
        exchange,
        flaw::TOKEN_TYPE_ODD,
        &format!("token_type is {kind}"),
        "Clients compare it, some of them letter by letter, and refuse what is not Bearer.",
        "Answer \"token_type\": \"Bearer\".",
    );
}

fn check_cache(desk: &mut Desk, exchange: &Arc<Exchange>) {
    let is_kept_from_caches = exchange
        .headers("cache-control")
        .iter()
        .any(|line| line.to_ascii_lowercase().contains("no-store"));
    if is_kept_from_caches
        || desk
            .notes
            .findings()
            .iter()
            .any(|finding| finding.flaw.id == "token-cacheable")
    {
        return;
    }
    add(
        desk,
        exchange,
        flaw::TOKEN_CACHEABLE_ANSWER,
        "The token response may be kept by caches",
        "A proxy or a browser on the way may keep the tokens and hand them to somebody else.",
        "Answer with Cache-Control: no-store.",
    );
}

fn check_scope(
    desk: &mut Desk,
    exchange: &Arc<Exchange>,
    response: &Map<String, Value>,
    asked_scope: Option<&str>,
) {
    // Only who sees the claims can tell whether less was granted, so that this is said of JWTs alone.
    if response.contains_key("scope") {
        return;
    }
    let granted = response
        .get("access_token")
        .and_then(Value::as_str)
        .and_then(super::claims::scope_of);
    let sorted = |scopes: &str| {
        let mut scopes: Vec<String> = scopes
            .split_whitespace()
            .filter(|scope| *scope != "offline_access")
            .map(str::to_owned)
            .collect();
        scopes.sort();
        scopes
    };
    let is_other = match (&granted, asked_scope) {
        (Some(granted), Some(asked)) => sorted(granted) != sorted(asked),
        _ => false,
    };
    if !is_other {
        return;
    }
    add(
        desk,
        exchange,
        flaw::TOKEN_SCOPE_MISSING,
        "Other scopes were granted than asked for, and the token response does not say which",
        &format!(
            "Asked for: {}. In the token: {}. A client takes silence to mean that it has what it asked for.",
            crate::explain::shown(asked_scope.unwrap_or_default(), 200),
            crate::explain::shown(&granted.unwrap_or_default(), 200)
        ),
        "Add scope with the granted scopes.",
    );
}

fn add(
    desk: &mut Desk,
    exchange: &Arc<Exchange>,
    flaw: Flaw,
    title: &str,
    detail: &str,
    change: &str,
) {
    found(
        desk,
        flaw,
        [title, detail, change].map(str::to_owned),
        [Arc::clone(exchange)],
    );
}
