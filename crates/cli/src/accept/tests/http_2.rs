//! What a peer may do with frames of HTTP/2 (RFC 9113), written by hand: no client library sends such things.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A GET of `http://x/`, by the static table of RFC 7541 appendix A.
const GET: &[u8] = b"\x82\x86\x84\x41\x01x";
/// The same as a POST.
const POST: &[u8] = b"\x83\x86\x84\x41\x01x";
/// `:status: 200`, by the same table.
const OK: u8 = 0x88;

const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;
const WHOLE: u8 = END_STREAM | END_HEADERS;

/// Frame types (RFC 9113 section 6).
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RESET: u8 = 3;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;

/// Error codes (RFC 9113 section 7).
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const ENHANCE_YOUR_CALM: u32 = 11;

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut frame = length[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// The streams that a client opens, in order.
fn streams(count: u32) -> impl Iterator<Item = u32> {
    (0..count).map(|number| 2 * number + 1)
}

/// What came back on one connection.
#[derive(Debug, Default)]
struct Told {
    answered: BTreeSet<u32>,
    reset: BTreeMap<u32, u32>,
    went_away: Option<u32>,
    pings: usize,
    ended: bool,
}

impl Told {
    fn hear(&mut self, kind: u8, stream: u32, payload: &[u8]) {
        let code = |at: usize| {
            let bytes = payload.get(at..at + 4).unwrap().try_into().unwrap();
            u32::from_be_bytes(bytes)
        };
        match kind {
            HEADERS if payload.first() == Some(&OK) => {
                self.answered.insert(stream);
            }
            RESET => {
                self.reset.insert(stream, code(0));
            }
            GO_AWAY => self.went_away = Some(code(4)),
            PING => self.pings += 1,
            _ => {}
        }
    }

    fn is_refused(&self) -> bool {
        self.ended || self.went_away.is_some() || !self.reset.is_empty()
    }
}

/// Sends `frames` on a connection of their own, and listens until `enough` or the end.
async fn tell(address: SocketAddr, frames: &[u8], enough: impl Fn(&Told) -> bool) -> Told {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut reading, mut writing) = stream.into_split();
    let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), frames].concat();
    let sending = tokio::spawn(async move {
        // The other side may have ended it meanwhile.
        let _ = writing.write_all(&bytes).await;
        writing
    });
    let mut told = Told::default();
    let listening = async {
        while !enough(&told) {
            let mut head = [0; 9];
            if reading.read_exact(&mut head).await.is_err() {
                told.ended = true;
                return;
            }
            let length = u32::from_be_bytes([0, head[0], head[1], head[2]]);
            let stream = u32::from_be_bytes(head[5..].try_into().unwrap());
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            if reading.read_exact(&mut payload).await.is_err() {
                told.ended = true;
                return;
            }
            told.hear(head[3], stream, &payload);
        }
    };
    tokio::time::timeout(Duration::from_secs(10), listening)
        .await
        .expect("enough is told, or the connection ends");
    sending.abort();
    told
}

/// CVE-2023-44487 and its kin.
#[tokio::test]
async fn streams_that_are_reset_as_fast_as_they_are_opened_end_the_connection_and_others_are_answered()
 {
    let running = start(0, quick()).await;
    let flood = |is_reset: bool, count: u32| -> Vec<u8> {
        let opened = streams(count).map(|stream| {
            let reset = frame(RESET, 0, stream, &CANCEL.to_be_bytes());
            let opened = frame(HEADERS, WHOLE, stream, GET);
            if is_reset {
                [opened, reset].concat()
            } else {
                opened
            }
        });
        opened.collect::<Vec<_>>().concat()
    };
    let told = tell(running.address, &flood(true, 20_000), |told| {
        told.went_away.is_some()
    })
    .await;
    assert_eq!(told.went_away, Some(ENHANCE_YOUR_CALM), "{told:?}");
    let all = 200;
    let told = tell(running.address, &flood(false, all), |told| {
        told.answered.len() == all as usize
    })
    .await;
    assert!(!told.is_refused(), "{told:?}");
}

