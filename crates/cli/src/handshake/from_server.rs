use server::{Event, EventKind};
use wire::oauth::ScopeSet;

use super::{Sighting, Step};

/// What an event of the authority means for a handshake, if anything.
pub fn sighting(event: Event) -> Option<Sighting> {
    let reference = match &event.kind {
        EventKind::Refused { correlation_id, .. } => Some(correlation_id.clone()),
        _ => None,
    };
    let server = match event.server {
        Some(server) => server,
        // Whoever is refused was given a reference, and looks for it here.
        None if reference.is_some() => String::new(),
        // What concerns no MCP server, such as a sign-in to the dashboard, is no handshake.
        None => return None,
    };
    let (client, step) = step(event.kind, &server)?;
    Some(Sighting {
        at: event.at,
        server,
        client,
        user_agent: event.user_agent,
        step,
        reference,
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
    #![allow(clippy::unwrap_used)]
    use base::Timestamp;

    use super::*;

    #[test]
    fn a_refusal_has_its_reference_also_where_it_concerns_no_mcp_server() {
        let seen = |server: Option<&str>, kind| {
            sighting(Event {
                at: Timestamp::from_unix_ms(0),
                server: server.map(str::to_owned),
                user_agent: None,
                kind,
            })
        };
        let refused = || EventKind::Refused {
            step: "token",
            code: "invalid_grant",
            reason: "it is over".into(),
            client_id: None,
            correlation_id: "EWm9HMgR0VHC".into(),
        };
        for server in [Some("todo"), None] {
            let seen = seen(server, refused()).unwrap();
            assert_eq!(seen.reference.as_deref(), Some("EWm9HMgR0VHC"));
            let text = "token refused: it is over (invalid_grant)";
            assert_eq!(seen.step, Step::Broken(text.into()));
        }
        let other = seen(Some("todo"), EventKind::MetadataServed).unwrap();
        assert_eq!(other.reference, None);
        assert_eq!(seen(None, EventKind::MetadataServed), None);
    }

    #[test]
    fn the_slug_before_a_scope_and_offline_access_are_left_out() {
        let scopes = ScopeSet::parse_lenient("offline_access other todo:read todo:write");
        assert_eq!(short(&scopes, "todo"), "other, read, write");
    }
}
