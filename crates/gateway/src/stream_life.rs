use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use base::{CorrelationId, Timestamp};
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use sdk::VerifiedCaller;
use tokio::sync::watch;

use crate::body::{BoxError, UpstreamBody};
use crate::crowd::Place;
use crate::filter_answer::FilteredStream;
use crate::list_news::{ListNews, ListWatch};
use crate::server::Server;

/// How often a stream looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// After how many pieces an answer is watched though it was never waited for: one that never pauses has no end either.
const UNWATCHED_PIECES_MAX: u32 = 16;

/// What ends the answer to a call before its upstream does: its token's end, a revocation, a feed that is stale, or the gateway's
/// own end.
pub(crate) struct Life {
    pub(crate) caller: Arc<VerifiedCaller>,
    pub(crate) server: Arc<Server>,
    pub(crate) ends_at: Timestamp,
    /// For a stream that only listens: it would keep a server that left for as long as its token lives.
    pub(crate) retirement: Option<watch::Receiver<bool>>,
    pub(crate) closing: watch::Receiver<bool>,
    /// The request's, whose id belongs on what is logged of its answer.
    pub(crate) request: Option<CorrelationId>,
    /// For a stream on which its caller is told of other lists.
    pub(crate) lists: Option<ListWatch>,
    /// Held until the answer has ended.
    pub(crate) _place: Place,
}

impl Life {
    /// Resolves when it is over.
    async fn over(mut self) {
        let mut feed = self.server.protected.feed().clone();
        let mut judged = None;
        loop {
            if self.server.protected.now() >= self.ends_at {
                return;
            }
            let stale = self.server.protected.feed_is_stale();
            let in_force = self.server.protected.last_in_force();
            let lists = self.lists.as_mut().zip(in_force.as_ref());
            let look_after = lists.and_then(|(lists, in_force)| lists.look(in_force));
            let why = match in_force {
                // What was revoked since then is not known here: nothing is judged, and nothing goes on.
                _ if stale => Some("the authority has not been heard of for too long"),
                Some(in_force) if in_force.revoked(&self.caller) => Some("its token was revoked"),
                Some(in_force) => {
                    let server = in_force.server();
                    let revision = Some(server.policy_revision);
                    let is_new = std::mem::replace(&mut judged, revision) != revision;
                    let denied = is_new
                        && server.policy.enforced()
                        && authz::is_denied_everything(&server.policy, self.caller.caller());
                    denied.then_some("a rule denies its caller everything")
                }
                None => Some("its server was taken out of the feed"),
            };
            if let Some(why) = why {
                let told = || {
                    tracing::info!(
                        server = &*self.server.slug,
                        client.id = &*self.caller.principal().client,
                        "a stream was closed: {why}"
                    );
                };
                match self.request {
                    Some(id) => id.within(told),
                    None => told(),
                }
                return;
            }
            tokio::select! {
                () = feed.changed() => {}
                () = tokio::time::sleep(look_after.unwrap_or(LOOK_EVERY).min(LOOK_EVERY)) => {}
                _ = self.closing.wait_for(|closing| *closing) => return,
                () = retired(&mut self.retirement) => return,
            }
        }
    }
}

async fn retired(retirement: &mut Option<watch::Receiver<bool>>) {
    match retirement {
        Some(retirement) => {
            let _ = retirement.wait_for(|retired| *retired).await;
        }
        None => std::future::pending().await,
    }
}

/// The inside of a [`LivingBody`].
pub(crate) enum Inner {
    Plain(UpstreamBody),
    Filtered(Box<FilteredStream>),
}

/// What an answer is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Events. A stream of them may end between two, and has a comment put in when it is silent for this long.
    Events(Duration),
    /// One JSON value: when it is cut it must not look whole.
    Json,
}

/// The body of an answer that ends with its [`Life`] at the latest.
pub(crate) struct LivingBody {
    inner: Inner,
    state: State,
    pieces: u32,
    kind: Kind,
    /// When something was last sent on.
    last: Instant,
    /// Whether that ended an event.
    between_events: bool,
    news: Option<ListNews>,
}

