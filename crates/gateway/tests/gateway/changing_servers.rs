use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use gateway::ServerSettings;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::Notify;

use crate::support::{Rig, head, scripted};
use crate::town::{server, who};

#[tokio::test]
async fn a_server_comes_changes_and_goes_and_the_next_call_knows() {
    let rig = Rig::start().await;
    let url = "https://a.example/mcp";
    let first = server("a", url, &who("first").await);
    let second = server("a", url, &who("second").await);
    let token = rig.token_for(&first);
    let status = async || rig.post("a.example", "/mcp", &token).await.status;
    assert_eq!(status().await, StatusCode::MISDIRECTED_REQUEST);
    rig.gateway.set_servers(vec![first.clone()]).unwrap();
    // The authority has not told of it yet.
    assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    rig.publish_for(std::slice::from_ref(&first));
    assert_eq!(rig.post("a.example", "/mcp", &token).await.who(), "first");
    rig.gateway.set_servers(vec![second]).unwrap();
    assert_eq!(rig.post("a.example", "/mcp", &token).await.who(), "second");
    rig.gateway.set_servers(Vec::new()).unwrap();
    assert_eq!(status().await, StatusCode::MISDIRECTED_REQUEST);
}

#[tokio::test]
async fn a_call_that_has_begun_finishes_though_its_server_has_left() {
    let rig = Arc::new(Rig::start().await);
    let (begun, finish) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = {
        let (begun, finish) = (Arc::clone(&begun), Arc::clone(&finish));
        scripted(move |_, mut stream| {
            let (begun, finish) = (Arc::clone(&begun), Arc::clone(&finish));
            async move {
                begun.notify_one();
                finish.notified().await;
                let answer = r#"{"jsonrpc":"2.0","id":1,"result":{"who":"slow"}}"#;
                let answer = format!("{}{answer}", head("application/json"));
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        })
        .await
    };
    let slow = server("a", "https://a.example/mcp", &slow);
    rig.settle(std::slice::from_ref(&slow));
    let token = rig.token_for(&slow);
    let call = {
        let (rig, token) = (Arc::clone(&rig), token.clone());
        tokio::spawn(async move { rig.post("a.example", "/mcp", &token).await })
    };
    begun.notified().await;
    rig.gateway.set_servers(Vec::new()).unwrap();
    let late = rig.post("a.example", "/mcp", &token).await;
    assert_eq!(late.status, StatusCode::MISDIRECTED_REQUEST);
    finish.notify_one();
    assert_eq!(call.await.unwrap().who(), "slow");
}

#[tokio::test]
async fn a_stream_that_only_listens_ends_with_its_server_and_not_with_another() {
    let rig = Rig::start().await;
    let upstream = || {
        scripted(|_, mut stream| async move {
            let event = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
            let begun = format!("{}data: {event}\n\n", head("text/event-stream"));
            stream.write_all(begun.as_bytes()).await.unwrap();
            tokio::time::sleep(Duration::from_secs(60)).await;
        })
    };
    let servers = [
        server("a", "https://a.example/mcp", &upstream().await),
        server("b", "https://b.example/mcp", &upstream().await),
    ];
    rig.settle(&servers);
    let listen = async |host: &str, server: &ServerSettings| {
        let request = Request::get("/mcp")
            .header("host", host)
            .header("accept", "text/event-stream")
            .header("authorization", format!("Bearer {}", rig.token_for(server)))
            .body(Full::<Bytes>::default())
            .unwrap();
        let mut body = rig.gateway.handle(request).await.into_body();
        assert!(body.frame().await.unwrap().is_ok());
        body
    };
    let mut a = listen("a.example", &servers[0]).await;
    let mut b = listen("b.example", &servers[1]).await;
    // Both are being waited on when the change comes.
    let waiting = Duration::from_millis(100);
    assert!(tokio::time::timeout(waiting, a.frame()).await.is_err());
    assert!(tokio::time::timeout(waiting, b.frame()).await.is_err());
    rig.gateway.set_servers(vec![servers[1].clone()]).unwrap();
    let ended = tokio::time::timeout(Duration::from_millis(500), a.frame()).await;
    assert!(ended.unwrap().is_none());
    assert!(tokio::time::timeout(waiting, b.frame()).await.is_err());
}

/// Calls without a pause while servers come, change and go beside the one that is called.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_call_fails_or_goes_astray_while_servers_change() {
    const CHANGES: usize = 60;
    let rig = Arc::new(Rig::start().await);
    let steady = server("b", "https://b.example/mcp", &who("b").await);
    let first = server("a", "https://a.example/mcp", &who("first").await);
    let second = server("a", "https://a.example/mcp", &who("second").await);
    let guest = server("c", "https://c.example/mcp", &who("c").await);
    rig.publish_for(&[steady.clone(), first.clone(), guest.clone()]);
    rig.gateway
        .set_servers(vec![steady.clone(), first.clone()])
        .unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let callers = [
        ("a.example", &first, ["first", "second"]),
        ("b.example", &steady, ["b", "b"]),
        ("c.example", &guest, ["c", "c"]),
    ]
    .map(|(host, server, expected)| {
        let (rig, done, token) = (Arc::clone(&rig), Arc::clone(&done), rig.token_for(server));
        tokio::spawn(async move {
            let mut answered = 0;
            while !done.load(Ordering::Relaxed) {
                let told = rig.post(host, "/mcp", &token).await;
                if told.status == StatusCode::OK {
                    assert!(expected.contains(&told.who()), "{host}: {}", told.who());
                    answered += 1;
                } else {
                    // Only the guest is sometimes not there.
                    assert_eq!(host, "c.example", "{told:?}");
                    assert_eq!(told.status, StatusCode::MISDIRECTED_REQUEST, "{told:?}");
                }
                // A refusal waits for nothing, and a loop that never waits would keep the runtime from the sockets.
                tokio::task::yield_now().await;
            }
            answered
        })
    });
    let token = rig.token_for(&first);
    for turn in 0..CHANGES {
        let (changed, who) = if turn % 2 == 0 {
            (&second, "second")
        } else {
            (&first, "first")
        };
        let mut servers = vec![changed.clone(), steady.clone()];
        if turn % 3 == 0 {
            servers.push(guest.clone());
        }
        rig.gateway.set_servers(servers).unwrap();
        // A call that begins now knows.
        assert_eq!(rig.post("a.example", "/mcp", &token).await.who(), who);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    done.store(true, Ordering::Relaxed);
    for caller in callers {
        assert!(caller.await.unwrap() > 0, "each was answered at times");
    }
}

#[tokio::test]
async fn a_thousand_servers_all_answer() {
    let rig = Rig::start().await;
    let upstream = gateway::Upstream::Http {
        url: rig.echo.url().parse().unwrap(),
        headers: Vec::new(),
    };
    let resource = |number: usize| match number % 3 {
        0 => format!("{}/mcp/s{number}", rig.origin()),
        1 => format!("https://s{number}.example/mcp"),
        _ => format!("https://shared.example/mcp/s{number}"),
    };
    let servers: Vec<_> = (0..1000)
        .map(|number| server(&format!("s{number}"), &resource(number), &upstream))
        .collect();
    rig.settle(&servers);
    for server in &servers {
        let (_, address) = server.resource.split_once("://").unwrap();
        let (host, path) = address.split_once('/').unwrap();
        let told = rig
            .post(host, &format!("/{path}"), &rig.token_for(server))
            .await;
        assert_eq!(told.status, StatusCode::OK, "{address}");
        let metadata = format!("/.well-known/oauth-protected-resource/{path}");
        let told = rig.get(host, &metadata).await;
        assert_eq!(told.json["resource"], server.resource);
    }
    assert!(
        rig.echo
            .requests()
            .iter()
            .all(|request| request.method == Method::POST)
    );
    assert_eq!(rig.echo.requests().len(), 1000);
}
