//! What became of everything that was acknowledged.

use std::fmt;
use std::time::Duration;

use http::StatusCode;
use testkit::person::{Person, text};

use super::Role;
use super::doors::{Ask, Doors, Heard};
use super::ledger::{Broken, Chain, Ledger};
use super::load::{call, error_of, form, revocation};

/// A gateway whose feed is connected feels a change within this.
const FELT_WITHIN: Duration = Duration::from_secs(1);

const ROLES: [Role; 2] = [Role::All, Role::Gateway];

/// What a load did and which promises were broken.
pub struct Verdict {
    /// Requests that were answered as they should be.
    pub operations: u64,
    /// Permitted retries: after a 503 with `Retry-After`, or when the connection failed.
    pub retries: u64,
    /// Codes that an attempt spent whose answer got lost; the person approves again.
    pub undecided: u64,
    /// How many keys signed the access tokens.
    pub keys: usize,
    /// Acknowledged revisions of the policy, and writes of settings.
    pub written: (usize, usize),
    chains: usize,
    clients: usize,
    revoked: usize,
    refused_after: Duration,
    broken: Vec<(Broken, String)>,
}

impl Verdict {
    /// Asks every node about every entry.
    pub(super) async fn of(ledger: &Ledger, mut doors: Doors) -> Self {
        let [operations, retries, undecided] = ledger.counts();
        let (chains, revoked, clients) = ledger.with(|entries| {
            (
                entries.chains.clone(),
                entries.revoked.clone(),
                entries.clients.clone(),
            )
        });
        doors.wait_for_feeds().await;
        for chain in &chains {
            check_gateways(ledger, &mut doors, chain, StatusCode::OK).await;
            check_alive(ledger, &mut doors, chain).await;
        }
        for chain in &revoked {
            check_gateways(ledger, &mut doors, chain, StatusCode::UNAUTHORIZED).await;
            let ask = refresh(chain);
            check_dead(ledger, &mut doors, &ask, Broken::Lost, "a revoked token").await;
        }
        if let Some(chain) = chains.first() {
            for client in &clients {
                check_known(ledger, &mut doors, chain, client).await;
            }
        }
        if let Some(chain) = chains.last() {
            check_a_revocation_is_felt(ledger, &mut doors, chain).await;
        }
        // Last, because a code that comes back ends what came of it.
        for chain in chains.iter().chain(&revoked) {
            let ask = exchange(chain);
            check_dead(
                ledger,
                &mut doors,
                &ask,
                Broken::DoubleSpend,
                "a spent code",
            )
            .await;
        }
        Self {
            operations,
            retries,
            undecided,
            keys: ledger.with(|entries| entries.keys.len()),
            written: ledger
                .with(|entries| (entries.written.revisions.len(), entries.written.settings)),
            chains: chains.len(),
            clients: clients.len(),
            revoked: revoked.len(),
            refused_after: ledger.with(|entries| entries.refused_after),
            broken: ledger.with(|entries| entries.broken.clone()),
        }
    }

    /// What was broken, in words; the first fifty.
    pub fn broken(&self) -> Vec<String> {
        let words = self.broken.iter().take(50);
        words
            .map(|(what, words)| format!("{what:?}: {words}"))
            .collect()
    }

    /// How often a live token was refused.
    pub fn refused(&self) -> usize {
        self.count(Broken::Refused)
    }

    fn count(&self, wanted: Broken) -> usize {
        self.broken
            .iter()
            .filter(|(what, _)| *what == wanted)
            .count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} operations, {} permitted retries, {} codes spent by an unheard answer; of {} approvals, {} clients and {} \
             revocations (felt by every gateway within {:.1?}) {} acknowledged writes lost, {} double spends, {} wrong answers, {} honest tokens refused, \
             {} requests unanswered",
            self.operations,
            self.retries,
            self.undecided,
            self.chains,
            self.clients,
            self.revoked,
            self.refused_after,
            self.count(Broken::Lost),
            self.count(Broken::DoubleSpend),
            self.count(Broken::Wrong),
            self.count(Broken::Refused),
            self.count(Broken::Unanswered),
        )
    }
}

/// Every gateway takes what is good and refuses what was revoked, now that nothing is wrong with anything.
async fn check_gateways(ledger: &Ledger, doors: &mut Doors, chain: &Chain, wanted: StatusCode) {
    let (token, since) = &chain.access;
    if !doors.lives(*since) {
        return;
    }
    for answer in doors.ask_each_gateway(&call(token), &ROLES).await {
        let said = match answer {
            Ok(answer) if answer.status() == wanted => continue,
            Ok(answer) => answer.status().to_string(),
            Err(error) => format!("{error:#}"),
        };
        let what = match wanted {
            StatusCode::OK => Broken::Refused,
            _ => Broken::Lost,
        };
        let words = format!("at the end, a token that deserves {wanted}: {said}");
        ledger.broken(what, words);
    }
}

/// Nothing is wrong with anything any more: what is revoked now is refused everywhere as fast as promised.
async fn check_a_revocation_is_felt(ledger: &Ledger, doors: &mut Doors, chain: &Chain) {
    let Some(Heard { answer, .. }) = doors.ask(&revocation(chain)).await else {
        return;
    };
    if answer.status() != StatusCode::OK {
        let said = format!("a revocation at the end: {}", text(&answer));
        ledger.broken(Broken::Wrong, said);
        return;
    }
    tokio::time::sleep(FELT_WITHIN).await;
    check_gateways(ledger, doors, chain, StatusCode::UNAUTHORIZED).await;
}

async fn check_alive(ledger: &Ledger, doors: &mut Doors, chain: &Chain) {
    let Some(Heard { answer, .. }) = doors.ask(&refresh(chain)).await else {
        return;
    };
    if answer.status() != StatusCode::OK {
        let said = format!("the newest refresh token: {}", text(&answer));
        ledger.broken(Broken::Lost, said);
    }
}

/// What is over is refused by that name.
async fn check_dead(ledger: &Ledger, doors: &mut Doors, ask: &Ask, what: Broken, words: &str) {
    let Some(Heard { answer, .. }) = doors.ask(ask).await else {
        return;
    };
    if error_of(&answer) != "invalid_grant" {
        ledger.broken(what, format!("{words} was answered {}", answer.status()));
    }
}

fn refresh(chain: &Chain) -> Ask {
    let body = chain.person.refresh_form(&chain.refresh);
    form(&chain.person, "token", body)
}

fn exchange(chain: &Chain) -> Ask {
    let body = chain.person.exchange_form(&chain.code);
    form(&chain.person, "token", body)
}

/// A known client that shows another's token is told of the token; an unknown one is told of itself.
async fn check_known(ledger: &Ledger, doors: &mut Doors, chain: &Chain, client: &str) {
    let stranger = Person {
        client_id: client.to_owned(),
        ..chain.person.clone()
    };
    let ask = form(&stranger, "token", stranger.exchange_form(&chain.code));
    let Some(Heard { answer, .. }) = doors.ask(&ask).await else {
        return;
    };
    if error_of(&answer) != "invalid_grant" {
        let said = format!("a registration: {}", text(&answer));
        ledger.broken(Broken::Lost, said);
    }
}
