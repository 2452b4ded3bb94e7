//! Clients as they are found: each refreshes at its own moment, in its own words, and draws its own conclusions.

use std::collections::{BTreeSet, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use base::{Digest, OsRandom, Random as _, Timestamp, base64url, base64url_decode};
use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::{Value, json};
use testkit::Connection;
use testkit::person::{Person, text};
use url::Url;

use crate::world::{EMAIL, Form, PASSWORD, World};

/// How it got its client id.
#[derive(Clone)]
pub enum Registration {
    /// It registers itself.
    Dynamic,
    /// Its id, and its secret if it has one, were typed in.
    PreRegistered { id: String, secret: Option<String> },
    /// Its id is the address of its metadata document.
    Document { url: String },
}

/// What it does when a token is refused.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    Refreshes,
    SendsThePersonToTheBrowser,
}

/// What makes one client another than the next.
#[derive(Clone)]
pub struct Habits {
    pub name: &'static str,
    pub registration: Registration,
    /// Before a call it refreshes when the token has no more than this left; `None`: it never looks.
    pub early: Option<Duration>,
    pub refused: Refused,
    /// Whether it sends `scope` when it refreshes.
    pub sends_scope: bool,
    /// Whether it sends `resource` when it refreshes.
    pub sends_resource: bool,
    /// How many of it run at once on one set of tokens.
    pub sessions: usize,
}

/// What all sessions of a client keep in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Tokens {
    access: String,
    refresh: String,
    expires_at: Timestamp,
    scope: String,
}

/// How a call ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    Done,
    /// Nothing that the client takes for its own fault; it will be tried again.
    Later(String),
}

enum Refresh {
    Fresh(Box<Tokens>),
    /// The answer never came.
    Lost,
    Dead,
    Later(String),
}

/// How the next answer to a refresh gets lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// It arrives and nobody is there to keep it.
    Discarded,
    /// The connection is gone before it is sent.
    CutOff,
}

/// A client and what it has been through.
pub struct Client {
    pub habits: Habits,
    id: String,
    secret: Option<String>,
    tokens: Mutex<Option<Tokens>>,
    lose: Mutex<VecDeque<Loss>>,
    /// The keys that signed what it was given.
    keys_seen: Mutex<BTreeSet<String>>,
    pub browser_visits: AtomicUsize,
    pub refreshes: AtomicUsize,
    pub lost: AtomicUsize,
    pub calls: AtomicUsize,
    pub later: AtomicUsize,
}

impl Client {
    pub async fn begin(world: &World, habits: Habits) -> anyhow::Result<Self> {
        let (id, secret) = match &habits.registration {
            Registration::Dynamic => (register(world, habits.name).await?, None),
            Registration::PreRegistered { id, secret } => (id.clone(), secret.clone()),
            Registration::Document { url } => (url.clone(), None),
        };
        Ok(Self {
            habits,
            id,
            secret,
            tokens: Mutex::default(),
            lose: Mutex::default(),
            keys_seen: Mutex::default(),
            browser_visits: AtomicUsize::new(0),
            refreshes: AtomicUsize::new(0),
            lost: AtomicUsize::new(0),
            calls: AtomicUsize::new(0),
            later: AtomicUsize::new(0),
        })
    }

    /// The keys that signed its access tokens.
    pub fn keys_seen(&self) -> BTreeSet<String> {
        lock(&self.keys_seen).clone()
    }

    fn keep(&self, tokens: &Tokens) {
        let head = tokens.access.split('.').next().unwrap_or_default();
        let head: Option<Value> =
            base64url_decode(head).and_then(|bytes| serde_json::from_slice(&bytes).ok());
        if let Some(key) = head.as_ref().and_then(|head| head["kid"].as_str()) {
            lock(&self.keys_seen).insert(key.to_owned());
        }
        *lock(&self.tokens) = Some(tokens.clone());
    }

    /// The next answer to a refresh is lost.
    pub fn lose_an_answer(&self, loss: Loss) {
        lock(&self.lose).push_back(loss);
    }

    /// Whether an answer is still to be lost: it has not refreshed since.
    pub fn still_to_lose(&self) -> bool {
        !lock(&self.lose).is_empty()
    }

