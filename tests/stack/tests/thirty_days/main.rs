//! Thirty days of five clients, in a minute or two: nights, weekends, lost answers, restarts, changes of keys, parallel
//! sessions. A person signs in once per client and never again.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod client;
mod world;

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use base::{OsRandom, Random as _, Timestamp};
use client::{Client, Habits, Loss as LostAnswer, Outcome, REDIRECT, Refused, Registration};
use oauth::clients::{NewClient, NewClientProof};
use oauth::keys::Rotation;
use testkit::SeededRandom;
use testkit::document_host::Reply;
use wire::oauth::ScopeSet;
use world::{NOTICED, World};

const DAYS: u64 = 30;
/// How often a day the clients are looked at.
const SLOTS: u64 = 28;
const DAY: Duration = Duration::from_secs(24 * 3600);
const MINUTE: Duration = Duration::from_secs(60);

/// When a client is used.
#[derive(Clone, Copy)]
enum Used {
    /// Monday to Friday, from nine to six.
    OfficeHours,
    /// Every day, from seven in the morning to nine in the evening.
    EveryDay,
    /// On Tuesdays and Fridays in the afternoon.
    NowAndThen,
}

impl Used {
    /// `weekday` counts from Monday.
    fn at(self, weekday: u64, hour: u64) -> bool {
        match self {
            Self::OfficeHours => weekday < 5 && (9..18).contains(&hour),
            Self::EveryDay => (7..21).contains(&hour),
            Self::NowAndThen => [1, 4].contains(&weekday) && (13..17).contains(&hour),
        }
    }
}

/// A call that is due, and since when.
struct Due<'a> {
    client: &'a Client,
    since: Timestamp,
}

/// The five, each as it is found: `docs/errors.md` says what each of them does when it is refused.
async fn five(world: &World) -> anyhow::Result<Vec<(Client, Used)>> {
    let usual = Habits {
        name: "",
        registration: Registration::Dynamic,
        early: None,
        refused: Refused::Refreshes,
        sends_scope: false,
        sends_resource: true,
        sessions: 1,
    };
    let desktop = pre_registered(world, "Desktop", NewClientProof::Secret).await?;
    let script = pre_registered(world, "A script in Python", NewClientProof::Public).await?;
    let code = with_document(world, "Claude Code");
    let habits = [
        (
            Habits {
                name: "an editor on the TypeScript SDK v1: only a 401 makes it refresh",
                ..usual.clone()
            },
            Used::OfficeHours,
        ),
        (
            Habits {
                name: "a desktop application on the TypeScript client v2, with a secret",
                registration: desktop,
                ..usual.clone()
            },
            Used::EveryDay,
        ),
        (
            Habits {
                name: "a script on the Python SDK: refreshes on expiry, a 401 opens the browser",
                registration: script,
                early: Some(Duration::ZERO),
                refused: Refused::SendsThePersonToTheBrowser,
                ..usual.clone()
            },
            Used::OfficeHours,
        ),
        (
            Habits {
                name: "Claude Code: five minutes early, three sessions with one refresh token",
                registration: code,
                early: Some(5 * MINUTE),
                sends_resource: false,
                sessions: 3,
                ..usual.clone()
            },
            Used::EveryDay,
        ),
        (
            Habits {
                name: "Codex on rmcp: half a minute early, and sends its scopes",
                early: Some(MINUTE / 2),
                sends_scope: true,
                ..usual
            },
            Used::NowAndThen,
        ),
    ];
    let mut clients = Vec::new();
    for (habits, used) in habits {
        clients.push((Client::begin(world, habits).await?, used));
    }
    Ok(clients)
}

async fn pre_registered(
    world: &World,
    name: &str,
    proof: NewClientProof,
) -> anyhow::Result<Registration> {
    let store = world.store().await?;
    let server = world.server(&store).await?;
    let added = oauth::clients::create(
        &store,
        &world.clock,
        &OsRandom,
        &server,
        NewClient {
            name,
            redirect_uris: &[REDIRECT.to_owned()],
            proof,
            service_scopes: ScopeSet::default(),
        },
    )
    .await?;
    store.close().await;
    Ok(Registration::PreRegistered {
        id: added.client.id.to_string(),
        secret: added.secret.map(|secret| secret.expose().to_owned()),
    })
}

const DOCUMENT: &str = "/oauth/client.json";

fn with_document(world: &World, name: &str) -> Registration {
    let url = world.documents.url(DOCUMENT);
    world.documents.set_json(
        DOCUMENT,
        &serde_json::json!({
            "client_id": url,
            "client_name": name,
            "redirect_uris": [REDIRECT],
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
            "token_endpoint_auth_method": "none",
        }),
    );
    Registration::Document { url }
}

