use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use hyper::body::Incoming;
use url::Url;
use wire::oauth::{ReadChallenge, ScopeSet, read_challenge};

use super::ClientSettings;
use super::discover::{Discovery, discover};
use super::http_client::HttpClient;
use super::login::{self, RefreshFailure};
use super::tokens::{Saved, TokenFile};

/// A token that ends within this time is refreshed before it is used.
const MARGIN: Duration = Duration::from_secs(30);
/// No token, a refreshed one, one after signing in, one with more scope.
const ATTEMPTS_MAX: usize = 5;

/// Sends requests to one MCP URL with a token that is good, getting one in whatever way is left.
pub struct Authorized {
    settings: ClientSettings,
    http: HttpClient,
    tokens: TokenFile,
    url: Url,
    saved: Option<(String, Saved)>,
}

impl Authorized {
    /// Begins with what the file has.
    ///
    /// # Errors
    /// When the file is damaged.
    pub fn new(
        settings: ClientSettings,
        http: HttpClient,
        tokens: TokenFile,
        url: Url,
    ) -> anyhow::Result<Self> {
        let kept = tokens.find(url.as_str())?;
        let saved = kept.filter(|_| !settings.sign_in_again);
        Ok(Self {
            settings,
            http,
            tokens,
            url,
            saved,
        })
    }

    /// The MCP URL.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// Where progress is told.
    pub fn settings(&self) -> &ClientSettings {
        &self.settings
    }

    /// Sends, and when the answer is a challenge does what it asks and sends again.
    ///
    /// # Errors
    /// When no token can be had, or the server refuses one that it has just given.
    pub async fn send(
        &mut self,
        method: Method,
        headers: &HeaderMap,
        body: Bytes,
    ) -> anyhow::Result<Response<Incoming>> {
        let mut signed_in = false;
        for _ in 0..ATTEMPTS_MAX {
            let token = self.fresh_token().await?;
            let mut request = Request::builder().method(method.clone());
            if let Some(map) = request.headers_mut() {
                map.extend(headers.clone());
                if let Some(token) = &token {
                    let mut value =
                        HeaderValue::try_from(format!("Bearer {token}")).map_err(|_| {
                            anyhow!("the access token has a character that no header can carry")
                        })?;
                    value.set_sensitive(true);
                    map.insert(header::AUTHORIZATION, value);
                }
            }
            let response = self.http.send(&self.url, request, body.clone()).await?;
            let challenge = challenge_of(&response);
            match (response.status(), challenge) {
                (StatusCode::UNAUTHORIZED, challenge) => {
                    let challenge = challenge.with_context(|| {
                        format!("{} answers 401 without a Bearer challenge, so there is no way to get a token", self.url)
                    })?;
                    if signed_in {
                        let why = challenge
                            .error_description
                            .or(challenge.error)
                            .unwrap_or_default();
                        bail!(
                            "{} refuses the token that it was just given: {why}",
                            self.url
                        );
                    }
                    signed_in = self
                        .replace(token.as_deref(), &challenge, &ScopeSet::new())
                        .await?;
                }
                (StatusCode::FORBIDDEN, Some(challenge))
                    if challenge.error.as_deref() == Some("insufficient_scope") =>
                {
                    let asked =
                        ScopeSet::parse_lenient(challenge.scope.as_deref().unwrap_or_default());
                    let held = self.held();
                    if signed_in || asked.is_subset(&held) {
                        bail!("this needs the scopes {asked}, which were not given in the browser");
                    }
                    self.settings
                        .progress
                        .line(format!("This needs more: {}.", asked.difference(&held)));
                    self.sign_in(&challenge, &asked.union(&held), true).await?;
                    signed_in = true;
                }
                _ => return Ok(response),
            }
        }
        bail!("{} keeps asking for another token", self.url)
    }

    /// An access token with which the address answers, with at least the scopes `wanted`.
    ///
    /// # Errors
    /// As [`Authorized::send`], and when the address refuses otherwise.
    pub async fn token(&mut self, wanted: &ScopeSet) -> anyhow::Result<String> {
        for is_second in [false, true] {
            let answer = self
                .send(Method::GET, &HeaderMap::new(), Bytes::new())
                .await?;
            if !answer.status().is_success() {
                bail!("{} answers {}", self.url, answer.status());
            }
            if wanted.is_subset(&self.held()) {
                let token = self.fresh_token().await?;
                return token.with_context(|| format!("{} asks for no token", self.url));
            }
            if is_second {
                break;
            }
            let more = wanted.union(&self.held());
            self.sign_in(&ReadChallenge::default(), &more, true).await?;
        }
        bail!("this needs the scopes {wanted}, which were not given in the browser")
    }

