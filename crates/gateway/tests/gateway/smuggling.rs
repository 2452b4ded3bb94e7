//! Requests of which two readers may not agree where they end: a second one must not come out of the first.

use std::time::Duration;

use futures_util::future::join_all;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::{Rig, SLUG};

/// The body of an allowed call, which shows that it arrived.
fn call(mark: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"echo","arguments":{{"mark":"{mark}"}}}}}}"#
    )
}

fn head(rig: &Rig, line: &str) -> String {
    format!(
        "{line}\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\n",
        rig.port,
        rig.token("note:read")
    )
}

fn post(rig: &Rig) -> String {
    head(rig, &format!("POST /mcp/{SLUG} HTTP/1.1"))
}

/// A whole request that nobody is to see.
fn smuggled(rig: &Rig) -> String {
    let body = call("smuggled");
    format!("{}Content-Length: {}\r\n\r\n{body}", post(rig), body.len())
}

/// What comes back until the connection ends or falls silent, and whether it ended.
async fn answers(rig: &Rig, bytes: &[u8]) -> (String, bool) {
    let mut stream = TcpStream::connect(("127.0.0.1", rig.port)).await.unwrap();
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let mut piece = [0; 4096];
            match tokio::time::timeout(Duration::from_secs(2), stream.read(&mut piece)).await {
                Ok(Ok(0) | Err(_)) => break true,
                Ok(Ok(count)) => answer.extend_from_slice(&piece[..count]),
                Err(_) => break false,
            }
        }
    };
    let ended = reading.await;
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}

fn arrived(rig: &Rig, mark: &str) -> usize {
    let requests = rig.echo.requests();
    let with = |request: &&testkit::echo::RecordedRequest| {
        String::from_utf8_lossy(&request.body).contains(mark)
    };
    requests.iter().filter(with).count()
}

/// Sends all of them; none may bring the second request upstream, and each ends its connection.
async fn none_smuggles(rig: &Rig, cases: Vec<(String, Vec<u8>)>) {
    let answers = join_all(cases.iter().map(|(_, bytes)| answers(rig, bytes))).await;
    for ((what, _), (answer, ended)) in cases.iter().zip(answers) {
        assert!(ended, "{what:?} keeps its connection: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 2").count(),
            0,
            "{what:?}: {answer}"
        );
        assert!(answer.matches("HTTP/1.").count() <= 1, "{what:?}: {answer}");
    }
    assert_eq!(arrived(rig, "smuggled"), 0);
}

/// Spellings of `Transfer-Encoding` that somebody takes for it and somebody does not.
const TRANSFER_ENCODINGS: [&str; 22] = [
    "Transfer-Encoding: chunked",
    "Transfer-Encoding:chunked",
    "TRANSFER-ENCODING: CHUNKED",
    "Transfer-Encoding:\tchunked",
    "Transfer-Encoding: chunked ",
    "Transfer-Encoding : chunked",
    "Transfer-Encoding\t: chunked",
    " Transfer-Encoding: chunked",
    "X-A: b\r\n Transfer-Encoding: chunked",
    "Transfer-Encoding:\r\n chunked",
    "Transfer-Encoding: xchunked",
    "Transfer-Encoding: chunk",
    "Transfer-Encoding: chunked, identity",
    "Transfer-Encoding: identity, chunked",
    "Transfer-Encoding: identity",
    "Transfer-Encoding: \"chunked\"",
    "Transfer-Encoding: chunked;q=1",
    "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    "Transfer-Encoding: \x0bchunked",
    "Transfer-Encoding: chunked\0",
    "X-A: b\nTransfer-Encoding: chunked",
    "X-A: b\rTransfer-Encoding: chunked",
];

#[tokio::test]
async fn no_mix_of_length_and_chunks_hides_a_second_request() {
    let rig = Rig::start().await;
    let (post, second) = (post(&rig), smuggled(&rig));
    let mut cases = Vec::new();
    for encoding in TRANSFER_ENCODINGS {
        // Ends at once by the chunks, and holds the second one by the length.
        let body = format!("0\r\n\r\n{second}");
        // Ends within the size of the chunk by the length, and holds the second one by the chunks.
        let chunk = format!("{:x}\r\n{second}\r\n0\r\n\r\n", second.len());
        let size = chunk.find('\n').unwrap() + 1;
        for (body, length) in [(body.clone(), body.len()), (chunk, size)] {
            let length = format!("Content-Length: {length}");
            for headers in [
                format!("{encoding}\r\n{length}"),
                format!("{length}\r\n{encoding}"),
            ] {
                let request = format!("{post}{headers}\r\n\r\n{body}");
                cases.push((headers, request.into_bytes()));
            }
        }
    }
    none_smuggles(&rig, cases).await;
}

