use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::Random;

thread_local! {
    /// The id of the request that this thread works on at the moment.
    static CURRENT: Cell<Option<CorrelationId>> = const { Cell::new(None) };
}

/// The id of one request: made when it arrives, on each of its log lines, and in what a refusal shows its caller.
///
/// It follows a request through calls, not through tasks that are started for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CorrelationId(u64);

impl CorrelationId {
    /// A new id of 64 bits, shown in hexadecimal: enough to find one line, short enough to read out. Every request gets one
    /// and few are looked at, so only the first of a process asks `random`; the others follow from it. It is no secret.
    pub fn new(random: &dyn Random) -> Self {
        static FIRST: OnceLock<u64> = OnceLock::new();
        static COUNT: AtomicU64 = AtomicU64::new(0);
        let first = FIRST.get_or_init(|| {
            let mut bytes = [0u8; 8];
            random.fill(&mut bytes);
            u64::from_be_bytes(bytes)
        });
        Self(scattered(
            first.wrapping_add(COUNT.fetch_add(1, Ordering::Relaxed)),
        ))
    }

    /// The id of the request that is being answered here; a new one where nobody gave it any.
    pub fn current(random: &dyn Random) -> Self {
        Self::of_request().unwrap_or_else(|| Self::new(random))
    }

    /// The id of the request that is being answered here, when one is.
    pub fn of_request() -> Option<Self> {
        CURRENT.get()
    }

    /// Does something for a request of this id.
    pub fn within<T>(self, work: impl FnOnce() -> T) -> T {
        let _entered = Entered(CURRENT.replace(Some(self)));
        work()
    }

    /// Answers a request under this id.
    pub async fn during<F: Future>(self, answering: F) -> F::Output {
        let mut answering = pin!(answering);
        poll_fn(|context| self.within(|| answering.as_mut().poll(context))).await
    }
}

impl std::fmt::Display for CorrelationId {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:016x}", self.0)
    }
}

/// Spreads neighbours over all 64 bits, one to one: the finalizer of SplitMix64 (Steele, Lea and Flood, 2014).
fn scattered(number: u64) -> u64 {
    let mut mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

/// The time in which a thread works on a request. Gives back what was there before, even when the work panics.
struct Entered(Option<CorrelationId>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
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
        let mut first = Box::pin(one.during(id_after_a_pause()));
        let mut second = Box::pin(two.during(id_after_a_pause()));
        assert!(first.as_mut().poll(&mut context).is_pending());
        assert!(second.as_mut().poll(&mut context).is_pending());
        assert_eq!(first.as_mut().poll(&mut context), Poll::Ready(one));
        assert_eq!(second.as_mut().poll(&mut context), Poll::Ready(two));
        assert_ne!(one, two);
        assert_eq!(one.to_string().len(), 16);
    }

    #[test]
    fn outside_of_a_request_each_id_is_new_and_a_panic_leaves_none_behind() {
        let id = CorrelationId::new(&OsRandom);
        let panicking = id.during(async { panic!("on purpose") });
        let mut panicking = Box::pin(panicking);
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let mut context = Context::from_waker(Waker::noop());
            let _: Poll<()> = panicking.as_mut().poll(&mut context);
        }));
        assert!(caught.is_err());
        let after = CorrelationId::current(&OsRandom);
        assert_ne!(after, id);
        assert_ne!(after, CorrelationId::current(&OsRandom));
        assert_eq!(CorrelationId::of_request(), None);
        id.within(|| assert_eq!(CorrelationId::of_request(), Some(id)));
        assert_eq!(CorrelationId::of_request(), None);
    }
}
