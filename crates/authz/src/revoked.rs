use base::Timestamp;

use crate::{Revocations, VerifiedToken};

/// Whether a token that verified was revoked meanwhile: asked for every call, for a token may be kept.
///
/// A token of the very second of a cut-off counts as older, because `iat` does not say more.
pub fn revoked(revocations: &Revocations, token: &VerifiedToken) -> bool {
    if revocations.grants.until(&token.grant_id).is_some() {
        return true;
    }
    let issued = Timestamp::from_unix_seconds(token.iat);
    let cut_off = |moment: Option<&Timestamp>| moment.is_some_and(|moment| issued < *moment);
    let standing = revocations.standings.get(&token.sub);
    standing.is_some_and(|standing| token.standing < *standing)
        || cut_off(revocations.everybody.as_ref())
        || cut_off(revocations.subjects.get(&token.sub))
        || cut_off(revocations.clients.get(&token.client_id))
}
