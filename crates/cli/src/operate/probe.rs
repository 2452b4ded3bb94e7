use std::time::{Duration, Instant};

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

/// How long the store may take for a small read.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long an answer is given again.
const KEPT: Duration = Duration::from_secs(1);

/// A look at something that may hang, for whoever asks: one at a time, and its answer is shared for a second. A storm of
/// questions costs one look, and a look that hangs is not followed by another.
pub struct Probe<F> {
    look: F,
    patience: Duration,
    kept: Duration,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    answer: Option<(Instant, Result<(), String>)>,
    /// A look that has not come back yet.
    looking: Option<JoinHandle<Result<(), String>>>,
}

impl<F, Looking> Probe<F>
where
    F: Fn() -> Looking,
    Looking: Future<Output = Result<(), String>> + Send + 'static,
{
    pub fn new(look: F) -> Self {
        Self {
            look,
            patience: PATIENCE,
            kept: KEPT,
            state: Mutex::default(),
        }
    }

    /// What was seen within the last second, or is seen now.
    pub async fn answer(&self) -> Result<(), String> {
        let mut state = self.state.lock().await;
        if let Some((at, answer)) = &state.answer
            && at.elapsed() < self.kept
        {
            return answer.clone();
        }
        // It stays there while we wait: whoever asked and goes away takes this future along, and not the look.
        let looking = state
            .looking
            .get_or_insert_with(|| tokio::spawn((self.look)()));
        let seen = tokio::time::timeout(self.patience, looking).await;
        if seen.is_ok() {
            state.looking = None;
        }
        let answer = match seen {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err("looking was broken off".to_owned()),
            Err(_) => Err(format!("it has not answered within {:?}", self.patience)),
        };
        state.answer = Some((Instant::now(), answer.clone()));
        answer
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures_util::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn a_storm_of_questions_costs_one_look_and_one_that_hangs_is_not_followed_by_another() {
        let looks = Arc::new(AtomicUsize::new(0));
        let gate = Arc::new(Semaphore::new(0));
        let (counted, waited) = (Arc::clone(&looks), Arc::clone(&gate));
        let probe = Probe {
            patience: Duration::from_millis(50),
            kept: Duration::from_millis(50),
            ..Probe::new(move || {
                counted.fetch_add(1, Ordering::SeqCst);
                let waited = Arc::clone(&waited);
                async move {
                    waited.acquire().await.unwrap().forget();
                    Ok(())
                }
            })
        };
        for _ in 0..3 {
            let answers = join_all((0..100).map(|_| probe.answer())).await;
            let hangs = |answer: &Result<(), String>| {
                answer
                    .as_ref()
                    .is_err_and(|words| words.contains("within 50ms"))
            };
            assert!(answers.iter().all(hangs), "{answers:?}");
            tokio::time::sleep(Duration::from_millis(60)).await;
        }
        // Somebody who goes away while it hangs changes nothing.
        let _ = tokio::time::timeout(Duration::from_millis(5), probe.answer()).await;
        assert_eq!(looks.load(Ordering::SeqCst), 1);
        gate.add_permits(1);
        assert_eq!(probe.answer().await, Ok(()));
        assert_eq!(looks.load(Ordering::SeqCst), 1, "it was the same look");
        gate.add_permits(1);
        tokio::time::sleep(Duration::from_millis(60)).await;
        let answers = join_all((0..100).map(|_| probe.answer())).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(looks.load(Ordering::SeqCst), 2, "a new one after a while");
    }
}
