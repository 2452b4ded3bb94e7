use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use gateway::stdio::{StderrSink, StdioSettings};
use gateway::{ServerSettings, Upstream};
use http::StatusCode;
use rustix::process::{Pid, test_kill_process};
use serde_json::{Value, json};

use crate::support::Rig;
use crate::town::{call, server};

/// Answers each tool call with its process id, `slow` after a second.
const SCRIPT: &str = r#"
while IFS= read -r line; do
  id=${line#*\"id\":}; id=${id%%,*}; id=${id%%\}*}
  case $line in
    *'"initialize"'*) result='{"protocolVersion":"2025-11-25","capabilities":{},"serverInfo":{"name":"sh","version":"1"}}' ;;
    *'"slow"'*) sleep 1; result='{"pid":'$$'}' ;;
    *'"tools/call"'*) result='{"pid":'$$'}' ;;
    *) continue ;;
  esac
  printf '%s\n' '{"jsonrpc":"2.0","id":'"$id"',"result":'"$result"'}'
done
"#;

fn stdio(argument: &str) -> StdioSettings {
    let args = vec!["-c".into(), SCRIPT.into(), argument.into()];
    StdioSettings::new("sh", args, PathBuf::from("/"))
}

fn at(host: &str, settings: StdioSettings) -> ServerSettings {
    let resource = format!("https://{host}/mcp");
    server(&host[..1], &resource, &Upstream::Stdio(settings))
}

/// A legacy session with one server.
#[derive(Clone)]
struct Session {
    rig: Arc<Rig>,
    host: &'static str,
    token: String,
    id: String,
}

impl Session {
    async fn open(rig: &Arc<Rig>, host: &'static str, server: &ServerSettings) -> Self {
        let token = rig.token_for(server);
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let told = rig.send(host, "/mcp", &token, &[], &message).await;
        assert_eq!(told.status, StatusCode::OK, "{told:?}");
        Self {
            rig: Arc::clone(rig),
            host,
            id: told.header("mcp-session-id").to_owned(),
            token,
        }
    }

    async fn ask(&self, message: &Value) -> (StatusCode, Option<Pid>) {
        let session = [("mcp-session-id", self.id.as_str())];
        let told = self
            .rig
            .send(self.host, "/mcp", &self.token, &session, message)
            .await;
        let pid = told.json["result"]["pid"].as_i64();
        let pid = pid.and_then(|pid| Pid::from_raw(pid.try_into().unwrap()));
        (told.status, pid)
    }

    async fn pid(&self) -> Pid {
        self.ask(&call()).await.1.unwrap()
    }
}

fn runs(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

async fn ends(pid: Pid) {
    for _ in 0..100 {
        if !runs(pid) {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{pid:?} still runs");
}

#[tokio::test]
async fn an_unchanged_server_keeps_its_child_a_changed_one_gets_a_new_one_and_one_that_left_has_none()
 {
    let rig = Arc::new(Rig::start().await);
    let servers = ["a.example", "b.example", "c.example"].map(|host| at(host, stdio("1")));
    rig.settle(&servers);
    let a = Session::open(&rig, "a.example", &servers[0]).await;
    let b = Session::open(&rig, "b.example", &servers[1]).await;
    let c = Session::open(&rig, "c.example", &servers[2]).await;
    let (pid_a, pid_b, pid_c) = (a.pid().await, b.pid().await, c.pid().await);

    // Read anew, as at every change: equal, with a listener of its own.
    let mut again = stdio("1");
    again.stderr = Some(StderrSink::new(|_| {}));
    let changed = at("b.example", stdio("2"));
    rig.gateway
        .set_servers(vec![at("a.example", again), changed.clone()])
        .unwrap();
    assert_eq!(a.pid().await, pid_a);
    assert_eq!(b.ask(&call()).await.0, StatusCode::NOT_FOUND);
    let pid_new = Session::open(&rig, "b.example", &changed).await.pid().await;
    assert_ne!(pid_new, pid_b);
    assert_eq!(c.ask(&call()).await.0, StatusCode::MISDIRECTED_REQUEST);
    ends(pid_b).await;
    ends(pid_c).await;
    assert!(runs(pid_a) && runs(pid_new));
}

#[tokio::test]
async fn a_child_answers_what_it_was_asked_before_it_ends_with_its_server() {
    let rig = Arc::new(Rig::start().await);
    let only = at("a.example", stdio("1"));
    rig.settle(std::slice::from_ref(&only));
    let session = Session::open(&rig, "a.example", &only).await;
    let pid = session.pid().await;
    let slow =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "slow"}});
    let asked = {
        let session = session.clone();
        tokio::spawn(async move { session.ask(&slow).await })
    };
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.gateway.set_servers(Vec::new()).unwrap();
    assert!(runs(pid));
    assert_eq!(asked.await.unwrap(), (StatusCode::OK, Some(pid)));
    ends(pid).await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_the_calls_of_a_server_that_left() {
    let rig = Arc::new(Rig::start().await);
    let only = at("a.example", stdio("1"));
    rig.settle(std::slice::from_ref(&only));
    let session = Session::open(&rig, "a.example", &only).await;
    let pid = session.pid().await;
    let slow =
        json!({"jsonrpc": "2.0", "id": 2, "method": "tools/call", "params": {"name": "slow"}});
    let asked = tokio::spawn(async move { session.ask(&slow).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    rig.gateway.set_servers(Vec::new()).unwrap();
    rig.gateway.shutdown().await;
    assert!(!runs(pid), "the stop waited until it was gone");
    asked.abort();
}

#[test]
fn settings_are_equal_when_no_call_can_tell_them_apart() {
    let same = |change: fn(&mut StdioSettings)| {
        let mut changed = stdio("1");
        change(&mut changed);
        changed == stdio("1")
    };
    assert!(same(|_| {}));
    assert!(same(
        |settings| settings.stderr = Some(StderrSink::new(|_| {}))
    ));
    assert!(!same(|settings| settings.command = "bash".into()));
    assert!(!same(|settings| settings.args.push("2".into())));
    assert!(!same(|settings| settings
        .env
        .push(("A".into(), "b".into()))));
    assert!(!same(|settings| settings.directory = "/tmp".into()));
    assert!(!same(|settings| settings.limits.children_max = 1));
    let http = |url: &str, value: &str| Upstream::Http {
        url: url.parse().unwrap(),
        headers: vec![(http::header::AUTHORIZATION, value.parse().unwrap())],
    };
    assert_eq!(http("http://a/mcp", "k"), http("http://a/mcp", "k"));
    assert_ne!(http("http://a/mcp", "k"), http("http://a/mcp", "l"));
    assert_ne!(http("http://a/mcp", "k"), http("http://a/mcp2", "k"));
}
