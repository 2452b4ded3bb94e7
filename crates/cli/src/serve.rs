//! `portcullis serve`: a node in production.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use base::{OsRandom, SystemClock};
use domain::WhenFull;
use oauth::CertificateSealer;
use sdk::{IssuerSource, OtherIssuer};
use serde_json::json;
use store::ActivityQueue;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::accept::Socket;
use crate::acme::{self, Acme};
use crate::args::ServeArguments;
use crate::authority_place::AuthorityPlace;
use crate::config::{Elsewhere, ForwardedHeader, Limits, Role, Valid};
use crate::forwarded::{AddressHeader, TrustedProxies};
use crate::master_key::MasterKeySource;
use crate::port_holder;
use crate::signals::StopSignals;
use crate::stack::{
    self, AdminListeners, Node, NodeLimits, NodeSettings, OwnAuthority, RemoteAuthority,
    hash_threads,
};
use crate::terminal::Terminal;
use crate::tls::{self, Certificates};
use crate::{accept, operate, preflight, providers};

/// A machine or a cluster that starts everything at once may start the database last.
const DATABASE_WAIT: Duration = Duration::from_secs(60);

/// Serves until a signal says to stop.
///
/// # Errors
/// One message that names the setting and the fix.
pub async fn run(
    arguments: ServeArguments,
    config: Valid,
    master_key: MasterKeySource,
) -> anyhow::Result<()> {
    let mut signals = StopSignals::listen()?;
    let hang_up = signal(SignalKind::hangup()).context("SIGHUP cannot be listened for")?;
    let starting = start(&config, &master_key, hang_up);
    let started = tokio::select! {
        started = starting => started?,
        () = signals.next() => return Ok(()),
    };
    for warning in &config.warnings {
        tracing::warn!("{warning}");
    }
    let out = Terminal::stderr();
    out.line(format!(
        "Portcullis {} {} {} at {}",
        crate::args::VERSION,
        match config.role {
            Role::All => "serves",
            Role::Authority => "is the authority",
            Role::Gateway => "is a gateway of",
        },
        config.public_url,
        addresses(&started.public)
    ));
    if let Some(admin) = &config.admin {
        let at = addresses(&started.admin);
        out.line(format!("  dashboard {}/admin at {at}", admin.url));
    }
    if let Some(part) = &started.node.authority {
        for server in &part.servers {
            out.line(format!("  {}  {}", server.slug, server.resource));
        }
        if !oauth::setup::somebody_exists(&part.authority)
            .await
            .is_ok_and(|somebody| somebody)
        {
            out.line(
                "  nobody can sign in yet: portcullis people add YOU@EXAMPLE.COM --password-stdin with this --config makes the owner",
            );
        }
    }
    for (slug, _) in config
        .elsewhere
        .iter()
        .flat_map(|elsewhere| &elsewhere.servers)
    {
        out.line(format!("  {slug}  as the authority says"));
    }
    if arguments.ready_json {
        let ready = json!({
            "public_url": config.public_url.as_str(),
            "listen": started.public,
            "admin_listen": started.admin,
            "operations_listen": started.operations,
        });
        Terminal::stdout().line(ready.to_string());
    }
    signals.next().await;
    if !config.notice.is_zero() {
        tracing::info!("told to stop; /readyz says so while everything is still answered");
        started.node.announce_shutdown();
        tokio::select! {
            () = tokio::time::sleep(config.notice) => {}
            () = signals.next() => {}
        }
    }
    tracing::info!("stopping; answers that have begun may finish");
    tokio::select! {
        () = started.node.shutdown() => {}
        () = signals.next() => {}
    }
    Ok(())
}

struct Started {
    node: Node,
    public: Vec<SocketAddr>,
    admin: Vec<SocketAddr>,
    operations: Vec<SocketAddr>,
    _acme: Option<Acme>,
    /// What it has locked, where it has a database.
    _place: Option<AuthorityPlace>,
}

