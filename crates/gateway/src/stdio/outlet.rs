use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::mpsc;

/// Messages that may wait for a slow reader.
const MESSAGES_MAX: usize = 256;
/// Bytes that may wait for a slow reader, the answer itself not counted.
const BYTES_MAX: usize = 16 * 1024 * 1024;

/// What goes out on one HTTP response.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outgoing {
    /// A notification, or a request of the server: text of one JSON message.
    Message(String),
    /// The answer; nothing comes after it.
    Answer {
        /// Text of one JSON message.
        text: String,
        /// Whether it is a JSON-RPC error.
        is_error: bool,
    },
    /// There will be no answer, for this reason; nothing comes after it.
    Failed(String),
}

/// The sending side of one HTTP response. It never waits: the child's other callers must not wait for a slow reader.
#[derive(Debug)]
pub(super) struct Outlet {
    sender: mpsc::Sender<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
    streams: bool,
}

/// The receiving side.
#[derive(Debug)]
pub(super) struct Inlet {
    receiver: mpsc::Receiver<Outgoing>,
    queued_bytes: Arc<AtomicUsize>,
}

/// Both sides of one HTTP response; `streams` says whether its client reads event streams.
pub(super) fn outlet(streams: bool) -> (Outlet, Inlet) {
    // One place more than messages may take, so that the answer always finds one.
    let (sender, receiver) = mpsc::channel(MESSAGES_MAX + 1);
    let queued_bytes = Arc::new(AtomicUsize::new(0));
    let outlet = Outlet {
        sender,
        queued_bytes: Arc::clone(&queued_bytes),
        streams,
    };
    (
        outlet,
        Inlet {
            receiver,
            queued_bytes,
        },
    )
}

impl Outlet {
    /// Whether somebody still listens.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Whether it takes anything but an answer.
    pub(super) fn takes_messages(&self) -> bool {
        self.streams && self.is_open()
    }

    /// Sends a message; `false` when the reader is gone, too slow, or reads no streams.
    pub(super) fn send(&self, text: &str) -> bool {
        let queued = self.queued_bytes.load(Ordering::Relaxed);
        if !self.streams || self.sender.capacity() <= 1 || queued + text.len() > BYTES_MAX {
            return false;
        }
        self.queued_bytes.fetch_add(text.len(), Ordering::Relaxed);
        self.sender
            .try_send(Outgoing::Message(text.to_owned()))
            .is_ok()
    }

    /// Sends the last thing; nothing happens when the reader is gone.
    pub(super) fn finish(self, last: Outgoing) {
        let _ = self.sender.try_send(last);
    }
}

impl Inlet {
    /// The next thing to send; `None` when nothing will come any more.
    pub(super) async fn next(&mut self) -> Option<Outgoing> {
        let next = self.receiver.recv().await;
        self.count(next.as_ref());
        next
    }

    /// The next thing to send if it is there already.
    pub(super) fn next_at_once(&mut self) -> Option<Outgoing> {
        let next = self.receiver.try_recv().ok();
        self.count(next.as_ref());
        next
    }

    fn count(&self, taken: Option<&Outgoing>) {
        if let Some(Outgoing::Message(text)) = taken {
            self.queued_bytes.fetch_sub(text.len(), Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_slow_reader_loses_messages_and_never_the_answer() {
        let (outlet, mut inlet) = outlet(true);
        let sent = (0..1000).filter(|_| outlet.send("x")).count();
        assert_eq!(sent, MESSAGES_MAX);
        outlet.finish(Outgoing::Failed("end".into()));
        for _ in 0..MESSAGES_MAX {
            assert_eq!(inlet.next().await, Some(Outgoing::Message("x".into())));
        }
        assert_eq!(inlet.next_at_once(), Some(Outgoing::Failed("end".into())));
        assert_eq!(inlet.next().await, None);
    }

    #[tokio::test]
    async fn bytes_count_until_they_are_read() {
        let (outlet, mut inlet) = outlet(true);
        assert!(outlet.send(&"x".repeat(BYTES_MAX)));
        assert!(!outlet.send("x"));
        inlet.next().await;
        assert!(outlet.send("x"));
    }

    #[test]
    fn who_reads_no_streams_gets_only_the_answer() {
        let (outlet, mut inlet) = outlet(false);
        assert!(!outlet.send("x"));
        outlet.finish(Outgoing::Failed("end".into()));
        assert_eq!(inlet.next_at_once(), Some(Outgoing::Failed("end".into())));
    }
}
