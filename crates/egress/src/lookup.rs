use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use tokio::sync::{Semaphore, watch};

/// Who chose a name, and so out of whose share its look-up is paid.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Chosen {
    /// The operator: there are as many names as a configuration has.
    ByOperator,
    /// A stranger, who may choose many whose servers never answer.
    ByStranger,
}

/// How many others who asked first may leave us without an answer.
const ATTEMPTS: usize = 8;

type Found = Result<Vec<SocketAddr>, String>;
type Flight = watch::Receiver<Option<Found>>;

/// The system's look-up holds a thread and cannot be called off: one that hangs goes on long after everybody who asked has
/// given up. Together they are fewer than the 512 threads of the runtime, which also hash passwords and read files.
static OF_OPERATOR: Semaphore = Semaphore::const_new(128);
static OF_STRANGERS: Semaphore = Semaphore::const_new(64);
static FLIGHTS: Mutex<Option<HashMap<(String, Chosen), Flight>>> = Mutex::new(None);

/// The addresses that the system knows for `name`, with port 0. Whoever asks while somebody else does hears the same answer, so a
/// name that hangs holds one thread, however often it is asked for; a stranger's turn never stands in for the operator's.
pub(crate) async fn system(name: &str, chosen: Chosen) -> Found {
    for _ in 0..ATTEMPTS {
        let mut flight = join(name, chosen);
        // It fails when the runtime that the other one asked in is gone; this one is not.
        if let Ok(found) = flight.wait_for(Option::is_some).await {
            return found.clone().unwrap_or_else(|| Err("no answer".to_owned()));
        }
    }
    Err("the look-up was given up".to_owned())
}

fn join(name: &str, chosen: Chosen) -> Flight {
    let mut flights = FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner);
    let flights = flights.get_or_insert_default();
    let key = (name.to_owned(), chosen);
    // A sender that is gone without a word belonged to a runtime that is gone.
    if let Some(flight) = flights.get(&key)
        && (flight.has_changed().is_ok() || flight.borrow().is_some())
    {
        return flight.clone();
    }
    let (land, flight) = watch::channel(None);
    flights.insert(key.clone(), flight.clone());
    tokio::spawn(async move {
        let found = look_up(&key.0, chosen).await;
        let mut flights = FLIGHTS.lock().unwrap_or_else(PoisonError::into_inner);
        flights.get_or_insert_default().remove(&key);
        land.send_replace(Some(found));
    });
    flight
}

async fn look_up(name: &str, chosen: Chosen) -> Found {
    let share = match chosen {
        Chosen::ByOperator => &OF_OPERATOR,
        Chosen::ByStranger => &OF_STRANGERS,
    };
    let _permit = share.acquire().await.map_err(|error| error.to_string())?;
    let found = tokio::net::lookup_host((name, 0)).await;
    found
        .map(Iterator::collect)
        .map_err(|error| error.to_string())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_name_that_is_asked_for_twice_is_looked_up_once_and_again_later() {
        let first = join("localhost", Chosen::ByOperator);
        let second = join("localhost", Chosen::ByOperator);
        assert!(first.same_channel(&second), "one flight");
        let strange = join("localhost", Chosen::ByStranger);
        assert!(!first.same_channel(&strange), "strangers wait apart");
        let found = system("localhost", Chosen::ByOperator).await.unwrap();
        assert!(found.iter().all(|address| address.ip().is_loopback()));
        let third = join("localhost", Chosen::ByOperator);
        assert!(!first.same_channel(&third), "answers are not kept");
    }

    #[test]
    fn a_flight_whose_runtime_is_gone_holds_up_nobody() {
        let run = || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .unwrap();
            runtime.block_on(async { drop(join("flight.localhost", Chosen::ByOperator)) });
            // Before the spawned look-up was polled even once.
            drop(runtime);
        };
        run();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let found = runtime.block_on(system("flight.localhost", Chosen::ByOperator));
        assert!(!found.is_err_and(|words| words.contains("given up")));
    }
}
