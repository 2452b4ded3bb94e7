use std::sync::Arc;

use base::Random;
use http::Method;
use known_clients::{JourneyStep, KnownClient};
use serde_json::{Map, Value};
use url::Url;

use super::cache::Cache;
use super::{Journey, Stop, authorize, client_id, compare, open, resource, server};
use crate::{Ask, Desk, Exchange, Failure, Finding, Flaw, Section, flaws};

/// Redirects that a client follows within an origin before it gives up.
const REDIRECTS_MAX: usize = 3;

/// One client on its way.
pub(super) struct Walk<'a> {
    pub desk: &'a Desk,
    cache: &'a mut Cache,
    pub client: &'static KnownClient,
    /// How it goes.
    pub ways: &'static known_clients::Journey,
    /// The port that it listens on, if it does.
    pub port: u16,
    steps: Vec<String>,
    assumed: Vec<&'static str>,
    /// What drove it from its best way, and is to blame when it fails on another.
    cause: Option<Flaw>,
}

/// Why a journey ended before the browser.
pub(super) enum End {
    /// The client cannot go on.
    Stopped(Stopped),
    /// The doctor cannot, or must not.
    NotExamined(String),
}

/// Where a client cannot go on.
pub(super) struct Stopped {
    pub step: JourneyStep,
    pub flaw: Flaw,
    pub why: String,
    pub exchange: Option<Arc<Exchange>>,
    /// What to change, for a flaw that only a persona shows.
    pub change: String,
}

/// A journey and what it showed that nothing else does.
pub(super) struct Walked {
    pub journey: Journey,
    pub finding: Option<Finding>,
}

pub(super) type Step<T> = Result<T, End>;

/// A document that was looked for at one address.
pub(super) enum Looked {
    /// It is there.
    Found(Map<String, Value>),
    /// It is not, and `flaw` says why when that is more than its absence.
    Not(Option<Flaw>),
}

impl<'a> Walk<'a> {
    pub fn new(
        desk: &'a Desk,
        cache: &'a mut Cache,
        client: &'static KnownClient,
        ways: &'static known_clients::Journey,
        port: u16,
    ) -> Self {
        Self {
            desk,
            cache,
            client,
            ways,
            port,
            steps: Vec::new(),
            assumed: Vec::new(),
            cause: None,
        }
    }

    /// All of it, to the browser or as far as it goes.
    pub async fn run(mut self) -> Walked {
        let end = self.go().await.err();
        let (mut stop, mut not_examined, mut finding) = (None, None, None);
        match end {
            None => {}
            Some(End::NotExamined(why)) => not_examined = Some(why),
            Some(End::Stopped(stopped)) => {
                stop = Some(Stop {
                    step: word(stopped.step).to_owned(),
                    user_sees: self
                        .ways
                        .says_at(stopped.step)
                        .unwrap_or("not established")
                        .to_owned(),
                    flaw: Some(stopped.flaw.id),
                    why: stopped.why.clone(),
                });
                if stopped.flaw.section == Section::Personas {
                    let found = Finding::new(
                        stopped.flaw,
                        stopped.why,
                        detail(&self.steps),
                        stopped.change,
                    );
                    finding = Some(match &stopped.exchange {
                        Some(exchange) => found.shown_by(self.desk.wire.evidence(exchange)),
                        None => found,
                    });
                }
            }
        }
        let journey = Journey {
            client: self.client.id.clone(),
            name: self.client.name.clone(),
            steps: self.steps,
            stop,
            not_examined,
            assumed: self.assumed,
        };
        Walked { journey, finding }
    }

