use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use authz::{View, ViewBasis};
use base::Random;
use bytes::Bytes;
use sdk::{Era, InForce, Permitted, VerifiedCaller};
use wire::mcp::message::RequestId;
use wire::mcp::{ListChange, ListChanges, Message, SseEvent, method};

use crate::server::Server;

/// A stream is told once in this time at most: of a burst of changes, what came of it.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// Within this time all streams are told of a change, each at another moment.
const TOLD_WITHIN: Duration = Duration::from_secs(1);

/// When somebody else's view is just found, a stream looks again after this time and as much longer as its own delay says.
const TURN: Duration = Duration::from_millis(5);

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

/// What the caller behind a listening stream knows of the lists, and what they are now.
#[derive(Debug)]
struct Told {
    server: Arc<Server>,
    caller: Arc<VerifiedCaller>,
    listening: Listening,
    views: Mutex<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    known: View,
    now: View,
}

impl Told {
    fn views(&self) -> MutexGuard<'_, Option<Seen>> {
        self.views.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Told {
    fn drop(&mut self) {
        let seen = self.views().take();
        if let Some(seen) = seen {
            let principal = self.caller.principal();
            self.server.left_views.leave(principal, seen.known);
        }
    }
}

/// Watches whether the caller behind a listening stream sees other lists than their client knows.
pub(crate) struct ListWatch {
    told: Arc<Told>,
    /// By which its caller saw what it saw when the stream began.
    began: Option<Arc<InForce>>,
    looked_at: Option<ViewBasis>,
    /// So much later than a change this stream is told of it: clients list when they are told, and are not to do it all at once.
    delay: Duration,
    due: Option<Instant>,
    told_at: Option<Instant>,
}

impl ListWatch {
    pub(crate) fn new(
        permitted: &Permitted,
        server: &Arc<Server>,
        random: &dyn Random,
    ) -> Option<Self> {
        let listening = Listening::of(permitted).filter(|stream| !stream.wanted.is_empty())?;
        let told = Told {
            server: Arc::clone(server),
            caller: Arc::clone(permitted.caller()),
            listening,
            views: Mutex::default(),
        };
        Some(Self {
            told: Arc::new(told),
            began: Some(Arc::clone(permitted.in_force())),
            looked_at: None,
            delay: delay(random),
            due: None,
            told_at: None,
        })
    }

    /// Where the stream finds what is to be told on it.
    pub(crate) fn news(&self) -> ListNews {
        ListNews(Arc::clone(&self.told))
    }

    /// Looks whether what is in force now lets its caller see something else. To be asked at each change, and after the time
    /// that it says, if it says one.
    pub(crate) fn look(&mut self, in_force: &InForce) -> Option<Duration> {
        let told = &*self.told;
        if let Some(began) = &self.began {
            let Some(view) = told.server.views.find(began, &told.caller) else {
                return Some(self.turn());
            };
            let principal = told.caller.principal();
            let left = told.server.left_views.take(principal, view);
            let known = left.unwrap_or(view);
            *told.views() = Some(Seen { known, now: known });
            self.looked_at = (known == view).then(|| began.view_basis());
            self.began = None;
        }
        let basis = in_force.view_basis();
        if self.looked_at == Some(basis) {
            self.due = None;
            return None;
        }
        let now = Instant::now();
        let due = *self.due.get_or_insert_with(|| {
            let rested = self.told_at.map_or(now, |at| at + TOLD_EVERY);
            rested.max(now + self.delay)
        });
        if now < due {
            return Some(due - now);
        }
        let Some(view) = told.server.views.find(in_force, &told.caller) else {
            return Some(self.turn());
        };
        self.looked_at = Some(basis);
        self.due = None;
        if let Some(seen) = &mut *told.views() {
            seen.now = view;
            let news = view.changed_since(&seen.known);
            if !news.and(told.listening.wanted).is_empty() {
                self.told_at = Some(now);
            }
        }
        None
    }

    fn turn(&self) -> Duration {
        TURN + self.delay / 50
    }
}

/// Up to a second.
fn delay(random: &dyn Random) -> Duration {
    let mut bytes = [0; 2];
    random.fill(&mut bytes);
    TOLD_WITHIN * u32::from(u16::from_be_bytes(bytes)) / u32::from(u16::MAX)
}

/// What is to be told on one stream.
pub(crate) struct ListNews(Arc<Told>);

impl ListNews {
    /// The events that tell it, if there is something of what was `promised`. They have no id, so that a stream is resumed
    /// behind what its server sent last.
    pub(crate) fn take(&self, promised: ListChanges) -> Option<Bytes> {
        let told = &*self.0;
        let mut seen = told.views();
        let seen = seen.as_mut()?;
        let news = seen.now.changed_since(&seen.known);
        let news = news.and(told.listening.wanted).and(promised);
        if news.is_empty() {
            return None;
        }
        seen.known = seen.known.after(news, &seen.now);
        let mut out = Vec::new();
        for change in news.iter() {
            let event = change.notification(told.listening.subscription.as_ref());
            let event = String::from_utf8(event.to_bytes())
                .expect("JSON is written from strings and ASCII");
            SseEvent::message(&event).write_to(&mut out);
        }
        Some(out.into())
    }
}
