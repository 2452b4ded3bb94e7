use std::path::Path;

use domain::AuditEventKind as Kind;

use crate::maintenance::{Maintenance, date};
use crate::terminal::plain;

/// As many events are looked through, and told.
const LOOKED_AT: usize = 1000;
const TOLD_MAX: usize = 10;

impl Maintenance {
    /// Why a file that was exported from another state is refused, with what changed last as far as the log has it: when
    /// the file was exported, nobody knows.
    pub(super) async fn stale(
        &self,
        file: &Path,
        base: &str,
        base_now: &str,
    ) -> anyhow::Result<anyhow::Error> {
        let short = |base: &str| plain(base, 12);
        let file = file.display();
        let mut words = format!(
            "{file} was exported from another state than the store has now (base {}, now {}), so nothing was changed. Write \
             the present state with `portcullis export`, and make the edits in it",
            short(base),
            short(base_now)
        );
        let events = self.store().list_newest_audit_events(LOOKED_AT).await;
        // One that cannot be read, as of a newer Portcullis, is no reason to say less than what is known.
        let events = events.unwrap_or_default();
        let events = events
            .iter()
            .filter(|stored| is_of_a_file(stored.event.kind));
        for (index, stored) in events.take(TOLD_MAX).enumerate() {
            if index == 0 {
                words.push_str("\nlately changed:");
            }
            let event = &stored.event;
            let about = [
                event.server.as_ref().map(|slug| slug.as_str()),
                event.client.as_ref().map(|id| id.as_str()),
                Some(event.detail.as_str()),
            ];
            let about: Vec<String> = about
                .into_iter()
                .flatten()
                .filter(|text| !text.is_empty())
                .map(|text| plain(text, 100))
                .collect();
            let kind = event.kind.as_str().replace('_', " ");
            words.push_str(&format!(
                "\n  {}  {kind}  {}",
                date(event.at),
                about.join("  ")
            ));
        }
        Ok(anyhow::anyhow!(words))
    }
}

/// Whether it may have changed what a file holds.
fn is_of_a_file(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::ServerAdded
            | Kind::ServerChanged
            | Kind::ServerRemoved
            | Kind::ServerMoved
            | Kind::PolicyPublished
            | Kind::ClientAdded
            | Kind::ClientChanged
            | Kind::ClientApproved
            | Kind::ClientBlocked
            | Kind::ClientUnblocked
            | Kind::ClientForgotten
            | Kind::UserAdded
            | Kind::UserChanged
            | Kind::UserDisabled
            | Kind::UserEnabled
            | Kind::UserDeleted
            | Kind::SetupLinkUsed
            | Kind::RoleGiven
            | Kind::RoleTaken
            | Kind::GroupAdded
            | Kind::GroupRemoved
            | Kind::GroupJoined
            | Kind::GroupLeft
    )
}
