//! Honest people and their clients, each at every node in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Code, Person, registration_body, text};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

use super::administrator::{Administrator, Writer};
use super::doors::{Ask, Doors, Heard, Map};
use super::ledger::{Broken, Chain, Ledger, keep};
use super::{Fleet, PASSWORD, Role, SERVER, Verdict, email};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Access tokens that each client goes on calling with.
const KEPT_MAX: usize = 256;

/// How many of the newest live tokens [`Load::check_calls_go_on`] calls with.
const LOOKED_AT: usize = 8;

/// How fast the clients go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One request after the other.
    Full,
    /// Half as many rounds as a client manages one after the other: what it manages is measured at the start, and the pace kept
    /// whatever else the machine does.
    Half,
}

/// How long is measured what a client manages.
const MEASURED_FOR: Duration = Duration::from_secs(10);

/// A running load.
pub struct Load {
    ledger: Arc<Ledger>,
    end: Arc<AtomicBool>,
    workers: JoinSet<()>,
    map: Map,
}

impl Load {
    /// Signs each of `people` in once, and sets their clients going.
    ///
    /// # Errors
    /// When somebody cannot sign in.
    pub async fn begin(fleet: &Fleet, people: usize, pace: Pace) -> anyhow::Result<Self> {
        let mut load = Self {
            ledger: Arc::default(),
            end: Arc::default(),
            workers: JoinSet::new(),
            map: Map::of(fleet),
        };
        let authorities: Vec<_> = fleet
            .nodes
            .iter()
            .filter(|node| node.role.is_authority())
            .collect();
        for index in 0..people {
            let door = &authorities[index % authorities.len()].door;
            let mut connection = Connection::open(door).await?;
            connection.authority.clone_from(&load.map.authority);
            let issuer = format!("http://{}/servers/{SERVER}", load.map.authority);
            let (person, _) =
                Person::sign_in(&mut connection, &issuer, &email(index), PASSWORD).await?;
            let mut worker = Worker {
                person,
                doors: load.doors(index),
                ledger: Arc::clone(&load.ledger),
                kept: VecDeque::new(),
                round: 0,
            };
            let end = Arc::clone(&load.end);
            load.workers.spawn(async move {
                let begun = Instant::now();
                let mut rounds = 0;
                while !end.load(Ordering::Relaxed)
                    && (pace == Pace::Full || begun.elapsed() < MEASURED_FOR)
                {
                    worker.round().await;
                    rounds += 1;
                }
                let mut turns = tokio::time::interval(begun.elapsed() / rounds.max(1) * 2);
                turns.set_missed_tick_behavior(MissedTickBehavior::Skip);
                while !end.load(Ordering::Relaxed) {
                    turns.tick().await;
                    worker.round().await;
                }
            });
        }
        Ok(load)
    }

    /// Sets a machine going that writes the policy over the admin API.
    pub fn write_policies(&mut self, administrator: Administrator) {
        let (doors, ledger) = (self.doors(1), Arc::clone(&self.ledger));
        let end = Arc::clone(&self.end);
        self.workers.spawn(async move {
            let mut writer = Writer::new(administrator, doors, Arc::clone(&ledger));
            while !end.load(Ordering::Relaxed) {
                writer.round().await;
            }
            let written = writer.end().await;
            ledger.with(|entries| entries.written = written);
        });
    }

    /// How many requests were answered as they should be.
    pub fn operations(&self) -> u64 {
        self.ledger.counts()[0]
    }

    /// Waits until that many more requests were answered.
    ///
    /// # Errors
    /// When it takes more than two minutes, with what went wrong.
    pub async fn wait_for(&self, more: u64) -> anyhow::Result<()> {
        let wanted = self.operations() + more;
        let waiting = async {
            while self.operations() < wanted {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), waiting)
            .await
            .with_context(|| {
                let broken = self.ledger.with(|entries| entries.broken.clone());
                format!("{} of {wanted}: {broken:?}", self.operations())
            })
    }

    /// Calls the gateways among nodes of these roles with live tokens, once and without a retry: for while the authorities or
    /// their database are away. What is not answered is in the verdict.
    pub async fn check_calls_go_on(&self, roles: &[Role]) {
        let mut doors = self.doors(0);
        let tokens: Vec<String> = self.ledger.with(|entries| {
            let newest = entries.chains.iter().rev().take(LOOKED_AT);
            newest
                .filter(|chain| doors.lives_long(chain.access.1))
                .map(|chain| chain.access.0.clone())
                .collect()
        });
        for token in tokens {
            for answer in doors.ask_each_gateway(&call(&token), roles).await {
                match answer {
                    Ok(answer) if answer.status() == StatusCode::OK => self.ledger.done(),
                    Ok(answer) => {
                        let said = format!("while authorities are away: {answer:?}");
                        self.ledger.broken(Broken::Refused, said);
                    }
                    Err(error) => {
                        let said = format!("while authorities are away: {error:#}");
                        self.ledger.broken(Broken::Unanswered, said);
                    }
                }
            }
        }
    }

