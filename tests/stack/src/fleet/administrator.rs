//! A machine that writes the policy and the settings of the MCP server over the admin API, at any authority, while things
//! fail; each revision that was acknowledged to it is looked up again.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use bytes::Bytes;
use http::{Method, Response, StatusCode};
use serde_json::{Value, json};
use testkit::person::text;

use super::doors::{Ask, Doors, Heard};
use super::ledger::{Broken, Ledger};
use super::{Fleet, SERVER};

const API: &str = "/admin/api/v1/servers/echo";

/// A tool that no other client of the load calls.
const TOOL: &str = "delete_note";

/// The admin API answers one machine twenty times a second.
const PAUSE: Duration = Duration::from_millis(200);

/// Of the fifteen minutes that its access token lives.
const TOKEN_KEPT: Duration = Duration::from_secs(5 * 60);

/// Revisions that are looked up again while the load runs: the store keeps the newest thousand.
const LOOKED_UP_EVERY: usize = 50;

/// How the machine proves itself.
#[derive(Clone)]
pub struct Administrator {
    id: String,
    secret: String,
}

impl Administrator {
    /// Adds one that may change things.
    ///
    /// # Errors
    /// When it cannot be added.
    pub async fn add(fleet: &Fleet, program: &Path) -> anyhow::Result<Self> {
        let line = "clients add --server portcullis-admin --name Fleet --secret --service-scope portcullis:write";
        let arguments: Vec<&str> = line.split(' ').collect();
        let said = fleet.run(program, &arguments, "").await?;
        let mut lines = said.lines().map(str::to_owned);
        Ok(Self {
            id: lines.next().context("an id")?,
            secret: lines.next().context("a secret")?,
        })
    }
}

/// What was acknowledged to it.
#[derive(Default, Clone)]
pub(super) struct Written {
    /// Revisions, each with the words that its writer gave it.
    pub(super) revisions: Vec<(i64, String)>,
    /// How long access tokens live, as it was set last.
    pub(super) token_seconds: Option<u64>,
    /// Writes of settings.
    pub(super) settings: usize,
}

/// The machine at work.
pub(super) struct Writer {
    administrator: Administrator,
    doors: Doors,
    ledger: Arc<Ledger>,
    token: Option<(String, Instant)>,
    turn: u64,
    written: Written,
    looked_up: usize,
}

impl Writer {
    pub(super) fn new(administrator: Administrator, doors: Doors, ledger: Arc<Ledger>) -> Self {
        Self {
            administrator,
            doors,
            ledger,
            token: None,
            turn: 0,
            written: Written::default(),
            looked_up: 0,
        }
    }

    /// One write and what must be true before it.
    pub(super) async fn round(&mut self) {
        tokio::time::sleep(PAUSE).await;
        self.turn += 1;
        match self.turn % 4 {
            0 => self.set().await,
            1 => self.roll_back().await,
            _ => self.put().await,
        };
        if self.written.revisions.len() >= self.looked_up + LOOKED_UP_EVERY {
            self.look_up().await;
        }
    }

    /// Everything that was acknowledged since the last look is there; nothing is wrong with anything now, or it is asked for as
    /// long as an honest request may be.
    pub(super) async fn end(mut self) -> Written {
        self.look_up().await;
        if let Some(wanted) = self.written.token_seconds
            && let Some(shown) = self.json(Method::GET, "", Value::Null).await
            && shown["settings"]["access_token_seconds"] != wanted
        {
            let said = format!("a setting: {} instead of {wanted}", shown["settings"]);
            self.ledger.broken(Broken::Lost, said);
        }
        self.written
    }

    /// The policy with one requirement turned, over the one in force.
    async fn put(&mut self) -> Option<()> {
        let (base, mut policy) = self.in_force().await?;
        let requirement = &mut policy["tools"][TOOL]["requirement"];
        *requirement = match requirement.as_str() {
            Some("denied") => json!("public"),
            _ => json!("denied"),
        };
        let words = format!("turn {}", self.turn);
        let body = json!({ "base_revision": base, "policy": policy, "detail": words });
        let heard = self.ask(Method::PUT, "/policy", body).await?;
        self.published(base, &words, "a policy", &heard).await
    }

    /// The revision before the one in force again.
    async fn roll_back(&mut self) -> Option<()> {
        let &(back, _) = self.written.revisions.iter().rev().nth(1)?;
        let (base, _) = self.in_force().await?;
        let body = json!({ "base_revision": base, "revision": back });
        let heard = self.ask(Method::POST, "/policy/rollback", body).await?;
        self.published(base, "", "a roll back", &heard).await
    }