#[tokio::test]
async fn no_odd_length_or_chunk_hides_a_second_request() {
    let rig = Rig::start().await;
    let (post, second) = (post(&rig), smuggled(&rig));
    let mut cases = Vec::new();
    for length in [
        "Content-Length: +0",
        "Content-Length: -0",
        "Content-Length: -1",
        "Content-Length: 0x0",
        "Content-Length: 0, 5",
        "Content-Length: 0\r\nContent-Length: 5",
        "Content-Length: 5\r\nContent-Length: 0",
        "Content-Length: ",
        "Content-Length: a",
        "Content-Length: 0.0",
        "Content-Length: 1e1",
        "Content-Length: 0 0",
        "Content-Length: 0;",
        "Content-Length: 99999999999999999999999999",
        "Content-Length: \"0\"",
        "Content-Length : 0",
        "Content-Length\r\n: 0",
        "Content-Length: 0\0",
    ] {
        cases.push((
            length.to_owned(),
            format!("{post}{length}\r\n\r\n{second}").into_bytes(),
        ));
    }
    for chunk in [
        "0x0\r\n\r\n",
        "+0\r\n\r\n",
        "-0\r\n\r\n",
        "g\r\n\r\n",
        "\r\n\r\n",
        ";\r\n\r\n",
        "0;a\n\r\n\r\n",
        "5\r\nhello0\r\n\r\n",
        "5\r\nhelloXX0\r\n\r\n",
        "5\rhello\r\n0\r\n\r\n",
        "10000000000000000\r\n\r\n",
        "fffffffffffffffffffff\r\n\r\n",
        "0 0\r\n\r\n",
        "0\r\r\n\r\n",
    ] {
        let request = format!("{post}Transfer-Encoding: chunked\r\n\r\n{chunk}{second}");
        cases.push((chunk.to_owned(), request.into_bytes()));
    }
    none_smuggles(&rig, cases).await;
}

#[tokio::test]
async fn an_old_version_or_a_wish_for_another_protocol_hides_no_second_request() {
    let rig = Rig::start().await;
    let second = smuggled(&rig);
    let old = head(&rig, &format!("POST /mcp/{SLUG} HTTP/1.0"));
    let mut cases = Vec::new();
    for framing in [
        "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "\r\n",
    ] {
        cases.push((
            framing.to_owned(),
            format!("{old}{framing}{second}").into_bytes(),
        ));
    }
    for line in [
        "POST /mcp/notes HTTP/2.0",
        "POST /mcp/notes HTTP/0.9",
        "POST /mcp/notes",
        "POST  /mcp/notes HTTP/1.1 x",
    ] {
        cases.push((
            line.to_owned(),
            format!("{}\r\n{second}", head(&rig, line)).into_bytes(),
        ));
    }
    none_smuggles(&rig, cases).await;

    // An upgrade is a wish: it is not granted, not sent on, and the call is a call.
    let body = call("upgrading");
    let requests = ["websocket", "h2c", "TLS/1.3"].map(|protocol| {
        format!(
            "{}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n\
             HTTP2-Settings: AAMAAABkAAQAAP__\r\nContent-Length: {}\r\n\r\n{body}",
            post(&rig),
            body.len()
        )
    });
    for (answer, _) in join_all(requests.iter().map(|one| answers(&rig, one.as_bytes()))).await {
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    }
    let sent = rig.echo.requests();
    assert_eq!(sent.len(), 3);
    for header in ["upgrade", "http2-settings", "connection"] {
        assert!(
            sent.iter().all(|one| !one.headers.contains_key(header)),
            "{header}"
        );
    }
}

/// So that the tests above can fail: what follows a request whose end is clear is a request.
#[tokio::test]
async fn two_requests_that_follow_each_other_both_arrive() {
    let rig = Rig::start().await;
    let body = call("first");
    let length = body.len();
    let framings = [
        format!("Content-Length: {length}\r\n\r\n{body}"),
        format!("Content-Length: {length}\r\nContent-Length: {length}\r\n\r\n{body}"),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n{length:x};a=b\r\n{body}\r\n0\r\nX-Trailer: t\r\n\r\n"
        ),
    ];
    let both = framings.map(|framing| format!("{}{framing}{}", post(&rig), smuggled(&rig)));
    for (answer, _) in join_all(both.iter().map(|both| answers(&rig, both.as_bytes()))).await {
        assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    }
    assert_eq!((arrived(&rig, "first"), arrived(&rig, "smuggled")), (3, 3));
}
