use std::path::Path;

use base::{Clock as _, SystemClock, Timestamp};
use domain::{CallRecord, Client, ClientTrust, Consent, Group, ServiceToken, TokenFamily, User};
use serde_json::{Value, json};
use store::{ActivityLog, GivenRole, SignInRecord, StoredAuditEvent};

use super::Named;
use super::json::JsonDocument;
use crate::maintenance::{Maintenance, PAGE};
use crate::terminal::Terminal;

/// Counted up when a member is renamed, goes, or means something else; new members leave it.
const FORMAT: u32 = 1;

/// Writes a list page by page: `$page` reads the page behind `$after`, `$key` is where the next one begins.
macro_rules! pages {
    ($document:ident, $name:literal, $start:expr, |$after:ident| $page:expr, |$last:ident| $key:expr, $shown:expr) => {{
        $document.list($name)?;
        let mut $after = $start;
        loop {
            let page = $page.await?;
            for row in &page {
                $document.entry(&$shown(row))?;
            }
            match page.last() {
                Some($last) if page.len() == PAGE => $after = $key,
                _ => break,
            }
        }
        $document.end_list()?;
    }};
}

impl Maintenance {
    /// Runs `portcullis people export`: a page at a time, so that it may be of any length.
    pub(super) async fn export_person(
        &self,
        person: &Named,
        output: Option<&Path>,
        out: &Terminal,
    ) -> anyhow::Result<()> {
        let user = self.person(person).await?;
        let activity = self.open_activity().await?;
        let document = JsonDocument::begin(output, out)?;
        let ended = self.write_person(&user, &activity, document).await;
        activity.close().await;
        ended
    }

    async fn write_person(
        &self,
        user: &User,
        activity: &ActivityLog,
        mut document: JsonDocument,
    ) -> anyhow::Result<()> {
        let (store, id) = (self.store(), &user.id);
        document.member("format", &json!(FORMAT))?;
        document.member("authority", &json!(self.public_url().await?))?;
        document.member("exported_at", &time(SystemClock.now()))?;
        document.member("person", &profile(user))?;
        let groups = store.list_groups_of(id).await?;
        document.member("groups", &groups.iter().map(group).collect::<Value>())?;
        let roles = store.list_given_roles(None, Some(id)).await?;
        document.member("roles", &roles.iter().map(role).collect::<Value>())?;
        pages!(
            document,
            "sign_ins",
            None,
            |after| store.list_sign_ins_of(id, after.as_ref(), PAGE),
            |last| Some(last.id.clone()),
            sign_in
        );
        pages!(
            document,
            "consents",
            None,
            |after| store.list_consents_of(id, after.as_ref(), PAGE),
            |last| Some(last.clone()),
            consent
        );
        pages!(
            document,
            "grants",
            None,
            |after| store.list_families_of(id, after.as_ref(), PAGE),
            |last| Some(last.id.clone()),
            grant
        );
        pages!(
            document,
            "service_tokens",
            None,
            |after| store.list_service_tokens(None, Some(id), after.as_ref(), PAGE),
            |last| Some(last.id.clone()),
            service_token
        );
        pages!(
            document,
            "clients",
            None,
            |after| store.list_clients_of(id, after.as_ref(), PAGE),
            |last| Some(last.id.clone()),
            client
        );
        pages!(
            document,
            "client_decisions",
            None,
            |after| store.list_client_trust_by(id, after.as_ref(), PAGE),
            |last| Some(last.clone()),
            decision
        );
        pages!(
            document,
            "audit_events",
            0,
            |after| store.list_audit_events_of(id, after, PAGE),
            |last| last.id,
            event
        );
        pages!(
            document,
            "calls",
            0,
            |after| activity.list_calls_of(id.as_str(), after, PAGE),
            |last| last.0,
            |row: &(i64, CallRecord)| crate::activity::document(&row.1)
        );
        document.finish()
    }
}

fn time(at: Timestamp) -> Value {
    match jiff::Timestamp::from_millisecond(at.unix_ms()) {
        Ok(time) => json!(time.to_string()),
        Err(_) => Value::Null,
    }
}

fn optional_time(at: Option<Timestamp>) -> Value {
    at.map_or(Value::Null, time)
}

/// Of the password it is said whether there is one.
fn profile(user: &User) -> Value {
    json!({
        "id": user.id.as_str(),
        "email": user.email.as_str(),
        "name": user.name,
        "role": user.role.as_str(),
        "has_password": user.password_hash.is_some(),
        "added_at": time(user.created_at),
        "disabled_at": optional_time(user.disabled_at),
    })
}

fn group(group: &Group) -> Value {
    json!({"id": group.id.as_str(), "name": group.name})
}

/// Given to them directly.
fn role(given: &GivenRole) -> Value {
    json!({"server": given.server.as_str(), "role": given.role})
}

fn sign_in(session: &SignInRecord) -> Value {
    json!({
        "id": session.id.as_str(),
        "signed_in_at": time(session.authenticated_at),
        "ends_at": time(session.expires_at),
        "ended_at": optional_time(session.ended_at),
    })
}

fn consent(consent: &Consent) -> Value {
    json!({
        "server": consent.server.as_str(),
        "client": consent.client.as_str(),
        "redirect_uri": consent.redirect_uri,
        "scopes": consent.scopes.to_string(),
        "approved_at": time(consent.approved_at),
    })
}

fn grant(family: &TokenFamily) -> Value {
    json!({
        "id": family.id.as_str(),
        "server": family.server.as_str(),
        "client": family.client.as_str(),
        "redirect_uri": family.redirect_uri,
        "scopes": family.scopes.to_string(),
        "withheld": family.withheld,
        "signed_in_at": time(family.authenticated_at),
        "began_at": time(family.created_at),
        "ends_at": time(family.expires_at),
        "ended_at": optional_time(family.ended.map(|(at, _)| at)),
        "end_reason": family.ended.map(|(_, reason)| reason.as_str()),
    })
}

fn service_token(token: &ServiceToken) -> Value {
    json!({
        "id": token.id.as_str(),
        "server": token.server.as_str(),
        "name": token.name,
        "scopes": token.scopes.to_string(),
        "grant": token.grant.as_str(),
        "created_at": time(token.created_at),
        "ends_at": time(token.expires_at),
        "revoked_at": optional_time(token.revoked_at),
    })
}

fn client(client: &Client) -> Value {
    let redirect_uris: Vec<&str> = client
        .redirect_uris
        .iter()
        .map(|uri| uri.as_str())
        .collect();
    json!({
        "id": client.id.as_str(),
        "server": client.server.as_str(),
        "name": client.name,
        "registration": client.registration.as_str(),
        "redirect_uris": redirect_uris,
        "registered_at": time(client.created_at),
        "blocked_at": optional_time(client.disabled_at),
    })
}

fn decision(trust: &ClientTrust) -> Value {
    json!({
        "server": trust.server.as_str(),
        "client": trust.client.as_str(),
        "decision": trust.decision.as_str(),
        "at": time(trust.at),
    })
}

fn event(stored: &StoredAuditEvent) -> Value {
    let event = &stored.event;
    json!({
        "at": time(event.at),
        "kind": event.kind.as_str(),
        "server": event.server.as_ref().map(|server| server.as_str()),
        "client": event.client.as_ref().map(|client| client.as_str()),
        "grant": event.grant.as_ref().map(|grant| grant.as_str()),
        "detail": event.detail,
    })
}
