//! The fetcher against hosts that mean well and hosts that do not. Each refusal has a twin that differs in one thing.
#![allow(clippy::unwrap_used)]

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use portcullis_egress::{
    AddressPolicy, Error, FetchError, Fetched, Fetcher, FetcherSettings, Get, Names,
};
use testkit::DocumentHost;
use testkit::document_host::Reply;

const LIMIT: usize = 5 * 1024;

struct Bench {
    host: DocumentHost,
    fetcher: Fetcher,
    _folder: tempfile::TempDir,
}

impl Bench {
    async fn new(change: impl FnOnce(&DocumentHost, &mut FetcherSettings)) -> Self {
        let host = DocumentHost::start_as(&["client.example"]).await;
        let folder = tempfile::tempdir().unwrap();
        let mut settings = FetcherSettings {
            addresses: AddressPolicy::PublicAndLoopback,
            names: Names::fixed([("client.example", host.address())]),
            ca_file: Some(host.write_ca(folder.path())),
            total_timeout: Duration::from_millis(800),
            ..FetcherSettings::default()
        };
        change(&host, &mut settings);
        host.set("/good", Reply::typed("application/json", "{}"));
        Self {
            host,
            fetcher: Fetcher::new(settings).unwrap(),
            _folder: folder,
        }
    }

    async fn usual() -> Self {
        Self::new(|_, _| {}).await
    }

    async fn get(&self, url: &str) -> Result<Fetched, FetchError> {
        get(&self.fetcher, url).await
    }

    async fn path(&self, path: &str) -> Result<Fetched, FetchError> {
        self.get(&self.host.url(path)).await
    }
}

async fn get(fetcher: &Fetcher, url: &str) -> Result<Fetched, FetchError> {
    let get = Get {
        url,
        accept: "application/json",
        body_bytes_max: LIMIT,
        known: false,
    };
    fetcher.get(get).await
}

