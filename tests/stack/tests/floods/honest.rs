//! People who sign in, renew their tokens and call a tool, again and again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context as _, bail};
use http::{Request, header};
use serde_json::{Value, json};
use testkit::Connection;
use testkit::person::{Person, text};
use tokio::task::JoinHandle;

use super::node::{Door, Node};
use super::support::{EMAIL, PASSWORD};

const WORKERS: usize = 3;

pub struct Honest {
    stop: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Served>>,
}

/// What honest people asked and how often they were not served at once.
#[derive(Default)]
pub struct Served {
    pub asked: u64,
    pub failed: u64,
    first_failure: Option<String>,
}

impl fmt::Display for Served {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            out,
            "{} of {} honest exchanges, refreshes and calls answered at once",
            self.asked - self.failed,
            self.asked
        )?;
        match &self.first_failure {
            Some(words) => write!(out, " (first failure: {words})"),
            None => Ok(()),
        }
    }
}

impl Honest {
    pub async fn begin(node: &Node) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let mut workers = Vec::new();
        for _ in 0..WORKERS {
            let mut connection = node.open().await.unwrap();
            let (person, _) = Person::sign_in(&mut connection, &node.issuer(), EMAIL, PASSWORD)
                .await
                .unwrap();
            let stop = Arc::clone(&stop);
            workers.push(tokio::spawn(work(node.door(), connection, person, stop)));
        }
        Self { stop, workers }
    }

    pub async fn end(self) -> Served {
        self.stop.store(true, Ordering::Relaxed);
        let mut sum = Served::default();
        for worker in self.workers {
            let served = worker.await.unwrap();
            sum.asked += served.asked;
            sum.failed += served.failed;
            sum.first_failure = sum.first_failure.or(served.first_failure);
        }
        sum
    }
}

async fn work(
    door: Door,
    mut connection: Connection,
    person: Person,
    stop: Arc<AtomicBool>,
) -> Served {
    let mut served = Served::default();
    while !stop.load(Ordering::Relaxed) {
        if let Err(error) = round(&mut connection, &person, &mut served).await {
            served.failed += 1;
            served.first_failure.get_or_insert(format!("{error:#}"));
            if let Ok(another) = door.open_from("127.0.0.1").await {
                connection = another;
            }
        }
    }
    served
}

/// One approval, and what comes of it.
async fn round(
    connection: &mut Connection,
    person: &Person,
    served: &mut Served,
) -> anyhow::Result<()> {
    served.asked += 1;
    let code = person.approve(connection).await?;
    let mut form = person.exchange_form(&code);
    for _ in 0..4 {
        served.asked += 1;
        let request = Request::post(format!("{}/token", person.issuer_path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let granted = json_of(&connection.send(request, form).await?)?;
        form = person.refresh_form(granted["refresh_token"].as_str().context("refresh_token")?);
        served.asked += 1;
        let access = granted["access_token"].as_str().context("access_token")?;
        let call = json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call",
            "params": {"name": "echo", "arguments": {"word": "honest"}}});
        let request = Request::post("/mcp/echo")
            .header(header::AUTHORIZATION, format!("Bearer {access}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::ACCEPT, "application/json, text/event-stream")
            .header("mcp-protocol-version", "2025-11-25");
        let answer = connection.send(request, call.to_string()).await?;
        if answer.status() != 200 || !text(&answer).contains("honest") {
            bail!("a call answered {}: {}", answer.status(), text(&answer));
        }
    }
    Ok(())
}

fn json_of(answer: &http::Response<bytes::Bytes>) -> anyhow::Result<Value> {
    if answer.status() != 200 {
        bail!("answered {}: {}", answer.status(), text(answer));
    }
    Ok(serde_json::from_slice(answer.body())?)
}
