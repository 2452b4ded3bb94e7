use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls::version::{TLS12, TLS13};
use tokio::time::Instant;

use super::*;

/// With room for two connections.
fn quick() -> Limits {
    Limits {
        connections_max: 2,
        connections_per_address_max: 2,
        head_timeout: Duration::from_millis(400),
        drain: Duration::from_secs(20),
    }
}

async fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// What comes until the server closes; a reset is an end too.
async fn read_all(mut stream: TcpStream) -> Vec<u8> {
    let mut bytes = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), stream.read_to_end(&mut bytes))
        .await
        .expect("the connection is closed");
    bytes
}

#[tokio::test]
async fn http_2_and_http_1_1_are_chosen_by_the_client_over_tls_1_2_and_1_3() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let running = start(&[files]).await;
    for version in [&TLS12, &TLS13] {
        let old = client_of(&[version], &["http/1.1"]);
        let mut stream = connect_with(running.address, "a.example", old)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.protocol_version(), Some(version.version));
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        assert!(ask(&mut stream).await.ends_with("HTTP/1.1"));

        let new = client_of(&[version], &["h2", "http/1.1"]);
        let stream = connect_with(running.address, "a.example", new)
            .await
            .unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
                .await
                .unwrap();
        tokio::spawn(connection);
        let request = Request::get("https://a.example/").body(Full::<Bytes>::default());
        let answer = sender.send_request(request.unwrap()).await.unwrap();
        let body = http_body_util::BodyExt::collect(answer.into_body())
            .await
            .unwrap();
        assert_eq!(body.to_bytes(), "HTTP/2.0");
    }
}

#[tokio::test]
async fn a_client_that_knows_the_certificate_believes_it_for_its_names_alone() {
    let folder = Folder::new();
    let (files, der) = folder.write("a", &["a.example"]);
    let running = start(&[files]).await;
    let mut roots = RootCertStore::empty();
    roots.add(der).unwrap();
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let mut stream = connect_with(running.address, "a.example", config.clone())
        .await
        .unwrap();
    // No ALPN at all is HTTP/1.1.
    assert!(ask(&mut stream).await.ends_with("HTTP/1.1"));
    let refused = connect_with(running.address, "b.example", config).await;
    assert!(refused.is_err());
    // The listener lives on after the client's alert.
    connect(running.address, "a.example").await;
}

#[tokio::test]
async fn the_certificate_is_the_one_for_the_name_asked_for_and_else_the_first() {
    let folder = Folder::new();
    let (a, a_der) = folder.write("a", &["a.example", "192.0.2.7"]);
    let (b, b_der) = folder.write("b", &["*.b.example", "b.example"]);
    let (c, c_der) = folder.write("c", &["c.example", "a.example"]);
    let running = start(&[a, b, c]).await;
    for (name, expected) in [
        ("a.example", &a_der),
        ("A.Example", &a_der),
        ("b.example", &b_der),
        ("x.b.example", &b_der),
        ("c.example", &c_der),
        // Unknown names; a wildcard is one label.
        ("x.y.b.example", &a_der),
        ("d.example", &a_der),
        // No client names an address.
        ("192.0.2.7", &a_der),
        ("192.0.2.8", &a_der),
    ] {
        assert_eq!(
            &shown(&connect(running.address, name).await),
            expected,
            "{name}"
        );
    }
    let mut nameless = client();
    nameless.enable_sni = false;
    let stream = connect_with(running.address, "b.example", nameless).await;
    assert_eq!(shown(&stream.unwrap()), a_der);
}

#[tokio::test]
async fn the_whole_chain_is_shown() {
    let folder = Folder::new();
    let (files, der) = folder.write("a", &["a.example"]);
    let above = Made::new(&["above.example"]);
    let own = std::fs::read_to_string(&files.certificate).unwrap();
    write(&files.certificate, &(own + "\n" + &above.pem));
    let running = start(&[files]).await;
    let stream = connect(running.address, "a.example").await;
    let chain = stream.get_ref().1.peer_certificates().unwrap();
    assert_eq!(chain, [der, above.der]);
}

#[tokio::test]
async fn clients_that_stay_silent_are_cut_off_and_their_places_are_free_again() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let running = start_with(&[files], quick()).await;
    let hello = [0x16, 0x03, 0x01, 0x02, 0x00, 0x01];
    for unfinished in [&b""[..], &hello] {
        let began = Instant::now();
        // Both places are taken; the third waits for them.
        let silent = [
            sent(running.address, unfinished).await,
            sent(running.address, unfinished).await,
        ];
        let mut honest = connect(running.address, "a.example").await;
        assert!(began.elapsed() >= Duration::from_millis(300), "{began:?}");
        assert!(ask(&mut honest).await.ends_with("HTTP/1.1"));
        for stream in silent {
            assert!(read_all(stream).await.is_empty());
        }
    }
}

