use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use authz::{CallCount, LimitPer, Rate, RateLimit};
use base::{Random, Timestamp};

use crate::{Principal, RefusalCause};

/// How many counts are kept for one MCP server; one takes about forty bytes.
const COUNTS_MAX: usize = 256 * 1024;

const SHARDS: usize = 64;

/// A shard with fewer counts is not looked through for those that are nothing any more.
const CLEAN_FROM: usize = 64;

/// How often everybody called under the rate limits of one MCP server. In memory alone: each node counts by itself, and a
/// restart begins anew.
///
/// It does not grow without end. Counts of which nothing is left are forgotten, which frees nobody. While a shard is full of
/// others, whoever has no count yet shares one with all who have none: a flood of new callers slows itself, and takes no
/// count away from anybody.
#[derive(Debug)]
pub(crate) struct RateCounts {
    hashers: [RandomState; 2],
    shards: [Mutex<Shard>; SHARDS],
}

/// A hash of a limit and of who is counted under it, 128 bits that nobody can foresee: ids are of any length.
type Key = [u64; 2];

#[derive(Debug)]
struct Shard {
    counts: HashMap<Key, CallCount>,
    counts_max: usize,
    clean_at: usize,
    /// Before this is nothing, no count of a full shard is.
    earliest: CallCount,
}

/// Where a call is counted under one limit.
struct Place<'a> {
    limit: &'a RateLimit,
    key: Key,
    /// Which of the shards that are held.
    held: usize,
}

/// One call that was counted under one limit.
#[derive(Debug)]
pub(crate) struct Counted {
    key: Key,
    rate: Rate,
}

/// A limit that was reached.
#[derive(Debug)]
pub(crate) struct TooOften<'a> {
    limit: &'a RateLimit,
    wait: Duration,
}

#[derive(Hash)]
enum Who<'a> {
    Person(&'a str),
    Client(&'a str),
    PersonAndClient(&'a str, &'a str),
    Everybody,
    WhoeverHasNone,
}

impl<'a> Who<'a> {
    fn of(principal: &'a Principal, per: LimitPer) -> Self {
        match per {
            LimitPer::Person => Self::Person(&principal.subject),
            LimitPer::Client => Self::Client(&principal.client),
            LimitPer::PersonAndClient => {
                Self::PersonAndClient(&principal.subject, &principal.client)
            }
            LimitPer::Everybody => Self::Everybody,
        }
    }
}

impl RateCounts {
    pub(crate) fn new() -> Self {
        Self {
            hashers: [RandomState::new(), RandomState::new()],
            shards: std::array::from_fn(|_| {
                Mutex::new(Shard {
                    counts: HashMap::new(),
                    counts_max: COUNTS_MAX / SHARDS,
                    clean_at: CLEAN_FROM,
                    earliest: CallCount::default(),
                })
            }),
        }
    }

    /// Counts one call of `principal` under each of `limits`, or under none of them.
    ///
    /// # Errors
    /// The limit that it has to wait for longest.
    pub(crate) fn take<'a>(
        &self,
        limits: impl Iterator<Item = &'a RateLimit>,
        principal: &Principal,
        now: Timestamp,
    ) -> Result<Vec<Counted>, TooOften<'a>> {
        let mut places: Vec<Place<'a>> = limits
            .map(|limit| Place {
                limit,
                key: self.key(limit, &Who::of(principal, limit.per)),
                held: 0,
            })
            .collect();
        // All of them are held until it is counted, so that nobody sees a call counted that another limit refuses; and each
        // call takes them in the same order, so that no two wait for one another.
        places.sort_unstable_by_key(|place| shard_of(place.key));
        let mut held: Vec<(usize, MutexGuard<'_, Shard>)> = Vec::with_capacity(places.len());
        for place in &mut places {
            let index = shard_of(place.key);
            if held.last().is_none_or(|(last, _)| *last != index) {
                held.push((index, self.shard(index)));
            }
            place.held = held.len() - 1;
            if !held[place.held].1.has_room_for(place.key, now) {
                let none = self.key(place.limit, &Who::WhoeverHasNone);
                // In the same shard.
                place.key = [index as u64, none[1]];
            }
        }
        // Whoever calls too often only looks, so that they take no room from others meanwhile.
        let waits = places.iter().filter_map(|place| {
            let limit = place.limit;
            let count = held[place.held].1.counts.get_mut(&place.key)?;
            *count = count.at_most_full(limit, now);
            let wait = count.take(limit, now).err()?;
            Some(TooOften { limit, wait })
        });
        if let Some(longest) = waits.max_by_key(|reached| reached.wait) {
            return Err(longest);
        }
        let counted = places.into_iter().map(|place| {
            let count = held[place.held].1.counts.entry(place.key).or_default();
            // There is room: it was looked, and one call at least fits into each limit.
            *count = count.take(place.limit, now).unwrap_or(*count);
            Counted {
                key: place.key,
                rate: place.limit.rate,
            }
        });
        Ok(counted.collect())
    }

    /// Takes back what was counted for one call.
    pub(crate) fn give_back(&self, counted: Vec<Counted>) {
        for Counted { key, rate } in counted {
            if let Some(count) = self.shard(shard_of(key)).counts.get_mut(&key) {
                *count = count.give_back(rate);
            }
        }
    }

    fn key(&self, limit: &RateLimit, who: &Who<'_>) -> Key {
        let hash = |hasher: &RandomState| hasher.hash_one((&limit.id, who));
        [hash(&self.hashers[0]), hash(&self.hashers[1])]
    }

    fn shard(&self, index: usize) -> MutexGuard<'_, Shard> {
        let shard = self.shards[index].lock();
        shard.unwrap_or_else(PoisonError::into_inner)
    }
}

fn shard_of(key: Key) -> usize {
    key[0] as usize % SHARDS
}

impl Shard {
    /// Whether a count for `key` is here or can be.
    fn has_room_for(&mut self, key: Key, now: Timestamp) -> bool {
        if self.counts.contains_key(&key) {
            return true;
        }
        if self.counts.len() >= self.clean_at && self.earliest.is_nothing(now) {
            self.clean(now);
        }
        self.counts.len() < self.counts_max
    }

    fn clean(&mut self, now: Timestamp) {
        self.counts.retain(|_, count| !count.is_nothing(now));
        self.clean_at = (self.counts.len() * 2).clamp(CLEAN_FROM, self.counts_max);
        self.counts.shrink_to(self.clean_at);
        let is_full = self.counts.len() >= self.counts_max;
        // Until then, looking again would find nothing.
        let earliest = self.counts.values().min().filter(|_| is_full);
        self.earliest = earliest.copied().unwrap_or_default();
    }
}

impl TooOften<'_> {
    /// After how many seconds there is room, rounded up. Of many who wait for the same room, half are told a second more, so
    /// that they do not all come back at once.
    pub(crate) fn retry_after(&self, random: &dyn Random) -> u32 {
        let seconds = self.wait.as_millis().div_ceil(1000).max(1);
        let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
        let mut coin = [0];
        if self.limit.per.is_shared() {
            random.fill(&mut coin);
        }
        seconds.saturating_add(u32::from(coin[0] & 1))
    }

    /// The limit, as the rule that decided.
    pub(crate) fn rule(&self) -> String {
        format!("{}: {}", self.limit.id, self.limit)
    }

    /// For the log, which names the limit.
    pub(crate) fn reason(&self) -> String {
        format!("{} ({})", RefusalCause::RateLimited.as_str(), self.rule())
    }
}

#[cfg(test)]
mod tests;
