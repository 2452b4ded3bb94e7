//! One client's connections to each node, and what it may try again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use testkit::Connection;
use testkit::person::{Code, Person};

use super::gateways::{Gateway, gateways_of};
use super::ledger::{Broken, Ledger};
use super::{Fleet, Role};

/// Longer than any node is halted, shorter than a minute: within one, a refresh may be sent again.
const ANSWER_LIMIT: Duration = Duration::from_secs(8);
const HONEST_LIMIT: Duration = Duration::from_secs(50);
const PAUSE: Duration = Duration::from_millis(50);

/// A request that may be sent as often as needed.
pub(super) struct Ask {
    pub(super) method: Method,
    /// Whether a gateway answers it; an authority otherwise.
    pub(super) is_call: bool,
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

/// Where the nodes of a fleet are and what each answers for.
#[derive(Clone)]
pub(super) struct Map {
    pub(super) nodes: Vec<(Role, String)>,
    pub(super) gateways: Vec<Gateway>,
    pub(super) authority: String,
    /// How long access tokens live.
    pub(super) tokens_live: Duration,
}

impl Map {
    pub(super) fn of(fleet: &Fleet) -> Self {
        let nodes = fleet.nodes.iter();
        Self {
            nodes: nodes.map(|node| (node.role, node.door.clone())).collect(),
            gateways: gateways_of(fleet),
            authority: fleet.authority.clone(),
            tokens_live: fleet.tokens_live,
        }
    }
}

/// Like a balancer: the next request may go to any node whose role it is, and after a failure goes to another one.
pub(super) struct Doors {
    map: Map,
    open: Vec<Option<Connection>>,
    next: usize,
    ledger: Arc<Ledger>,
}

impl Doors {
    pub(super) fn new(map: Map, first: usize, ledger: Arc<Ledger>) -> Self {
        Self {
            open: map.nodes.iter().map(|_| None).collect(),
            map,
            next: first,
            ledger,
        }
    }

    /// Whether a token that was had at `since` is far from its end.
    pub(super) fn lives_long(&self, since: Instant) -> bool {
        since.elapsed() < self.map.tokens_live / 2
    }

    /// Whether it can still be asked about.
    pub(super) fn lives(&self, since: Instant) -> bool {
        since.elapsed() <= self.map.tokens_live * 5 / 6
    }

    /// Asks until there is an answer other than "later"; nothing after `HONEST_LIMIT`, which is a broken promise.
    pub(super) async fn ask(&mut self, ask: &Ask) -> Option<Heard> {
        let begun = Instant::now();
        let mut in_doubt = false;
        let mut last = String::new();
        while begun.elapsed() < HONEST_LIMIT {
            let door = self.next_door(ask.is_call);
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
        let (one, other) = (self.next_door(ask.is_call), self.next_door(ask.is_call));
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
            let door = self.next_door(false);
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

    /// Asks each gateway about a token that was revoked at `since` until it is refused, which must not take longer than
    /// promised.
    pub(super) async fn ask_until_refused(&mut self, ask: &Ask, since: Instant) {
        for gateway in self.map.gateways.clone() {
            let door = gateway.door;
            let begun = Instant::now();
            loop {
                let called = Instant::now();
                let last = match self.send(door, ask).await {
                    Ok(answer) if answer.status() == StatusCode::UNAUTHORIZED => {
                        self.ledger.done();
                        self.ledger.refused_after(since.elapsed());
                        break;
                    }
                    Ok(answer) if answer.status() == StatusCode::OK => {
                        if gateway.should_have_known(since, called).await {
                            let said = format!(
                                "a revoked token was let through after {:?} by a gateway that had heard of it",
                                since.elapsed()
                            );
                            self.ledger.broken(Broken::Wrong, said);
                            break;
                        }
                        "200".to_owned()
                    }
                    Ok(answer) if is_later(&answer) => "503".to_owned(),
                    Ok(answer) => {
                        let said = format!("a revoked token: {}", answer.status());
                        self.ledger.broken(Broken::Wrong, said);
                        break;
                    }
                    Err(error) => format!("{error:#}"),
                };
                if begun.elapsed() > HONEST_LIMIT {
                    let said = format!("a revoked token was never refused: {last}");
                    self.ledger.broken(Broken::Lost, said);
                    break;
                }
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    /// Waits until every gateway follows its feed; one that never does is a broken promise.
    pub(super) async fn wait_for_feeds(&self) {
        let since = Instant::now();
        for gateway in &self.map.gateways {
            if !gateway.hears_after(since).await {
                let said = format!("node {} does not hear of the authority", gateway.door);
                self.ledger.broken(Broken::Unanswered, said);
            }
        }
    }

    /// What each gateway among nodes of these roles answers to a call, without any retry.
    pub(super) async fn ask_each_gateway(
        &mut self,
        ask: &Ask,
        roles: &[Role],
    ) -> Vec<anyhow::Result<Response<Bytes>>> {
        let mut answers = Vec::new();
        for Gateway { door, .. } in self.map.gateways.clone() {
            if roles.contains(&self.map.nodes[door].0) {
                answers.push(self.send(door, ask).await);
            }
        }
        answers
    }

    fn next_door(&mut self, is_call: bool) -> usize {
        let fits = |role: Role| match is_call {
            true => role.is_gateway(),
            false => role.is_authority(),
        };
        loop {
            self.next = (self.next + 1) % self.map.nodes.len();
            if fits(self.map.nodes[self.next].0) {
                return self.next;
            }
        }
    }

    async fn take(&mut self, door: usize) -> anyhow::Result<Connection> {
        if let Some(connection) = self.open[door].take() {
            return Ok(connection);
        }
        let opened = Connection::open(&self.map.nodes[door].1);
        let mut connection = tokio::time::timeout(ANSWER_LIMIT, opened).await??;
        connection.authority.clone_from(&self.map.authority);
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
    let mut request = Request::builder()
        .method(ask.method.clone())
        .uri(&ask.path)
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
