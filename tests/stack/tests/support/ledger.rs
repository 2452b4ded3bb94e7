//! What the server acknowledged, kept by the load in a synced file, and what must be true of it later.

#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::future::Future;
use std::io::Write as _;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use testkit::Connection;
use testkit::person::{Code, Person, register, text};

use stack_tests::Up;

use super::{EMAIL, PASSWORD};

const WORKERS: usize = 4;

/// One approval and every refresh token that came of it, in order; only what was acknowledged.
#[derive(Default)]
struct Chain {
    code: Option<Code>,
    refresh_tokens: Vec<String>,
}

#[derive(Default)]
struct Acknowledged {
    chains: Vec<Chain>,
    clients: Vec<String>,
}

/// The load and its ledger.
pub struct Ledger {
    person: Person,
    file: Arc<Mutex<File>>,
    acknowledged: Arc<Mutex<Acknowledged>>,
}

/// How a request ended, as far as the client can know.
enum Sent {
    Answered(Response<Bytes>),
    /// The connection broke: the server may or may not have done it.
    Unknown,
}

impl Ledger {
    /// Signs in once; the load approves again and again in that session.
    pub async fn begin(directory: &Path, server: &Up) -> Self {
        let mut connection = Connection::open(server.ready.address()).await.unwrap();
        let (person, _) = Person::sign_in(&mut connection, &server.ready.issuer, EMAIL, PASSWORD)
            .await
            .unwrap();
        let file = File::options()
            .create(true)
            .append(true)
            .open(directory.join("ledger"))
            .unwrap();
        Self {
            person,
            file: Arc::new(Mutex::new(file)),
            acknowledged: Arc::default(),
        }
    }

    /// How much is in it.
    pub fn summary(&self) -> String {
        let acknowledged = self.acknowledged.lock().unwrap();
        format!(
            "{} codes, {} refresh tokens, {} clients acknowledged",
            acknowledged.chains.len(),
            acknowledged
                .chains
                .iter()
                .map(|chain| chain.refresh_tokens.len())
                .sum::<usize>(),
            acknowledged.clients.len()
        )
    }

    fn acknowledge(&self, line: String, change: impl FnOnce(&mut Acknowledged)) {
        let mut file = self.file.lock().unwrap();
        writeln!(file, "{line}").unwrap();
        file.sync_data().unwrap();
        change(&mut self.acknowledged.lock().unwrap());
    }

    /// Runs the load until `end` resolves or the server is gone.
    pub async fn load_until(&mut self, end: impl Future<Output = ()>, server: &mut Up) {
        let authority = server.ready.address().to_owned();
        let workers = futures_util::future::join_all((0..WORKERS).map(|_| self.work(&authority)));
        tokio::select! {
            _ = workers => {}
            () = end => {}
            _ = server.ended() => {}
        }
    }

    async fn work(&self, authority: &str) {
        let Ok(mut connection) = Connection::open(authority).await else {
            return;
        };
        loop {
            let Ok(code) = self.person.approve(&mut connection).await else {
                return;
            };
            let Sent::Answered(answer) = self
                .token(&mut connection, self.person.exchange_form(&code))
                .await
            else {
                return;
            };
            let mut refresh_token = refresh_token_of(&answer);
            let mut index = 0;
            self.acknowledge(
                format!("code {} {refresh_token}", code.code),
                |acknowledged| {
                    index = acknowledged.chains.len();
                    acknowledged.chains.push(Chain {
                        code: Some(code),
                        refresh_tokens: vec![refresh_token.clone()],
                    });
                },
            );
            for _ in 0..3 {
                let Sent::Answered(answer) = self
                    .token(&mut connection, self.person.refresh_form(&refresh_token))
                    .await
                else {
                    return;
                };
                refresh_token = refresh_token_of(&answer);
                self.acknowledge(format!("refresh {refresh_token}"), |acknowledged| {
                    acknowledged.chains[index]
                        .refresh_tokens
                        .push(refresh_token.clone());
                });
            }
            let name = base::random_token(&base::OsRandom, "Ledger ");
            let Ok(client) = register(&mut connection, &self.person.issuer_path, &name).await
            else {
                return;
            };
            let id = client["client_id"].as_str().unwrap().to_owned();
            self.acknowledge(format!("client {id}"), |acknowledged| {
                acknowledged.clients.push(id)
            });
        }
    }