    /// One call by each of its sessions at the same time.
    pub async fn call(&self, world: &World) -> anyhow::Result<Outcome> {
        // The first session asks the person, the others find the tokens.
        if self.kept().is_none() {
            self.sign_in(world).await?;
        }
        let sessions = (0..self.habits.sessions).map(|_| self.call_once(world));
        for outcome in futures_util::future::try_join_all(sessions).await? {
            if let Outcome::Later(_) = outcome {
                self.later.fetch_add(1, Ordering::Relaxed);
                return Ok(outcome);
            }
        }
        Ok(Outcome::Done)
    }

    async fn call_once(&self, world: &World) -> anyhow::Result<Outcome> {
        let mut tokens = self.kept().context("it has signed in")?;
        if let Some(early) = self.habits.early
            && world.now().after(early) >= tokens.expires_at
        {
            match self.renew(world, &tokens).await? {
                Ok(renewed) => tokens = renewed,
                Err(reason) => return Ok(Outcome::Later(reason)),
            }
        }
        let mut refused_before = false;
        loop {
            let Ok(answer) = world.call(Some(&tokens.access)).await else {
                return Ok(Outcome::Later("nobody answers".into()));
            };
            match answer.status() {
                StatusCode::OK => {
                    ensure!(
                        !text(&answer).contains("\"error\""),
                        "{}: {}",
                        self.habits.name,
                        text(&answer)
                    );
                    self.calls.fetch_add(1, Ordering::Relaxed);
                    return Ok(Outcome::Done);
                }
                StatusCode::SERVICE_UNAVAILABLE => {
                    ensure!(answer.headers().contains_key(header::RETRY_AFTER));
                    return Ok(Outcome::Later("503".into()));
                }
                StatusCode::UNAUTHORIZED if refused_before => {
                    anyhow::bail!("{}: refused twice in a row: {answer:?}", self.habits.name);
                }
                StatusCode::UNAUTHORIZED => {
                    refused_before = true;
                    if self.habits.refused == Refused::SendsThePersonToTheBrowser {
                        tokens = self.sign_in(world).await?;
                        continue;
                    }
                    match self.renew(world, &tokens).await? {
                        Ok(renewed) => tokens = renewed,
                        Err(reason) => return Ok(Outcome::Later(reason)),
                    }
                }
                status => anyhow::bail!("{}: {status}: {}", self.habits.name, text(&answer)),
            }
        }
    }

    /// Refreshes, and sends the person to the browser when the refresh token is dead.
    async fn renew(&self, world: &World, old: &Tokens) -> anyhow::Result<Result<Tokens, String>> {
        Ok(match self.refresh(world, old).await? {
            Refresh::Fresh(tokens) => {
                self.keep(&tokens);
                Ok(*tokens)
            }
            Refresh::Lost => Err("the answer was lost".into()),
            Refresh::Later(reason) => Err(reason),
            Refresh::Dead => {
                *lock(&self.tokens) = None;
                Ok(self.sign_in(world).await?)
            }
        })
    }

    async fn refresh(&self, world: &World, old: &Tokens) -> anyhow::Result<Refresh> {
        let mut fields = vec![
            ("grant_type", "refresh_token".to_owned()),
            ("refresh_token", old.refresh.clone()),
        ];
        if self.habits.sends_scope {
            fields.push(("scope", old.scope.clone()));
        }
        if self.habits.sends_resource {
            fields.push(("resource", world.mcp_url.clone()));
        }
        let form = self.form(fields);
        let loss = lock(&self.lose).pop_front();
        // While nobody answers, no answer can be lost: the next one is.
        let not_yet = || {
            if let Some(loss) = loss {
                lock(&self.lose).push_front(loss);
            }
            Ok(Refresh::Later("nobody answers".into()))
        };
        if loss == Some(Loss::CutOff) {
            if world.post_and_vanish("token", &form).await.is_err() {
                return not_yet();
            }
            self.lost.fetch_add(1, Ordering::Relaxed);
            return Ok(Refresh::Lost);
        }
        let Ok(answer) = world.post("token", &form).await else {
            return not_yet();
        };
        match answer.status() {
            StatusCode::OK if loss.is_some() => {
                self.lost.fetch_add(1, Ordering::Relaxed);
                Ok(Refresh::Lost)
            }
            StatusCode::OK => {
                self.refreshes.fetch_add(1, Ordering::Relaxed);
                Ok(Refresh::Fresh(Box::new(read_tokens(world, &answer)?)))
            }
            StatusCode::SERVICE_UNAVAILABLE => not_yet(),
            StatusCode::BAD_REQUEST if error_of(&answer) == "invalid_grant" => Ok(Refresh::Dead),
            status => anyhow::bail!(
                "{}: the refresh answered {status}: {}",
                self.habits.name,
                text(&answer)
            ),
        }
    }