    async fn go(&mut self) -> Step<()> {
        if self.client.quirks.hosted == Some(true) && compare::is_private(&self.desk.scene.url) {
            self.note("its requests come from its maker's network, which does not reach this address: it needs a public one, or a tunnel");
        }
        let challenge = open::open(self).await?;
        let resource = resource::find(self, challenge.as_ref()).await?;
        let server = server::find(self, &resource).await?;
        let asked =
            super::scopes::before_registration(self, challenge.as_ref(), &resource, &server);
        let identity = client_id::obtain(self, &server, asked.as_deref()).await?;
        authorize::open_page(self, &resource, &server, &identity, asked).await
    }

    /// Writes down what it did.
    pub fn note(&mut self, step: impl Into<String>) {
        self.steps.push(step.into());
    }

    /// `established`, or what the specification says, which is written down as assumed.
    pub fn or_specified<T>(
        &mut self,
        established: Option<T>,
        specified: T,
        what: &'static str,
    ) -> T {
        established.unwrap_or_else(|| {
            self.assume(what);
            specified
        })
    }

    /// Writes down that `what` is not established.
    pub fn assume(&mut self, what: &'static str) {
        if !self.assumed.contains(&what) {
            self.assumed.push(what);
        }
    }

    /// Remembers what drives it from its best way; the first thing counts.
    pub fn blame(&mut self, flaw: Flaw) {
        self.cause.get_or_insert(flaw);
    }

    /// Ends it: because of what drove it here, if something did, else because of `flaw`.
    pub fn stopped(&self, step: JourneyStep, flaw: Flaw, why: impl Into<String>) -> End {
        self.stopped_by(step, self.cause.unwrap_or(flaw), why, None)
    }

    /// Ends it because of `flaw`, which `exchange` shows.
    pub fn stopped_by(
        &self,
        step: JourneyStep,
        flaw: Flaw,
        why: impl Into<String>,
        exchange: Option<&Arc<Exchange>>,
    ) -> End {
        End::Stopped(Stopped {
            step,
            flaw,
            why: why.into(),
            exchange: exchange.cloned(),
            change: String::new(),
        })
    }

    /// The one of `flaws` that was found, or the last of them.
    pub fn known_flaw(&self, flaws: &[Flaw]) -> Flaw {
        let found = flaws.iter().find(|flaw| self.desk.notes.has(**flaw));
        *found.or(flaws.last()).expect("the callers name flaws")
    }

    /// Sends what a persona may have sent before.
    pub async fn send(&mut self, ask: Ask) -> Step<Arc<Exchange>> {
        let exchange = self.cache.send(self.desk, ask).await;
        match &exchange.answer {
            Err(Failure::LimitReached(why)) => Err(End::NotExamined(why.clone())),
            _ => Ok(exchange),
        }
    }

    /// A request of its OAuth part.
    pub fn oauth_ask(&self, method: Method, url: &str, what: &str) -> Ask {
        let mut ask = Ask::new(method, url, format!("as {}: {what}", self.client.name));
        if self.ways.sends_accept != Some(false) {
            ask = ask.header("accept", "application/json");
        }
        named(ask, self.ways.oauth_user_agent.as_deref())
    }

    /// Looks for a JSON document at `url`, following redirects within the origin.
    pub async fn look(
        &mut self,
        url: &str,
        what: &str,
        troubles: &Troubles,
    ) -> Step<(Looked, Arc<Exchange>)> {
        let mut address = url.to_owned();
        for _ in 0..=REDIRECTS_MAX {
            let ask = self.oauth_ask(Method::GET, &address, what);
            let exchange = self.send(ask).await?;
            let next = exchange.redirects_to().map(|to| resolved(&address, to));
            let looked = match (next, exchange.status()) {
                (Some(Some(next)), _) if same_origin(&address, &next) => {
                    self.note(format!(
                        "GET {address} → {}, follows to {next}",
                        exchange.outcome()
                    ));
                    address = next;
                    continue;
                }
                (Some(_), _) => Looked::Not(Some(troubles.redirects)),
                (None, Some(200)) => match exchange.json() {
                    Some(Value::Object(document)) => Looked::Found(document),
                    _ if exchange.is_html() => Looked::Not(Some(troubles.html)),
                    _ => Looked::Not(Some(troubles.not_json)),
                },
                (None, Some(401 | 403)) => Looked::Not(Some(troubles.behind_login)),
                (None, Some(429 | 500..)) => Looked::Not(Some(troubles.server_error)),
                (None, Some(_)) => Looked::Not(None),
                (None, None) => Looked::Not(Some(unreachable(&exchange, troubles.server_error))),
            };
            self.note(format!("GET {address} → {}", exchange.outcome()));
            return Ok((looked, exchange));
        }
        let exchange = self.send(self.oauth_ask(Method::GET, url, what)).await?;
        Ok((Looked::Not(Some(troubles.redirects)), exchange))
    }

