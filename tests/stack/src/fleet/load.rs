//! Honest people and their clients, each at every node in turn.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Response, StatusCode};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Code, Person, registration_body, text};
use tokio::task::JoinSet;

use super::doors::{Ask, Doors, Heard};
use super::ledger::{Broken, Chain, Ledger, keep};
use super::{Fleet, PASSWORD, SERVER, Verdict, email};

const FORM: &str = "application/x-www-form-urlencoded";
const JSON: &str = "application/json";

/// Access tokens that each client goes on calling with, and for how long: half of what they live.
const KEPT_MAX: usize = 256;
const KEPT_FOR: Duration = Duration::from_secs(30 * 60);

/// How fast the clients go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// One request after the other.
    Full,
    /// After each round a client rests as long as the round took.
    Half,
}

/// A running load.
pub struct Load {
    ledger: Arc<Ledger>,
    end: Arc<AtomicBool>,
    workers: JoinSet<()>,
    doors: Vec<String>,
    authority: String,
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
            doors: fleet.nodes.iter().map(|node| node.door.clone()).collect(),
            authority: fleet.authority.clone(),
        };
        for index in 0..people {
            let mut connection = Connection::open(&load.doors[index % load.doors.len()]).await?;
            connection.authority.clone_from(&load.authority);
            let issuer = format!("http://{}/servers/{SERVER}", load.authority);
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
                while !end.load(Ordering::Relaxed) {
                    let begun = Instant::now();
                    worker.round().await;
                    if pace == Pace::Half {
                        tokio::time::sleep(begun.elapsed()).await;
                    }
                }
            });
        }
        Ok(load)
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
        Doors::new(self.doors.clone(), self.authority.clone(), first, ledger)
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
        self.kept.retain(|(_, since)| since.elapsed() < KEPT_FOR);
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
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"here"}}}"#;
        let ask = Ask {
            path: format!("/mcp/{SERVER}"),
            content_type: JSON,
            bearer: Some(token.to_owned()),
            body: body.to_owned(),
        };
        let Some(Heard { answer, .. }) = self.doors.ask(&ask).await else {
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

    /// Once it is acknowledged, no node gives anything for the refresh token.
    async fn revoke(&mut self, chain: Chain) {
        let body = format!(
            "token={}&client_id={}",
            chain.refresh, chain.person.client_id
        );
        let Some(Heard { answer, .. }) = self.doors.ask(&form(&chain.person, "revoke", body)).await
        else {
            return;
        };
        if answer.status() != StatusCode::OK {
            return self.wrong("a revocation", &answer);
        }
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

/// A form of the person's client at `endpoint`.
pub(super) fn form(person: &Person, endpoint: &str, body: String) -> Ask {
    Ask {
        path: format!("{}/{endpoint}", person.issuer_path),
        content_type: FORM,
        bearer: None,
        body,
    }
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