enum State {
    /// Most answers are here at once: nothing is watched until one is waited for.
    Unwatched(Option<Box<Life>>),
    Watched(Pin<Box<dyn Future<Output = ()> + Send>>),
    Over,
}

impl LivingBody {
    pub(crate) fn new(inner: Inner, life: Life, kind: Kind) -> Self {
        Self {
            inner,
            news: life.lists.as_ref().map(ListWatch::news),
            state: State::Unwatched(Some(Box::new(life))),
            pieces: 0,
            kind,
            last: Instant::now(),
            between_events: true,
        }
    }

    fn poll_over(&mut self, context: &mut Context<'_>) -> bool {
        match &mut self.state {
            State::Unwatched(life) => {
                let Some(life) = life.take() else {
                    return false;
                };
                let mut over = Box::pin(life.over());
                let is_over = over.as_mut().poll(context).is_ready();
                self.state = State::Watched(over);
                is_over
            }
            State::Watched(over) => over.as_mut().poll(context).is_ready(),
            State::Over => true,
        }
    }

    fn sent(&mut self, frame: &Frame<Bytes>) {
        if let (Kind::Events(_), Some(data)) = (self.kind, frame.data_ref()) {
            self.last = Instant::now();
            self.between_events = [&b"\n\n"[..], b"\r\n\r\n", b"\r\r"]
                .iter()
                .any(|end| data.ends_with(end));
        }
    }

    /// What its caller is to be told, between two events of the upstream.
    fn news(&mut self) -> Option<Frame<Bytes>> {
        let promised = match &self.inner {
            Inner::Plain(_) => return None,
            Inner::Filtered(stream) => stream.filter().promised()?,
        };
        let news = self.news.as_ref().filter(|_| self.between_events)?;
        let events = news.take(promised)?;
        self.last = Instant::now();
        Some(Frame::data(events))
    }

    /// Puts a comment into a stream that has been silent for long. The look at the clock wakes us often enough.
    fn keep_alive(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match self.kind {
            Kind::Events(after) if self.between_events && self.last.elapsed() >= after => {
                self.last = Instant::now();
                Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b": \n\n")))))
            }
            _ => Poll::Pending,
        }
    }

    fn cut(&mut self) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if matches!(self.state, State::Over) {
            return Poll::Ready(None);
        }
        self.state = State::Over;
        // Before the client knows that the stream has ended, and opens another one.
        self.news = None;
        match &mut self.inner {
            Inner::Plain(body) => body.close_when_abandoned(),
            Inner::Filtered(body) => body.inner_mut().close_when_abandoned(),
        }
        Poll::Ready(
            (self.kind == Kind::Json)
                .then(|| Err("the call's token ended before its answer".into())),
        )
    }
}

impl Body for LivingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let is_watched =
            !matches!(this.state, State::Unwatched(_)) || this.pieces >= UNWATCHED_PIECES_MAX;
        if is_watched && this.poll_over(context) {
            return this.cut();
        }
        if let Some(news) = this.news() {
            return Poll::Ready(Some(Ok(news)));
        }
        this.pieces = this.pieces.saturating_add(1);
        loop {
            let next = match &mut this.inner {
                Inner::Plain(body) => Pin::new(body).poll_frame(context),
                Inner::Filtered(body) => Pin::new(&mut **body).poll_frame(context),
            };
            match next {
                // Trailers are headers by another door.
                Poll::Ready(Some(Ok(frame))) if !frame.is_data() => {}
                Poll::Pending if !is_watched && this.poll_over(context) => return this.cut(),
                Poll::Pending => {
                    return match this.news() {
                        Some(news) => Poll::Ready(Some(Ok(news))),
                        None => this.keep_alive(),
                    };
                }
                Poll::Ready(Some(Ok(frame))) => {
                    this.sent(&frame);
                    return Poll::Ready(Some(Ok(frame)));
                }
                end => return end,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
            || match &self.inner {
                Inner::Plain(body) => body.is_end_stream(),
                Inner::Filtered(body) => body.is_end_stream(),
            }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.inner, self.kind) {
            (Inner::Plain(body), Kind::Json) => body.size_hint(),
            // Comments may come in, and a stream may end early.
            _ => SizeHint::default(),
        }
    }
}
