use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use ::oauth::Authority;
use authz::{FeedMessage, FeedSlice, FeedSnapshot};
use bytes::Bytes;
use domain::ResourceServerId;
use tokio::sync::watch;

/// How many streams one credential may have open at one node.
pub(crate) const STREAMS_MAX: usize = 64;

/// Where this node's newest snapshot hangs, for every feed stream to read. Clones share it.
#[derive(Clone, Default)]
pub struct FeedBoard(Arc<Inner>);

#[derive(Default)]
struct Inner {
    /// Nothing before the first snapshot.
    posted: watch::Sender<Posted>,
    contacts: AtomicU64,
    streams: Mutex<HashMap<ResourceServerId, usize>>,
}

/// What hangs there.
#[derive(Clone, Default)]
pub(crate) enum Posted {
    /// No snapshot yet.
    #[default]
    Nothing,
    /// The newest one.
    Sheet(Arc<Sheet>),
    /// The node is stopping.
    Closed,
}

/// One snapshot, with the line of each MCP server once somebody has asked for it.
pub(crate) struct Sheet {
    snapshot: Arc<FeedSnapshot>,
    lines: Mutex<HashMap<String, Bytes>>,
}

impl FeedBoard {
    /// Replaces the snapshot. Counts as contact.
    pub fn publish(&self, snapshot: Arc<FeedSnapshot>) {
        self.contact();
        self.0.posted.send_modify(|posted| {
            if !matches!(posted, Posted::Closed) {
                *posted = Posted::Sheet(Arc::new(Sheet {
                    snapshot,
                    lines: Mutex::default(),
                }));
            }
        });
    }

    /// Says that the store was read and that nothing has changed.
    pub fn contact(&self) {
        self.0.contacts.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends every stream; those who read them ask another node.
    pub fn close(&self) {
        self.0.posted.send_replace(Posted::Closed);
    }

    /// How often the store was read.
    pub(crate) fn contacts(&self) -> u64 {
        self.0.contacts.load(Ordering::Relaxed)
    }

    pub(crate) fn watch(&self) -> watch::Receiver<Posted> {
        self.0.posted.subscribe()
    }

    /// A place among the streams of one credential, until it is dropped; `None` when all are taken.
    pub(crate) fn enter(&self, credential: &ResourceServerId) -> Option<StreamPlace> {
        let mut streams = self.streams();
        let open = streams.entry(credential.clone()).or_default();
        if *open >= STREAMS_MAX {
            return None;
        }
        *open += 1;
        Some(StreamPlace {
            board: self.clone(),
            credential: credential.clone(),
        })
    }

    fn streams(&self) -> std::sync::MutexGuard<'_, HashMap<ResourceServerId, usize>> {
        self.0
            .streams
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// The place of one stream.
pub(crate) struct StreamPlace {
    board: FeedBoard,
    credential: ResourceServerId,
}

impl Drop for StreamPlace {
    fn drop(&mut self) {
        let mut streams = self.board.streams();
        if let Some(open) = streams.get_mut(&self.credential) {
            *open -= 1;
            if *open == 0 {
                streams.remove(&self.credential);
            }
        }
    }
}

impl Sheet {
    /// The line of one MCP server, with its end; `None` when there is no such server.
    pub(crate) fn line(&self, authority: &Authority, slug: &str) -> Option<Bytes> {
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.get(slug) {
            return Some(line.clone());
        }
        let snapshot = self.snapshot.servers.get(slug)?;
        let context = authority.server(slug)?;
        let message = FeedMessage::Snapshot(Box::new(FeedSlice {
            server: (**snapshot).clone(),
            upstream: serde_json::to_value(&context.server.upstream)
                .expect("an upstream is strings"),
            aliases: context.server.other_addresses.periods(),
            created_at: context.server.created_at,
        }));
        let line = line(&message);
        lines.insert(slug.to_owned(), line.clone());
        Some(line)
    }
}

/// A message with its end of line.
pub(crate) fn line(message: &FeedMessage) -> Bytes {
    let mut line = serde_json::to_vec(message).expect("a snapshot is strings, numbers and lists");
    line.push(b'\n');
    line.into()
}