    fn held(&self) -> ScopeSet {
        let scope = self
            .saved
            .as_ref()
            .map_or("", |(_, saved)| saved.scope.as_str());
        ScopeSet::parse_lenient(scope)
    }

    /// The saved token, refreshed when it is about to end.
    async fn fresh_token(&mut self) -> anyhow::Result<Option<String>> {
        let Some((_, saved)) = &self.saved else {
            return Ok(None);
        };
        let soon = self.settings.clock.now().after(MARGIN);
        if saved.access_token.is_some() && soon < saved.expires_at || saved.refresh_token.is_none()
        {
            return Ok(saved.access_token.clone());
        }
        let stale = saved.access_token.clone();
        self.refresh(stale.as_deref()).await?;
        Ok(self
            .saved
            .as_ref()
            .and_then(|(_, saved)| saved.access_token.clone()))
    }

    /// Replaces `refused`, by a refresh when that is possible. Says whether the person had to sign in.
    async fn replace(
        &mut self,
        refused: Option<&str>,
        challenge: &ReadChallenge,
        more: &ScopeSet,
    ) -> anyhow::Result<bool> {
        if refused.is_some() && self.refresh(refused).await? {
            return Ok(false);
        }
        self.sign_in(challenge, more, false).await?;
        Ok(true)
    }

    /// Gets another access token than `stale` without the person: from a parallel call that was quicker, or by the
    /// refresh token. Says whether there is one.
    async fn refresh(&mut self, stale: Option<&str>) -> anyhow::Result<bool> {
        let lock = self.tokens.lock(&self.settings.progress).await?;
        let Some((issuer, saved)) = self.tokens.find(self.url.as_str())? else {
            return Ok(false);
        };
        let quicker = saved.access_token.is_some()
            && saved.access_token.as_deref() != stale
            && self.settings.clock.now() < saved.expires_at;
        if quicker {
            self.saved = Some((issuer, saved));
            return Ok(true);
        }
        if saved.refresh_token.is_none() {
            return Ok(false);
        }
        match login::refresh(&self.settings, &self.http, &saved).await {
            Ok(fresh) => {
                self.tokens.put(&lock, &issuer, fresh.clone())?;
                self.saved = Some((issuer, fresh));
                Ok(true)
            }
            Err(RefreshFailure::Dead(reason)) => {
                tracing::debug!(%reason, "the refresh token is no more");
                let forgotten = Saved {
                    access_token: None,
                    refresh_token: None,
                    ..saved
                };
                self.tokens.put(&lock, &issuer, forgotten.clone())?;
                self.saved = Some((issuer, forgotten));
                Ok(false)
            }
            Err(RefreshFailure::Other(error)) => Err(error),
        }
    }

    async fn sign_in(
        &mut self,
        challenge: &ReadChallenge,
        more: &ScopeSet,
        again: bool,
    ) -> anyhow::Result<()> {
        let before = self
            .saved
            .as_ref()
            .and_then(|(_, saved)| saved.access_token.clone());
        let lock = self.tokens.lock(&self.settings.progress).await?;
        // Another call may have signed in while this one waited for the lock.
        let known = self.tokens.find(self.url.as_str())?;
        if !self.settings.sign_in_again
            && let Some((issuer, saved)) = &known
            && saved.access_token.is_some()
            && saved.access_token != before
            && more.is_subset(&ScopeSet::parse_lenient(&saved.scope))
        {
            self.saved = Some((issuer.clone(), saved.clone()));
            return Ok(());
        }
        let mut discovery: Discovery = discover(&self.http, &self.url, challenge).await?;
        // What is saved is looked up by the address that was typed, so it is kept under that.
        discovery.resource = self.url.as_str().to_owned();
        let asked = self.settings.scope.as_ref().unwrap_or(&discovery.scope);
        // More is asked for in answer to a refusal, which already counts what the token has.
        let scope = if more.is_empty() {
            asked.clone()
        } else {
            more.clone()
        };
        // A client id that a server has forgotten shows as an error page in the browser and never comes back, so an
        // old one is used again only where it has just worked.
        let earlier = known
            .as_ref()
            .filter(|(issuer, _)| again && *issuer == discovery.server.issuer)
            .map(|(_, saved)| saved);
        let saved = login::sign_in(&self.settings, &self.http, &discovery, &scope, earlier).await?;
        self.tokens
            .put(&lock, &discovery.server.issuer, saved.clone())?;
        self.saved = Some((discovery.server.issuer, saved));
        Ok(())
    }
}

fn challenge_of(response: &Response<Incoming>) -> Option<ReadChallenge> {
    response
        .headers()
        .get_all(header::WWW_AUTHENTICATE)
        .iter()
        .find_map(|value| read_challenge(value.to_str().ok()?))
}
