//! The client against servers that behave and servers that do not.
#![allow(clippy::unwrap_used)]

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use portcullis_egress::{AddressPolicy, Client, Error, Settings};
use testkit::echo::{Echo, EchoSettings, Hostility};

fn loopback_settings() -> Settings {
    Settings {
        addresses: AddressPolicy::PublicAndLoopback,
        https_only: false,
        connect_timeout: Duration::from_millis(500),
        head_timeout: Duration::from_millis(300),
        total_timeout: Duration::from_millis(600),
        ..Settings::default()
    }
}

fn ping(url: &str) -> Request<Full<Bytes>> {
    Request::post(url)
        .body(Full::from(r#"{"jsonrpc":"2.0","id":1,"method":"ping"}"#))
        .unwrap()
}

async fn fetch(settings: Settings, url: &str) -> Result<http::Response<Bytes>, Error> {
    Client::new(settings)
        .unwrap()
        .fetch(ping(url), 64 * 1024)
        .await
}

async fn hostile(hostility: Hostility) -> Echo {
    Echo::start(EchoSettings {
        hostility: Some(hostility),
        record: true,
        ..EchoSettings::default()
    })
    .await
}

#[tokio::test]
async fn no_spelling_of_a_forbidden_address_is_connected_to_and_its_twin_is() {
    let echo = Echo::start(EchoSettings {
        record: true,
        ..EchoSettings::default()
    })
    .await;
    let port = echo.address().port();
    let public = || Settings {
        https_only: false,
        ..loopback_settings_public()
    };
    for spelling in [
        "127.0.0.1",
        "localhost",
        "localhost.",
        "LOCALHOST",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "127.0.1",
        "[0:0:0:0:0:0:0:1]",
        "[::127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2001:0:1::1]",
        "0",
        "0.0.0.0",
        "[::]",
        "169.254.169.254",
        "10.0.0.1",
        "192.168.0.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fd00::1]",
        "[fe80::1]",
        "[fe80::1%eth0]",
        "[fe80::1%25eth0]",
        "[ff02::1]",
        "224.0.0.1",
        "255.255.255.255",
        "192.0.0.192",
    ] {
        let url = format!("http://{spelling}:{port}/mcp");
        let refusal = fetch(public(), &url).await.unwrap_err();
        // Where the system does not know a name such as 0x7f.1, it is not connected to either.
        assert!(
            matches!(
                refusal,
                Error::AddressRefused { .. } | Error::Resolve { .. }
            ),
            "{spelling}: {refusal:?}"
        );
    }
    assert_eq!(echo.requests().len(), 0);
    for spelling in ["127.0.0.1", "localhost", "[::ffff:127.0.0.1]"] {
        let url = format!("http://{spelling}:{port}/mcp");
        assert_eq!(
            fetch(loopback_settings(), &url).await.unwrap().status(),
            200,
            "{spelling}"
        );
        let any = Settings {
            addresses: AddressPolicy::Any,
            ..loopback_settings()
        };
        assert_eq!(fetch(any, &url).await.unwrap().status(), 200, "{spelling}");
    }
}

fn loopback_settings_public() -> Settings {
    Settings {
        addresses: AddressPolicy::Public,
        ..loopback_settings()
    }
}

#[tokio::test]
async fn other_schemes_user_information_and_plain_http_are_refused_in_words() {
    let echo = Echo::start(EchoSettings::default()).await;
    let port = echo.address().port();
    for url in [
        format!("ftp://127.0.0.1:{port}/"),
        format!("http://user:secret@127.0.0.1:{port}/"),
        "/mcp".to_owned(),
    ] {
        let refusal = fetch(loopback_settings(), &url).await.unwrap_err();
        assert!(matches!(refusal, Error::Url { .. }), "{url}: {refusal:?}");
        assert!(!refusal.to_string().contains("secret"));
    }
    let secure = Settings {
        https_only: true,
        ..loopback_settings()
    };
    let refusal = fetch(secure, &echo.url()).await.unwrap_err();
    assert!(refusal.to_string().contains("only https"), "{refusal}");
    assert_eq!(
        fetch(loopback_settings(), &echo.url())
            .await
            .unwrap()
            .status(),
        200
    );
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let target = Echo::start(EchoSettings {
        record: true,
        ..EchoSettings::default()
    })
    .await;
    let echo = hostile(Hostility::Redirect(target.url())).await;
    let answer = fetch(loopback_settings(), &echo.url()).await.unwrap();
    assert_eq!(answer.status(), 307);
    assert_eq!(target.requests().len(), 0);
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused_and_one_below_it_is_read() {
    let echo = hostile(Hostility::HugeBody(64 * 1024 + 1)).await;
    let refusal = fetch(loopback_settings(), &echo.url()).await.unwrap_err();
    assert_eq!(
        refusal,
        Error::BodyTooLarge {
            bytes_max: 64 * 1024
        }
    );
    echo.set_hostility(Some(Hostility::HugeBody(64 * 1024)));
    let answer = fetch(loopback_settings(), &echo.url()).await.unwrap();
    assert_eq!(answer.body().len(), 64 * 1024);
}

#[tokio::test]
async fn waiting_has_an_end_for_the_head_and_for_the_whole() {
    let echo = hostile(Hostility::Hang).await;
    let started = Instant::now();
    let refusal = fetch(loopback_settings(), &echo.url()).await.unwrap_err();
    assert!(refusal.to_string().contains("head"), "{refusal}");
    echo.set_hostility(Some(Hostility::SlowDrip(Duration::from_millis(20))));
    let refusal = fetch(loopback_settings(), &echo.url()).await.unwrap_err();
    assert!(refusal.to_string().contains("whole"), "{refusal}");
    assert!(started.elapsed() < Duration::from_secs(3));
}

#[tokio::test]
async fn who_does_not_answer_or_answers_nonsense_is_reported_in_words() {
    let port = testkit::unused_port().await;
    let refusal = fetch(loopback_settings(), &format!("http://localhost:{port}/"))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::Connect { .. }), "{refusal:?}");
    assert!(refusal.is_before_sending());
    assert!(
        refusal.to_string().contains(&format!("localhost:{port}")),
        "{refusal}"
    );
    let echo = hostile(Hostility::Garbage).await;
    let refusal = fetch(loopback_settings(), &echo.url()).await.unwrap_err();
    assert!(matches!(refusal, Error::Exchange(_)), "{refusal:?}");
    let echo = hostile(Hostility::Disconnect).await;
    let refusal = fetch(loopback_settings(), &echo.url()).await.unwrap_err();
    assert!(!refusal.is_before_sending(), "{refusal:?}");
    // A plain HTTP server is asked for TLS.
    let echo = Echo::start(EchoSettings::default()).await;
    let refusal = fetch(loopback_settings(), &echo.url().replace("http:", "https:"))
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::Tls { .. }), "{refusal:?}");
    let refusal = fetch(loopback_settings(), "http://no-such-name.invalid/")
        .await
        .unwrap_err();
    assert!(matches!(refusal, Error::Resolve { .. }), "{refusal:?}");
}

#[tokio::test]
async fn a_stream_is_passed_on_as_it_comes_without_a_time_limit() {
    let echo = hostile(Hostility::SlowDrip(Duration::from_millis(100))).await;
    let client = Client::new(loopback_settings()).unwrap();
    let mut answer = client.send(ping(&echo.url())).await.unwrap();
    let started = Instant::now();
    for _ in 0..10 {
        answer.body_mut().frame().await.unwrap().unwrap();
    }
    assert!(started.elapsed() > loopback_settings().total_timeout);
}

#[test]
fn a_ca_file_is_checked_at_start() {
    let settings = |path: &std::path::Path| Settings {
        ca_file: Some(path.into()),
        ..Settings::default()
    };
    let missing = Client::new(settings("/no/such/file.pem".as_ref())).unwrap_err();
    assert!(
        missing.to_string().starts_with("ca_file /no/such/file.pem"),
        "{missing}"
    );
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("empty.pem");
    std::fs::write(&path, "nothing here").unwrap();
    let empty = Client::new(settings(&path)).unwrap_err();
    assert!(empty.to_string().contains("no certificate"), "{empty}");
}