#[tokio::test]
async fn a_slow_handshake_and_the_first_head_share_one_patience() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let limits = Limits {
        head_timeout: Duration::from_secs(2),
        ..quick()
    };
    let running = start_with(&[files], limits).await;
    let began = Instant::now();
    let stream = TcpStream::connect(running.address).await.unwrap();
    tokio::time::sleep(Duration::from_millis(1200)).await;
    let name = ServerName::try_from("a.example").unwrap();
    let connector = TlsConnector::from(Arc::new(client()));
    let mut idle = connector.connect(name, stream).await.unwrap();
    let mut rest = Vec::new();
    let _ = tokio::time::timeout(Duration::from_secs(5), idle.read_to_end(&mut rest))
        .await
        .expect("the connection is closed");
    assert!(rest.is_empty());
    assert!(began.elapsed() < Duration::from_millis(3100), "{began:?}");
}

#[tokio::test]
async fn a_slow_handshake_delays_nobody_else() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let limits = Limits {
        head_timeout: Duration::from_secs(60),
        ..quick()
    };
    let running = start_with(&[files], limits).await;
    let _slow = sent(running.address, &[0x16, 0x03]).await;
    let honest = async {
        let mut stream = connect(running.address, "a.example").await;
        ask(&mut stream).await
    };
    let answer = tokio::time::timeout(Duration::from_secs(10), honest).await;
    assert!(answer.unwrap().ends_with("HTTP/1.1"));
}

#[tokio::test]
async fn what_is_no_handshake_ends_its_own_connection_alone() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let running = start(&[files]).await;
    for garbage in [
        &b"\x00\x00\x00\x00\x00"[..],
        b"\x16\x03\x01\x00\x05hello",
        b"\xff\xff\xff\xff\xff\xff\xff\xff",
        b"ssh-2.0\r\n",
    ] {
        let answer = read_all(sent(running.address, garbage).await).await;
        assert!(!answer.starts_with(b"HTTP"), "{garbage:?}");
    }
    let unknown = client_of(rustls::ALL_VERSIONS, &["gopher"]);
    let refused = connect_with(running.address, "a.example", unknown).await;
    assert!(refused.is_err());
    assert!(
        ask(&mut connect(running.address, "a.example").await)
            .await
            .ends_with("HTTP/1.1")
    );
}

#[tokio::test]
async fn plain_http_on_the_port_is_told_that_it_speaks_https() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let running = start(&[files]).await;
    for request in [
        &b"GET /mcp/todo HTTP/1.1\r\nHost: x\r\n\r\n"[..],
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"P",
    ] {
        let stream = sent(running.address, request).await;
        let answer = String::from_utf8(read_all(stream).await).unwrap();
        assert!(
            answer.starts_with("HTTP/1.1 400 Bad Request\r\n"),
            "{answer}"
        );
        assert!(answer.contains("This port speaks HTTPS"), "{answer}");
    }
    // A body that is still on its way does not destroy the answer.
    let mut stream = sent(running.address, b"POST / HTTP/1.1\r\n").await;
    stream.write_all(&[b'x'; 60_000]).await.unwrap();
    let answer = read_all(stream).await;
    assert!(answer.ends_with(b"https://\n"));
}

#[tokio::test]
async fn the_end_waits_for_no_handshake_and_for_an_answer_that_has_begun() {
    let folder = Folder::new();
    let (files, _) = folder.write("a", &["a.example"]);
    let limits = Limits {
        head_timeout: Duration::from_secs(60),
        ..quick()
    };
    let running = start_with(&[files], limits).await;
    let silent = sent(running.address, b"").await;
    let mut open = connect(running.address, "a.example").await;
    assert!(ask(&mut open).await.ends_with("HTTP/1.1"));
    running.stop.cancel();
    tokio::time::timeout(Duration::from_secs(5), running.task)
        .await
        .expect("nobody is waited for")
        .unwrap();
    assert!(read_all(silent).await.is_empty());
    let mut rest = Vec::new();
    // With a close_notify: an end, and no cut.
    open.read_to_end(&mut rest).await.unwrap();
}
