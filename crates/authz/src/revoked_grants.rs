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

#[derive(Default)]
struct Kept {
    /// In the order of their ids. A change copies those that it concerns and shares the others with the snapshot before. An id
    /// begins with its moment, so most changes concern the last one, which is full when the next one begins: no room is left
    /// between them, and what a chunk of some size leaves behind when it grows is of use to the next one.
    chunks: Vec<Arc<Chunk>>,
    /// Ids of any other form.
    others: BTreeMap<String, Timestamp>,
}

/// At least one id, and at most [`CHUNK`].
struct Chunk {
    /// Ids as they are made here, in order, without their text.
    ids: Box<[Packed]>,
    /// When each may be forgotten: Unix seconds, rounded up.
    until: Box<[u32]>,
}

const CHUNK: usize = 128;

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
        let behind = self.0.chunks.partition_point(|chunk| chunk.ids[0] <= id);
        let chunk = &self.0.chunks[behind.checked_sub(1)?];
        let place = chunk.ids.binary_search(&id).ok()?;
        Some(Timestamp::from_unix_seconds(chunk.until[place].into()))
    }

    /// How many they are.
    pub fn len(&self) -> usize {
        let ids = self.0.chunks.iter().map(|chunk| chunk.ids.len());
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
        let mut new = Vec::new();
        for (grant, until) in more {
            match (pack(&grant), seconds(until)) {
                (Some(id), Some(until)) => new.push((id, until)),
                _ => {
                    others.insert(grant, until);
                }
            }
        }
        others.retain(|_, until| *until > now);
        new.sort_unstable();
        let mut rest = new.as_slice();
        let mut chunks = Chunks::default();
        for (place, chunk) in self.0.chunks.iter().enumerate() {
            let next = self.0.chunks.get(place + 1);
            let here = match next {
                Some(next) => rest.partition_point(|(id, _)| *id < next.ids[0]),
                None => rest.len(),
            };
            let (new, later) = rest.split_at(here);
            rest = later;
            chunks.take(chunk, new, next.is_none(), now);
        }
        // Only where there was none before.
        chunks.add(kept(rest.iter().copied(), now), true);
        if !chunks.are_others && others == self.0.others {
            return self.clone();
        }
        let chunks = chunks.chunks;
        Self(Arc::new(Kept { chunks, others }))
    }

    fn iter(&self) -> impl Iterator<Item = (String, Timestamp)> {
        let chunks = self.0.chunks.iter();
        let packed = chunks.flat_map(|chunk| chunk.entries());
        packed
            .map(|(id, until)| (unpack(&id), Timestamp::from_unix_seconds(until.into())))
            .chain(self.0.others.clone())
    }
}

/// The same entries, however they came to be in their chunks.
impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        let entries = |kept: &Self| {
            let chunks = kept.chunks.clone().into_iter();
            chunks.flat_map(|chunk| chunk.entries().collect::<Vec<_>>())
        };
        self.others == other.others && entries(self).eq(entries(other))
    }
}

impl Eq for Kept {}

impl Chunk {
    fn entries(&self) -> impl Iterator<Item = (Packed, u32)> {
        self.ids.iter().copied().zip(self.until.iter().copied())
    }
}

/// The chunks of the next snapshot.
#[derive(Default)]
struct Chunks {
    chunks: Vec<Arc<Chunk>>,
    are_others: bool,
}

impl Chunks {
    /// One of the snapshot before with what is new in its place, and without what may be forgotten.
    fn take(
        &mut self,
        chunk: &Arc<Chunk>,
        mut new: &[(Packed, u32)],
        is_last: bool,
        now: Timestamp,
    ) {
        if new.is_empty() && !chunk.until.iter().any(|until| is_past(*until, now)) {
            self.chunks.push(Arc::clone(chunk));
            return;
        }
        let is_behind = is_last
            && new
                .first()
                .is_some_and(|new| Some(&new.0) > chunk.ids.last());
        let mut merged = Vec::with_capacity(chunk.ids.len() + new.len());
        for entry in chunk.entries() {
            let earlier = new.partition_point(|new| *new < entry);
            merged.extend_from_slice(&new[..earlier]);
            new = &new[earlier..];
            merged.push(entry);
        }
        merged.extend_from_slice(new);
        let kept = kept(merged, now);
        // What was there already changes nothing.
        if kept.iter().copied().eq(chunk.entries()) {
            self.chunks.push(Arc::clone(chunk));
            return;
        }
        self.are_others = true;
        self.add(kept, is_behind);
    }

