//! One client's connections to each node, and what it may try again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header};
use testkit::Connection;
use testkit::person::{Code, Person};

use super::ledger::{Broken, Ledger};

/// Longer than any node is halted, shorter than a minute: within one, a refresh may be sent again.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
const HONEST_LIMIT: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_millis(50);

/// A request that may be sent as often as needed.
pub(super) struct Ask {
    pub(super) path: String,
    pub(super) content_type: &'static str,
    pub(super) bearer: Option<String>,
    pub(super) body: String,
}

/// The answer, and whether an attempt before it may have been carried out unheard.
pub(super) struct Heard {
    pub(super) answer: Response<Bytes>,
    pub(super) in_doubt: bool,
}

/// Like a balancer: the next request may go to any node, and after a failure goes to another one.
pub(super) struct Doors {
    addresses: Vec<String>,
    open: Vec<Option<Connection>>,
    authority: String,
    next: usize,
    ledger: Arc<Ledger>,
}

impl Doors {
    pub(super) fn new(
        addresses: Vec<String>,
        authority: String,
        first: usize,
        ledger: Arc<Ledger>,
    ) -> Self {
        Self {
            open: addresses.iter().map(|_| None).collect(),
            addresses,
            authority,
            next: first,
            ledger,
        }
    }

    /// Asks until there is an answer other than "later"; nothing after `HONEST_LIMIT`, which is a broken promise.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Option<Heard> {
        let begun = Instant::now();
        let mut in_doubt = false;
        let mut last = String::new();
        while begun.elapsed() < HONEST_LIMIT {
            let door = self.next_door();
            match self.send(door, ask).await {
                Ok(answer) if is_later(&answer) => last = "503".to_owned(),
                Ok(answer) => return Some(Heard { answer, in_doubt }),
                Err(error) => last = format!("{error:#}"),
            }
            // A 503 may come of a commit whose answer got lost between node and database.
            in_doubt = true;
            self.ledger.retried();
            tokio::time::sleep(PAUSE).await;
        }
        self.ledger
            .broken(Broken::Unanswered, format!("{}: {last}", ask.path));
        None
    }

    /// The same request at two nodes at once; each answer that came and was not "later".
    pub(super) async fn ask_two(&mut self, ask: &Ask) -> Vec<Response<Bytes>> {
        let (one, other) = (self.next_door(), self.next_door());
        // Connections of their own: one connection sends one request after the other.
        let mut pair = [self.take(one).await, self.take(other).await];
        let [first, second] = &mut pair;
        let (first, second) = tokio::join!(exchange(first, ask), exchange(second, ask));
        let [first_connection, second_connection] = pair;
        self.put(one, first_connection, first.is_ok());
        self.put(other, second_connection, second.is_ok());
        [first, second]
            .into_iter()
            .flatten()
            .filter(|answer| !is_later(answer))
            .collect()
    }

    /// Opens the authorize page and approves, from the start each time that a part of it fails.
    pub(super) async fn approve(&mut self, person: &Person) -> Option<Code> {
        let begun = Instant::now();
        let mut last = String::new();
        while begun.elapsed() < HONEST_LIMIT {
            let door = self.next_door();
            let mut connection = self.take(door).await;
            let outcome = match &mut connection {
                Ok(connection) => {
                    tokio::time::timeout(ANSWER_LIMIT, person.approve(connection)).await
                }
                Err(error) => Ok(Err(anyhow::anyhow!("{error:#}"))),
            };
            self.put(door, connection, matches!(&outcome, Ok(Ok(_))));
            match outcome {
                Ok(Ok(code)) => {
                    self.ledger.done();
                    return Some(code);
                }
                Ok(Err(error)) => {
                    last = format!("{error:#}");
                    // The person's pages tell of an answer by its status.
                    let answered = last.contains("answer") && !last.contains("503");
                    if answered && !error.is::<std::io::Error>() {
                        self.ledger
                            .broken(Broken::Wrong, format!("approval: {last}"));
                        return None;
                    }
                }
                Err(_) => last = "no answer".to_owned(),
            }
            self.ledger.retried();
            tokio::time::sleep(PAUSE).await;
        }
        self.ledger
            .broken(Broken::Unanswered, format!("approval: {last}"));
        None
    }

    /// Sends it once, at one node.
    async fn send(&mut self, door: usize, ask: &Ask) -> anyhow::Result<Response<Bytes>> {
        let mut connection = self.take(door).await;
        let answer = exchange(&mut connection, ask).await;
        self.put(door, connection, answer.is_ok());
        answer
    }

    fn next_door(&mut self) -> usize {
        self.next = (self.next + 1) % self.addresses.len();
        self.next
    }

    async fn take(&mut self, door: usize) -> anyhow::Result<Connection> {
        if let Some(connection) = self.open[door].take() {
            return Ok(connection);
        }
        let opened = Connection::open(&self.addresses[door]);
        let mut connection = tokio::time::timeout(ANSWER_LIMIT, opened).await??;
        connection.authority.clone_from(&self.authority);
        Ok(connection)
    }

    fn put(&mut self, door: usize, connection: anyhow::Result<Connection>, whole: bool) {
        self.open[door] = connection.ok().filter(|_| whole);
    }
}

async fn exchange(
    connection: &mut anyhow::Result<Connection>,
    ask: &Ask,
) -> anyhow::Result<Response<Bytes>> {
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => anyhow::bail!("{error:#}"),
    };
    let mut request = Request::post(&ask.path)
        .header(header::CONTENT_TYPE, ask.content_type)
        .header(header::ACCEPT, "application/json, text/event-stream")
        .header("mcp-protocol-version", "2025-11-25");
    if let Some(token) = &ask.bearer {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    tokio::time::timeout(ANSWER_LIMIT, connection.send(request, ask.body.clone())).await?
}

/// Whether the answer asks for the same request once more.
fn is_later(answer: &Response<Bytes>) -> bool {
    answer.status() == StatusCode::SERVICE_UNAVAILABLE
        && answer.headers().contains_key(header::RETRY_AFTER)
}
