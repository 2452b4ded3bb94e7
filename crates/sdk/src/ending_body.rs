use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame};

use crate::answer::{BoxBody, BoxError};
use crate::{ProtectedServer, VerifiedCaller};

/// How often a stream looks at the clock.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How long a call that was admitted with a live token may go on after its end.
const FINISH_AFTER_EXPIRY: Duration = Duration::from_secs(10 * 60);

/// An event stream that ends with its caller's token: a revocation ends it at once, and so does a feed that is stale, which could
/// not tell of one.
pub(crate) struct EndingBody {
    inner: BoxBody,
    over: Pin<Box<dyn Future<Output = ()> + Send>>,
    is_over: bool,
}

impl EndingBody {
    /// One that only listens has nothing to finish.
    pub(crate) fn new(
        inner: BoxBody,
        server: Arc<ProtectedServer>,
        caller: Arc<VerifiedCaller>,
        only_listens: bool,
    ) -> Self {
        Self {
            inner,
            over: Box::pin(over(server, caller, only_listens)),
            is_over: false,
        }
    }
}

async fn over(server: Arc<ProtectedServer>, caller: Arc<VerifiedCaller>, only_listens: bool) {
    let ends_at = match only_listens {
        true => caller.expires_at(),
        false => caller.expires_at().after(FINISH_AFTER_EXPIRY),
    };
    let mut feed = server.feed().clone();
    while server.now() < ends_at {
        if server.feed_is_stale() {
            tracing::info!(
                client.id = &*caller.principal().client,
                "a stream was closed: the authority has not been heard of for too long"
            );
            return;
        }
        let is_good = server.last_in_force().is_some_and(|in_force| {
            let policy = &in_force.server().policy;
            let denied =
                || policy.enforced() && authz::is_denied_everything(policy, caller.caller());
            !in_force.revoked(&caller) && !denied()
        });
        if !is_good {
            tracing::info!(
                client.id = &*caller.principal().client,
                "a stream was closed: its token was revoked, or a rule denies its caller everything"
            );
            return;
        }
        tokio::select! {
            () = feed.changed() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl Body for EndingBody {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        if !this.is_over {
            this.is_over = this.over.as_mut().poll(context).is_ready();
        }
        match this.is_over {
            true => Poll::Ready(None),
            false => Pin::new(&mut this.inner).poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.is_over || self.inner.is_end_stream()
    }
}