    /// Entries in order, in the last chunk if there is room in it, and else in others: full ones if more will come behind them
    /// and not between.
    fn add(&mut self, mut entries: Vec<(Packed, u32)>, is_behind: bool) {
        if entries.is_empty() {
            return;
        }
        self.are_others = true;
        if let Some(last) = self.chunks.last()
            && last.ids.len() + entries.len() <= CHUNK
        {
            entries.splice(0..0, last.entries());
            self.chunks.pop();
        }
        let size = match is_behind {
            true => CHUNK,
            false => entries.len().div_ceil(entries.len().div_ceil(CHUNK)),
        };
        for entries in entries.chunks(size) {
            let (ids, until): (Vec<_>, Vec<_>) = entries.iter().copied().unzip();
            self.chunks.push(Arc::new(Chunk {
                ids: ids.into(),
                until: until.into(),
            }));
        }
    }
}

/// Each id once, with the latest of its moments, and none that may be forgotten. They come in order.
fn kept(entries: impl IntoIterator<Item = (Packed, u32)>, now: Timestamp) -> Vec<(Packed, u32)> {
    let entries = entries.into_iter();
    let mut kept: Vec<(Packed, u32)> = Vec::with_capacity(entries.size_hint().0);
    for (id, until) in entries.filter(|(_, until)| !is_past(*until, now)) {
        match kept.last_mut() {
            Some(last) if last.0 == id => last.1 = until.max(last.1),
            _ => kept.push((id, until)),
        }
    }
    kept
}

fn is_past(until: u32, now: Timestamp) -> bool {
    Timestamp::from_unix_seconds(until.into()) <= now
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

    /// Of the moment, as they are made.
    fn grant_of(moment: u32) -> String {
        let mut id = Packed::default();
        OsRandom.fill(&mut id);
        id[..6].copy_from_slice(&(1_795_132_800_000 + u64::from(moment)).to_be_bytes()[2..]);
        unpack(&id)
    }

    #[test]
    fn those_that_come_in_the_order_of_their_moments_leave_no_room_between_them() {
        let mut revoked = RevokedGrants::default();
        for moment in 0..3000 {
            revoked = revoked.with([(grant_of(moment), at(i64::from(moment)))], at(-1));
        }
        let full = 3000 / CHUNK;
        assert_eq!(revoked.0.chunks.len(), full + 1);
        let chunks = revoked.0.chunks[..full].iter();
        assert!(chunks.clone().all(|chunk| chunk.ids.len() == CHUNK));
        // Most of them leave again, here and there: the others move together.
        let mut left = revoked.clone();
        for gone in [1000, 2000, 2900] {
            left = left.with([], at(gone));
        }
        assert_eq!(left.len(), 99);
        assert_eq!(left.0.chunks.len(), 2);
        let many = (0..3000).map(|moment| (grant_of(moment), at(i64::from(moment % 30))));
        let few = revoked.with(many, at(28)).with([], at(2990));
        assert_eq!(few.len(), 9);
        assert!(few.0.chunks.len() <= 2, "{}", few.0.chunks.len());
    }

    #[test]
    fn they_are_the_same_whatever_way_they_came() {
        let entries: Vec<_> = (0..1000).map(|index| (grant(), at(index))).collect();
        let mut one_by_one = RevokedGrants::default();
        for entry in &entries {
            one_by_one = one_by_one.with([entry.clone()], at(-1));
        }
        let mut backwards = RevokedGrants::default();
        for part in entries.rchunks(50) {
            backwards = backwards.with(part.iter().cloned(), at(-1));
        }
        let at_once: RevokedGrants = entries.iter().cloned().collect();
        assert_eq!(one_by_one, at_once);
        assert_eq!(backwards, at_once);
        assert_ne!(one_by_one.with([(grant(), at(1))], at(-1)), at_once);
        assert_ne!(
            one_by_one.with([(entries[0].0.clone(), at(1))], at(-1)),
            at_once
        );
    }

    #[test]
    fn a_change_shares_what_it_does_not_concern() {
        let ids: Vec<String> = (0..5000).map(|_| grant()).collect();
        let all: RevokedGrants = ids.iter().map(|id| (id.clone(), at(5))).collect();
        let one = all.with([(grant(), at(9))], at(0));
        let shared = |one: &RevokedGrants, other: &RevokedGrants| {
            let theirs = |chunk| other.0.chunks.iter().any(|other| Arc::ptr_eq(chunk, other));
            one.0.chunks.iter().filter(|chunk| theirs(chunk)).count()
        };
        let chunks = all.0.chunks.len();
        assert_eq!(chunks, 5000usize.div_ceil(CHUNK));
        assert_eq!(shared(&all, &one), chunks - 1);
        assert_eq!(shared(&one, &one.with([], at(0))), one.0.chunks.len());
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
