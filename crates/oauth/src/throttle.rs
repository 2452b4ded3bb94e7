use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Digest, Timestamp};

/// The most keys that are remembered; beyond it the ones nearest to recovery are forgotten.
const KEYS_MAX: usize = 50_000;

/// With fewer keys, none is looked at to see whether it has recovered.
const SWEEP_FROM: usize = 1_024;

/// A bucket of attempts: `burst` at once, then one more each `refill`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rate {
    pub burst: u32,
    pub refill: Duration,
}

/// Who is counted.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Key {
    /// One account, tried from devices it was never used on.
    Account(String),
    /// One account, tried from a device it was used on before.
    Device(String),
    /// Sign-ins from one address block.
    SignInAddress(AddressBlock),
    /// Registrations from one address block.
    RegistrationAddress(AddressBlock),
    /// Registrations of one software, or to one return host.
    RegistrationKind(Digest),
    /// Questions of one MCP server about its tokens.
    Introspection(String),
    /// Requests to the admin API under one grant.
    Administration(String),
}

/// An IPv4 address, or the /64 of an IPv6 one: whoever has one address of a /64 has all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct AddressBlock(u128);

impl AddressBlock {
    pub fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(u128::from(u32::from(address))),
            IpAddr::V6(address) => Self(u128::from(address) >> 64 << 64),
        }
    }
}

/// Counts attempts per key with leaky buckets, bounded in memory.
///
/// An attempt is taken before the work and given back when it turns out honest, so parallel guesses cannot slip
/// through while the first is still being judged.
#[derive(Debug, Default)]
pub(crate) struct Throttle(Mutex<Buckets>);

#[derive(Debug, Default)]
struct Buckets {
    by_key: HashMap<Key, Bucket>,
    /// How many there were when those that had recovered were forgotten last.
    swept_at: usize,
}

#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// When the bucket will be empty of attempts, if nothing more comes (the theoretical arrival time of GCRA).
    empty_at: Timestamp,
}

impl Bucket {
    /// None is more than full: one that seems so is of a clock that was set back since, and just full from now on.
    fn corrected(&mut self, rate: Rate, now: Timestamp) -> Timestamp {
        self.empty_at = self.empty_at.min(now.after(rate.refill * rate.burst));
        self.empty_at
    }
}

impl Throttle {
    /// Takes one attempt from every key, or from none: then says how long until the tightest has room.
    pub fn take(&self, keys: &[(Key, Rate)], now: Timestamp) -> Result<(), Duration> {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut wait = Duration::ZERO;
        for (key, rate) in keys {
            let empty_at = buckets
                .by_key
                .get_mut(key)
                .map_or(now, |bucket| bucket.corrected(*rate, now));
            let filled = empty_at.since(now) + rate.refill;
            wait = wait.max(filled.saturating_sub(rate.refill * rate.burst));
        }
        if !wait.is_zero() {
            return Err(wait);
        }
        for (key, rate) in keys {
            let bucket = buckets
                .by_key
                .entry(key.clone())
                .or_insert(Bucket { empty_at: now });
            bucket.empty_at = bucket.empty_at.max(now).after(rate.refill);
        }
        buckets.sweep(now);
        Ok(())
    }

    /// Gives back what [`Throttle::take`] took.
    pub fn give_back(&self, keys: &[(Key, Rate)]) {
        let mut buckets = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for (key, rate) in keys {
            if let Some(bucket) = buckets.by_key.get_mut(key) {
                bucket.empty_at = bucket.empty_at.before(rate.refill);
            }
        }
    }
}

