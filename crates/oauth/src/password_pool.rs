use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use base::{Random, Secret};
use tokio::sync::oneshot;

use crate::password::{self, Workspace};

/// How many hashes may wait: at 15 ms each on two threads the last one waits a quarter of a second.
const QUEUE_MAX: usize = 32;

/// How long an idle thread keeps its 19 MiB.
const KEEP_MEMORY: Duration = Duration::from_secs(10);

/// Threads that do nothing but hash passwords, so that sign-ins never occupy the threads that serve tokens.
///
/// Each keeps its memory block between hashes. When the queue is full the answer is busy at once: work that would be
/// answered too late is not begun.
#[derive(Clone)]
pub(crate) struct PasswordPool(Arc<Shared>);

struct Shared {
    queue: Mutex<Queue>,
    ready: Condvar,
}

#[derive(Default)]
struct Queue {
    jobs: VecDeque<Job>,
    closed: bool,
}

enum Job {
    Hash(Secret<String>, Arc<dyn Random>, oneshot::Sender<String>),
    Verify(
        Secret<String>,
        Option<Secret<String>>,
        oneshot::Sender<bool>,
    ),
}

/// The queue is full, or the pool is gone.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("too many passwords are being checked at the moment")]
pub(crate) struct PoolBusy;

impl PasswordPool {
    /// Starts `threads` threads; they end when the last clone of the pool is dropped.
    pub fn start(threads: usize) -> PoolOwner {
        let shared = Arc::new(Shared {
            queue: Mutex::default(),
            ready: Condvar::new(),
        });
        for index in 0..threads.max(1) {
            let shared = Arc::clone(&shared);
            thread::Builder::new()
                .name(format!("password-{index}"))
                .spawn(move || work(&shared))
                .expect("the system can start a few threads at start");
        }
        PoolOwner(Self(shared))
    }

    /// Hashes `password` into a PHC string.
    pub async fn hash(
        &self,
        password: Secret<String>,
        random: Arc<dyn Random>,
    ) -> Result<Secret<String>, PoolBusy> {
        let (sender, receiver) = oneshot::channel();
        self.push(Job::Hash(password, random, sender))?;
        receiver.await.map(Secret::new).map_err(|_| PoolBusy)
    }

    /// Whether `password` is the one behind `stored`; takes as long when there is nothing stored.
    pub async fn verify(
        &self,
        password: Secret<String>,
        stored: Option<Secret<String>>,
    ) -> Result<bool, PoolBusy> {
        let (sender, receiver) = oneshot::channel();
        self.push(Job::Verify(password, stored, sender))?;
        receiver.await.map_err(|_| PoolBusy)
    }

    fn push(&self, job: Job) -> Result<(), PoolBusy> {
        let mut queue = self.0.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if queue.closed || queue.jobs.len() >= QUEUE_MAX {
            return Err(PoolBusy);
        }
        queue.jobs.push_back(job);
        drop(queue);
        self.0.ready.notify_one();
        Ok(())
    }
}

/// Ends the threads when it is dropped.
pub(crate) struct PoolOwner(PasswordPool);

impl std::ops::Deref for PoolOwner {
    type Target = PasswordPool;
    fn deref(&self) -> &PasswordPool {
        &self.0
    }
}

impl Drop for PoolOwner {
    fn drop(&mut self) {
        let mut queue = self
            .0
            .0
            .queue
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        queue.closed = true;
        queue.jobs.clear();
        drop(queue);
        self.0.0.ready.notify_all();
    }
}

fn work(shared: &Shared) {
    let mut workspace = Workspace::default();
    let mut queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        if let Some(job) = queue.jobs.pop_front() {
            drop(queue);
            run(job, &mut workspace);
            queue = shared.queue.lock().unwrap_or_else(PoisonError::into_inner);
        } else if queue.closed {
            return;
        } else if workspace.is_empty() {
            queue = shared
                .ready
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        } else {
            let (next, waited) = shared
                .ready
                .wait_timeout(queue, KEEP_MEMORY)
                .unwrap_or_else(PoisonError::into_inner);
            queue = next;
            if waited.timed_out() && queue.jobs.is_empty() {
                workspace.release();
            }
        }
    }
}

fn run(job: Job, workspace: &mut Workspace) {
    // A receiver that is gone was a person who closed the tab: their work is skipped, not done for nobody.
    match job {
        Job::Hash(password, random, sender) if !sender.is_closed() => {
            let _ = sender.send(password::hash(
                workspace,
                password.expose(),
                random.as_ref(),
            ));
        }
        Job::Verify(password, stored, sender) if !sender.is_closed() => {
            let _ = sender.send(password::verify(
                workspace,
                password.expose(),
                stored.as_ref(),
            ));
        }
        Job::Hash(..) | Job::Verify(..) => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::OsRandom;

    use super::*;

    #[tokio::test]
    async fn a_full_queue_answers_busy_at_once_and_the_waiting_ones_are_served() {
        let pool = PasswordPool::start(1);
        let stored = pool
            .hash(Secret::new("four words will do".into()), Arc::new(OsRandom))
            .await
            .unwrap();
        let attempts: Vec<_> = (0..QUEUE_MAX + 8)
            .map(|_| {
                let pool = pool.clone();
                let stored = stored.clone();
                tokio::spawn(async move {
                    pool.verify(Secret::new("four words will do".into()), Some(stored))
                        .await
                })
            })
            .collect();
        let mut served = 0;
        let mut busy = 0;
        for attempt in attempts {
            match attempt.await.unwrap() {
                Ok(right) => {
                    assert!(right);
                    served += 1;
                }
                Err(PoolBusy) => busy += 1,
            }
        }
        assert!(served >= QUEUE_MAX && busy >= 1, "{served} {busy}");
    }
}