/// CVE-2024-27316 and its kin.
#[tokio::test]
async fn headers_without_an_end_end_the_connection_and_those_in_pieces_are_read() {
    let running = start(0, quick()).await;
    let pieces = |count: usize, ends: bool| {
        let mut frames = frame(HEADERS, END_STREAM, 1, &GET[..3]);
        for number in 0..count {
            let is_last = ends && number + 1 == count;
            let payload = if is_last { &GET[3..] } else { &[] };
            let flags = if is_last { END_HEADERS } else { 0 };
            frames.extend(frame(CONTINUATION, flags, 1, payload));
        }
        frames
    };
    for (frames, answered) in [(pieces(2, true), true), (pieces(100_000, false), false)] {
        let told = tell(running.address, &frames, |told| !told.answered.is_empty()).await;
        assert_eq!(told.answered.contains(&1), answered, "{told:?}");
        assert_eq!(told.ended, !answered, "{told:?}");
    }
}

#[tokio::test]
async fn as_many_streams_as_may_be_open_are_answered_and_one_more_is_refused() {
    let running = start(700, quick()).await;
    let opened = streams(STREAMS_MAX + 1).map(|stream| frame(HEADERS, WHOLE, stream, GET));
    let frames = opened.collect::<Vec<_>>().concat();
    let most = STREAMS_MAX as usize;
    let told = tell(running.address, &frames, |told| {
        told.answered.len() == most && !told.reset.is_empty()
    })
    .await;
    let one_more = 2 * STREAMS_MAX + 1;
    assert_eq!(told.reset, [(one_more, REFUSED_STREAM)].into(), "{told:?}");
}

/// Frames that cost their sender nothing and say nothing.
#[tokio::test]
async fn floods_of_empty_frames_hold_up_nobody_else() {
    let running = start(0, quick()).await;
    let begun = frame(HEADERS, END_HEADERS, 1, POST);
    for (what, kind, stream, payload) in [
        ("data", DATA, 1, &[][..]),
        ("settings", SETTINGS, 0, &[]),
        ("pings", PING, 0, &[7; 8]),
    ] {
        let flood = frame(kind, 0, stream, payload).repeat(50_000);
        let flooding = [&begun[..], &flood].concat();
        let address = running.address;
        let mut flooding = tokio::spawn(async move {
            let stream = TcpStream::connect(address).await.unwrap();
            let (_unread, mut writing) = stream.into_split();
            let bytes = [PREFACE, &frame(SETTINGS, 0, 0, &[]), &flooding].concat();
            // Whoever sends it reads no answer.
            let _ = writing.write_all(&bytes).await;
            std::future::pending::<()>().await;
        });
        tokio::time::sleep(Duration::from_millis(50)).await;
        let asked = frame(HEADERS, WHOLE, 1, GET);
        let began = Instant::now();
        let told = tell(running.address, &asked, |told| !told.answered.is_empty()).await;
        assert!(!told.is_refused(), "{what}: {told:?}");
        assert!(began.elapsed() < Duration::from_secs(5), "{what}");
        flooding.abort();
        let _ = (&mut flooding).await;
    }
}

/// RFC 9113 sections 8.2 and 8.3: what an intermediary would write into HTTP/1.1 as something else.
#[tokio::test]
async fn a_request_that_would_be_two_in_http_1_is_never_answered_and_its_twin_is() {
    let running = start(0, quick()).await;
    // A literal field that is not indexed, with a new name (RFC 7541 section 6.2.2).
    let field = |name: &str, value: &str| {
        let mut field = vec![0];
        for text in [name, value] {
            field.push(u8::try_from(text.len()).unwrap());
            field.extend(text.as_bytes());
        }
        field
    };
    for (name, value, answered) in [
        ("x", "a b", true),
        ("te", "trailers", true),
        ("content-length", "0", true),
        ("x", "a\r\nb: c", false),
        ("x", "a\nb: c", false),
        ("x", "a\0b", false),
        ("x\r\nb", "c", false),
        ("x:y", "c", false),
        ("X", "a", false),
        ("", "a", false),
        ("connection", "x", false),
        ("transfer-encoding", "chunked", false),
        ("upgrade", "h2c", false),
        ("keep-alive", "x", false),
        ("te", "gzip", false),
        ("content-length", "5", false),
        ("content-length", "0, 5", false),
        (":path", "/admin", false),
        (":status", "200", false),
        (":unheard-of", "x", false),
    ] {
        let request = frame(HEADERS, WHOLE, 1, &[GET, &field(name, value)].concat());
        let told = tell(running.address, &request, |told| {
            told.is_refused() || !told.answered.is_empty()
        })
        .await;
        let is_answered = told.answered.contains(&1);
        assert_eq!(is_answered, answered, "{name:?}: {value:?}: {told:?}");
    }
}