#[tokio::test]
async fn a_document_comes_with_its_bytes_and_the_headers_that_caches_need() {
    let bench = Bench::usual().await;
    let reply = Reply::typed("application/json", r#"{"a":1}"#)
        .with("cache-control", "max-age=600")
        .with("etag", "\"x\"");
    bench.host.set("/client.json", reply);
    let fetched = bench.path("/client.json").await.unwrap();
    assert_eq!(fetched.body, r#"{"a":1}"#);
    assert_eq!(fetched.headers["cache-control"], "max-age=600");
    assert_eq!(fetched.headers["etag"], "\"x\"");
    assert_eq!(fetched.headers["content-type"], "application/json");
    let asked = &bench.host.requests()[0].1;
    assert_eq!(asked["accept-encoding"], "identity");
    assert!(asked.get("cookie").is_none() && asked.get("authorization").is_none());
}

#[tokio::test]
async fn every_status_but_200_is_an_error_and_no_redirect_is_followed() {
    let bench = Bench::usual().await;
    for status in [
        201, 202, 203, 204, 206, 300, 301, 302, 303, 304, 307, 308, 400, 401, 403, 404, 410, 429,
        500, 502, 503,
    ] {
        let target = bench.host.url("/good");
        bench.host.set("/moved", Reply::redirect(status, &target));
        let refusal = bench.path("/moved").await.unwrap_err();
        let expected = http::StatusCode::from_u16(status).unwrap();
        assert_eq!(refusal, FetchError::Status(expected));
    }
    assert_eq!(bench.host.count("/good"), 0);
    bench.path("/good").await.unwrap();
}

#[tokio::test]
async fn a_body_one_byte_too_long_is_an_error_and_the_longest_is_read() {
    let bench = Bench::usual().await;
    for (length, is_good) in [(LIMIT, true), (LIMIT + 1, false)] {
        bench.host.set(
            "/announced",
            Reply::typed("application/json", vec![b' '; length]),
        );
        bench.host.set("/streamed", Reply::Large { bytes: length });
        for path in ["/announced", "/streamed"] {
            let fetched = bench.path(path).await;
            assert_eq!(fetched.is_ok(), is_good, "{path} {length}");
        }
    }
}

#[tokio::test]
async fn a_body_of_a_gigabyte_costs_no_more_than_what_lies_in_the_buffers() {
    let bench = Bench::usual().await;
    bench.host.set("/large", Reply::Large { bytes: 1 << 30 });
    let started = Instant::now();
    let refusal = bench.path("/large").await.unwrap_err();
    let too_large = Error::BodyTooLarge { bytes_max: LIMIT };
    assert_eq!(refusal, FetchError::Outgoing(too_large));
    assert!(started.elapsed() < Duration::from_secs(2));
    tokio::time::sleep(Duration::from_millis(50)).await;
    let sent = bench.host.bytes_sent();
    assert!(sent < 32 << 20, "{sent} bytes were taken");
}

#[tokio::test]
async fn a_compressed_body_is_refused_whatever_it_would_become() {
    let bench = Bench::usual().await;
    for encoding in ["gzip", "br", "deflate", "zstd", "identity, gzip"] {
        let reply =
            Reply::typed("application/json", vec![0x1f, 0x8b]).with("content-encoding", encoding);
        bench.host.set("/packed", reply);
        let refusal = bench.path("/packed").await.unwrap_err();
        assert_eq!(refusal, FetchError::ContentEncoding, "{encoding}");
    }
    let reply = Reply::typed("application/json", "{}").with("content-encoding", "identity");
    bench.host.set("/packed", reply);
    bench.path("/packed").await.unwrap();
}

#[tokio::test]
async fn whoever_drips_or_hangs_is_left_after_the_deadline_and_others_are_not_held_up() {
    let bench = Bench::usual().await;
    let every = Duration::from_millis(20);
    bench.host.set("/drip", Reply::Drip { every });
    bench.host.set("/hang", Reply::Hang);
    let late = Reply::After(
        Duration::from_millis(300),
        Box::new(Reply::typed("application/json", "{}")),
    );
    bench.host.set("/late", late);
    let started = Instant::now();
    let (dripping, hanging, late, good) = tokio::join!(
        bench.path("/drip"),
        bench.path("/hang"),
        bench.path("/late"),
        async {
            let good = bench.path("/good").await;
            assert!(started.elapsed() < Duration::from_millis(600));
            good
        },
    );
    for refusal in [dripping.unwrap_err(), hanging.unwrap_err()] {
        let is_timeout = matches!(refusal, FetchError::Outgoing(Error::Timeout { .. }));
        assert!(is_timeout, "{refusal:?}");
    }
    late.unwrap();
    good.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
    let dripped = bench.host.bytes_sent();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert!(
        bench.host.bytes_sent() <= dripped + 2,
        "the connection stayed"
    );
}

#[tokio::test]
async fn ten_thousand_who_ask_for_one_address_cost_one_request() {
    let bench = Bench::usual().await;
    let pause = Duration::from_millis(200);
    bench.host.set(
        "/slow",
        Reply::After(pause, Box::new(Reply::typed("application/json", "{}"))),
    );
    let asking = (0..10_000).map(|_| bench.path("/slow"));
    let all = futures_util::future::join_all(asking).await;
    assert!(all.iter().all(Result::is_ok));
    assert_eq!(bench.host.count("/slow"), 1);
}

#[tokio::test]
async fn ten_thousand_addresses_of_one_host_cost_the_host_its_budget_and_others_nothing() {
    let bench = Bench::new(|host, settings| {
        settings.names = Names::fixed([
            ("client.example", host.address()),
            ("other.example", host.address()),
        ]);
    })
    .await;
    let urls: Vec<String> = (0..10_000)
        .map(|number| bench.host.url(&format!("/{number}")))
        .collect();
    let all = futures_util::future::join_all(urls.iter().map(|url| bench.get(url))).await;
    assert!(bench.host.requests().len() <= 30);
    let busy = |result: &&Result<_, _>| matches!(result, Err(FetchError::Busy(_)));
    assert!(all.iter().filter(busy).count() >= 9_970);
    // The certificate has no such name, but the budget let it through.
    let port = bench.host.address().port();
    let other = bench
        .get(&format!("https://other.example:{port}/good"))
        .await;
    assert!(
        matches!(other, Err(FetchError::Outgoing(Error::Tls { .. }))),
        "{other:?}"
    );
}

#[tokio::test]
async fn a_flight_goes_on_for_the_others_when_the_first_who_asked_goes_away() {
    let bench = Bench::usual().await;
    let pause = Duration::from_millis(200);
    bench.host.set(
        "/slow",
        Reply::After(pause, Box::new(Reply::typed("application/json", "{}"))),
    );
    let first = tokio::time::timeout(Duration::from_millis(50), bench.path("/slow"));
    let (first, second) = tokio::join!(first, bench.path("/slow"));
    assert!(first.is_err());
    second.unwrap();
    assert_eq!(bench.host.count("/slow"), 1);
    // And the next one is a flight of its own.
    bench.path("/slow").await.unwrap();
    assert_eq!(bench.host.count("/slow"), 2);
}

#[tokio::test]
async fn a_name_that_rebinds_is_asked_once_and_the_address_that_was_checked_is_connected_to() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let bench = Bench::new(|host, settings| {
        let address = host.address();
        settings.names = Names::with(move |_, _| {
            let first = counter.fetch_add(1, Ordering::SeqCst).is_multiple_of(2);
            let inside = SocketAddr::from(([169, 254, 169, 254], 443));
            Some(vec![if first { address } else { inside }])
        });
    })
    .await;
    bench.path("/good").await.unwrap();
    assert_eq!(asked.load(Ordering::SeqCst), 1);
    // The second look-up gives the inside, which is checked in its turn.
    let refusal = bench.path("/good").await.unwrap_err();
    let is_refused = matches!(refusal, FetchError::Outgoing(Error::AddressRefused { .. }));
    assert!(is_refused, "{refusal:?}");
    bench.path("/good").await.unwrap();
}

#[tokio::test]
async fn a_name_with_good_and_bad_addresses_is_refused_without_a_connection() {
    for (bad, is_good) in [("10.0.0.1:443", false), ("127.0.0.1:1", true)] {
        let bench = Bench::new(|host, settings| {
            let address = host.address();
            let second = bad.parse().unwrap();
            settings.names = Names::with(move |_, _| Some(vec![address, second]));
        })
        .await;
        assert_eq!(bench.path("/good").await.is_ok(), is_good, "{bad}");
        assert_eq!(bench.host.connections(), usize::from(is_good));
    }
}

#[tokio::test]
async fn other_ports_of_public_addresses_are_not_connected_to() {
    let names = |_: &str, port: u16| Some(vec![SocketAddr::from(([8, 8, 8, 8], port))]);
    let bench = Bench::new(|_, settings| settings.names = Names::with(names)).await;
    for port in [22, 25, 80, 6379, 8443] {
        let refusal = bench.get(&format!("https://db.example:{port}/")).await;
        let refusal = refusal.unwrap_err();
        let is_refused = matches!(refusal, FetchError::Outgoing(Error::PortRefused { .. }));
        assert!(is_refused, "{port}: {refusal:?}");
    }
    // On loopback, where the policy lets us in, any port will do.
    Bench::usual().await.path("/good").await.unwrap();
}

#[tokio::test]
async fn loopback_is_for_an_authority_on_loopback_alone() {
    let public = Bench::new(|_, settings| settings.addresses = AddressPolicy::Public).await;
    let refusal = public.path("/good").await.unwrap_err();
    let is_refused = matches!(refusal, FetchError::Outgoing(Error::AddressRefused { .. }));
    assert!(is_refused, "{refusal:?}");
    assert_eq!(public.host.connections(), 0);
    Bench::usual().await.path("/good").await.unwrap();
}

#[tokio::test]
async fn other_schemes_and_hosts_that_two_readers_read_differently_are_refused() {
    let bench = Bench::usual().await;
    let port = bench.host.address().port();
    for url in [
        format!("http://client.example:{port}/good"),
        format!("ftp://client.example:{port}/good"),
        "file:///etc/passwd".to_owned(),
        "gopher://client.example/_x".to_owned(),
        "unix:/run/x.sock".to_owned(),
        "data:application/json,{}".to_owned(),
        format!("https://user:secret@client.example:{port}/good"),
        format!("https://client.example:{port}@169.254.169.254/good"),
        format!("https://client.example\\@169.254.169.254:{port}/good"),
        format!("https://CLIENT.example:{port}/good"),
        format!("https://2130706433:{port}/good"),
        format!("https://0x7f.1:{port}/good"),
        format!("https://0177.0.0.1:{port}/good"),
        format!("https://127.1:{port}/good"),
        format!("https://[::ffff:7f00:1%25lo]:{port}/good"),
        format!("https://cl%69ent.example:{port}/good"),
        "https:///good".to_owned(),
        String::new(),
    ] {
        let refusal = bench.get(&url).await.unwrap_err();
        let is_url = matches!(refusal, FetchError::Outgoing(Error::Url { .. }));
        assert!(is_url, "{url}: {refusal:?}");
        assert!(!refusal.to_string().contains("secret"));
    }
    assert_eq!(bench.host.connections(), 0);
    bench.path("/good").await.unwrap();
    bench
        .get(&format!("https://127.0.0.1:{port}/good"))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_or_of_another_name_is_refused() {
    let stranger = Bench::new(|_, settings| settings.ca_file = None).await;
    let refusal = stranger.path("/good").await.unwrap_err();
    let is_tls = matches!(refusal, FetchError::Outgoing(Error::Tls { .. }));
    assert!(is_tls, "{refusal:?}");
    let bench = Bench::new(|host, settings| {
        settings.names = Names::fixed([
            ("client.example", host.address()),
            ("evil.example", host.address()),
        ]);
    })
    .await;
    let port = bench.host.address().port();
    let refusal = bench
        .get(&format!("https://evil.example:{port}/good"))
        .await;
    let refusal = refusal.unwrap_err();
    let is_tls = matches!(refusal, FetchError::Outgoing(Error::Tls { .. }));
    assert!(is_tls, "{refusal:?}");
    bench.path("/good").await.unwrap();
}

#[tokio::test]
async fn a_head_without_end_is_left() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    // Plain TCP will do: what is wanted is that nothing is read for ever, and TLS is what ends it here.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut hello = [0; 512];
            let _ = stream.read(&mut hello).await;
            while stream.write_all(&[0; 4096]).await.is_ok() {}
        }
    });
    let bench = Bench::usual().await;
    let started = Instant::now();
    let refusal = bench.get(&format!("https://127.0.0.1:{port}/")).await;
    assert!(refusal.is_err());
    let many = "x".repeat(1024 * 1024);
    bench
        .host
        .set("/head", Reply::status(200).with("x-long", &many));
    bench.path("/head").await.unwrap_err();
    let some = "x".repeat(10 * 1024);
    bench
        .host
        .set("/head", Reply::status(200).with("x-long", &some));
    bench.path("/head").await.unwrap();
    assert!(started.elapsed() < Duration::from_secs(3));
}

