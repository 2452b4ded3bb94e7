//! What five JSON parsers would execute of the bytes that are sent upstream, compared with what was judged.
//!
//! A difference would be a way around every rule: "allowed A, executed B". The messages are made by `generate` and
//! `hostile`, from a seed and a number, so that each can be made again.

#![allow(
    clippy::print_stdout,
    reason = "the page of evidence quotes what is counted"
)]

mod dice;
mod generate;
mod hostile;
mod judge;
mod reader;
mod serde;
mod told;
mod weakened;

use std::collections::BTreeMap;

use authz::Mode;
use http::StatusCode;

use crate::support::{Rig, SLUG};
use generate::{Sample, sample};
use judge::{Judge, Sent};
use reader::{Reader, Reading};

/// How many messages are read at once.
const BATCH: usize = 500;

fn variable(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seed() -> u64 {
    variable("PORTCULLIS_SEED").unwrap_or(0x0070_6172_7365_7273)
}

fn messages() -> u64 {
    variable("PORTCULLIS_MESSAGES").unwrap_or(2_000)
}

/// The readers that can be had: all five where the run demands them, and loudly fewer elsewhere.
fn readers() -> Vec<Reader> {
    let (readers, missing) = Reader::all();
    if !missing.is_empty() {
        println!("parsers: MISSING, and not compared: {}", missing.join("; "));
    }
    let wanted = variable("PORTCULLIS_PARSERS").unwrap_or(1);
    assert!(
        readers.len() as u64 >= wanted,
        "{wanted} parsers are to be compared; missing: {missing:?} (apt-get install golang-go libsimdjson-dev g++ nodejs python3)"
    );
    readers
}

/// What was counted, and each difference in words.
#[derive(Default)]
struct Comparison {
    readings: u64,
    refused: BTreeMap<&'static str, u64>,
    differences: Vec<String>,
}

impl Comparison {
    fn of(reader: &mut Reader, sent: &[(u64, Sent)]) -> Self {
        let mut comparison = Self::default();
        let (name, rounds) = (reader.name(), reader.rounds());
        let read = reader.read(sent.iter().map(|(_, sent)| &sent.bytes[..]));
        for ((number, sent), readings) in sent.iter().zip(read) {
            for reading in readings {
                comparison.readings += 1;
                let difference = match reading {
                    Reading::Message(told) => sent.judged.difference(&told, rounds),
                    Reading::NoMessage => Some("no message at all".to_owned()),
                    Reading::Refused => {
                        *comparison.refused.entry(name).or_default() += 1;
                        None
                    }
                };
                if let Some(difference) = difference {
                    comparison.differences.push(format!(
                        "message {number}, {name}: {difference}; sent {}",
                        String::from_utf8_lossy(&sent.bytes)
                    ));
                }
            }
        }
        comparison
    }

    fn add(&mut self, other: Self) {
        self.readings += other.readings;
        for (name, count) in other.refused {
            *self.refused.entry(name).or_default() += count;
        }
        self.differences.extend(other.differences);
    }
}

/// All readers at once.
fn compare(readers: &mut [Reader], sent: &[(u64, Sent)]) -> Comparison {
    let mut comparison = Comparison::default();
    std::thread::scope(|scope| {
        let working: Vec<_> = readers
            .iter_mut()
            .map(|reader| scope.spawn(move || Comparison::of(reader, sent)))
            .collect();
        for reader in working {
            comparison.add(reader.join().unwrap());
        }
    });
    comparison
}

#[tokio::test]
async fn what_was_judged_is_what_five_json_parsers_execute() {
    let (seed, messages) = (seed(), messages());
    let mut readers = readers();
    let judges = [
        Judge::new(Mode::Enforce).await,
        Judge::new(Mode::Observe).await,
    ];
    let (mut permitted, mut total) = (0, Comparison::default());
    let mut sent = Vec::with_capacity(BATCH);
    for number in 0..messages {
        if let Some(one) = judges[(number % 2) as usize]
            .judge(&sample(seed, number))
            .await
        {
            sent.push((number, one));
        }
        if sent.len() == BATCH || number + 1 == messages {
            permitted += sent.len() as u64;
            total.add(compare(&mut readers, &sent));
            sent.clear();
            let shown = total
                .differences
                .iter()
                .take(10)
                .cloned()
                .collect::<Vec<_>>();
            assert!(shown.is_empty(), "seed {seed}:\n{}", shown.join("\n"));
        }
    }
    let names: Vec<_> = readers.iter().map(Reader::name).collect();
    println!(
        "parsers: {messages} messages, {permitted} of them permitted and sent; {} readings by {}: 0 differ from what was judged; \
         refused by a parser itself: {:?}",
        total.readings,
        names.join(", "),
        total.refused
    );
    // A comparison of nothing would show nothing.
    assert!(permitted * 5 > messages, "{permitted} of {messages}");
    let refused: u64 = total.refused.values().sum();
    assert!(refused * 4 < total.readings, "{:?}", total.refused);
}

#[test]
fn a_forwarder_that_sends_what_came_is_caught() {
    let mut readers = readers();
    let call = |params: &str| {
        let text = format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{params}}}"#);
        vec![(0, weakened::judge(text.as_bytes()).unwrap())]
    };
    let honest = compare(
        &mut readers,
        &call(r#"{"name":"echo","arguments":{"a":1}}"#),
    );
    assert_eq!(honest.differences, Vec::<String>::new());
    let known = compare(&mut readers, &call(r#"{"name":"echo","name":"secret"}"#));
    assert!(!known.differences.is_empty());
    assert!(
        known.differences[0].contains("params.name"),
        "{:?}",
        known.differences
    );
    if readers.iter().any(|reader| reader.name().starts_with("Go")) {
        let twin = compare(&mut readers, &call(r#"{"name":"echo","Name":"secret"}"#));
        let names = |one: &&String| one.contains("params.name");
        let named: Vec<_> = twin.differences.iter().filter(names).collect();
        assert_eq!(named.len(), 1, "{named:?}");
        assert!(named[0].contains("Go encoding/json"), "{named:?}");
    }
    // And among the generated ones it is caught many times over.
    let mut sent = Vec::new();
    for number in 0..500 {
        sent.extend(weakened::judge(&sample(seed(), number).body).map(|sent| (number, sent)));
    }
    let found = compare(&mut readers, &sent).differences.len();
    assert!(found > 20, "{found}");
}

#[tokio::test]
async fn the_whole_gateway_sends_those_bytes_and_no_others() {
    let rig = Rig::start().await;
    let judge = Judge::new(Mode::Enforce).await;
    let (mut sent, mut refused) = (0, 0);
    for number in 0..messages() / 20 {
        let sample = sample(seed() ^ 1, number);
        rig.echo.forget_requests();
        let status = post(&rig, &sample).await;
        let reached: Vec<_> = rig.echo.requests();
        match judge.judge(&sample).await {
            Some(judged) => {
                assert_eq!(reached.len(), 1, "message {number}: {status}");
                assert_eq!(reached[0].body, judged.bytes, "message {number}");
                let method = reached[0].headers.get("mcp-method");
                let told = judged.judged.method();
                assert!(
                    method.is_none_or(|method| Some(method.as_bytes()) == told),
                    "message {number}: {method:?}"
                );
                sent += 1;
            }
            None => {
                assert_eq!(reached.len(), 0, "message {number}: {status}");
                refused += 1;
            }
        }
    }
    assert!(sent > 10 && refused > 10, "{sent} {refused}");
}

async fn post(rig: &Rig, sample: &Sample) -> StatusCode {
    let mut head = format!(
        "POST /mcp/{SLUG} HTTP/1.1\r\nHost: 127.0.0.1:{}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\nConnection: close\r\n",
        rig.port,
        rig.token("note:read note:write"),
        sample.body.len()
    )
    .into_bytes();
    for (name, value) in &sample.headers {
        head.extend(name.bytes());
        head.extend(b": ");
        head.extend(value);
        head.extend(b"\r\n");
    }
    head.extend(b"\r\n");
    let answer = rig.raw_bytes(&head, &sample.body).await;
    let status = answer.get(9..12).and_then(|status| status.parse().ok());
    status.unwrap_or_else(|| panic!("no answer: {answer:?}"))
}