/// What happens besides calls, by day and hour.
enum Mishap {
    /// The next answer to a refresh of the client with this number is lost.
    Loss(usize, LostAnswer),
    /// The server stops and starts again between two calls.
    Restart,
    /// The server is away for two hours.
    Outage,
    /// The signing key is changed in good order.
    Rotation,
    /// The signing key is in wrong hands: what it signed is refused at once.
    Emergency,
    /// The host of the metadata document is gone for good.
    DocumentHostGone,
}

/// The first day is a Friday.
fn mishaps() -> Vec<(u64, u64, Mishap)> {
    use Mishap::{DocumentHostGone, Emergency, Loss, Outage, Restart, Rotation};
    use client::Loss::{CutOff, Discarded};
    vec![
        (0, 14, Loss(0, Discarded)),
        (1, 12, Loss(3, CutOff)),
        (2, 10, Restart),
        (3, 10, Loss(2, CutOff)),
        (3, 15, Loss(1, Discarded)),
        (4, 8, Rotation),
        (4, 13, Loss(4, Discarded)),
        (5, 11, Restart),
        (6, 16, Loss(2, Discarded)),
        // The last answer of the week is lost, and the laptop sleeps until Monday.
        (7, 17, Loss(0, CutOff)),
        (7, 17, Loss(2, Discarded)),
        (8, 12, DocumentHostGone),
        (10, 9, Outage),
        (11, 10, Loss(3, Discarded)),
        (11, 11, Restart),
        (13, 22, Rotation),
        (14, 14, Loss(4, CutOff)),
        (14, 15, Restart),
        (17, 12, Loss(1, CutOff)),
        // While those who work at night are the only ones with a token that lives.
        (18, 20, Emergency),
        (19, 10, Restart),
        (20, 9, Loss(0, Discarded)),
        (20, 10, Loss(3, CutOff)),
        (21, 13, Outage),
        (24, 9, Rotation),
        (25, 10, Restart),
        (26, 11, Loss(2, CutOff)),
        (27, 17, Loss(1, Discarded)),
        (27, 18, Restart),
    ]
}

/// What a month came to.
#[derive(Default)]
struct Month {
    calls_due: usize,
    calls_late: usize,
    longest_wait: Duration,
    lost_answers: usize,
    rotations: usize,
    emergencies: usize,
}

/// Lives through `days` days. Every call that is due is made, if not at once then at a later hour.
async fn live(
    world: &mut World,
    clients: &[(Client, Used)],
    days: u64,
    seed: u64,
) -> anyhow::Result<Month> {
    let random = SeededRandom::new(seed);
    let begin = world.now();
    let mut month = Month::default();
    let mut mishaps = mishaps();
    let mut away_until = None;
    let mut due: Vec<Due<'_>> = Vec::new();
    for day in 0..days {
        let weekday = (day + 4) % 7;
        for slot in 0..SLOTS {
            let hour = slot * 24 / SLOTS;
            let then = begin
                .after(DAY * u32::try_from(day)?)
                .after(MINUTE * u32::try_from(slot * 24 * 60 / SLOTS)?)
                .after(Duration::from_millis(below(&random, 25 * 60_000)));
            let happening = mishaps
                .extract_if(.., |(at, when, _)| (*at, *when) <= (day, hour))
                .collect::<Vec<_>>();
            let calling: Vec<_> = clients
                .iter()
                .filter(|(_, used)| used.at(weekday, hour))
                .map(|(client, _)| client)
                .collect();
            if happening.is_empty() && calling.is_empty() && due.is_empty() {
                continue; // everybody sleeps
            }
            world.sleep_until(then).await?;
            if away_until.is_some_and(|until| until <= then) {
                away_until = None;
                world.start_again().await?;
            }
            for (_, _, mishap) in happening {
                match mishap {
                    Mishap::Loss(who, loss) => clients[who].0.lose_an_answer(loss),
                    Mishap::Restart => {
                        world.stop().await;
                        world.start_again().await?;
                    }
                    Mishap::Outage => {
                        world.stop().await;
                        away_until = Some(then.after(2 * 60 * MINUTE));
                    }
                    Mishap::Rotation => {
                        world.change_keys(Rotation::Planned).await?;
                        month.rotations += 1;
                    }
                    Mishap::Emergency => {
                        world.change_keys(Rotation::Emergency).await?;
                        month.emergencies += 1;
                    }
                    Mishap::DocumentHostGone => {
                        world.documents.set(DOCUMENT, Reply::status(503));
                    }
                }
            }
            for client in calling {
                month.calls_due += 1;
                due.push(Due {
                    client,
                    since: then,
                });
            }
            let calls = std::mem::take(&mut due).into_iter().map(async |call| {
                let outcome = call.client.call(world).await?;
                anyhow::Ok((call, outcome))
            });
            for (call, outcome) in futures_util::future::try_join_all(calls).await? {
                let waited = then.since(call.since);
                if outcome == Outcome::Done {
                    month.calls_late += usize::from(!waited.is_zero());
                    month.longest_wait = month.longest_wait.max(waited);
                } else {
                    due.push(call);
                }
            }
        }
    }
    anyhow::ensure!(due.is_empty(), "{} calls were never answered", due.len());
    month.lost_answers = sum(clients, |client| client.lost.load(Ordering::Relaxed));
    Ok(month)
}

