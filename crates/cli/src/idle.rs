//! Whether a connection has anything to do.

use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Instant;

/// The requests that are open on one connection, of either version of HTTP, and since when there are none.
///
/// HTTP/2 keeps a connection for as long as its peer answers pings, which costs the peer nothing. So it is not the
/// connection that is watched but what is asked on it.
#[derive(Debug)]
pub(crate) struct Requests(Mutex<Open>);

#[derive(Debug)]
struct Open {
    count: usize,
    asked: bool,
    none_since: Instant,
}

/// A request that is open until its answer was sent, or is dropped.
#[derive(Debug)]
pub(crate) struct OpenRequest(Arc<Requests>);

/// The body of an answer, at whose end the request ends.
#[derive(Debug)]
pub(crate) struct Answering<B> {
    body: B,
    _open: OpenRequest,
}

impl Requests {
    /// None yet, and the connection is as old as `began`.
    pub(crate) fn none_since(began: Instant) -> Arc<Self> {
        Arc::new(Self(Mutex::new(Open {
            count: 0,
            asked: false,
            none_since: began,
        })))
    }

    /// One more.
    pub(crate) fn begin(self: &Arc<Self>) -> OpenRequest {
        let mut open = self.lock();
        open.count += 1;
        open.asked = true;
        OpenRequest(Arc::clone(self))
    }

    /// Whether there was ever one.
    pub(crate) fn asked(&self) -> bool {
        self.lock().asked
    }

    /// Resolves when there has been none for `patience`.
    pub(crate) async fn none_for(&self, patience: Duration) {
        loop {
            let (count, none_since) = {
                let open = self.lock();
                (open.count, open.none_since)
            };
            let now = Instant::now();
            let until = match count {
                0 => none_since + patience,
                _ => now + patience,
            };
            if until <= now {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl OpenRequest {
    /// Goes on until all of `body` was taken.
    pub(crate) fn answering<B>(self, body: B) -> Answering<B> {
        Answering { body, _open: self }
    }
}

impl Drop for OpenRequest {
    fn drop(&mut self) {
        let mut open = self.0.lock();
        open.count -= 1;
        open.none_since = Instant::now();
    }
}

impl<B: Body + Unpin> Body for Answering<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn a_connection_is_idle_from_its_last_answer_on_and_never_before_it() {
        let began = Instant::now();
        let requests = Requests::none_since(began);
        let first = requests.begin();
        let second = requests.begin();
        let ends = async {
            tokio::time::sleep(PATIENCE * 3).await;
            drop(first);
            let answer = second.answering(http_body_util::Empty::<bytes::Bytes>::new());
            tokio::time::sleep(PATIENCE / 2).await;
            drop(answer);
        };
        tokio::join!(ends, requests.none_for(PATIENCE));
        let idle = began.elapsed();
        assert!(idle >= PATIENCE * 9 / 2, "idle after {idle:?}");
    }

    #[tokio::test]
    async fn a_connection_without_a_request_is_idle_from_its_beginning_on() {
        let requests = Requests::none_since(Instant::now());
        tokio::time::sleep(PATIENCE / 2).await;
        let waited = Instant::now();
        requests.none_for(PATIENCE).await;
        assert!(waited.elapsed() < PATIENCE);
        assert!(!requests.asked());
        drop(requests.begin());
        assert!(requests.asked());
    }
}
