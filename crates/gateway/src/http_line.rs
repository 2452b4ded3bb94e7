use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use egress::Connector;
use http::{Request, Response, Uri};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::unconstrained;
use tower_service::Service;

use crate::body::BoxError;
use crate::upstream_error::UpstreamError;

/// Servers of Node close an idle connection after five seconds, so an older one is not worth the risk of a request lost.
const IDLE_MAX: Duration = Duration::from_secs(4);

/// How many idle connections are kept for one upstream.
const IDLE_LINES_MAX: usize = 256;

/// How many exchanges are read to their end without their callers, for one upstream. Beyond it they are closed, or one
/// caller that comes and goes could use up all connections.
const FINISHING_MAX: usize = 256;

/// Frames of an event stream that are already here are sent on as one piece up to this size.
const COALESCED_BYTES_MAX: usize = 32 * 1024;

type Connection = http1::Connection<<Connector as Service<Uri>>::Response, Full<Bytes>>;
type Reply = Result<Response<Incoming>, TrySendError<Request<Full<Bytes>>>>;

/// What becomes of an exchange whose caller went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Abandoned {
    /// The connection is closed: in the modern era that is how a call is cancelled, and a listening stream has no
    /// result to lose.
    Close,
    /// It is read to its end, at most this long: in the legacy era a disconnect cancels nothing.
    Finish(Duration),
}

/// The connections to one upstream.
///
/// A connection has no task of its own: whoever uses it drives it, so that a call costs no hop between tasks.
#[derive(Debug)]
pub(crate) struct Lines {
    connector: Connector,
    address: Uri,
    connect_timeout: Duration,
    #[allow(
        clippy::vec_box,
        reason = "a line is large and goes in and out with each call"
    )]
    idle: Mutex<Vec<Box<Line>>>,
    sweeping: AtomicBool,
    finishing: Arc<Semaphore>,
}

#[derive(Debug)]
struct Line {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: Connection,
    ended: bool,
    idle_since: Instant,
}

impl Line {
    /// Moves the connection on as far as it goes.
    fn drive(&mut self, context: &mut Context<'_>) {
        if !self.ended && Pin::new(&mut self.connection).poll(context).is_ready() {
            self.ended = true;
        }
    }
}

impl Lines {
    pub(crate) fn new(connector: Connector, address: Uri, connect_timeout: Duration) -> Self {
        Self {
            connector,
            address,
            connect_timeout,
            idle: Mutex::new(Vec::new()),
            sweeping: AtomicBool::new(false),
            finishing: Arc::new(Semaphore::new(FINISHING_MAX)),
        }
    }

    /// Sends `request` and answers with the head; the body drives the connection on.
    ///
    /// It is sent again only when not one byte of it left: a tool call must not happen twice.
    pub(crate) async fn send(
        self: &Arc<Self>,
        mut request: Request<Full<Bytes>>,
        abandoned: Abandoned,
    ) -> Result<Response<LineBody>, UpstreamError> {
        loop {
            let (mut line, fresh) = match self.take_idle() {
                Some(line) => (line, false),
                None => (self.connect().await?, true),
            };
            // Polled with a waker that wakes nobody, so it must never be pending for another reason than that there is
            // no reply: the scheduler's budget would be one.
            let reply = Box::pin(unconstrained(line.sender.try_send_request(request)));
            let sending = Sending {
                line: Some(line),
                reply,
                lines: Arc::clone(self),
                abandoned,
            };
            match sending.await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    Some(unsent) if !fresh => request = unsent,
                    _ => return Err(UpstreamError::broken(&error.into_error())),
                },
            }
        }
    }

    fn take_idle(&self) -> Option<Box<Line>> {
        let mut context = Context::from_waker(Waker::noop());
        loop {
            let mut line = self.idle().pop()?;
            if line.idle_since.elapsed() > IDLE_MAX {
                // The others are older still.
                self.idle().clear();
                return None;
            }
            line.drive(&mut context);
            if !line.ended && line.sender.is_ready() {
                return Some(line);
            }
        }
    }

    fn give_back(self: &Arc<Self>, mut line: Box<Line>) {
        if line.ended {
            return;
        }
        line.idle_since = Instant::now();
        let mut idle = self.idle();
        if idle.len() < IDLE_LINES_MAX {
            idle.push(line);
        }
        drop(idle);
        if !self.sweeping.load(Ordering::Relaxed) && !self.sweeping.swap(true, Ordering::AcqRel) {
            elsewhere(sweep(Arc::downgrade(self)));
        }
    }

    #[allow(clippy::vec_box, reason = "as above")]
    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Box<Line>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn connect(&self) -> Result<Box<Line>, UpstreamError> {
        let connecting = self.connector.clone().call(self.address.clone());
        let stream = tokio::time::timeout(self.connect_timeout, connecting)
            .await
            .map_err(|_| UpstreamError::connect_timeout(self.connect_timeout))?
            .map_err(|error| UpstreamError::unreachable(&error))?;
        let (sender, connection) = http1::handshake(stream)
            .await
            .map_err(|error| UpstreamError::broken(&error))?;
        Ok(Box::new(Line {
            sender,
            connection,
            ended: false,
            idle_since: Instant::now(),
        }))
    }
}

