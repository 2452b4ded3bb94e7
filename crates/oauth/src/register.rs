use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::Timestamp;
use domain::{
    AuditEvent, AuditEventKind, Client, ClientAuthentication, ClientId, ClientRegistration,
    RegistrationMode, ServerSlug,
};
use store::Registered;
use url::Url;
use wire::oauth::{ClientRegistrationResponse, RedirectUri, RedirectUriKind};

use crate::registration_metadata::{self, Metadata};
use crate::throttle::{AddressBlock, Key, Rate};
use crate::{Authority, Error, ServerContext};

/// Registrations from one address. Hosted clients register many people from few addresses, so the burst is high.
const ADDRESS: Rate = Rate {
    burst: 300,
    refill: Duration::from_secs(1),
};

/// How long a count of clients is believed before it is made again.
const COUNT_BELIEVED: Duration = Duration::from_secs(60);

/// How long a person may take from the registration to their approval before the client counts as unused.
const UNUSED_KEPT: Duration = Duration::from_secs(30 * 60);

/// Pages that are forgotten at once, so that one registration never waits long for it.
const FORGET_PAGES_MAX: usize = 10;

/// A registration, new or found.
#[derive(Debug)]
pub struct Registration {
    /// The answer.
    pub response: ClientRegistrationResponse,
    /// The client's name, fit to print.
    pub client_name: String,
    /// Whether the same registration was made before; its client is answered again.
    pub repeated: bool,
}

/// Registers a public client. The same registration again is answered with the client that is there.
///
/// Every client is public here: whatever method was asked, the answer says `none` and holds no secret.
///
/// Registrations are counted against `address`, when there is one.
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
    if server.server.settings.dynamic_registration == RegistrationMode::Off {
        return Err(Error::unauthorized_client(
            "clients cannot register themselves here; ask the owner for a client_id",
        ));
    }
    let now = authority.now();
    throttle(authority, address, now)?;
    let metadata = registration_metadata::read(body)?;
    let redirect_uris = acceptable_redirect_uris(authority, &metadata.redirect_uris)?;
    let slug = &server.server.slug;
    let fingerprint = metadata.fingerprint(&redirect_uris);
    if let Err(full) = below_quota(authority, slug, now).await {
        // Who is registered already takes no more room.
        let same = authority.store();
        let same = same.find_same_registration(slug, fingerprint).await?;
        return same.map_or(Err(full), registered_before);
    }

    let client = new_client(authority, slug, metadata, redirect_uris, now);
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
                response: client.metadata,
                client_name: client.name,
                repeated: false,
            })
        }
        Registered::Same(same) => registered_before(*same),
    }
}

fn registered_before(client: Client) -> Result<Registration, Error> {
    if client.disabled_at.is_some() {
        return Err(Error::unauthorized_client(
            "this client was disabled by an admin",
        ));
    }
    Ok(Registration {
        response: client.metadata,
        client_name: client.name,
        repeated: true,
    })
}

fn throttle(authority: &Authority, address: Option<IpAddr>, now: Timestamp) -> Result<(), Error> {
    let Some(address) = address else {
        return Ok(());
    };
    authority
        .throttle()
        .take(
            &[(Key::RegistrationAddress(AddressBlock::of(address)), ADDRESS)],
            now,
        )
        .map_err(|wait| {
            Error::temporarily_unavailable(wait, "too many registrations from one address")
        })
}

/// Cursor sends a private-use scheme, an https address and a loopback one in one request: what is acceptable is
/// registered, the rest is dropped, and only when nothing is left is it an error.
fn acceptable_redirect_uris(
    authority: &Authority,
    asked: &[String],
) -> Result<Vec<RedirectUri>, Error> {
    let mut accepted: Vec<RedirectUri> = Vec::with_capacity(asked.len());
    let mut first_problem = None;
    for text in asked {
        let problem = match RedirectUri::parse(text) {
            Ok(uri) if is_ours(authority, &uri) => {
                "redirect_uri is an address of this server itself".to_owned()
            }
            Ok(uri) => {
                if !accepted.contains(&uri) {
                    accepted.push(uri);
                }
                continue;
            }
            Err(error) => error.to_string(),
        };
        first_problem.get_or_insert(problem);
    }
    if accepted.is_empty() {
        return Err(Error::invalid_redirect_uri(format!(
            "redirect_uris: {}",
            first_problem.unwrap_or_else(|| "at least one is needed".to_owned())
        )));
    }
    Ok(accepted)
}