fn sum(clients: &[(Client, Used)], of: impl Fn(&Client) -> usize) -> usize {
    clients.iter().map(|(client, _)| of(client)).sum()
}

fn below(random: &SeededRandom, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound
}

fn seed() -> u64 {
    std::env::var("PORTCULLIS_SEED")
        .ok()
        .and_then(|text| text.parse().ok())
        .unwrap_or(20_261_120)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_thirty_days_nobody_signs_in_twice() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let mut world = World::begin(data.path()).await?;
    let clients = five(&world).await?;
    let month = live(&mut world, &clients, DAYS, seed()).await?;

    for (client, _) in &clients {
        let visits = client.browser_visits.load(Ordering::Relaxed);
        println!(
            "figure: {}: {} calls, {} refreshes, {} lost answers, {} tries postponed, browser opened {visits} time(s)",
            client.habits.name,
            client.calls.load(Ordering::Relaxed),
            client.refreshes.load(Ordering::Relaxed),
            client.lost.load(Ordering::Relaxed),
            client.later.load(Ordering::Relaxed),
        );
    }
    println!(
        "figure: {DAYS} simulated days, seed {}: {} calls due, all answered, {} of them later than due (longest wait {} min); {} answers to refreshes lost, {} restarts, {} key rotations, {} emergency rotations; browser sign-ins beyond the first: {}",
        seed(),
        month.calls_due,
        month.calls_late,
        month.longest_wait.as_secs() / 60,
        month.lost_answers,
        world.restarts,
        month.rotations,
        month.emergencies,
        sum(&clients, |client| client
            .browser_visits
            .load(Ordering::Relaxed))
            - clients.len(),
    );
    for (client, _) in &clients {
        let visits = client.browser_visits.load(Ordering::Relaxed);
        assert_eq!(visits, 1, "{}", client.habits.name);
        assert!(!client.still_to_lose(), "{}", client.habits.name);
    }
    // What the authority wrote down says the same.
    let audited = world.audited().await?;
    let times = |kind: &str| audited.get(kind).copied().unwrap_or(0);
    assert_eq!(times("user_signed_in"), clients.len(), "{audited:?}");
    assert_eq!(times("refresh_token_reused"), 0, "{audited:?}");
    let keys: BTreeSet<_> = clients
        .iter()
        .flat_map(|(client, _)| client.keys_seen())
        .collect();
    assert_eq!(
        keys.len(),
        1 + month.rotations + month.emergencies,
        "each key signed something"
    );
    let losses = mishaps()
        .iter()
        .filter(|(_, _, mishap)| matches!(mishap, Mishap::Loss(..)))
        .count();
    assert_eq!(
        month.lost_answers, losses,
        "each answer that was to be lost was"
    );
    assert!(month.calls_due > 800, "{} calls", month.calls_due);

    // The twin: what was meant to end does end. One client signs out; another goes on as before.
    let (leaving, _) = &clients[0];
    let (staying, _) = &clients[3];
    leaving.sign_out(&world).await?;
    world
        .sleep_until(world.now().after(Duration::from_secs(1)))
        .await?;
    tokio::time::sleep(NOTICED).await;
    assert_eq!(
        leaving.tries_without_a_browser(&world).await?,
        (false, false),
        "a revoked client was served"
    );
    assert_eq!(staying.call(&world).await?, Outcome::Done);
    assert_eq!(staying.browser_visits.load(Ordering::Relaxed), 1);
    world.stop().await;
    Ok(())
}

/// What would happen without the answers that design keeps ready: the same first days with a server that takes each
/// repeat of a refresh for theft.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_strict_rotation_the_same_days_send_people_to_the_browser() -> anyhow::Result<()> {
    let data = tempfile::tempdir()?;
    let mut world = World::begin(data.path()).await?;
    world
        .change(|server| server.settings.strict_rotation = true)
        .await?;
    let clients = five(&world).await?;
    live(&mut world, &clients, 4, seed()).await?;
    let visits = sum(&clients, |client| {
        client.browser_visits.load(Ordering::Relaxed)
    });
    println!(
        "figure: control with strict rotation, 4 simulated days: {} browser sign-ins beyond the first",
        visits - clients.len()
    );
    assert!(
        visits > clients.len(),
        "lost answers and parallel sessions went unnoticed, so the thirty days prove nothing"
    );
    world.stop().await;
    Ok(())
}