/// A request on its way, until the head of its answer.
struct Sending {
    line: Option<Box<Line>>,
    reply: Pin<Box<dyn Future<Output = Reply> + Send>>,
    lines: Arc<Lines>,
    abandoned: Abandoned,
}

impl Future for Sending {
    type Output = Result<Response<LineBody>, TrySendError<Request<Full<Bytes>>>>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        if let Some(line) = &mut this.line {
            line.drive(context);
        }
        // Only the connection, driven just now, can wake the reply: its waker would wake ourselves.
        let mut nobody = Context::from_waker(Waker::noop());
        let Poll::Ready(reply) = this.reply.as_mut().poll(&mut nobody) else {
            return Poll::Pending;
        };
        let line = this.line.take();
        Poll::Ready(reply.map(|response| {
            response.map(|incoming| {
                let mut body = LineBody {
                    incoming: Some(incoming),
                    line,
                    lines: Arc::clone(&this.lines),
                    abandoned: this.abandoned,
                    coalesce: false,
                    held_back: None,
                };
                body.release_at_end();
                body
            })
        }))
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let Abandoned::Finish(longest) = self.abandoned else {
            return;
        };
        let Some(line) = self.line.take() else { return };
        let Ok(place) = Arc::clone(&self.lines.finishing).try_acquire_owned() else {
            return;
        };
        let rest = Sending {
            line: Some(line),
            reply: std::mem::replace(&mut self.reply, Box::pin(std::future::pending())),
            lines: Arc::clone(&self.lines),
            abandoned: Abandoned::Close,
        };
        finish_elsewhere(longest, place, async move {
            if let Ok(response) = rest.await {
                drain(response.into_body()).await;
            }
        });
    }
}

/// The body of an upstream's answer. Gives its connection back when it has been read to the end.
pub(crate) struct LineBody {
    incoming: Option<Incoming>,
    line: Option<Box<Line>>,
    lines: Arc<Lines>,
    abandoned: Abandoned,
    coalesce: bool,
    held_back: Option<Result<Frame<Bytes>, hyper::Error>>,
}

impl LineBody {
    /// Sends frames that are already here on as one piece. For event streams, whose frames are many and small.
    pub(crate) fn coalesce(mut self) -> Self {
        self.coalesce = true;
        self
    }

    /// Closes the connection instead of reading an abandoned answer to its end.
    pub(crate) fn close_when_abandoned(&mut self) {
        self.abandoned = Abandoned::Close;
    }

    fn release_at_end(&mut self) {
        if self.incoming.as_ref().is_none_or(Body::is_end_stream)
            && let Some(line) = self.line.take()
        {
            self.lines.give_back(line);
        }
    }