/// Whether `uri` is on our own origin, in any spelling: a code must never be delivered to ourselves.
pub(crate) fn is_ours(authority: &Authority, uri: &RedirectUri) -> bool {
    if uri.kind() == RedirectUriKind::PrivateUseScheme {
        return false;
    }
    let origin = |text: &str| {
        let url = Url::parse(text).ok()?;
        let host = match url.host_str()? {
            "localhost" | "127.0.0.1" | "[::1]" => "localhost".to_owned(),
            other => other.to_owned(),
        };
        Some((host, url.port_or_known_default()))
    };
    origin(uri.as_str()) == origin(authority.public_url())
}

pub(crate) fn new_client(
    authority: &Authority,
    server: &ServerSlug,
    metadata: Metadata,
    redirect_uris: Vec<RedirectUri>,
    now: Timestamp,
) -> Client {
    let id = ClientId::at(now, authority.random());
    Client {
        name: metadata.display_name(&redirect_uris),
        metadata: metadata.into_response(&id, &redirect_uris, now),
        id,
        server: server.clone(),
        redirect_uris,
        registration: ClientRegistration::Dynamic,
        authentication: ClientAuthentication::none(),
        service_scopes: None,
        created_at: now,
        waiting_since: None,
        disabled_at: None,
    }
}

async fn below_quota(
    authority: &Authority,
    server: &ServerSlug,
    now: Timestamp,
) -> Result<(), Error> {
    let counted = match authority.registrations().get(server, now) {
        Some(count) => count,
        None => {
            let count = count_after_making_room(authority, server, now).await?;
            authority.registrations().set(server, count, now);
            count
        }
    };
    if counted >= authority.settings().registrations_max {
        return Err(Error::temporarily_unavailable(
            Duration::from_secs(3600),
            format!(
                "{counted} clients have registered themselves at {server}; the limit is reached"
            ),
        ));
    }
    Ok(())
}

/// Counts, and near the limit forgets clients that registered and were never approved by anybody. Otherwise whoever
/// fills the list once keeps everybody else out for ever.
async fn count_after_making_room(
    authority: &Authority,
    server: &ServerSlug,
    now: Timestamp,
) -> Result<i64, Error> {
    let store = authority.store();
    let limit = authority.settings().registrations_max;
    let mut count = store.count_dynamic_clients(server).await?;
    for _ in 0..FORGET_PAGES_MAX {
        let excess = count - (limit - limit / 10);
        if excess <= 0 {
            break;
        }
        let page = usize::try_from(excess).unwrap_or(usize::MAX);
        let forgotten = store
            .forget_unused_clients(server, now.before(UNUSED_KEPT), page)
            .await?;
        if forgotten == 0 {
            break;
        }
        count -= i64::try_from(forgotten).unwrap_or(i64::MAX);
    }
    Ok(count)
}

/// How many clients registered themselves, per server: counting rows for each registration would cost more than the
/// registration itself.
#[derive(Debug, Default)]
pub(crate) struct RegistrationCount(Mutex<HashMap<ServerSlug, (i64, Timestamp)>>);

impl RegistrationCount {
    fn get(&self, server: &ServerSlug, now: Timestamp) -> Option<i64> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(server)
            .filter(|(_, counted_at)| now.since(*counted_at) < COUNT_BELIEVED)
            .map(|(count, _)| *count)
    }

    fn set(&self, server: &ServerSlug, count: i64, now: Timestamp) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(server.clone(), (count, now));
    }

    fn add_one(&self, server: &ServerSlug) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = counts.get_mut(server) {
            *count += 1;
        }
    }
}