/// Each part of an IPv4 address in decimal, octal and hexadecimal, and the last parts run together.
fn spellings(address: std::net::Ipv4Addr) -> Vec<String> {
    let number = u32::from(address);
    let mut spelled = Vec::new();
    for parts in 1..=4_u32 {
        let mut values: Vec<u32> = (0..parts - 1)
            .map(|part| number >> (24 - 8 * part) & 0xff)
            .collect();
        values.push(number & (u32::MAX >> (8 * (parts - 1))));
        for choice in 0..3_u32.pow(parts) {
            let texts = values.iter().enumerate().map(|(place, value)| {
                let place = u32::try_from(place).unwrap();
                match choice / 3_u32.pow(place) % 3 {
                    0 => format!("{value}"),
                    1 => format!("0{value:o}"),
                    _ => format!("0x{value:x}"),
                }
            });
            spelled.push(texts.collect::<Vec<_>>().join("."));
        }
    }
    let [a, b, c, d] = address.octets().map(u16::from);
    let (high, low) = (a << 8 | b, c << 8 | d);
    for inside in [
        format!("::ffff:{high:x}:{low:x}"),
        format!("::ffff:{address}"),
        format!("::{address}"),
        format!("64:ff9b::{high:x}:{low:x}"),
        format!("64:ff9b:1::{high:x}:{low:x}"),
        format!("2002:{high:x}:{low:x}::1"),
        format!("2001:0:{high:x}:{low:x}::1"),
        format!("::ffff:0:{high:x}:{low:x}"),
        format!("fe80::{high:x}:{low:x}"),
    ] {
        spelled.push(format!("[{inside}]"));
    }
    spelled
}

