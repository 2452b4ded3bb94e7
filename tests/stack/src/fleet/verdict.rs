//! What became of everything that was acknowledged.

use std::fmt;

use http::StatusCode;
use testkit::person::{Person, text};

use super::doors::{Ask, Doors, Heard};
use super::ledger::{Broken, Chain, Ledger};
use super::load::{error_of, form};

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
    chains: usize,
    clients: usize,
    revoked: usize,
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
        for chain in &chains {
            check_alive(ledger, &mut doors, chain).await;
        }
        for chain in &revoked {
            let ask = refresh(chain);
            check_dead(ledger, &mut doors, &ask, Broken::Lost, "a revoked token").await;
        }
        if let Some(chain) = chains.first() {
            for client in &clients {
                check_known(ledger, &mut doors, chain, client).await;
            }
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
            chains: chains.len(),
            clients: clients.len(),
            revoked: revoked.len(),
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
             revocations {} acknowledged writes lost, {} double spends, {} wrong answers, {} honest tokens refused, \
             {} requests unanswered",
            self.operations,
            self.retries,
            self.undecided,
            self.chains,
            self.clients,
            self.revoked,
            self.count(Broken::Lost),
            self.count(Broken::DoubleSpend),
            self.count(Broken::Wrong),
            self.count(Broken::Refused),
            self.count(Broken::Unanswered),
        )
    }
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