    /// Whether it refuses to ask `url` at all, and why.
    pub fn refuses_address(&self, url: &Url) -> Option<(Flaw, String)> {
        let host = url.host_str().unwrap_or_default();
        if self.ways.refuses_http == Some(true)
            && url.scheme() == "http"
            && !crate::scene::is_loopback(url)
        {
            return Some((
                flaws::reach::HTTP_IN_METADATA,
                format!("it asks no address on http, such as {url}"),
            ));
        }
        let private = self
            .ways
            .refuses_private_hosts
            .is_some_and(|rule| compare::is_refused_as_private(rule, url, &self.desk.scene.url));
        private.then(|| {
            (
                flaws::reach::INTERNAL_HOST_IN_METADATA,
                format!("it asks no private host, such as {host}"),
            )
        })
    }
}

/// Which flaws the ways of not finding a document are.
pub(super) struct Troubles {
    pub redirects: Flaw,
    pub html: Flaw,
    pub not_json: Flaw,
    pub behind_login: Flaw,
    pub server_error: Flaw,
}

/// With the name that the client gives itself; an ellipsis stands for a version, and the empty name for none.
pub(super) fn named(ask: Ask, user_agent: Option<&str>) -> Ask {
    match user_agent {
        Some(name) => ask.header("user-agent", &name.replace('…', "1.0")),
        None => ask,
    }
}

/// Which flaw it is that nothing was answered.
pub(super) fn unreachable(exchange: &Exchange, otherwise: Flaw) -> Flaw {
    match &exchange.answer {
        Err(Failure::Name(_)) => flaws::reach::NAME_UNKNOWN,
        Err(Failure::Connect(_)) => flaws::reach::NOT_REACHABLE,
        Err(Failure::Tls(_)) => flaws::reach::TLS_FAILS,
        Err(Failure::Timeout(_)) => flaws::reach::HANGS,
        _ => otherwise,
    }
}

/// What `to` means at `from`.
pub(super) fn resolved(from: &str, to: &str) -> Option<String> {
    Url::parse(from).ok()?.join(to).ok().map(String::from)
}

pub(super) fn same_origin(one: &str, other: &str) -> bool {
    matches!((Url::parse(one), Url::parse(other)), (Ok(one), Ok(other)) if one.origin() == other.origin())
}

/// A port that nobody has to listen on: the journey ends before the way back.
pub(super) fn some_port(random: &dyn Random) -> u16 {
    let mut bytes = [0; 2];
    random.fill(&mut bytes);
    49_152 + u16::from_be_bytes(bytes) % 16_000
}

fn detail(steps: &[String]) -> String {
    format!("It went this way: {}.", steps.join("; "))
}

/// A step as it is written.
pub(super) fn word(step: JourneyStep) -> &'static str {
    match step {
        JourneyStep::Reach => "reach",
        JourneyStep::Challenge => "challenge",
        JourneyStep::ResourceMetadata => "resource-metadata",
        JourneyStep::ServerMetadata => "server-metadata",
        JourneyStep::Registration => "registration",
        JourneyStep::Authorization => "authorization",
        JourneyStep::Callback => "callback",
    }
}