    /// Ends it, and holds the fleet to everything that it acknowledged.
    ///
    /// # Errors
    /// When a client panicked.
    pub async fn verdict(mut self) -> anyhow::Result<Verdict> {
        self.end.store(true, Ordering::Relaxed);
        while let Some(ended) = self.workers.join_next().await {
            ended?;
        }
        let doors = self.doors(0);
        Ok(Verdict::of(&self.ledger, doors).await)
    }

    fn doors(&self, first: usize) -> Doors {
        let ledger = Arc::clone(&self.ledger);
        Doors::new(self.map.clone(), first, ledger)
    }
}

/// One person's client.
struct Worker {
    person: Person,
    doors: Doors,
    ledger: Arc<Ledger>,
    kept: VecDeque<(String, Instant)>,
    round: u64,
}

/// What a token response holds.
struct Tokens {
    access: String,
    refresh: String,
}

impl Worker {
    /// An approval and what follows from it; ends early when something is broken or stays undecided.
    async fn round(&mut self) {
        self.round += 1;
        let Some(code) = self.doors.approve(&self.person).await else {
            return;
        };
        if self.round.is_multiple_of(8) {
            self.race(&code).await;
        } else if let Some(tokens) = self.exchange(&code).await {
            self.live(code, tokens).await;
        }
    }

    async fn live(&mut self, code: Code, mut tokens: Tokens) {
        let mut access = Vec::new();
        for generation in 0..3 {
            self.call(&tokens.access, "a new token").await;
            access.push(tokens.access);
            let twice = generation == 1;
            match self.refresh(&tokens.refresh, twice).await {
                Some(renewed) => tokens = renewed,
                None => return,
            }
        }
        self.register().await;
        let chain = Chain {
            person: self.person.clone(),
            code,
            refresh: tokens.refresh,
            access: (tokens.access, Instant::now()),
        };
        if self.round % 4 == 1 {
            self.revoke(chain).await;
            return;
        }
        self.ledger.with(|entries| keep(&mut entries.chains, chain));
        let now = Instant::now();
        self.kept
            .extend(access.into_iter().map(|token| (token, now)));
        while self.kept.len() > KEPT_MAX {
            self.kept.pop_front();
        }
        self.kept.retain(|(_, since)| self.doors.lives_long(*since));
        // The oldest and one from the middle: what an earlier key signed, and an earlier release.
        for index in [0, self.kept.len() / 2] {
            if let Some((token, since)) = self.kept.get(index).cloned() {
                let words = format!("a token of {:?} ago", since.elapsed());
                self.call(&token, &words).await;
            }
        }
    }

    /// The same code at two nodes at once: one of them may give tokens.
    async fn race(&mut self, code: &Code) {
        let answers = self
            .doors
            .ask_two(&form(
                &self.person,
                "token",
                self.person.exchange_form(code),
            ))
            .await;
        let fresh = answers.iter().filter(|answer| answer.status() == 200);
        if fresh.count() > 1 {
            self.ledger
                .broken(Broken::DoubleSpend, "a code gave tokens twice".to_owned());
        }
        for answer in answers {
            if answer.status() == StatusCode::OK || error_of(&answer) == "invalid_grant" {
                self.ledger.done();
            } else {
                self.wrong("a raced code", &answer);
            }
        }
    }

    async fn exchange(&mut self, code: &Code) -> Option<Tokens> {
        let ask = form(&self.person, "token", self.person.exchange_form(code));
        let Heard { answer, in_doubt } = self.doors.ask(&ask).await?;
        if in_doubt && error_of(&answer) == "invalid_grant" {
            self.ledger.undecided();
            return None;
        }
        self.tokens("a code", &answer)
    }

    /// The same refresh token twice at once gives the same successor, or one of them nothing.
    async fn refresh(&mut self, refresh: &str, twice: bool) -> Option<Tokens> {
        let ask = form(&self.person, "token", self.person.refresh_form(refresh));
        let mut successors = Vec::new();
        if twice {
            for answer in self.doors.ask_two(&ask).await {
                successors.push(self.tokens("a refresh token", &answer)?);
            }
        }
        let heard = self.doors.ask(&ask).await?;
        let tokens = self.tokens("a refresh token", &heard.answer)?;
        if successors
            .iter()
            .any(|other| other.refresh != tokens.refresh)
        {
            self.ledger.broken(
                Broken::DoubleSpend,
                "a refresh token has two living successors".to_owned(),
            );
        }
        Some(tokens)
    }