#[tokio::test]
async fn none_of_five_hundred_spellings_of_an_inside_address_is_connected_to() {
    let bench = Bench::new(|_, settings| {
        settings.addresses = AddressPolicy::Public;
        settings.starts_per_minute = 100_000;
    })
    .await;
    let port = bench.host.address().port();
    let mut count = 0;
    for address in ["127.0.0.1", "169.254.169.254", "10.0.0.1", "192.168.1.1"] {
        for host in spellings(address.parse().unwrap()) {
            let refusal = bench.get(&format!("https://{host}:{port}/good")).await;
            let refused = matches!(
                refusal,
                Err(FetchError::Outgoing(
                    Error::AddressRefused { .. } | Error::Url { .. } | Error::Resolve { .. }
                ))
            );
            assert!(refused, "{host}: {refusal:?}");
            count += 1;
        }
    }
    assert!(count >= 500, "{count}");
    assert_eq!(bench.host.connections(), 0);
    Bench::usual().await.path("/good").await.unwrap();
}

#[test]
fn proxies_of_the_environment_are_ignored() {
    const INSIDE: &str = "PORTCULLIS_TEST_INSIDE";
    if std::env::var_os(INSIDE).is_some() {
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(async { Bench::usual().await.path("/good").await.unwrap() });
        return;
    }
    // Nobody listens there: whoever asked a proxy would fail.
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "proxies_of_the_environment_are_ignored"]);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        child.env(name, "http://127.0.0.1:9");
        child.env(name.to_lowercase(), "http://127.0.0.1:9");
    }
    let output = child.env(INSIDE, "1").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