async fn start(
    config: &Valid,
    master_key: &MasterKeySource,
    hang_up: Signal,
) -> anyhow::Result<Started> {
    providers::install();
    let counts = !config.operations.is_empty();
    if counts {
        // First of all: what was made before it counts nothing.
        operate::install();
    }
    let mut place = match config.role {
        Role::Gateway => None,
        Role::All | Role::Authority => Some(AuthorityPlace::of_config(config)?),
    };
    if let Some(place) = &mut place {
        place.lock()?;
    }
    let certificates = certificates(config)?;
    tokio::spawn(read_again(hang_up, certificates.clone()));
    let public = bind(&config.listen, "listen.addresses", certificates.as_ref()).await?;
    let admin = match &config.admin {
        Some(admin) => {
            let tls = certificates.as_ref().filter(|_| admin.tls);
            bind(&admin.listen, "admin.listen", tls).await?
        }
        None => Vec::new(),
    };
    let operations = bind(&config.operations, "operations.listen", None).await?;
    let acme_http = match &config.acme {
        Some(acme) => bind(&acme.http_listen, "tls.acme.http_listen", None).await?,
        None => Vec::new(),
    };
    let (public_addresses, admin_addresses) = (local(&public)?, local(&admin)?);
    let operations_addresses = local(&operations)?;
    let opened = match &place {
        Some(place) => {
            Some(own_authority(place, config, master_key, public_addresses[0].port()).await?)
        }
        None => None,
    };
    let store = opened.as_ref().map(|own| own.store.clone());
    let started = async {
        let acme = match (&opened, &config.acme, &certificates) {
            (Some(own), Some(place), Some(certificates)) => Some(Acme::start(
                acme::Settings::new(place, config.public_url.as_str()),
                acme::Surroundings {
                    store: own.store.clone(),
                    certificates: Arc::clone(certificates),
                    http: (acme_http, limits(&config.limits, config).accept),
                    sealer: CertificateSealer::new(&own.master_key),
                    clock: Arc::new(SystemClock),
                    random: Arc::new(OsRandom),
                },
            )?),
            _ => None,
        };
        let role = match (opened, &config.elsewhere, config.role) {
            (Some(own), _, Role::Authority) => stack::Role::Authority(own),
            (Some(own), _, _) => stack::Role::All(own, None),
            (None, Some(elsewhere), _) => stack::Role::Gateway(remote(elsewhere)),
            (None, None, _) => anyhow::bail!("[authority] is missing"),
        };
        let mut node = Node::start(NodeSettings {
            public_url: config.public_url.as_str().to_owned(),
            public,
            admin: config.admin.as_ref().map(|place| AdminListeners {
                sockets: admin,
                url: place.url.as_str().to_owned(),
            }),
            operations,
            counts,
            certificates,
            traces: config.traces.endpoint.is_some(),
            proxies: proxies(config),
            role,
            issuers: other_issuers(config),
            limits: limits(&config.limits, config),
            terminal: Terminal::log(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        })
        .await?;
        // Nobody waits for the first looks: each goes on until its upstream has answered.
        if let Some(part) = &mut node.gateway {
            part.first_looks.close();
        }
        anyhow::Ok((node, acme))
    }
    .await;
    match started {
        Ok((node, acme)) => {
            if let Some(place) = &mut place {
                place.announce(config.public_url.as_str())?;
            }
            Ok(Started {
                node,
                public: public_addresses,
                admin: admin_addresses,
                operations: operations_addresses,
                _acme: acme,
                _place: place,
            })
        }
        Err(error) => {
            if let Some(store) = store {
                store.close().await;
            }
            Err(error)
        }
    }
}

/// Opens what the authority of this node keeps. What a first start fixes comes after all that can go wrong with it.
async fn own_authority(
    place: &AuthorityPlace,
    config: &Valid,
    master_key: &MasterKeySource,
    port: u16,
) -> anyhow::Result<OwnAuthority> {
    let random = OsRandom;
    let store = place.open_store_within(DATABASE_WAIT).await?;
    let opened = async {
        let master_key = master_key.read(place.directory(), &store, &random).await?;
        let authority_id = place.settle_identity(&store, config, port, &random).await?;
        let activity = place
            .open_activity(config.activity.queue(), &SystemClock)
            .await?;
        anyhow::Ok(OwnAuthority {
            authority_id,
            store: store.clone(),
            activity,
            directory: place.directory().clone(),
            master_key,
            ca_file: config.ca_file.clone(),
            names: None,
        })
    }
    .await;
    if opened.is_err() {
        store.close().await;
    }
    opened
}

fn remote(elsewhere: &Elsewhere) -> RemoteAuthority {
    RemoteAuthority {
        url: elsewhere.url.as_str().to_owned(),
        connect_to: elsewhere
            .connect_to
            .as_ref()
            .map(|origin| origin.as_str().to_owned()),
        ca_file: elsewhere.ca_file.clone(),
        servers: elsewhere.servers.clone(),
    }
}

fn other_issuers(config: &Valid) -> HashMap<String, Arc<OtherIssuer>> {
    let issuers = config.issuers.iter().map(|place| {
        let source = Arc::clone(&place.source) as Arc<dyn IssuerSource>;
        let issuer = OtherIssuer::new(place.settings.clone(), source);
        (place.slug.to_string(), Arc::new(issuer))
    });
    issuers.collect()
}

fn limits(limits: &Limits, config: &Valid) -> NodeLimits {
    let bytes = |size: crate::config::Size| usize::try_from(size.bytes()).unwrap_or(usize::MAX);
    let count = |number: u32| usize::try_from(number).unwrap_or(usize::MAX);
    NodeLimits {
        accept: accept::Limits {
            connections_max: count(limits.connections),
            connections_per_address_max: count(limits.connections_per_address),
            head_timeout: limits.head_timeout.duration(),
            drain: limits.drain.duration(),
        },
        gateway: gateway::Limits {
            request_body_bytes_max: bytes(limits.request_body),
            list_bytes_max: bytes(limits.list_answer),
            connect_timeout: limits.upstream_connect.duration(),
            head_timeout: limits.upstream_answer.duration(),
            open_calls_max: count(limits.open_calls),
            records_waiting_max: match config.activity.queue() {
                ActivityQueue {
                    records_max,
                    when_full: WhenFull::Refuse,
                } => Some(records_max),
                _ => None,
            },
            ..gateway::Limits::default()
        },
        look_every: limits.upstream_look.duration(),
        registrations_max: i64::from(limits.registrations),
        hash_threads: match limits.hash_threads {
            0 => hash_threads(),
            threads => count(threads),
        },
        activity: config.activity.queue(),
        activity_kept: config.retention.activity.duration(),
        audit_kept: config.retention.audit.duration(),
    }
}

fn proxies(config: &Valid) -> TrustedProxies {
    let header = match config.forwarded_header {
        ForwardedHeader::XForwardedFor => AddressHeader::XForwardedFor,
        ForwardedHeader::Forwarded => AddressHeader::Forwarded,
    };
    TrustedProxies::new(config.trusted_proxies.clone(), header)
}

/// The certificates, when there are any; from now on they are looked at again and again.
fn certificates(config: &Valid) -> anyhow::Result<Option<Arc<Certificates>>> {
    if config.certificates.is_empty() && config.acme.is_none() {
        return Ok(None);
    }
    let files = preflight::certificate_files(config);
    let certificates = Arc::new(Certificates::load(&files).context("tls.certificates")?);
    // It ends with the process.
    tokio::spawn(Arc::clone(&certificates).watch(tls::LOOK_EVERY));
    Ok(Some(certificates))
}

/// Reads what lies in files again at each SIGHUP, which must not end a process that has none.
async fn read_again(mut hang_up: Signal, certificates: Option<Arc<Certificates>>) {
    while hang_up.recv().await.is_some() {
        match &certificates {
            Some(certificates) => certificates.reload_now().await,
            None => tracing::info!("SIGHUP: there are no certificates to read again"),
        }
    }
}

async fn bind(
    addresses: &[SocketAddr],
    setting: &str,
    tls: Option<&Arc<Certificates>>,
) -> anyhow::Result<Vec<Socket>> {
    let mut sockets = Vec::with_capacity(addresses.len());
    for address in addresses {
        let bound = TcpListener::bind(address).await;
        let listener = bound.with_context(|| {
            let holder = port_holder::find(address.port())
                .map(|holder| format!("; it is taken by {holder}"))
                .unwrap_or_default();
            format!("{setting}: {address} cannot be listened at{holder}")
        })?;
        sockets.push(Socket {
            listener,
            tls: tls.map(Arc::clone),
        });
    }
    Ok(sockets)
}

fn local(sockets: &[Socket]) -> anyhow::Result<Vec<SocketAddr>> {
    let addresses: std::io::Result<_> = sockets
        .iter()
        .map(|socket| socket.listener.local_addr())
        .collect();
    addresses.context("the listeners have no addresses")
}

fn addresses(list: &[SocketAddr]) -> String {
    let list: Vec<String> = list.iter().map(ToString::to_string).collect();
    list.join(", ")
}
