use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base::{Digest, Timestamp};
use tokio::sync::OnceCell;

/// How many of the tokens that were no good are remembered.
const REFUSED_MAX: usize = 4096;
/// How many tokens that were good once are remembered: their owners are not made to wait for strangers.
const KNOWN_MAX: usize = 4096;
/// How many tokens that were never good here are asked about in a second, and how many at once after a quiet time. After
/// a restart everybody is a stranger: a fleet of machines that comes back together is let in at once.
const STRANGERS_PER_SECOND: i64 = 100;
const STRANGERS_AT_ONCE: i64 = 1000;

/// Asks somebody else about tokens: about each once at a time, about bad ones rarely, about strangers slowly. Tokens are known by
/// their SHA-256 alone. What is good is kept by [`TokenCache`](crate::token_cache::TokenCache), like all others.
pub(crate) struct AskedOnce<T, R> {
    refused_for: Duration,
    state: Mutex<State<T, R>>,
}

/// Why there is no answer that helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Unanswered<R> {
    /// The token is no good, and was so a moment ago.
    Refused(R),
    /// It cannot be told now; a new try is worth it.
    Unavailable(String),
}

type Flight<T, R> = Arc<OnceCell<Result<T, Unanswered<R>>>>;

struct State<T, R> {
    flights: HashMap<Digest, Flight<T, R>>,
    refused: HashMap<Digest, (Timestamp, R)>,
    known: HashSet<Digest>,
    strangers: Budget,
}

impl<T: Clone, R: Clone> AskedOnce<T, R> {
    /// Nothing was asked yet. What is no good is refused for so long without asking again.
    pub(crate) fn new(refused_for: Duration) -> Self {
        Self {
            refused_for,
            state: Mutex::new(State {
                flights: HashMap::new(),
                refused: HashMap::new(),
                known: HashSet::new(),
                strangers: Budget::default(),
            }),
        }
    }

    /// What `ask` says of the token with this digest, unless somebody asks already, or it was no good a moment ago.
    pub(crate) async fn ask<F>(
        &self,
        digest: Digest,
        now: Timestamp,
        ask: impl FnOnce() -> F,
    ) -> Result<T, Unanswered<R>>
    where
        F: Future<Output = Result<T, Unanswered<R>>>,
    {
        let aboard = Aboard {
            flight: Some(self.board(digest, now)?),
            asked: self,
            digest,
        };
        let flight = aboard.flight.as_ref().expect("taken by the drop alone");
        let outcome = flight.get_or_init(ask).await.clone();
        self.land(digest, flight, &outcome, now);
        outcome
    }

    /// The flight for this token: one that is under way, or a new one when it may begin.
    fn board(&self, digest: Digest, now: Timestamp) -> Result<Flight<T, R>, Unanswered<R>> {
        let mut state = self.state();
        // One that lies further ahead is of a clock that was set back since.
        let is_refused = |until: Timestamp| now < until && until <= now.after(self.refused_for);
        if let Some((until, refusal)) = state.refused.get(&digest)
            && is_refused(*until)
        {
            return Err(Unanswered::Refused(refusal.clone()));
        }
        if let Some(flight) = state.flights.get(&digest) {
            return Ok(Arc::clone(flight));
        }
        if !state.known.contains(&digest) && !state.strangers.take(now) {
            return Err(Unanswered::Unavailable(
                "too many unknown tokens are being tried".to_owned(),
            ));
        }
        let flight = Flight::default();
        state.flights.insert(digest, Arc::clone(&flight));
        Ok(flight)
    }

    fn land(
        &self,
        digest: Digest,
        flight: &Flight<T, R>,
        outcome: &Result<T, Unanswered<R>>,
        now: Timestamp,
    ) {
        let mut state = self.state();
        // Everybody on board lands; the first one clears the runway.
        let is_first = state
            .flights
            .get(&digest)
            .is_some_and(|known| Arc::ptr_eq(known, flight));
        if !is_first {
            return;
        }
        state.flights.remove(&digest);
        match outcome {
            Ok(_) => {
                if state.known.len() >= KNOWN_MAX
                    && let Some(any) = state.known.iter().next().copied()
                {
                    state.known.remove(&any);
                }
                state.known.insert(digest);
            }
            Err(Unanswered::Refused(refusal)) => {
                state.known.remove(&digest);
                if state.refused.len() >= REFUSED_MAX {
                    state.refused.retain(|_, (until, _)| now < *until);
                }
                if state.refused.len() < REFUSED_MAX {
                    let until = now.after(self.refused_for);
                    state.refused.insert(digest, (until, refusal.clone()));
                }
            }
            Err(Unanswered::Unavailable(_)) => {}
        }
    }
}

impl<T, R> AskedOnce<T, R> {
    fn state(&self) -> MutexGuard<'_, State<T, R>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many are being asked about.
    #[cfg(test)]
    pub(crate) fn flights(&self) -> usize {
        self.state().flights.len()
    }
}

/// One who waits for a flight. Who gives up does not land; the last one takes the flight off the list.
struct Aboard<'a, T, R> {
    asked: &'a AskedOnce<T, R>,
    digest: Digest,
    flight: Option<Flight<T, R>>,
}

impl<T, R> Drop for Aboard<'_, T, R> {
    fn drop(&mut self) {
        let mut state = self.asked.state();
        // Nobody boards while the list is locked: the flight that is left is the one on the list.
        drop(self.flight.take());
        let flight = state.flights.get(&self.digest);
        if flight.is_some_and(|flight| Arc::strong_count(flight) == 1) {
            state.flights.remove(&self.digest);
        }
    }
}

/// What is on its way is nobody's to read.
impl<T, R> fmt::Debug for AskedOnce<T, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AskedOnce")
            .field("refused_for", &self.refused_for)
            .finish_non_exhaustive()
    }
}

/// A bucket that fills with time, counted in milliseconds' worth of tokens.
#[derive(Debug, Default)]
struct Budget {
    /// The moment at which the bucket was empty, as far as it has been drawn from.
    empty_at: Timestamp,
}

impl Budget {
    fn take(&mut self, now: Timestamp) -> bool {
        let one_ms = 1000 / STRANGERS_PER_SECOND;
        let full = now.unix_ms() - STRANGERS_AT_ONCE * one_ms;
        // Ahead of now only when the clock was set back.
        self.empty_at = self.empty_at.min(now);
        let next = self.empty_at.unix_ms().max(full) + one_ms;
        if next > now.unix_ms() {
            return false;
        }
        self.empty_at = Timestamp::from_unix_ms(next);
        true
    }
}
