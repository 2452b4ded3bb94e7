//! One node on SQLite, and one honest person whose client is held to nothing but the standards.

use std::time::{Duration, Instant};

use http::{Request, Response, StatusCode, header};
use serde_json::Value;
use stack_tests::fleet::{Node, Role};
use stack_tests::{binary, run_beside};
use tempfile::TempDir;
use testkit::Connection;
use testkit::echo::{Echo, EchoSettings};
use testkit::person::{Code, Person, text};

use crate::moved_clock::{HOUR, MovedClock};
use crate::support::{EMAIL, PASSWORD};

/// Access tokens live as long as this and are forgiven a few seconds; then they are over by any clock that was right.
const LIFE: &str = "1m";
const OVER_AFTER: Duration = Duration::from_secs(60 + 5 + 2);

const PATIENCE: Duration = Duration::from_secs(20);

/// The node and the person.
pub struct OneNode {
    pub node: Node,
    authority: String,
    person: Person,
    /// Each access token that was signed while the clock was right, and when.
    signed: Vec<(String, Instant)>,
    _folder: TempDir,
    _echo: Echo,
}

/// The tokens of one approval.
pub struct Held {
    code: Code,
    pub access: String,
    refresh: String,
}

impl OneNode {
    /// Starts it by `clock`, which is right, and signs the person in.
    pub async fn start(clock: &MovedClock) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let echo = Echo::start(EchoSettings::default()).await;
        let door = format!("127.0.0.1:{}", testkit::unused_port().await);
        let operations = format!("127.0.0.1:{}", testkit::unused_port().await);
        let authority = format!("localhost:{}", testkit::unused_port().await);
        let config = folder.path().join("one.toml");
        let text = format!(
            "public_url = \"http://{authority}\"\ndata_dir = {:?}\n[listen]\naddresses = [\"{door}\"]\n\
             [log]\nfilter = \"warn\"\n",
            folder.path().join("data")
        );
        std::fs::write(&config, text).unwrap();
        let log = folder.path().join("one.log");
        let mut node = Node::new(Role::All, config.clone(), log, door, operations);
        clock.give(&mut node);
        node.start(binary()).await.unwrap();
        for (arguments, input) in [
            (&["users", "add", EMAIL, "--password-stdin"][..], PASSWORD),
            (&["servers", "add", "echo", &echo.url()], ""),
            (&["servers", "set", "echo", "--access-token", LIFE], ""),
        ] {
            run_beside(binary(), &config, arguments, input)
                .await
                .unwrap();
        }
        let mut one = Self {
            node,
            person: Person {
                issuer_path: String::new(),
                client_id: String::new(),
                cookie: String::new(),
            },
            authority,
            signed: Vec::new(),
            _folder: folder,
            _echo: echo,
        };
        one.wait_for_server().await;
        let issuer = format!("http://{}/servers/echo", one.authority);
        let mut connection = one.connection().await;
        let (person, _) = Person::sign_in(&mut connection, &issuer, EMAIL, PASSWORD)
            .await
            .unwrap();
        one.person = person;
        one
    }

    /// A new approval and its first tokens, while the clock is right.
    pub async fn approved(&mut self) -> Held {
        let code = self
            .person
            .approve(&mut self.connection().await)
            .await
            .unwrap();
        let answer = self.post("token", &self.person.exchange_form(&code)).await;
        let (access, refresh) = tokens(&answer);
        self.signed.push((access.clone(), Instant::now()));
        Held {
            code,
            access,
            refresh,
        }
    }

    /// An approval that the client took back.
    pub async fn revoked(&mut self) -> Held {
        let held = self.approved().await;
        self.signed.pop();
        let form = format!("token={}&client_id={}", held.refresh, self.person.client_id);
        assert_eq!(self.post("revoke", &form).await.status(), StatusCode::OK);
        let begun = Instant::now();
        while self.call(&held.access).await != 401 {
            assert!(begun.elapsed() < PATIENCE, "a revocation is felt");
        }
        held
    }

    /// Nothing of it is good again: not the code, not the refresh token, not the access token.
    pub async fn check_refused(&self, held: &Held) {
        for form in [
            self.person.exchange_form(&held.code),
            self.person.refresh_form(&held.refresh),
        ] {
            let answer = self.post("token", &form).await;
            let said = text(&answer);
            assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{said}");
            assert!(said.contains("invalid_grant"), "{said}");
        }
        assert_eq!(self.call(&held.access).await, 401);
    }

    /// What an honest client does with a 401 helps: it refreshes, and is let through.
    pub async fn check_goes_on(&mut self, held: &mut Held) {
        match self.call(&held.access).await {
            200 => return,
            401 => {}
            other => panic!("a good token was answered {other}"),
        }
        let form = self.person.refresh_form(&held.refresh);
        let answer = self.post("token", &form).await;
        (held.access, held.refresh) = tokens(&answer);
        assert_eq!(self.call(&held.access).await, 200);
    }

    /// Calls with a token whose life is over by true time, while there is one; says how many there were.
    pub async fn check_what_is_over_by_true_time(&mut self) -> u64 {
        let is_over = |(_, since): &(String, Instant)| since.elapsed() > OVER_AFTER;
        let Some((token, _)) = self.signed.iter().rev().find(|one| is_over(one)) else {
            return 0;
        };
        assert_eq!(self.call(token).await, 401, "over by true time");
        1
    }

    /// A token ends when its life is over by true time, though the clock was set back meanwhile; says how many did.
    pub async fn check_a_life_ends_while_the_clock_is_back(&mut self, clock: &MovedClock) -> u64 {
        let held = self.approved().await;
        clock.set(-HOUR);
        assert_eq!(self.call(&held.access).await, 200, "it lives");
        tokio::time::sleep(OVER_AFTER).await;
        assert_eq!(self.call(&held.access).await, 401, "over by true time");
        clock.set(0);
        1
    }

    /// The status of a call, once it is not "later".
    pub async fn call(&self, token: &str) -> u16 {
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"echo","arguments":{"text":"here"}}}"#;
        let begun = Instant::now();
        loop {
            let request = Request::post("/mcp/echo")
                .header(header::CONTENT_TYPE, "application/json")
                .header(header::ACCEPT, "application/json, text/event-stream")
                .header("mcp-protocol-version", "2025-11-25")
                .header(header::AUTHORIZATION, format!("Bearer {token}"));
            let mut connection = self.connection().await;
            let answer = connection.send(request, body).await.unwrap();
            if answer.status() != StatusCode::SERVICE_UNAVAILABLE {
                return answer.status().as_u16();
            }
            assert!(begun.elapsed() < PATIENCE, "{}", text(&answer));
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn post(&self, endpoint: &str, form: &str) -> Response<bytes::Bytes> {
        let request = Request::post(format!("{}/{endpoint}", self.person.issuer_path))
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded");
        let mut connection = self.connection().await;
        connection.send(request, form.to_owned()).await.unwrap()
    }

    async fn wait_for_server(&self) {
        let begun = Instant::now();
        loop {
            let mut connection = self.connection().await;
            let answer = connection.send(Request::get("/mcp/echo"), "").await;
            if answer.unwrap().status() == StatusCode::UNAUTHORIZED {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "{}", self.node.log());
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn connection(&self) -> Connection {
        let mut connection = Connection::open(&self.node.door).await.unwrap();
        connection.authority.clone_from(&self.authority);
        connection
    }
}

fn tokens(answer: &Response<bytes::Bytes>) -> (String, String) {
    assert_eq!(answer.status(), StatusCode::OK, "{}", text(answer));
    let body: Value = serde_json::from_slice(answer.body()).unwrap();
    let member = |name: &str| body[name].as_str().unwrap().to_owned();
    (member("access_token"), member("refresh_token"))
}