    async fn set(&mut self) -> Option<()> {
        let seconds = 3600 + self.turn % 7;
        let body = json!({ "settings": { "access_token_seconds": seconds } });
        let heard = self.ask(Method::PATCH, "", body).await?;
        let shown = read(&heard.answer);
        if heard.answer.status() != StatusCode::OK
            || shown["settings"]["access_token_seconds"] != seconds
        {
            return self.wrong("settings", &heard.answer);
        }
        self.written.token_seconds = Some(seconds);
        self.written.settings += 1;
        self.ledger.done();
        Some(())
    }

    /// The revision and the policy in force, which is none that an acknowledged one is newer than.
    async fn in_force(&mut self) -> Option<(i64, Value)> {
        let shown = self.json(Method::GET, "/policy", Value::Null).await?;
        let revision = shown["revision"].as_i64()?;
        if let Some((newest, _)) = self.written.revisions.last()
            && revision < *newest
        {
            let said = format!("revision {revision} is in force after {newest} was acknowledged");
            self.ledger.broken(Broken::Lost, said);
        }
        Some((revision, shown["policy"].clone()))
    }

    async fn published(&mut self, base: i64, words: &str, what: &str, heard: &Heard) -> Option<()> {
        match (
            heard.answer.status(),
            read(&heard.answer)["revision"].as_i64(),
        ) {
            (StatusCode::OK, Some(revision)) if revision > base => {
                self.written.revisions.push((revision, words.to_owned()));
                self.ledger.done();
                Some(())
            }
            // An attempt whose answer got lost had published it. Nobody else writes, so it is what is in force.
            (StatusCode::PRECONDITION_FAILED, _) if heard.in_doubt => {
                self.ledger.undecided();
                self.in_force().await.map(drop)
            }
            _ => self.wrong(what, &heard.answer),
        }
    }

    /// Each acknowledged revision is kept, with its words.
    async fn look_up(&mut self) {
        let new: Vec<_> = self.written.revisions[self.looked_up..].into();
        for (revision, words) in new {
            let path = format!("/policy/revisions/{revision}");
            let Some(shown) = self.json(Method::GET, &path, Value::Null).await else {
                continue;
            };
            let detail = shown["saved"]["detail"].as_str().unwrap_or_default();
            if shown["revision"] != revision || (!words.is_empty() && detail != words) {
                let said = format!("revision {revision} of {words:?}: {}", shown["saved"]);
                self.ledger.broken(Broken::Lost, said);
            }
        }
        self.looked_up = self.written.revisions.len();
    }

    /// What a good answer holds; anything else is wrong.
    async fn json(&mut self, method: Method, path: &str, body: Value) -> Option<Value> {
        let heard = self.ask(method, path, body).await?;
        if heard.answer.status() == StatusCode::OK {
            return Some(read(&heard.answer));
        }
        self.wrong(path, &heard.answer)
    }

    /// With a token, fetched anew when there is none or it is refused.
    async fn ask(&mut self, method: Method, path: &str, body: Value) -> Option<Heard> {
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        for _ in 0..2 {
            let token = self.token().await?;
            let ask = Ask {
                method: method.clone(),
                is_call: false,
                path: format!("{API}{path}"),
                content_type: "application/json",
                bearer: Some(token),
                body: body.clone(),
            };
            let heard = self.doors.ask(&ask).await?;
            if heard.answer.status() != StatusCode::UNAUTHORIZED {
                return Some(heard);
            }
            self.wrong::<()>("a token of the admin API", &heard.answer);
            self.token = None;
        }
        None
    }

    async fn token(&mut self) -> Option<String> {
        if let Some((token, since)) = &self.token
            && since.elapsed() < TOKEN_KEPT
        {
            return Some(token.clone());
        }
        let Administrator { id, secret } = &self.administrator;
        let ask = Ask {
            method: Method::POST,
            is_call: false,
            path: "/servers/portcullis-admin/token".to_owned(),
            content_type: "application/x-www-form-urlencoded",
            bearer: None,
            body: format!("grant_type=client_credentials&client_id={id}&client_secret={secret}"),
        };
        let heard = self.doors.ask(&ask).await?;
        match read(&heard.answer)["access_token"].as_str() {
            Some(token) => {
                self.token = Some((token.to_owned(), Instant::now()));
                Some(token.to_owned())
            }
            None => self.wrong("a token for the admin API", &heard.answer),
        }
    }

    fn wrong<T>(&self, words: &str, answer: &Response<Bytes>) -> Option<T> {
        let said = format!("{SERVER}, {words}: {} {}", answer.status(), text(answer));
        self.ledger.broken(Broken::Wrong, said);
        None
    }
}

fn read(answer: &Response<Bytes>) -> Value {
    serde_json::from_slice(answer.body()).unwrap_or_default()
}
