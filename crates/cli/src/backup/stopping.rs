//! SIGINT and SIGTERM end a backup or a restore at once and leave nothing of it, or come after the step that decides.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::bail;

use crate::signals::StopSignals;

/// What there is to take away when the process is told to stop, and whether it may still be. Cheap to clone.
#[derive(Clone, Default)]
pub struct Undo(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    paths: Vec<PathBuf>,
    phase: Phase,
}

#[derive(Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Undecided,
    Decided,
    Stopped,
}

impl Undo {
    /// What is at `path` goes with a stop.
    pub fn remember(&self, path: &Path) {
        self.state().paths.push(path.to_owned());
    }

    /// Takes the step that decides. A stop comes before it, and then it is not taken, or after everything is done.
    ///
    /// # Errors
    /// Of the step, or that a stop came before it.
    pub fn decide<T>(&self, step: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
        let mut state = self.state();
        if state.phase == Phase::Stopped {
            bail!("stopped before it was done");
        }
        let taken = step()?;
        state.phase = Phase::Decided;
        Ok(taken)
    }

    /// Whether the stop came in time; then nothing is left.
    fn stop(&self) -> bool {
        let mut state = self.state();
        if state.phase == Phase::Decided {
            return false;
        }
        state.phase = Phase::Stopped;
        for path in state.paths.drain(..) {
            // A thread may be making one more file in it.
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_dir_all(&path);
            let _ = fs::remove_file(&path);
        }
        true
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Does `work` unless a signal comes first. The work runs beside, since parts of it hold on to their thread.
///
/// # Errors
/// Of the work, or that it was stopped.
pub async fn unless_stopped(
    undo: &Undo,
    what: &str,
    work: impl Future<Output = anyhow::Result<()>> + Send + 'static,
) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let mut work = tokio::spawn(work);
    tokio::select! {
        ended = &mut work => return ended?,
        () = signals.next() => {}
    }
    match undo.stop() {
        true => bail!("{what}: stopped by a signal before it was done; nothing was changed"),
        false => work.await?,
    }
}
