//! How long it takes until what was revoked is refused: grants, clients, people and keys, at a gateway of its own and at a server
//! that protects itself. None of them asks the authority about a call.

use super::protects_itself::Todo;
use super::*;

/// A place that enforces, and the authority behind it.
trait Place {
    const NAME: &'static str;
    fn home(&self) -> (&Home, &Path);
    async fn signed_in_as(&self, email: &str) -> (Person, Value);
    async fn revoke(&self, person: &Person, token: &str);
    async fn status(&self, token: &str) -> StatusCode;
}

impl Place for Apart {
    const NAME: &'static str = "a gateway";
    fn home(&self) -> (&Home, &Path) {
        (&self.home, &self.of_authority)
    }
    async fn signed_in_as(&self, email: &str) -> (Person, Value) {
        Apart::signed_in_as(self, email).await
    }
    async fn revoke(&self, person: &Person, token: &str) {
        Apart::revoke(self, person, &json!({"access_token": token})).await;
    }
    async fn status(&self, token: &str) -> StatusCode {
        self.call(token).await
    }
}

impl Place for Todo {
    const NAME: &'static str = "an SDK";
    fn home(&self) -> (&Home, &Path) {
        (&self.home, &self.of_authority)
    }
    async fn signed_in_as(&self, email: &str) -> (Person, Value) {
        Todo::signed_in_as(self, email).await
    }
    async fn revoke(&self, person: &Person, token: &str) {
        Todo::revoke(self, person, token).await;
    }
    async fn status(&self, token: &str) -> StatusCode {
        let client = self.client(token);
        client.call_tool("list_todos", json!({})).await.status
    }
}

/// Everything that can be revoked at once.
const KINDS: [&str; 4] = ["grant", "client", "person", "key"];

/// From the moment at which whoever revoked it was told so, until a call with it is refused.
async fn felt<P: Place>(place: &P, kind: &str, round: usize) -> Duration {
    let (home, config) = place.home();
    let email = format!("p{round}@example.com");
    let add = ["people", "add", &email, "--password-stdin"];
    if kind == "person" {
        assert_eq!(run(home, config, &add, PASSWORD).await.code, 0);
    }
    let whose = if kind == "person" { &email } else { EMAIL };
    let (person, tokens) = place.signed_in_as(whose).await;
    let token = access(&tokens);
    let began = Instant::now();
    // After a rotation the new key is on its way.
    while place.status(token).await != StatusCode::OK {
        assert!(began.elapsed() < PATIENCE, "{}: {kind}", P::NAME);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    match kind {
        "grant" => place.revoke(&person, token).await,
        "client" => {
            done(home, config, &["clients", "block", &person.client_id]).await;
        }
        "person" => {
            done(home, config, &["people", "disable", &email]).await;
        }
        _ => {
            done(home, config, &["keys", "rotate", "--now"]).await;
        }
    }
    let told = Instant::now();
    while place.status(token).await != StatusCode::UNAUTHORIZED {
        assert!(told.elapsed() < PATIENCE, "{}: {kind}", P::NAME);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let took = told.elapsed();
    if kind == "client" {
        // Who registers with the same words is the same client, and what it is given in the second of the block is refused.
        done(home, config, &["clients", "unblock", &person.client_id]).await;
        tokio::time::sleep(Duration::from_millis(2_100)).await;
    }
    took
}

#[allow(clippy::print_stdout, reason = "the figure")]
async fn all_felt<P: Place>(place: &P) {
    let rounds = std::env::var("PORTCULLIS_REVOCATIONS").map_or(4, |n| n.parse().unwrap());
    for kind in KINDS {
        let mut took = Vec::new();
        for round in 0..rounds {
            took.push(felt(place, kind, round).await);
        }
        took.sort();
        let p99 = took[(took.len() * 99).div_ceil(100) - 1];
        println!(
            "figure: a revoked {kind} is refused at {} after {} ms (p99 of {rounds}; median {} ms)",
            P::NAME,
            p99.as_millis(),
            took[took.len() / 2].as_millis()
        );
        assert!(p99 <= FELT_WITHIN, "{}: {kind}: {took:?}", P::NAME);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_refused_at_a_gateway_within_a_second() {
    let apart = Apart::start("").await;
    apart.mapped().await;
    all_felt(&apart).await;
    apart.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_revoked_is_refused_by_a_server_that_protects_itself_within_a_second() {
    all_felt(&Todo::start().await).await;
}
