use std::cell::RefCell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;

use crate::Random;

thread_local! {
    /// The id of the request that this thread works on at the moment.
    static CURRENT: RefCell<Option<CorrelationId>> = const { RefCell::new(None) };
}

/// The id of one request: made when it arrives, on each of its log lines, and in what a refusal shows its caller.
///
/// It follows a request through calls, not through tasks that are started for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CorrelationId(Arc<str>);

impl CorrelationId {
    /// A new id: 64 random bits in hexadecimal. Enough to find one line, short enough to read out.
    pub fn new(random: &dyn Random) -> Self {
        let mut bytes = [0u8; 8];
        random.fill(&mut bytes);
        Self(format!("{:016x}", u64::from_be_bytes(bytes)).into())
    }

    /// The id of the request that is being answered here; a new one where nobody gave it any.
    pub fn current(random: &dyn Random) -> Self {
        CURRENT
            .with_borrow(Clone::clone)
            .unwrap_or_else(|| Self::new(random))
    }

    /// Answers a request under this id.
    pub async fn during<F: Future>(self, answering: F) -> F::Output {
        let mut id = Some(self);
        let mut answering = pin!(answering);
        poll_fn(|context| {
            let _entered = Entered::new(&mut id);
            answering.as_mut().poll(context)
        })
        .await
    }

    /// The id as it is shown.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for CorrelationId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// The time in which a thread works on a request. Gives back what was there before, even when the work panics.
struct Entered<'a>(&'a mut Option<CorrelationId>);

impl<'a> Entered<'a> {
    fn new(id: &'a mut Option<CorrelationId>) -> Self {
        let entered = Self(id);
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, entered.0));
        entered
    }
}

impl Drop for Entered<'_> {
    fn drop(&mut self) {
        CURRENT.with_borrow_mut(|current| std::mem::swap(current, self.0));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::OsRandom;

    /// Pends once, then says which id is current.
    fn id_after_a_pause() -> impl Future<Output = CorrelationId> {
        let mut paused = false;
        poll_fn(move |_| {
            if std::mem::replace(&mut paused, true) {
                Poll::Ready(CorrelationId::current(&OsRandom))
            } else {
                Poll::Pending
            }
        })
    }

    #[test]
    fn each_of_two_requests_on_one_thread_has_its_own_id_and_keeps_it() {
        let mut context = Context::from_waker(Waker::noop());
        let (one, two) = (CorrelationId::new(&OsRandom), CorrelationId::new(&OsRandom));
        let mut first = Box::pin(one.clone().during(id_after_a_pause()));
        let mut second = Box::pin(two.clone().during(id_after_a_pause()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(one.clone()));
        assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(two.clone()));
        assert_ne!(one, two);
        assert_eq!(one.as_str().len(), 16);
    }

    #[test]
    fn outside_of_a_request_each_id_is_new_and_a_panic_leaves_none_behind() {
        let id = CorrelationId::new(&OsRandom);
        let panicking = id.clone().during(async { panic!("on purpose") });
        let mut panicking = Box::pin(panicking);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut context = Context::from_waker(Waker::noop());
            let _: Poll<()> = panicking.as_mut().poll(&mut context);
        }));
        assert!(caught.is_err());
        let after = CorrelationId::current(&OsRandom);
        assert_ne!(after, id);
        assert_ne!(after, CorrelationId::current(&OsRandom));
    }
}
