use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use base::{Timestamp, base64url, base64url_decode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The grants that were revoked, each with the moment it may be forgotten.
///
/// They are remembered for more than a day, so a busy authority has very many, and each node and each snapshot has them: they
/// are kept in 26 bytes each, sorted, and shared between snapshots. On the wire it is an object of ids and moments.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RevokedGrants(Arc<Kept>);

#[derive(Default, PartialEq, Eq)]
struct Kept {
    /// By the last byte of the id, which is random, or none while there are no ids. A change copies those that it concerns, a
    /// few hundred bytes, and shares the others with the snapshot before.
    shards: Vec<Arc<Shard>>,
    /// Ids of any other form.
    others: BTreeMap<String, Timestamp>,
}

#[derive(Default, PartialEq, Eq)]
struct Shard {
    /// Ids as they are made here, in order, without their text.
    ids: Vec<Packed>,
    /// When each may be forgotten: Unix seconds, rounded up.
    until: Vec<u32>,
}

const SHARDS: usize = 256;

/// Room comes in such steps, so that what a shard leaves behind is of use to the next one.
const ROOM_STEP: usize = 32;

/// Six bytes of milliseconds and sixteen that are random.
type Packed = [u8; 22];

const PREFIX: &str = "gra_";
const TIME_DIGITS: usize = 12;

impl RevokedGrants {
    /// Until when this grant is known as revoked; `None` when it was not.
    pub fn until(&self, grant: &str) -> Option<Timestamp> {
        let Some(id) = pack(grant) else {
            return self.0.others.get(grant).copied();
        };
        let shard = self.0.shards.get(shard_of(&id))?;
        let place = shard.ids.binary_search(&id).ok()?;
        Some(Timestamp::from_unix_seconds(shard.until[place].into()))
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        let ids = self.0.shards.iter().map(|shard| shard.ids.len());
        ids.sum::<usize>() + self.0.others.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// These and `more`, without those that may be forgotten at `now`. The same ones again cost nothing.
    #[must_use]
    pub fn with(
        &self,
        more: impl IntoIterator<Item = (String, Timestamp)>,
        now: Timestamp,
    ) -> Self {
        let mut others = self.0.others.clone();
        let mut new: Vec<Vec<(Packed, u32)>> = vec![Vec::new(); SHARDS];
        for (grant, until) in more {
            match (pack(&grant), seconds(until)) {
                (Some(id), Some(until)) => new[shard_of(&id)].push((id, until)),
                _ => {
                    others.insert(grant, until);
                }
            }
        }
        others.retain(|_, until| *until > now);
        let mut shards = self.0.shards.clone();
        shards.resize_with(SHARDS, Arc::default);
        let mut is_same = others == self.0.others;
        for (shard, new) in shards.iter_mut().zip(new) {
            if let Some(changed) = shard.with(new, now) {
                *shard = Arc::new(changed);
                is_same = false;
            }
        }
        if is_same {
            return self.clone();
        }
        if shards.iter().all(|shard| shard.ids.is_empty()) {
            shards = Vec::new();
        }
        Self(Arc::new(Kept { shards, others }))
    }

    fn iter(&self) -> impl Iterator<Item = (String, Timestamp)> {
        let shards = self.0.shards.iter();
        let packed = shards.flat_map(|shard| shard.ids.iter().zip(&shard.until));
        packed
            .map(|(id, until)| (unpack(id), Timestamp::from_unix_seconds((*until).into())))
            .chain(self.0.others.clone())
    }
}

impl Shard {
    /// The same with `new` and without what may be forgotten, if that is another one.
    fn with(&self, mut new: Vec<(Packed, u32)>, now: Timestamp) -> Option<Self> {
        let forgotten = |until: u32| Timestamp::from_unix_seconds(until.into()) <= now;
        if new.is_empty() && !self.until.iter().copied().any(forgotten) {
            return None;
        }
        new.sort_unstable();
        let room = (self.ids.len() + new.len()).next_multiple_of(ROOM_STEP);
        let (mut ids, mut until) = (Vec::with_capacity(room), Vec::with_capacity(room));
        let mut keep = |id: Packed, moment: u32| match ids.last() {
            _ if forgotten(moment) => {}
            Some(last) if *last == id => {
                let last = until.len() - 1;
                until[last] = moment.max(until[last]);
            }
            _ => {
                ids.push(id);
                until.push(moment);
            }
        };
        let mut new = new.into_iter().peekable();
        for (id, moment) in self.ids.iter().zip(&self.until) {
            while let Some((id, moment)) = new.next_if(|(earlier, _)| earlier < id) {
                keep(id, moment);
            }
            keep(*id, *moment);
        }
        for (id, moment) in new {
            keep(id, moment);
        }
        // A day's worth that is forgotten at once leaves no room behind.
        let room = ids.len().next_multiple_of(ROOM_STEP);
        ids.shrink_to(room);
        until.shrink_to(room);
        Some(Self { ids, until })
    }
}

fn shard_of(id: &Packed) -> usize {
    usize::from(id[id.len() - 1])
}

fn seconds(moment: Timestamp) -> Option<u32> {
    let milliseconds = u64::try_from(moment.unix_ms()).ok()?;
    u32::try_from(milliseconds.div_ceil(1000)).ok()
}

/// Only what is made again exactly so.
fn pack(grant: &str) -> Option<Packed> {
    let (time, random) = grant.strip_prefix(PREFIX)?.split_at_checked(TIME_DIGITS)?;
    let time = u64::from_str_radix(time, 16).ok()?;
    let random = base64url_decode(random).filter(|random| random.len() == 16)?;
    let mut id = Packed::default();
    id[..6].copy_from_slice(&time.to_be_bytes()[2..]);
    id[6..].copy_from_slice(&random);
    (unpack(&id) == grant).then_some(id)
}

fn unpack(id: &Packed) -> String {
    let mut time = [0u8; 8];
    time[2..].copy_from_slice(&id[..6]);
    format!(
        "{PREFIX}{:012x}{}",
        u64::from_be_bytes(time),
        base64url(&id[6..])
    )
}

impl fmt::Debug for RevokedGrants {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} grants", self.len())
    }
}