    async fn token(&self, connection: &mut Connection, form: String) -> Sent {
        let request = Request::post(format!("{}/token", self.person.issuer_path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        match connection.send(request, form).await {
            Ok(answer) => Sent::Answered(answer),
            Err(_) => Sent::Unknown,
        }
    }

    /// One exchange, acknowledged.
    pub async fn exchange_one(&mut self, server: &Up) {
        let mut connection = Connection::open(server.ready.address()).await.unwrap();
        let code = self.person.approve(&mut connection).await.unwrap();
        let Sent::Answered(answer) = self
            .token(&mut connection, self.person.exchange_form(&code))
            .await
        else {
            panic!("no answer")
        };
        let refresh_token = refresh_token_of(&answer);
        self.acknowledge(
            format!("code {} {refresh_token}", code.code),
            |acknowledged| {
                acknowledged.chains.push(Chain {
                    code: Some(code),
                    refresh_tokens: vec![refresh_token.clone()],
                });
            },
        );
    }

    /// How long one answer of this kind takes.
    pub async fn time_one(&mut self, what: &str, server: &Up) -> Duration {
        let mut connection = Connection::open(server.ready.address()).await.unwrap();
        let form = match what {
            "code exchange" => {
                let code = self.person.approve(&mut connection).await.unwrap();
                self.person.exchange_form(&code)
            }
            "refresh" => self.person.refresh_form(
                self.acknowledged.lock().unwrap().chains[0]
                    .refresh_tokens
                    .last()
                    .unwrap(),
            ),
            _ => {
                let begun = Instant::now();
                register(&mut connection, &self.person.issuer_path, "Slow")
                    .await
                    .unwrap();
                return begun.elapsed();
            }
        };
        let begun = Instant::now();
        let Sent::Answered(answer) = self.token(&mut connection, form).await else {
            panic!("no answer")
        };
        assert_eq!(answer.status(), StatusCode::OK, "{}", text(&answer));
        begun.elapsed()
    }

    /// What was acknowledged and is gone, in words.
    pub async fn lost(&mut self, server: &Up) -> Vec<String> {
        let mut lost = Vec::new();
        let mut connection = Connection::open(server.ready.address()).await.unwrap();
        let chains: Vec<(usize, Vec<String>)> = {
            let acknowledged = self.acknowledged.lock().unwrap();
            acknowledged
                .chains
                .iter()
                .map(|chain| chain.refresh_tokens.clone())
                .enumerate()
                .collect()
        };
        for (index, tokens) in chains {
            // The one before the newest was spent: inside its minute it gives the very same successor, or the spending
            // was forgotten and somebody else could spend it again.
            if let [.., spent, newest] = tokens.as_slice() {
                match self
                    .token(&mut connection, self.person.refresh_form(spent))
                    .await
                {
                    Sent::Answered(answer) if answer.status() == StatusCode::OK => {
                        if refresh_token_of(&answer) != *newest {
                            lost.push(format!(
                                "chain {index}: a spent refresh token gave another successor"
                            ));
                        }
                    }
                    // After its minute, or when the newest was used, a repeat is refused; that is checked elsewhere.
                    Sent::Answered(answer) => {
                        lost.push(format!("chain {index}: {}", text(&answer)))
                    }
                    Sent::Unknown => lost.push(format!("chain {index}: no answer")),
                }
            }
            let newest = tokens.last().unwrap();
            match self
                .token(&mut connection, self.person.refresh_form(newest))
                .await
            {
                Sent::Answered(answer) if answer.status() == StatusCode::OK => {
                    let next = refresh_token_of(&answer);
                    self.acknowledge(format!("refresh {next}"), |acknowledged| {
                        acknowledged.chains[index].refresh_tokens.push(next)
                    });
                }
                Sent::Answered(answer) => lost.push(format!(
                    "chain {index}: the newest refresh token is refused: {}",
                    text(&answer)
                )),
                Sent::Unknown => lost.push(format!("chain {index}: no answer")),
            }
        }
        let clients = self.acknowledged.lock().unwrap().clients.clone();
        for client in clients {
            let person = Person {
                client_id: client.clone(),
                ..self.person.clone()
            };
            if let Err(error) = person.approve(&mut connection).await {
                lost.push(format!("client {client}: {error:#}"));
            }
        }
        lost
    }

    pub async fn check_everything_acknowledged(&mut self, server: &Up) {
        assert_eq!(self.lost(server).await, Vec::<String>::new());
    }

    /// Every code of the ledger was spent: with its right verifier it must be refused.
    pub async fn check_nothing_is_spent_twice(&mut self, server: &Up) {
        let mut connection = Connection::open(server.ready.address()).await.unwrap();
        let codes: Vec<Code> = self
            .acknowledged
            .lock()
            .unwrap()
            .chains
            .iter()
            .filter_map(|chain| chain.code.clone())
            .collect();
        assert!(!codes.is_empty(), "the load did nothing");
        for code in codes {
            let Sent::Answered(answer) = self
                .token(&mut connection, self.person.exchange_form(&code))
                .await
            else {
                panic!("no answer")
            };
            let body: Value = serde_json::from_slice(answer.body()).unwrap();
            assert_eq!(
                body["error"],
                "invalid_grant",
                "a spent code was answered {}",
                text(&answer)
            );
        }
    }
}

fn refresh_token_of(answer: &Response<Bytes>) -> String {
    assert_eq!(answer.status(), StatusCode::OK, "{}", text(answer));
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    body["refresh_token"].as_str().unwrap().to_owned()
}
