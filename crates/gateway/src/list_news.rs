use std::collections::HashMap;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use authz::{Caller, View};
use bytes::Bytes;
use sdk::{Era, InForce, Permitted, VerifiedCaller};
use wire::mcp::message::RequestId;
use wire::mcp::{ListChange, ListChanges, Message, SseEvent, method};

/// A stream is told once in this time at most: of a burst of changes, what came of it.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// How many views are remembered for one MCP server.
const VIEWS_MAX: usize = 16 * 1024;

/// What the callers behind the streams of one MCP server see by one revision of its policy, found once for each caller.
#[derive(Debug, Default)]
pub(crate) struct Views(Mutex<(i64, HashMap<Caller, View>)>);

impl Views {
    fn of(&self, in_force: &InForce, caller: &VerifiedCaller) -> View {
        let revision = in_force.server().policy_revision;
        let known = self.with(revision, |views| views.get(caller.caller()).copied());
        known.unwrap_or_else(|| {
            // Without the lock: it takes as long as to filter a list.
            let view = in_force.view(caller);
            self.with(revision, |views| {
                if views.len() >= VIEWS_MAX {
                    views.clear();
                }
                views.insert(caller.caller().clone(), view);
            });
            view
        })
    }

    fn with<T>(&self, revision: i64, ask: impl FnOnce(&mut HashMap<Caller, View>) -> T) -> T {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.0 != revision {
            *kept = (revision, HashMap::new());
        }
        ask(&mut kept.1)
    }
}

/// Which stream it is that listens, and so what may be told on it.
#[derive(Debug, Clone)]
pub(crate) struct Listening {
    /// The id of the request that opened it, in the modern era.
    pub(crate) subscription: Option<RequestId>,
    /// What its caller wants to hear of.
    pub(crate) wanted: ListChanges,
}

impl Listening {
    /// Of the stream that answers `permitted`, if it is one that only listens.
    pub(crate) fn of(permitted: &Permitted) -> Option<Self> {
        match permitted.message() {
            None if permitted.method() == http::Method::GET => Some(Self {
                subscription: None,
                wanted: ListChange::ALL.into_iter().collect(),
            }),
            Some(Message::Request(request))
                if permitted.era() == Era::Modern
                    && request.method == method::SUBSCRIPTIONS_LISTEN =>
            {
                Some(Self {
                    subscription: Some(request.id.clone()),
                    wanted: ListChanges::asked_for(request.params.as_ref()),
                })
            }
            _ => None,
        }
    }
}

/// Watches whether the caller behind a listening stream sees other lists than before, because the policy is another one.
pub(crate) struct ListWatch {
    /// By which its caller saw what it saw when the stream began.
    began: Option<Arc<InForce>>,
    seen: Option<(i64, View)>,
    told_at: Option<Instant>,
    pending: Arc<AtomicU8>,
    listening: Listening,
}

impl ListWatch {
    pub(crate) fn new(permitted: &Permitted) -> Option<Self> {
        let listening = Listening::of(permitted).filter(|stream| !stream.wanted.is_empty())?;
        Some(Self {
            began: Some(Arc::clone(permitted.in_force())),
            seen: None,
            told_at: None,
            pending: Arc::default(),
            listening,
        })
    }

    /// Where the stream finds what is to be told on it.
    pub(crate) fn news(&self) -> ListNews {
        ListNews {
            pending: Arc::clone(&self.pending),
            listening: self.listening.clone(),
        }
    }

    /// Looks whether what is in force now lets `caller` see something else. To be asked at each change, and once more when
    /// [`TOLD_EVERY`] has passed.
    pub(crate) fn look(&mut self, views: &Views, in_force: &InForce, caller: &VerifiedCaller) {
        if let Some(began) = self.began.take() {
            let revision = began.server().policy_revision;
            self.seen = Some((revision, views.of(&began, caller)));
        }
        let revision = in_force.server().policy_revision;
        let Some((_, before)) = self.seen.filter(|(known, _)| *known != revision) else {
            return;
        };
        if self.told_at.is_some_and(|at| at.elapsed() < TOLD_EVERY) {
            return;
        }
        let view = views.of(in_force, caller);
        self.seen = Some((revision, view));
        let changes = view.changed_since(&before).and(self.listening.wanted);
        if !changes.is_empty() {
            self.told_at = Some(Instant::now());
            self.pending.fetch_or(changes.bits(), Ordering::Relaxed);
        }
    }
}

/// What is to be told on one stream.
pub(crate) struct ListNews {
    pending: Arc<AtomicU8>,
    listening: Listening,
}

impl ListNews {
    /// The events that tell it, if there is something of what was `promised`. They have no id, so that a stream is resumed
    /// behind what its server sent last.
    pub(crate) fn take(&self, promised: ListChanges) -> Option<Bytes> {
        let changes = ListChanges::from_bits(self.pending.swap(0, Ordering::Relaxed));
        let changes = changes.and(promised);
        if changes.is_empty() {
            return None;
        }
        let mut out = Vec::new();
        for change in changes.iter() {
            let told = change.notification(self.listening.subscription.as_ref());
            let told =
                String::from_utf8(told.to_bytes()).expect("JSON is written from strings and ASCII");
            SseEvent::message(&told).write_to(&mut out);
        }
        Some(out.into())
    }
}
