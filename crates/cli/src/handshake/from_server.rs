use server::{Event, EventKind};
use wire::oauth::ScopeSet;

use super::{Sighting, Step};

/// What an event of the authority means for a handshake, if anything.
pub fn sighting(event: Event) -> Option<Sighting> {
    // What concerns no MCP server, such as a sign-in to the dashboard, is no handshake.
    let server = event.server?;
    let (client, step) = step(event.kind, &server)?;
    Some(Sighting {
        at: event.at,
        server,
        client,
        user_agent: event.user_agent,
        step,
    })
}

fn step(kind: EventKind, server: &str) -> Option<(Option<String>, Step)> {
    Some(match kind {
        EventKind::MetadataServed => (None, Step::Metadata),
        EventKind::Registered {
            client_id,
            client_name,
            waits: true,
            ..
        } => {
            let step = Step::Waits {
                name: client_name,
                client: client_id.clone(),
            };
            (Some(client_id), step)
        }
        EventKind::Registered {
            client_id,
            client_name,
            ..
        } => (Some(client_id), Step::Registered(client_name)),
        EventKind::AuthorizationAsked {
            client_id,
            client_name,
        } => (Some(client_id), Step::Known(client_name)),
        EventKind::ConsentGiven {
            client_id,
            user_name,
            scopes,
            ..
        } => (
            Some(client_id),
            Step::Approved {
                person: user_name,
                scopes: short(&scopes, server),
            },
        ),
        EventKind::ConsentRefused {
            client_id,
            user_name,
            ..
        } => (Some(client_id), Step::Declined(user_name)),
        EventKind::CodeRedeemed { client_id, .. } | EventKind::ActedForItself { client_id, .. } => {
            (Some(client_id), Step::Token)
        }
        EventKind::Refreshed { client_id, .. } => (Some(client_id), Step::Refreshed),
        EventKind::Refused {
            step,
            code,
            reason,
            client_id,
            ..
        } => {
            let text = format!("{step} refused: {reason} ({code})");
            match step {
                // A mistyped password is tried again on the same page.
                "sign-in" => (client_id, Step::Stumbled(text)),
                _ => (client_id, Step::Broken(text)),
            }
        }
        EventKind::SignedIn { .. } | EventKind::Revoked { .. } => return None,
    })
}

/// `todo:read`, `todo:write` → `read, write`.
fn short(scopes: &ScopeSet, server: &str) -> String {
    scopes
        .iter()
        .map(|scope| {
            let text = scope.as_str();
            text.strip_prefix(server)
                .and_then(|rest| rest.strip_prefix(':'))
                .unwrap_or(text)
        })
        .filter(|scope| *scope != "offline_access")
        .collect::<Vec<_>>()
        .join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_slug_before_a_scope_and_offline_access_are_left_out() {
        let scopes = ScopeSet::parse_lenient("offline_access other todo:read todo:write");
        assert_eq!(short(&scopes, "todo"), "other, read, write");
    }
}