    async fn call(&mut self, token: &str, words: &str) {
        let Some(Heard { answer, .. }) = self.doors.ask(&call(token)).await else {
            return;
        };
        match answer.status() {
            StatusCode::OK if text(&answer).contains("here") => self.ledger.done(),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                let said = format!("{words}: {answer:?}");
                self.ledger.broken(Broken::Refused, said);
            }
            _ => self.wrong(words, &answer),
        }
    }

    async fn register(&mut self) {
        let name = base::random_token(&base::OsRandom, "Fleet ");
        let ask = Ask {
            method: Method::POST,
            is_call: false,
            path: format!("{}/register", self.person.issuer_path),
            content_type: JSON,
            bearer: None,
            body: registration_body(&name),
        };
        let Some(Heard { answer, .. }) = self.doors.ask(&ask).await else {
            return;
        };
        match (answer.status(), member(&answer, "client_id")) {
            (StatusCode::CREATED, Some(id)) => {
                self.ledger.done();
                self.ledger.with(|entries| keep(&mut entries.clients, id));
            }
            _ => self.wrong("a registration", &answer),
        }
    }

    /// Once it is acknowledged, no node gives anything for the refresh token, and no gateway takes the access token.
    async fn revoke(&mut self, chain: Chain) {
        let Some(Heard { answer, .. }) = self.doors.ask(&revocation(&chain)).await else {
            return;
        };
        if answer.status() != StatusCode::OK {
            return self.wrong("a revocation", &answer);
        }
        let since = Instant::now();
        self.ledger.done();
        let ask = form(
            &chain.person,
            "token",
            chain.person.refresh_form(&chain.refresh),
        );
        let Some(Heard { answer, .. }) = self.doors.ask(&ask).await else {
            return;
        };
        if error_of(&answer) == "invalid_grant" {
            self.ledger.done();
        } else {
            self.wrong("a revoked refresh token", &answer);
        }
        let revoked = call(&chain.access.0);
        self.doors.ask_until_refused(&revoked, since).await;
        self.ledger
            .with(|entries| keep(&mut entries.revoked, chain));
    }

    fn tokens(&self, words: &str, answer: &Response<Bytes>) -> Option<Tokens> {
        let tokens = member(answer, "access_token").zip(member(answer, "refresh_token"));
        match (answer.status(), tokens) {
            (StatusCode::OK, Some((access, refresh))) => {
                self.ledger.done();
                if let Some(key) = key_of(&access) {
                    self.ledger.with(|entries| entries.keys.insert(key));
                }
                Some(Tokens { access, refresh })
            }
            (StatusCode::BAD_REQUEST, _) if error_of(answer) == "invalid_grant" => {
                let said = format!("{words}: {}", text(answer));
                self.ledger.broken(Broken::Refused, said);
                None
            }
            _ => {
                self.wrong(words, answer);
                None
            }
        }
    }

    fn wrong(&self, words: &str, answer: &Response<Bytes>) {
        let said = format!("{words}: {} {}", answer.status(), text(answer));
        self.ledger.broken(Broken::Wrong, said);
    }
}

/// A call of the one tool.
pub(super) fn call(token: &str) -> Ask {
    let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"here"}}}"#;
    Ask {
        method: Method::POST,
        is_call: true,
        path: format!("/mcp/{SERVER}"),
        content_type: JSON,
        bearer: Some(token.to_owned()),
        body: body.to_owned(),
    }
}

/// A form of the person's client at `endpoint`.
pub(super) fn form(person: &Person, endpoint: &str, body: String) -> Ask {
    Ask {
        method: Method::POST,
        is_call: false,
        path: format!("{}/{endpoint}", person.issuer_path),
        content_type: FORM,
        bearer: None,
        body,
    }
}

/// Its client takes an approval back.
pub(super) fn revocation(chain: &Chain) -> Ask {
    let client = &chain.person.client_id;
    let body = format!("token={}&client_id={client}", chain.refresh);
    form(&chain.person, "revoke", body)
}

pub(super) fn error_of(answer: &Response<Bytes>) -> String {
    member(answer, "error").unwrap_or_default()
}

fn member(answer: &Response<Bytes>, name: &str) -> Option<String> {
    let body: Value = serde_json::from_slice(answer.body()).ok()?;
    body[name].as_str().map(str::to_owned)
}

/// The id of the key that signed an access token.
fn key_of(token: &str) -> Option<String> {
    let head = base::base64url_decode(token.split('.').next()?)?;
    let head: Value = serde_json::from_slice(&head).ok()?;
    head["kid"].as_str().map(str::to_owned)
}
