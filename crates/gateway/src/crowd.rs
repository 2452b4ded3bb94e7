use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use metrics::Gauge;
use sdk::Principal;

/// How many calls each principal has open: from the judgement to the end of the answer, streams included.
///
/// An open call holds a connection of ours and one to the upstream, so no single caller may take them all.
#[derive(Debug)]
pub(crate) struct Crowd {
    calls_max: usize,
    open: Arc<Mutex<HashMap<Principal, usize>>>,
}

/// One open call. It ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    gauge: Gauge,
    open: Arc<Mutex<HashMap<Principal, usize>>>,
    principal: Principal,
}

impl Crowd {
    pub(crate) fn new(calls_max: usize) -> Self {
        Self {
            calls_max,
            open: Arc::default(),
        }
    }

    /// A place for one more call of `principal`, counted in `gauge` while it is open; none when it has its share.
    pub(crate) fn enter(&self, principal: &Principal, gauge: &Gauge) -> Option<Place> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(principal.clone()).or_insert(0);
        if *count >= self.calls_max {
            return None;
        }
        *count += 1;
        gauge.increment(1);
        Some(Place {
            gauge: gauge.clone(),
            open: Arc::clone(&self.open),
            principal: principal.clone(),
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.gauge.decrement(1);
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.principal) {
            *count -= 1;
            if *count == 0 {
                open.remove(&self.principal);
            }
        }
    }
}