    fn poll_next(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        if let Some(frame) = self.held_back.take() {
            return Poll::Ready(Some(frame));
        }
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let mut nobody = Context::from_waker(Waker::noop());
        let mut next = Pin::new(&mut *incoming).poll_frame(&mut nobody);
        if next.is_pending()
            && let Some(line) = &mut self.line
        {
            line.drive(context);
            next = Pin::new(incoming).poll_frame(&mut nobody);
        }
        match &next {
            Poll::Ready(Some(Ok(_))) => self.release_at_end(),
            Poll::Ready(None) => {
                if let Some(line) = self.line.take() {
                    self.lines.give_back(line);
                }
            }
            Poll::Ready(Some(Err(_))) => self.line = None,
            Poll::Pending => {}
        }
        next
    }

    /// Adds to `first` what is here already.
    fn gather(&mut self, first: Bytes, context: &mut Context<'_>) -> Bytes {
        let mut pieces: Option<BytesMut> = None;
        let mut length = first.len();
        while length < COALESCED_BYTES_MAX {
            match self.poll_next(context) {
                Poll::Ready(Some(Ok(frame))) => match frame.into_data() {
                    Ok(data) => {
                        length += data.len();
                        pieces
                            .get_or_insert_with(|| {
                                let mut pieces = BytesMut::with_capacity(4096.max(length));
                                pieces.extend_from_slice(&first);
                                pieces
                            })
                            .extend_from_slice(&data);
                    }
                    Err(trailers) => {
                        self.held_back = Some(Ok(trailers));
                        break;
                    }
                },
                Poll::Ready(Some(Err(error))) => {
                    self.held_back = Some(Err(error));
                    break;
                }
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        pieces.map_or(first, BytesMut::freeze)
    }
}

impl Body for LineBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match this.poll_next(context) {
            Poll::Ready(Some(Ok(frame))) if this.coalesce => {
                Poll::Ready(Some(Ok(match frame.into_data() {
                    Ok(data) => Frame::data(this.gather(data, context)),
                    Err(trailers) => trailers,
                })))
            }
            next => next.map(|frame| frame.map(|frame| frame.map_err(Into::into))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.held_back.is_none() && self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming
            .as_ref()
            .map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for LineBody {
    fn drop(&mut self) {
        let Abandoned::Finish(longest) = self.abandoned else {
            return;
        };
        let Some(line) = self.line.take() else { return };
        let Ok(place) = Arc::clone(&self.lines.finishing).try_acquire_owned() else {
            return;
        };
        let rest = LineBody {
            incoming: self.incoming.take(),
            line: Some(line),
            lines: Arc::clone(&self.lines),
            abandoned: Abandoned::Close,
            coalesce: false,
            held_back: None,
        };
        finish_elsewhere(longest, place, drain(rest));
    }
}

async fn drain(mut body: LineBody) {
    while let Some(Ok(_)) = std::future::poll_fn(|context| body.poll_next(context)).await {}
}

/// Closes what has lain unused for too long, so that nothing lies about when the last call is over. Ends when nothing
/// is idle.
async fn sweep(lines: Weak<Lines>) {
    loop {
        tokio::time::sleep(IDLE_MAX).await;
        let Some(lines) = lines.upgrade() else { return };
        let mut idle = lines.idle();
        idle.retain(|line| line.idle_since.elapsed() < IDLE_MAX);
        if idle.is_empty() {
            lines.sweeping.store(false, Ordering::Release);
            return;
        }
    }
}

fn finish_elsewhere(
    longest: Duration,
    place: OwnedSemaphorePermit,
    rest: impl Future<Output = ()> + Send + 'static,
) {
    elsewhere(async move {
        // Whether it took too long is nobody's concern any more.
        let _ = tokio::time::timeout(longest, rest).await;
        drop(place);
    });
}

/// Goes on without the caller, unless the program is ending.
fn elsewhere(rest: impl Future<Output = ()> + Send + 'static) {
    if let Ok(runtime) = tokio::runtime::Handle::try_current() {
        runtime.spawn(rest);
    }
}
