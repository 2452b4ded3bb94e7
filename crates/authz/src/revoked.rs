use crate::{Revocations, VerifiedToken};

/// Whether the token was revoked.
pub fn revoked(_revocations: &Revocations, _token: &VerifiedToken) -> bool {
    todo!()
}
