use domain::{AuditEventKind, GrantId};
use store::{GrantRevoked, Store, StoreError};

use crate::{Act, users};

/// Ends a grant: its refresh tokens at once, and within a second its access tokens everywhere. What the person approved is
/// forgotten too, so that the client has to ask them again.
///
/// # Errors
/// When the store fails.
pub async fn revoke(
    store: &Store,
    act: impl Into<Act>,
    grant: &GrantId,
) -> Result<GrantRevoked, StoreError> {
    let act = act.into();
    let until = users::tokens_ended_at(store, act.at).await?;
    let by = match (&act.by, &act.through) {
        (None, None) => "by a command",
        _ => "over the admin API",
    };
    let event = act.event(AuditEventKind::GrantRevoked, None, by);
    store.revoke_grant(grant, until, event).await
}
