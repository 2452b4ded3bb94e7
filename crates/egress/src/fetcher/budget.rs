use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{FetchError, FetcherSettings};

const MINUTE: Duration = Duration::from_secs(60);

/// Beyond this many hosts those that used nothing lately are forgotten. The budget of all hosts together keeps the
/// others few.
const HOSTS_REMEMBERED: usize = 1024;

/// How many fetches may run, and begin, for all hosts together and for each.
#[derive(Debug)]
pub(super) struct Budget {
    running_max: usize,
    running_per_host_max: usize,
    per_minute: u32,
    per_host_per_minute: u32,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    running: usize,
    all: Bucket,
    hosts: HashMap<String, Host>,
}

#[derive(Debug)]
struct Host {
    running: usize,
    bucket: Bucket,
}

/// Starts that are left; they come back evenly over a minute.
#[derive(Debug)]
struct Bucket {
    left: f64,
    at: Instant,
}

impl Bucket {
    fn full(per_minute: u32, now: Instant) -> Self {
        Self {
            left: per_minute.into(),
            at: now,
        }
    }

    fn refill(&mut self, per_minute: u32, now: Instant) {
        let capacity = f64::from(per_minute);
        let minutes = (now - self.at).as_secs_f64() / MINUTE.as_secs_f64();
        self.left = (self.left + minutes * capacity).min(capacity);
        self.at = now;
    }
}

/// A running fetch; it is over when the value is dropped.
#[derive(Debug)]
pub(super) struct Slot {
    budget: Arc<Budget>,
    host: String,
}

impl Budget {
    pub fn new(settings: &FetcherSettings) -> Self {
        Self {
            running_max: settings.running_max,
            running_per_host_max: settings.running_per_host_max,
            per_minute: settings.starts_per_minute,
            per_host_per_minute: settings.starts_per_host_per_minute,
            state: Mutex::new(State {
                running: 0,
                all: Bucket::full(settings.starts_per_minute, Instant::now()),
                hosts: HashMap::new(),
            }),
        }
    }

    /// Takes one start and one running fetch, or says which of the limits is reached.
    pub fn start(
        budget: &Arc<Self>,
        host: &str,
        known: bool,
        now: Instant,
    ) -> Result<Slot, FetchError> {
        let mut state = budget.state();
        // A stranger leaves the last quarter, of everything and of each host, to addresses that were good before: whoever
        // makes us fetch nonsense cannot keep us from what matters.
        let most = |count: usize| if known { count } else { count - count / 4 };
        let least = |capacity: u32| {
            if known {
                1.0
            } else {
                1.0 + f64::from(capacity / 4)
            }
        };
        if state.running >= most(budget.running_max) {
            return Err(FetchError::Busy("as many as may run at once are running"));
        }
        state.all.refill(budget.per_minute, now);
        if state.all.left < least(budget.per_minute) {
            return Err(FetchError::Busy("as many as may begin in a minute began"));
        }
        if state.hosts.len() >= HOSTS_REMEMBERED {
            state.hosts.retain(|_, host| {
                host.bucket.refill(budget.per_host_per_minute, now);
                host.running > 0 || host.bucket.left < f64::from(budget.per_host_per_minute)
            });
        }
        let entry = state.hosts.entry(host.to_owned()).or_insert_with(|| Host {
            running: 0,
            bucket: Bucket::full(budget.per_host_per_minute, now),
        });
        if entry.running >= most(budget.running_per_host_max) {
            return Err(FetchError::Busy(
                "as many as may run at once for one host are running",
            ));
        }
        entry.bucket.refill(budget.per_host_per_minute, now);
        if entry.bucket.left < least(budget.per_host_per_minute) {
            return Err(FetchError::Busy(
                "as many as may begin in a minute for one host began",
            ));
        }
        entry.bucket.left -= 1.0;
        entry.running += 1;
        state.all.left -= 1.0;
        state.running += 1;
        drop(state);
        Ok(Slot {
            budget: Arc::clone(budget),
            host: host.to_owned(),
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut state = self.budget.state();
        state.running = state.running.saturating_sub(1);
        if let Some(host) = state.hosts.get_mut(&self.host) {
            host.running = host.running.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn budget(running: usize, per_host: usize, starts: u32, starts_per_host: u32) -> Arc<Budget> {
        Arc::new(Budget::new(&FetcherSettings {
            running_max: running,
            running_per_host_max: per_host,
            starts_per_minute: starts,
            starts_per_host_per_minute: starts_per_host,
            ..FetcherSettings::default()
        }))
    }

    fn start(
        budget: &Arc<Budget>,
        host: &str,
        known: bool,
        now: Instant,
    ) -> Result<Slot, FetchError> {
        Budget::start(budget, host, known, now)
    }

    #[test]
    fn no_more_run_at_once_than_may_and_the_next_may_when_one_is_over() {
        let now = Instant::now();
        let budget = budget(8, 2, 1000, 1000);
        let first = start(&budget, "a.example", false, now).unwrap();
        let _second = start(&budget, "a.example", false, now).unwrap();
        assert!(start(&budget, "a.example", true, now).is_err());
        let _other = start(&budget, "b.example", false, now).unwrap();
        drop(first);
        let _third = start(&budget, "a.example", false, now).unwrap();
    }

    #[test]
    fn strangers_leave_a_quarter_to_addresses_that_were_good_before() {
        let now = Instant::now();
        // Of all, then of each host: running, then begun.
        for (budget, strangers) in [
            (budget(8, 8, 1000, 1000), 6),
            (budget(1000, 8, 1000, 1000), 6),
            (budget(1000, 1000, 8, 1000), 6),
            (budget(1000, 1000, 1000, 8), 6),
        ] {
            let mut slots = Vec::new();
            for _ in 0..strangers {
                slots.push(start(&budget, "a.example", false, now).unwrap());
            }
            assert!(start(&budget, "a.example", false, now).is_err());
            slots.push(start(&budget, "a.example", true, now).unwrap());
            slots.push(start(&budget, "a.example", true, now).unwrap());
            assert!(start(&budget, "a.example", true, now).is_err());
        }
    }

    #[test]
    fn starts_come_back_with_time_for_each_host_and_for_all() {
        let now = Instant::now();
        let budget = budget(8, 8, 40, 3);
        for _ in 0..3 {
            start(&budget, "a.example", false, now).unwrap();
        }
        assert!(start(&budget, "a.example", false, now).is_err());
        let now = now + Duration::from_secs(20);
        start(&budget, "a.example", false, now).unwrap();
        assert!(start(&budget, "a.example", false, now).is_err());
        let begun = (0..100)
            .filter(|host| start(&budget, &format!("{host}.example"), false, now).is_ok())
            .count();
        assert!(begun < 40, "{begun}");
        let now = now + MINUTE;
        start(&budget, "z.example", false, now).unwrap();
    }

    #[test]
    fn hosts_that_used_nothing_lately_are_forgotten() {
        let now = Instant::now();
        let budget = budget(8, 8, 10_000, 30);
        for host in 0..HOSTS_REMEMBERED {
            start(&budget, &format!("{host}.example"), true, now).unwrap();
        }
        let now = now + MINUTE;
        start(&budget, "one-more.example", true, now).unwrap();
        assert_eq!(budget.state().hosts.len(), 1);
    }
}
