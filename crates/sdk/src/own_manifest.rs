use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use authz::Inventory;
use base::Digest;
use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::Full;
use tokio::sync::Notify;
use tower_service::Service;
use wire::oauth::Scope;

use crate::answer::BoxError;
use crate::read_lists::read_lists;
use crate::{OwnServer, ProtectedServer};

/// When they are looked at first: what the program requires while it is put together is among it then.
const FIRST_AFTER: Duration = Duration::from_millis(100);
/// How often the own lists are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(300);
/// After a list changed, so that several changes that come together are one.
const NOTICE_PAUSE: Duration = Duration::from_secs(1);
/// How soon after a failure it is tried again: at first, and at most.
const PAUSE_MIN: Duration = Duration::from_secs(1);
const PAUSE_MAX: Duration = Duration::from_secs(30);
/// An authority is told the same again after this.
const TELL_AGAIN_EVERY: Duration = Duration::from_secs(3600);
/// Whatever was not kept whole is told again after this.
const REST_AFTER: Duration = Duration::from_secs(60);

/// The scopes that the code of this program enforces, each with words for people, and what its tools need.
#[derive(Debug, Clone, Default)]
pub(crate) struct OwnScopes {
    titles: BTreeMap<Scope, String>,
    tools: BTreeMap<String, String>,
}

impl OwnScopes {
    pub(crate) fn new(titles: BTreeMap<Scope, String>, tools: BTreeMap<String, String>) -> Self {
        Self { titles, tools }
    }

    /// Notes that a layer asks for `scope`; whether that is new.
    pub(crate) fn enforce(&mut self, scope: &Scope) -> bool {
        let is_new = !self.titles.contains_key(scope);
        self.titles.entry(scope.clone()).or_default();
        is_new
    }

    /// Each scope with its words.
    pub(crate) fn titles(&self) -> impl Iterator<Item = (&str, &str)> {
        let titles = self.titles.iter();
        titles.map(|(scope, title)| (scope.as_str(), title.as_str()))
    }

    /// Each tool with the scopes that it needs.
    pub(crate) fn tools(&self) -> impl Iterator<Item = (&str, &str)> {
        let tools = self.tools.iter();
        tools.map(|(tool, scopes)| (tool.as_str(), scopes.as_str()))
    }
}

/// What the authority was told last.
struct Told {
    what: Digest,
    /// The policy that it is a part of since.
    revision: i64,
    again: bool,
    at: Instant,
}

impl Told {
    /// Whether it need not hear of `what`: a later policy may be one in which something is missing.
    fn is_enough(&self, what: Digest, revision: i64) -> bool {
        self.what == what
            && !self.again
            && revision <= self.revision
            && self.at.elapsed() < TELL_AGAIN_EVERY
    }
}

/// Tells the authority what `mcp` lists, and which scopes are enforced here: now, when a list changed, and on a schedule.
pub(crate) async fn publish_lists<S, Answer>(
    mcp: S,
    authority: OwnServer,
    scopes: Arc<Mutex<OwnScopes>>,
    server: Arc<ProtectedServer>,
    lists_changed: Arc<Notify>,
) where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>> + Clone + Send,
    S::Future: Send,
    S::Error: std::fmt::Display + Send,
    Answer: Body<Data = Bytes> + Send + 'static,
    Answer::Error: Into<BoxError>,
{
    let mut told: Option<Told> = None;
    let mut pause = PAUSE_MIN;
    tokio::time::sleep(FIRST_AFTER).await;
    loop {
        let own = scopes
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let outcome = look(&mcp, &authority, &own, &server, &mut told).await;
        let wait = match outcome {
            Ok(()) if told.as_ref().is_some_and(|told| told.again) => REST_AFTER,
            Ok(()) => {
                pause = PAUSE_MIN;
                LOOK_EVERY
            }
            Err(reason) => {
                tracing::warn!(
                    mcp.server = authority.slug(),
                    reason,
                    "the authority could not be told what this MCP server offers; it is tried again"
                );
                let wait = pause;
                pause = (pause * 2).min(PAUSE_MAX);
                wait
            }
        };
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = lists_changed.notified() => tokio::time::sleep(NOTICE_PAUSE).await,
        }
    }
}

async fn look<S, Answer>(
    mcp: &S,
    authority: &OwnServer,
    scopes: &OwnScopes,
    server: &ProtectedServer,
    told: &mut Option<Told>,
) -> Result<(), String>
where
    S: Service<Request<Full<Bytes>>, Response = Response<Answer>> + Clone + Send,
    S::Future: Send,
    S::Error: std::fmt::Display + Send,
    Answer: Body<Data = Bytes> + Send + 'static,
    Answer::Error: Into<BoxError>,
{
    let address = server.canonical_address(&server.addresses().canonical().into());
    let inventory = read_lists(mcp.clone(), &address).await?;
    let what = digest(&inventory, scopes);
    let in_force = server.last_in_force();
    let revision = in_force.map_or(0, |in_force| in_force.server().policy_revision);
    if told
        .as_ref()
        .is_some_and(|told| told.is_enough(what, revision))
    {
        return Ok(());
    }
    let answer = authority.publish_own_lists(&inventory, scopes).await;
    let answer = answer.map_err(|error| error.to_string())?;
    *told = Some(Told {
        what,
        revision: answer.revision,
        again: answer.again,
        at: Instant::now(),
    });
    if !answer.undeclared_scopes.is_empty() {
        tracing::error!(
            mcp.server = authority.slug(),
            scopes = answer.undeclared_scopes.join(" "),
            "this program enforces scopes that the authority's policy does not declare, so nobody can have them; declare them \
             there"
        );
    }
    for (names, words) in [
        (
            &answer.hidden,
            "new here, and hidden until somebody maps them at the authority",
        ),
        (
            &answer.changed,
            "defined otherwise than they were accepted; `portcullis tools` shows them",
        ),
    ] {
        if !names.is_empty() {
            tracing::warn!(
                mcp.server = authority.slug(),
                names = names.join(" "),
                "{words}"
            );
        }
    }
    Ok(())
}

fn digest(inventory: &Inventory, scopes: &OwnScopes) -> Digest {
    let mut text = inventory.digest().to_text();
    for (name, value) in scopes.titles().chain(scopes.tools()) {
        text.push_str(&format!("\n{name}\t{value}"));
    }
    Digest::of(text)
}