impl Buckets {
    /// Each time that there are twice as many, forgets what has recovered, and if that is not enough, the half that would recover
    /// first.
    fn sweep(&mut self, now: Timestamp) {
        let many = (self.swept_at * 2).clamp(SWEEP_FROM, KEYS_MAX);
        if self.by_key.len() <= many {
            return;
        }
        self.by_key.retain(|_, bucket| bucket.empty_at > now);
        if self.by_key.len() > KEYS_MAX {
            let mut times: Vec<_> = self.by_key.values().map(|bucket| bucket.empty_at).collect();
            let middle = times.len() / 2;
            let (_, median, _) = times.select_nth_unstable(middle);
            let median = *median;
            self.by_key.retain(|_, bucket| bucket.empty_at > median);
        }
        self.swept_at = self.by_key.len();
        self.by_key.shrink_to(self.swept_at * 2);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const RATE: Rate = Rate {
        burst: 3,
        refill: Duration::from_secs(10),
    };

    #[test]
    fn a_burst_passes_then_one_per_refill_and_what_is_given_back_counts_not() {
        let throttle = Throttle::default();
        let keys = [(Key::Account("a".into()), RATE)];
        let start = Timestamp::from_unix_seconds(1_000);
        for _ in 0..3 {
            throttle.take(&keys, start).unwrap();
        }
        assert_eq!(throttle.take(&keys, start), Err(Duration::from_secs(10)));
        throttle.give_back(&keys);
        throttle.take(&keys, start).unwrap();
        assert!(
            throttle
                .take(&keys, start.after(Duration::from_secs(9)))
                .is_err()
        );
        throttle
            .take(&keys, start.after(Duration::from_secs(10)))
            .unwrap();
        throttle
            .take(&[(Key::Account("b".into()), RATE)], start)
            .unwrap();
    }

    #[test]
    fn after_a_clock_was_set_back_a_day_a_full_bucket_is_full_and_has_room_again_soon() {
        let throttle = Throttle::default();
        let keys = [(Key::Account("a".into()), RATE)];
        let ahead = Timestamp::from_unix_seconds(1_000_000);
        for _ in 0..3 {
            throttle.take(&keys, ahead).unwrap();
        }
        let now = ahead.before(Duration::from_secs(24 * 3600));
        assert_eq!(throttle.take(&keys, now), Err(Duration::from_secs(10)));
        throttle
            .take(&keys, now.after(Duration::from_secs(40)))
            .unwrap();
    }

    #[test]
    fn a_refused_attempt_takes_from_no_key() {
        let throttle = Throttle::default();
        let now = Timestamp::from_unix_seconds(1_000);
        let tight = (Key::Account("a".into()), Rate { burst: 1, ..RATE });
        let wide = (Key::SignInAddress(AddressBlock(1)), RATE);
        throttle.take(&[tight.clone(), wide.clone()], now).unwrap();
        for _ in 0..10 {
            throttle
                .take(&[tight.clone(), wide.clone()], now)
                .unwrap_err();
        }
        throttle.take(std::slice::from_ref(&wide), now).unwrap();
        throttle.take(std::slice::from_ref(&wide), now).unwrap();
        throttle.take(&[wide], now).unwrap_err();
    }

    #[test]
    fn one_ipv6_network_is_one_address_and_a_mapped_ipv4_is_ipv4() {
        let block = |text: &str| AddressBlock::of(text.parse().unwrap());
        assert_eq!(block("2001:db8::1"), block("2001:db8::ffff:1:2:3"));
        assert_ne!(block("2001:db8::1"), block("2001:db8:0:1::1"));
        assert_eq!(block("192.0.2.1"), block("::ffff:192.0.2.1"));
        assert_ne!(block("192.0.2.1"), block("192.0.2.2"));
    }

    #[test]
    fn memory_stays_bounded_under_a_flood_of_keys() {
        let throttle = Throttle::default();
        let now = Timestamp::from_unix_seconds(1_000);
        for index in 0..KEYS_MAX * 2 {
            throttle
                .take(&[(Key::Account(index.to_string()), RATE)], now)
                .unwrap();
        }
        assert!(throttle.0.lock().unwrap().by_key.len() <= KEYS_MAX);
    }

    #[test]
    fn keys_that_come_once_are_forgotten_long_before_there_are_many() {
        let throttle = Throttle::default();
        let keys = [(Key::Account("busy".into()), RATE)];
        let start = Timestamp::from_unix_seconds(1_000);
        for second in 0..10_000 {
            let now = start.after(Duration::from_secs(second));
            for one in 0..3 {
                let key = Key::Account(format!("{second} {one}"));
                throttle.take(&[(key, RATE)], now).unwrap();
            }
            // Whoever goes on all the time is known all the time.
            throttle.take(&keys, now).ok();
        }
        let kept = throttle.0.lock().unwrap().by_key.len();
        assert!(kept <= SWEEP_FROM * 2, "{kept}");
        let now = start.after(Duration::from_secs(10_000));
        assert!((0..3).any(|_| throttle.take(&keys, now).is_err()));
    }
}