impl FromIterator<(String, Timestamp)> for RevokedGrants {
    fn from_iter<I: IntoIterator<Item = (String, Timestamp)>>(grants: I) -> Self {
        Self::default().with(grants, Timestamp::from_unix_ms(i64::MIN))
    }
}

impl Serialize for RevokedGrants {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter())
    }
}

impl<'de> Deserialize<'de> for RevokedGrants {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries;
        impl<'de> Visitor<'de> for Entries {
            type Value = RevokedGrants;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object of grant ids and moments")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(entries.into_iter().collect())
            }
        }
        deserializer.deserialize_map(Entries)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use base::{OsRandom, Random as _};

    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_unix_seconds(1_795_132_800 + seconds)
    }

    fn grant() -> String {
        let mut id = Packed::default();
        OsRandom.fill(&mut id);
        unpack(&id)
    }

    #[test]
    fn what_was_revoked_is_found_until_it_is_forgotten_and_nothing_else_is() {
        let ids: Vec<String> = (0..1000).map(|_| grant()).collect();
        let until = |index: usize| at(i64::try_from(index).unwrap());
        let mut revoked = RevokedGrants::default();
        for (part, ids) in ids.chunks(7).enumerate() {
            let new = ids.iter().enumerate();
            let new = new.map(|(index, id)| (id.clone(), until(part * 7 + index)));
            revoked = revoked.with(new, at(-1));
        }
        assert_eq!(revoked.len(), 1000);
        for (index, id) in ids.iter().enumerate() {
            assert_eq!(revoked.until(id), Some(until(index)));
        }
        assert_eq!(revoked.until(&grant()), None);
        let later = revoked.with([], at(499));
        assert_eq!(later.len(), 500);
        assert_eq!(later.until(&ids[499]), None);
        assert_eq!(later.until(&ids[500]), Some(until(500)));
        // The same again is the same, and of two moments the later counts.
        let again = later.with([(ids[500].clone(), at(0))], at(-1));
        assert_eq!(again, later);
        let longer = later.with([(ids[500].clone(), at(9000))], at(0));
        assert_eq!(longer.until(&ids[500]), Some(at(9000)));
        assert_eq!(longer.len(), 500);
    }

    #[test]
    fn a_change_shares_what_it_does_not_concern() {
        let ids: Vec<String> = (0..5000).map(|_| grant()).collect();
        let all: RevokedGrants = ids.iter().map(|id| (id.clone(), at(5))).collect();
        let one = all.with([(grant(), at(9))], at(0));
        let shared = |one: &RevokedGrants, other: &RevokedGrants| {
            let both = one.0.shards.iter().zip(&other.0.shards);
            both.filter(|(one, other)| Arc::ptr_eq(one, other)).count()
        };
        assert_eq!(shared(&all, &one), SHARDS - 1);
        assert_eq!(shared(&one, &one.with([], at(0))), SHARDS);
        assert_eq!(one.with([], at(5)).len(), 1);
        assert!(one.with([], at(9)).is_empty());
        assert_eq!(one.with([], at(9)), RevokedGrants::default());
    }

    #[test]
    fn an_id_of_another_form_is_kept_as_it_is() {
        let real = grant();
        for other in [
            "grt_1",
            "",
            "gra_",
            "gra_00000000000é",
            &real.to_uppercase(),
            &format!("{real}A"),
            &real[..real.len() - 1],
        ] {
            let revoked: RevokedGrants = [(other.to_owned(), at(5))].into_iter().collect();
            assert_eq!(revoked.until(other), Some(at(5)), "{other}");
            assert_eq!(revoked.until(&real), None, "{other}");
            assert!(revoked.with([], at(5)).is_empty());
        }
        // The last character has bits that say nothing: with these it is another text, and another grant.
        let mut twin = real[..real.len() - 1].to_owned();
        twin.push(if real.ends_with('B') { 'C' } else { 'B' });
        let revoked: RevokedGrants = [(real.clone(), at(5))].into_iter().collect();
        assert_eq!(revoked.until(&twin), None);
    }

    #[test]
    fn it_is_an_object_of_ids_and_moments_on_the_wire() {
        let entries = [(grant(), at(5)), ("grt_1".to_owned(), at(6))];
        let revoked: RevokedGrants = entries.iter().cloned().collect();
        let text = serde_json::to_string(&revoked).unwrap();
        let map: BTreeMap<String, Timestamp> = serde_json::from_str(&text).unwrap();
        assert_eq!(map, entries.into_iter().collect());
        let read: RevokedGrants = serde_json::from_str(&text).unwrap();
        assert_eq!(read, revoked);
    }
}