    /// The person signs in and approves.
    async fn sign_in(&self, world: &World) -> anyhow::Result<Tokens> {
        self.browser_visits.fetch_add(1, Ordering::Relaxed);
        let mut bytes = [0; 32];
        OsRandom.fill(&mut bytes);
        let verifier = base64url(bytes);
        let mut authorize = Url::parse(&format!("{}/authorize", world.issuer))?;
        authorize
            .query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.id)
            .append_pair("redirect_uri", REDIRECT)
            .append_pair("state", &verifier[..16])
            .append_pair("resource", &world.mcp_url)
            .append_pair("code_challenge", &Digest::of(&verifier).to_text())
            .append_pair("code_challenge_method", "S256");
        let mut browser = Connection::open(&world.address).await?;
        let callback = Person::visit(&mut browser, &authorize, EMAIL, PASSWORD).await?;
        let code = callback
            .query_pairs()
            .find(|(name, _)| name == "code")
            .map(|(_, code)| code.into_owned())
            .with_context(|| format!("no code in {callback}"))?;
        let form = self.form(vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", REDIRECT.to_owned()),
            ("code_verifier", verifier),
            ("resource", world.mcp_url.clone()),
        ]);
        let tokens = read_tokens(world, &world.post("token", &form).await?)?;
        self.keep(&tokens);
        Ok(tokens)
    }

    /// Revokes its refresh token, as a client does when the person signs out of it (RFC 7009).
    pub async fn sign_out(&self, world: &World) -> anyhow::Result<()> {
        let tokens = self.kept().context("it is signed in")?;
        let form = self.form(vec![("token", tokens.refresh)]);
        let answer = world.post("revoke", &form).await?;
        ensure!(answer.status() == StatusCode::OK, "{}", text(&answer));
        Ok(())
    }

    /// What the gateway says to the token it still has, and what the authority says to its refresh.
    pub async fn tries_without_a_browser(&self, world: &World) -> anyhow::Result<(bool, bool)> {
        let tokens = self.kept().context("it has tokens")?;
        let called = world.call(Some(&tokens.access)).await?.status() == StatusCode::OK;
        let refreshed = matches!(self.refresh(world, &tokens).await?, Refresh::Fresh(_));
        Ok((called, refreshed))
    }

    fn form(&self, fields: Vec<(&str, String)>) -> Form {
        let mut body = url::form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(&fields)
            .append_pair("client_id", &self.id);
        let basic = self.secret.as_ref().map(|secret| {
            use base64::Engine as _;
            let pair = format!("{}:{secret}", self.id);
            format!(
                "Basic {}",
                base64::engine::general_purpose::STANDARD.encode(pair)
            )
        });
        Form {
            body: body.finish(),
            basic,
        }
    }

    fn kept(&self) -> Option<Tokens> {
        lock(&self.tokens).clone()
    }
}

/// Nobody listens there: the person hands the address over.
pub const REDIRECT: &str = "http://127.0.0.1:9/callback";

async fn register(world: &World, name: &str) -> anyhow::Result<String> {
    let body = json!({
        "client_name": name,
        "redirect_uris": [REDIRECT],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    });
    let request =
        Request::post(world.endpoint("register")).header(header::CONTENT_TYPE, "application/json");
    let answer = world.send(request, body.to_string()).await?;
    let registered: Value = serde_json::from_slice(answer.body())?;
    let id = registered["client_id"].as_str();
    Ok(id.with_context(|| text(&answer))?.to_owned())
}

fn read_tokens(world: &World, answer: &Response<Bytes>) -> anyhow::Result<Tokens> {
    ensure!(answer.status() == StatusCode::OK, "{}", text(answer));
    let body: Value = serde_json::from_slice(answer.body())?;
    let member = |name: &str| {
        body[name]
            .as_str()
            .map(str::to_owned)
            .with_context(|| format!("no {name} in the token response"))
    };
    let lifetime = body["expires_in"].as_u64().context("expires_in")?;
    Ok(Tokens {
        access: member("access_token")?,
        refresh: member("refresh_token")?,
        expires_at: world.now().after(Duration::from_secs(lifetime)),
        scope: member("scope")?,
    })
}

fn error_of(answer: &Response<Bytes>) -> String {
    let body: Value = serde_json::from_slice(answer.body()).unwrap_or_default();
    body["error"].as_str().unwrap_or_default().to_owned()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
