//! How many clients may register themselves: by address, by software, by where they return to, and in all.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use base::{Digest, Timestamp};
use domain::ServerSlug;
use wire::oauth::{RedirectUri, RedirectUriKind};

use crate::registration_metadata::Metadata;
use crate::throttle::{AddressBlock, Key, Rate, Throttle};
use crate::{Authority, Error};

/// From one address. Hosted clients register many people from few addresses, so the burst is high.
const ADDRESS: Rate = Rate {
    burst: 300,
    refill: Duration::from_secs(1),
};

/// Of one software, and to one return host, at one MCP server: new records only. Whoever comes from ten thousand
/// addresses has at most as many names and hosts as they invent, and each of them counts against the whole.
const KIND: Rate = Rate {
    burst: 600,
    refill: Duration::from_secs(2),
};

/// How long a count of clients is believed before it is made again.
const COUNT_BELIEVED: Duration = Duration::from_secs(60);

/// How long a person may take from the registration to their approval while the list is nearly full.
const UNUSED_KEPT_WHEN_FULL: Duration = Duration::from_secs(30 * 60);

/// Pages that are forgotten at once, so that one registration never waits long for it.
const FORGET_PAGES_MAX: usize = 10;

/// Counts a request against its address.
pub(crate) fn take_address(
    authority: &Authority,
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<(), Error> {
    let Some(address) = address else {
        return Ok(());
    };
    authority
        .registrations()
        .throttle
        .take(
            &[(Key::RegistrationAddress(AddressBlock::of(address)), ADDRESS)],
            now,
        )
        .map_err(|wait| {
            Error::temporarily_unavailable(wait, "too many registrations from one address")
        })
}

/// Whether there is room for one more record. What has no address came from this machine; it counts only against the
/// whole where nobody else can come from it: a program here can do worse.
pub(crate) async fn room(
    authority: &Authority,
    server: &ServerSlug,
    metadata: &Metadata,
    redirect_uris: &[RedirectUri],
    address: Option<IpAddr>,
    now: Timestamp,
) -> Result<Taken, Error> {
    below_the_whole(authority, server, now).await?;
    if address.is_none() && authority.is_on_loopback() {
        return Ok(Taken(Vec::new()));
    }
    let keys = kinds(server, metadata, redirect_uris);
    authority
        .registrations()
        .throttle
        .take(&keys, now)
        .map_err(|wait| {
            Error::temporarily_unavailable(
                wait,
                "too many registrations of this software, or with this return address",
            )
        })?;
    Ok(Taken(keys))
}

/// What a registration was counted against.
#[derive(Debug)]
pub(crate) struct Taken(Vec<(Key, Rate)>);

impl Taken {
    /// It made no new record after all. Otherwise whoever repeats one without end keeps out what is new of that software.
    pub fn give_back(&self, authority: &Authority) {
        authority.registrations().throttle.give_back(&self.0);
    }
}

fn kinds(
    server: &ServerSlug,
    metadata: &Metadata,
    redirect_uris: &[RedirectUri],
) -> Vec<(Key, Rate)> {
    let key = |kind: &str, text: &str| {
        let digest = Digest::of(format!("{kind}\n{server}\n{}", text.to_lowercase()));
        (Key::RegistrationKind(digest), KIND)
    };
    // A loopback address or a scheme is on everybody's machine: it tells nobody from anybody.
    let mut hosts: Vec<String> = redirect_uris
        .iter()
        .filter(|uri| uri.kind() == RedirectUriKind::Https)
        .map(RedirectUri::display_host)
        .collect();
    hosts.sort_unstable();
    hosts.dedup();
    let software = metadata
        .software()
        .map(|software| key("software", software));
    software
        .into_iter()
        .chain(hosts.iter().map(|host| key("host", host)))
        .collect()
}

async fn below_the_whole(
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
            .forget_unused_clients(server, now.before(UNUSED_KEPT_WHEN_FULL), page)
            .await?;
        if forgotten == 0 {
            break;
        }
        count -= i64::try_from(forgotten).unwrap_or(i64::MAX);
    }
    Ok(count)
}

/// What is remembered between registrations: how many there are, per server, because counting rows for each would cost
/// more than the registration itself; and how fast they come.
#[derive(Debug, Default)]
pub(crate) struct Registrations {
    counts: Mutex<HashMap<ServerSlug, (i64, Timestamp)>>,
    /// Apart from that of sign-ins, so that a flood here forgets nothing there.
    throttle: Throttle,
}

impl Registrations {
    fn get(&self, server: &ServerSlug, now: Timestamp) -> Option<i64> {
        let counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts
            .get(server)
            .filter(|(_, counted_at)| {
                (*counted_at..counted_at.after(COUNT_BELIEVED)).contains(&now)
            })
            .map(|(count, _)| *count)
    }

    fn set(&self, server: &ServerSlug, count: i64, now: Timestamp) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        counts.insert(server.clone(), (count, now));
    }

    pub(crate) fn add_one(&self, server: &ServerSlug) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((count, _)) = counts.get_mut(server) {
            *count += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;
    use crate::registration_metadata;

    fn kinds_of(name: &str, software_id: Option<&str>, uris: &[&str]) -> Vec<(Key, Rate)> {
        let mut body = json!({"client_name": name, "redirect_uris": uris});
        if let Some(id) = software_id {
            body["software_id"] = id.into();
        }
        let metadata = registration_metadata::read(body.to_string().as_bytes()).unwrap();
        let uris: Vec<_> = uris
            .iter()
            .map(|uri| RedirectUri::parse(uri).unwrap())
            .collect();
        kinds(&ServerSlug::parse("todo").unwrap(), &metadata, &uris)
    }

    #[test]
    fn a_flood_of_one_software_or_host_from_many_addresses_stops_and_others_still_register() {
        let registrations = Registrations::default();
        let now = Timestamp::from_unix_seconds(1_000);
        let take = |name: &str, id, uris: &[&str], now| {
            registrations.throttle.take(&kinds_of(name, id, uris), now)
        };
        for number in 0..KIND.burst {
            let uri = format!("https://flood.example/{number}");
            take(&format!("n{number}"), None, &[&uri], now).unwrap();
        }
        assert!(take("another", None, &["https://flood.example/x"], now).is_err());
        assert!(take("another", None, &["https://FLOOD.example/x"], now).is_err());
        take("another", None, &["https://honest.example/x"], now).unwrap();
        for number in 0..KIND.burst {
            let uri = format!("http://localhost/{number}");
            take("Claude Code (x)", None, &[&uri], now).unwrap();
        }
        // The words in brackets are the person's; it is the same software.
        assert!(take("Claude Code (y)", None, &["http://localhost/y"], now).is_err());
        take("Codex", None, &["http://localhost/y"], now).unwrap();
        let later = now.after(KIND.refill);
        take("Claude Code (y)", None, &["http://localhost/y"], later).unwrap();
    }

    #[test]
    fn loopback_addresses_are_everybodys_and_a_software_id_goes_before_the_name() {
        assert_eq!(
            kinds_of("a", None, &["http://localhost/x", "cursor://x"]).len(),
            1
        );
        let same = |left: &[(Key, Rate)], right: &[(Key, Rate)]| left[0].0 == right[0].0;
        let first = kinds_of("a", Some("id"), &["http://localhost/x"]);
        assert!(same(
            &first,
            &kinds_of("b", Some("id"), &["http://localhost/x"])
        ));
        assert!(!same(&first, &kinds_of("a", None, &["http://localhost/x"])));
    }
}
