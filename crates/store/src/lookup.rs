use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::StoreError;
use crate::bulk::push_placeholders;
use crate::conn::fetch_all;
use crate::db::closed;
use crate::values::Args;

/// How many keys one statement may look up.
const SIZES: [usize; 4] = [1, 4, 16, 64];

/// How many may wait; beyond that callers wait to be let in.
const QUEUE_KEYS_MAX: usize = 1024;

/// A read of one row by a key, which is its first column. What many ask for at once is read by one statement.
pub(crate) struct Lookup {
    /// Up to and with the word `IN`.
    head: &'static str,
    texts: [OnceLock<&'static str>; SIZES.len()],
}

impl Lookup {
    pub(crate) const fn new(head: &'static str) -> Self {
        Self {
            head,
            texts: [const { OnceLock::new() }; SIZES.len()],
        }
    }

    /// The statement for one key.
    pub(crate) fn one(&self) -> &'static str {
        self.text(0)
    }

    fn text(&self, size: usize) -> &'static str {
        self.texts[size].get_or_init(|| {
            let mut text = format!("{} (", self.head);
            push_placeholders(&mut text, 0, SIZES[size]);
            text.push(')');
            Box::leak(text.into_boxed_str())
        })
    }
}

type Reply = oneshot::Sender<Result<Option<AnyRow>, StoreError>>;

struct Wanted {
    lookup: &'static Lookup,
    key: String,
    reply: Reply,
}

/// Opens the connection that lookups use, again after it failed.
pub(crate) trait Connect: Send + Sync + 'static {
    fn connect(&self) -> impl Future<Output = Result<AnyConnection, StoreError>> + Send;
}

/// The reader of the few rows that every token request needs. A statement costs two thread switches whatever it
/// reads, so what waits while one runs is read by the next one together.
pub(crate) struct Lookups {
    queue: mpsc::Sender<Wanted>,
    closing: Arc<Notify>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Lookups {
    pub(crate) fn start(connect: impl Connect) -> Self {
        let (queue, wanted) = mpsc::channel(QUEUE_KEYS_MAX);
        let closing = Arc::new(Notify::new());
        let task = tokio::spawn(run(connect, wanted, Arc::clone(&closing)));
        Self {
            queue,
            closing,
            task: Mutex::new(Some(task)),
        }
    }

    pub(crate) async fn find(
        &self,
        lookup: &'static Lookup,
        key: &str,
    ) -> Result<Option<AnyRow>, StoreError> {
        if key.as_bytes().contains(&0) {
            return Ok(None);
        }
        let (reply, answer) = oneshot::channel();
        let wanted = Wanted {
            lookup,
            key: key.to_owned(),
            reply,
        };
        self.queue.send(wanted).await.map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    pub(crate) async fn close(&self) {
        self.closing.notify_one();
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the lookups ended badly");
        }
    }
}

async fn run(connect: impl Connect, mut queue: mpsc::Receiver<Wanted>, closing: Arc<Notify>) {
    use sqlx::Connection as _;
    let largest = SIZES[SIZES.len() - 1];
    let mut connection = None;
    let mut waiting = Vec::with_capacity(largest);
    loop {
        let count = tokio::select! {
            biased;
            count = queue.recv_many(&mut waiting, largest) => count,
            () = closing.notified() => {
                queue.close();
                continue;
            }
        };
        if count == 0 {
            break;
        }
        // The first key woke this task ahead of everybody else who is ready; let them ask, and share the read.
        tokio::task::yield_now().await;
        while waiting.len() < largest
            && let Ok(wanted) = queue.try_recv()
        {
            waiting.push(wanted);
        }
        while let Some(lookup) = waiting.first().map(|wanted| wanted.lookup) {
            let batch: Vec<Wanted> = waiting
                .extract_if(.., |wanted| std::ptr::eq(wanted.lookup, lookup))
                .collect();
            answer(&connect, &mut connection, lookup, batch).await;
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "closing the lookups");
    }
}

/// Reads the rows of one batch and tells everybody. A connection that failed is opened again for the next one.
async fn answer(
    connect: &impl Connect,
    connection: &mut Option<AnyConnection>,
    lookup: &'static Lookup,
    batch: Vec<Wanted>,
) {
    match read(connect, connection, lookup, &batch).await {
        Ok(rows) => {
            for wanted in batch {
                let row = rows
                    .iter()
                    .find(|row| row.try_get(0).is_ok_and(|key: &str| key == wanted.key));
                let _ = wanted.reply.send(Ok(row.cloned()));
            }
        }
        Err(error) => {
            *connection = None;
            for wanted in batch {
                let _ = wanted.reply.send(Err(error.clone()));
            }
        }
    }
}

async fn read(
    connect: &impl Connect,
    connection: &mut Option<AnyConnection>,
    lookup: &'static Lookup,
    batch: &[Wanted],
) -> Result<Vec<AnyRow>, StoreError> {
    let connection = match connection {
        Some(open) => open,
        None => connection.insert(connect.connect().await?),
    };
    let size = SIZES
        .iter()
        .position(|&size| size >= batch.len())
        .unwrap_or(SIZES.len() - 1);
    let mut args = Args::with_capacity(SIZES[size]);
    for position in 0..SIZES[size] {
        // What is left over asks for the last key again.
        args = args.text(&batch[position.min(batch.len() - 1)].key);
    }
    fetch_all(connection, lookup.text(size), args.finish()?).await
}
