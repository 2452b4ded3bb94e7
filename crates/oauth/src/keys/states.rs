use std::time::Duration;

use base::Timestamp;
use domain::SigningKeyRecord;

use super::{PURPOSES, SKEW};
use crate::signing_keys::in_turn;

/// What a key is good for at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyState {
    /// In the JWK Set; it begins to sign then.
    Published(Timestamp),
    /// It signs.
    Signs,
    /// It verifies what it once signed, until then.
    Verifies(Timestamp),
    /// Under it nothing is good any more; what it signed would have ended then.
    Withdrawn(Timestamp),
}

/// What each of `records` is good for now.
pub fn states(records: &[SigningKeyRecord], now: Timestamp) -> Vec<(&SigningKeyRecord, KeyState)> {
    let mut states = Vec::with_capacity(records.len());
    for purpose in PURPOSES {
        let turns: Vec<_> = in_turn(records, purpose).collect();
        for (index, record) in turns.iter().enumerate() {
            let successor = turns.get(index + 1).map(|next| next.signs_from);
            states.push((
                *record,
                match successor.filter(|from| *from <= now) {
                    Some(stopped) => KeyState::Verifies(last_token_ends(record, stopped)),
                    None if record.signs_from > now && index > 0 => {
                        KeyState::Published(record.signs_from)
                    }
                    None => KeyState::Signs,
                },
            ));
        }
    }
    states.extend(records.iter().filter_map(|record| {
        let at = record.withdrawn_at?;
        Some((record, KeyState::Withdrawn(last_token_ends(record, at))))
    }));
    states
}

fn last_token_ends(record: &SigningKeyRecord, stopped: Timestamp) -> Timestamp {
    stopped
        .after(Duration::from_secs(record.token_seconds_max))
        .after(SKEW)
}
