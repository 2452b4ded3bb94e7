use std::cell::Cell;
use std::future::poll_fn;
use std::net::IpAddr;
use std::pin::pin;

thread_local! {
    /// The address of whoever sent the request that this thread works on at the moment.
    static CURRENT: Cell<Option<IpAddr>> = const { Cell::new(None) };
}

/// Answers a request of this client: what is logged meanwhile names the address, so that whoever guesses passwords can be
/// shut out. Like the request's id it follows calls, not tasks that are started for it.
pub async fn answering<F: Future>(client: IpAddr, answer: F) -> F::Output {
    let mut answer = pin!(answer);
    poll_fn(|context| {
        let _entered = Entered(CURRENT.replace(Some(client)));
        answer.as_mut().poll(context)
    })
    .await
}

/// Whose request is being answered here, when one is.
pub(super) fn of_request() -> Option<IpAddr> {
    CURRENT.get()
}

/// Gives back what was there before, even when the work panics.
struct Entered(Option<IpAddr>);

impl Drop for Entered {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}
