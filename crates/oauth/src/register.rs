use std::net::IpAddr;

use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, Client, ClientAuthentication, ClientId, ClientRegistration,
    RegistrationMode,
};
use store::Registered;
use wire::oauth::{ClientRegistrationResponse, RedirectUri};

use crate::registration_metadata::{self, Metadata};
use crate::{Authority, Error, ServerContext, registered_redirects, registration_quota};

/// A registration, new or found.
#[derive(Debug)]
pub struct Registration {
    /// The answer.
    pub response: ClientRegistrationResponse,
    /// The client's name, fit to print.
    pub client_name: String,
    /// Whether the same registration was made before; its client is answered again.
    pub repeated: bool,
    /// Whether an admin has to approve it before people can use it.
    pub waits: bool,
}

/// Registers a public client. The same software with the same addresses again is answered with the client that is
/// there.
///
/// Every client is public here: whatever method was asked, the answer says `none` and holds no secret.
///
/// Registrations are counted against `address`, when there is one: what comes from this machine has none.
///
/// # Errors
/// As RFC 7591 section 3.2.2; `temporarily_unavailable` when there are too many.
///
/// Spec: RFC 7591 section 3.
pub async fn register(
    authority: &Authority,
    server: &ServerContext,
    body: &[u8],
    address: Option<IpAddr>,
) -> Result<Registration, Error> {
    let mode = server.server.settings.dynamic_registration;
    if mode == RegistrationMode::Off {
        return Err(Error::unauthorized_client(
            "clients cannot register themselves here; ask the owner for a client_id",
        ));
    }
    let now = authority.now();
    registration_quota::take_address(authority, address, now)?;
    let metadata = registration_metadata::read(body)?;
    let redirect_uris = registered_redirects::acceptable(
        authority,
        server,
        &metadata.redirect_uris,
        metadata.application_type(),
    )?;
    let slug = &server.server.slug;
    let fingerprint = metadata.fingerprint(&redirect_uris);
    let room =
        registration_quota::room(authority, slug, &metadata, &redirect_uris, address, now).await;
    let taken = match room {
        Ok(taken) => taken,
        Err(full) => {
            // Who is registered already takes no more room.
            let same = authority.store();
            let same = same.find_same_registration(slug, fingerprint).await?;
            return match same {
                Some(same) => registered_before(authority, server, same, &redirect_uris).await,
                None => Err(full),
            };
        }
    };

    let client = new_client(authority, server, metadata, redirect_uris, now);
    let event = AuditEvent {
        at: now,
        kind: AuditEventKind::ClientRegistered,
        server: Some(slug.clone()),
        user: None,
        client: Some(client.id.clone()),
        grant: None,
        detail: client.name.clone(),
    };
    let registered = authority
        .store()
        .insert_client(&client, Some(fingerprint), event)
        .await?;
    match registered {
        Registered::Inserted => {
            authority.registrations().add_one(slug);
            Ok(Registration {
                waits: client.waiting_since.is_some(),
                response: client.metadata,
                client_name: client.name,
                repeated: false,
            })
        }
        Registered::Same(same) => {
            taken.give_back(authority);
            registered_before(authority, server, *same, &client.redirect_uris).await
        }
    }
}

/// The answer to the same software once more: what is registered and in force (RFC 7591 section 3.2.1), with the
/// addresses as they are this time: only the port of this machine can differ, and it is never compared. Whatever else
/// differs changes nothing: nobody proved that the record is theirs.
async fn registered_before(
    authority: &Authority,
    server: &ServerContext,
    mut client: Client,
    redirect_uris: &[RedirectUri],
) -> Result<Registration, Error> {
    if client.disabled_at.is_some() {
        return Err(Error::unauthorized_client(
            "this client was disabled by an admin",
        ));
    }
    let open = server.server.settings.dynamic_registration == RegistrationMode::Open;
    if client.waiting_since.is_some() && open {
        // Any other registration would be let in at once now; this one need not wait any longer.
        let event = AuditEvent {
            at: authority.now(),
            kind: AuditEventKind::ClientApproved,
            server: Some(client.server.clone()),
            user: None,
            client: Some(client.id.clone()),
            grant: None,
            detail: "registration is open now".into(),
        };
        authority
            .store()
            .approve_client(&client.server, &client.id, event)
            .await?;
        client.waiting_since = None;
    }
    client.metadata.redirect_uris = texts(redirect_uris);
    Ok(Registration {
        waits: client.waiting_since.is_some(),
        response: client.metadata,
        client_name: client.name,
        repeated: true,
    })
}

fn new_client(
    authority: &Authority,
    server: &ServerContext,
    metadata: Metadata,
    redirect_uris: Vec<RedirectUri>,
    now: Timestamp,
) -> Client {
    let id = ClientId::at(now, authority.random());
    let asks = server.server.settings.dynamic_registration == RegistrationMode::Approved;
    Client {
        name: metadata.display_name(&redirect_uris),
        metadata: metadata.into_response(&id, &redirect_uris, now),
        id,
        server: server.server.slug.clone(),
        redirect_uris,
        registration: ClientRegistration::Dynamic,
        authentication: ClientAuthentication::none(),
        service_scopes: None,
        created_at: now,
        waiting_since: asks.then_some(now),
        disabled_at: None,
    }
}

fn texts(uris: &[RedirectUri]) -> Vec<String> {
    uris.iter().map(|uri| uri.as_str().to_owned()).collect()
}
