//! How many connections one address may have.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// A flood says so this often, not once for each connection.
const SAY_EVERY: Duration = Duration::from_secs(60);

/// Open connections, counted by where they come from: an IPv4 address, or an IPv6 network of 64 bits, since whoever has
/// one address of that has them all.
#[derive(Debug)]
pub(crate) struct PerAddress {
    max: usize,
    counted: Mutex<Counted>,
}

#[derive(Debug, Default)]
struct Counted {
    /// Only those that have any, so it is never longer than the list of connections.
    open: HashMap<IpAddr, usize>,
    refused: u64,
    said: Option<Instant>,
}

/// The place of one connection, free again when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    of: Arc<PerAddress>,
    from: IpAddr,
}

impl PerAddress {
    /// At most `max` from each.
    pub(crate) fn new(max: usize) -> Arc<Self> {
        Arc::new(Self {
            max,
            counted: Mutex::default(),
        })
    }

    /// A place for one more connection from `peer`, unless it has all that it may have.
    pub(crate) fn enter(self: &Arc<Self>, peer: IpAddr) -> Option<Place> {
        let from = network(peer);
        let mut counted = self.lock();
        let open = counted.open.entry(from).or_default();
        if *open < self.max {
            *open += 1;
            return Some(Place {
                of: Arc::clone(self),
                from,
            });
        }
        counted.refused += 1;
        if counted.said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            counted.said = Some(Instant::now());
            tracing::warn!(
                client.address = %peer,
                connections.refused = counted.refused,
                "connections were closed because limits.connections_per_address are open from one address; raise it, or \
                 name the address in proxy.trusted if it is your proxy's"
            );
            counted.refused = 0;
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut counted = self.of.lock();
        if let Some(open) = counted.open.get_mut(&self.from) {
            *open -= 1;
            if *open == 0 {
                counted.open.remove(&self.from);
            }
        }
    }
}

fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(six) => {
            let [a, b, c, d, ..] = six.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
        four @ IpAddr::V4(_) => four,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn one_address_has_so_many_places_and_another_has_its_own() {
        let places = PerAddress::new(2);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let held = [enter("192.0.2.1"), enter("::ffff:192.0.2.1")];
        assert!(held.iter().all(Option::is_some));
        assert!(enter("192.0.2.1").is_none());
        assert!(enter("192.0.2.2").is_some());
        drop(held);
        assert!(enter("192.0.2.1").is_some());
        assert!(places.lock().open.is_empty(), "what is free is forgotten");
    }

    #[test]
    fn the_addresses_of_one_ipv6_network_share_their_places() {
        let places = PerAddress::new(1);
        let enter = |address: &str| places.enter(address.parse().unwrap());
        let _held = enter("2001:db8:0:1::1").unwrap();
        assert!(enter("2001:db8:0:1:ffff::2").is_none());
        assert!(enter("2001:db8:0:2::1").is_some());
    }
}
