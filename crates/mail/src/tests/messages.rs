//! What a message looks like, and what cannot be written into one.

use testkit::SeededRandom;

use super::{clock, message};
use crate::{Mailbox, MailboxError, Message};

fn from() -> Mailbox {
    "Beispiel & Söhne <sign-in@example.com>".parse().unwrap()
}

fn compose(message: &Message) -> Result<String, String> {
    message
        .compose(&from(), &clock(), &SeededRandom::new(7))
        .map(|composed| String::from_utf8(composed.bytes).unwrap())
}

#[test]
fn a_message_has_the_headers_that_keep_it_out_of_trouble() {
    let text = compose(&message()).unwrap();
    assert!(
        text.contains("Date: Fri, 15 Jan 2027 08:00:00 +0000\r\n"),
        "{text}"
    );
    assert!(
        text.contains("Auto-Submitted: auto-generated\r\n"),
        "{text}"
    );
    assert!(
        text.contains("\r\nMessage-ID: <") && text.contains("@example.com>\r\n"),
        "{text}"
    );
    assert!(text.contains("Subject: Sign in to Example\r\n"), "{text}");
    assert!(text.contains("To: ada@example.org\r\n"), "{text}");
    assert!(text.is_ascii());
    let another = message().compose(&from(), &clock(), &SeededRandom::new(8));
    let first = message().compose(&from(), &clock(), &SeededRandom::new(7));
    assert_ne!(first.unwrap().id, another.unwrap().id);
}

#[test]
fn html_comes_beside_the_text_and_other_alphabets_arrive() {
    let text = compose(&Message {
        subject: "Anmelden bei Jörg".to_owned(),
        html: Some("<p>Grüße</p>".to_owned()),
        ..message()
    })
    .unwrap();
    assert!(text.contains("multipart/alternative"), "{text}");
    assert!(
        text.contains("text/plain") && text.contains("text/html"),
        "{text}"
    );
    assert!(
        text.contains("Subject: =?utf-8?") || text.contains("Subject: Anmelden bei =?utf-8?"),
        "{text}"
    );
    assert!(text.is_ascii(), "{text}");
    assert!(
        text.lines().all(|line| line.len() <= 998),
        "RFC 5322 section 2.1.1"
    );
}

#[test]
fn a_line_break_in_a_subject_or_an_address_is_refused() {
    for subject in [
        "Sign in\r\nBcc: eve@example.net",
        "Sign in\nX: y",
        "Sign in\rX: y",
        "Sign\0in",
        " ",
    ] {
        let refused = compose(&Message {
            subject: subject.to_owned(),
            ..message()
        });
        assert!(refused.is_err(), "{subject:?}");
    }
    for address in [
        "ada@example.org\r\nRCPT TO:<eve@example.net>",
        "ada@example.org\nBcc: eve@example.net",
        "Ada\r\nBcc: eve@example.net <ada@example.org>",
    ] {
        assert_eq!(
            address.parse::<Mailbox>().unwrap_err(),
            MailboxError::ControlCharacter,
            "{address:?}"
        );
    }
    assert!("ada@example.org".parse::<Mailbox>().is_ok());
}

#[test]
fn what_is_no_mailbox_says_how_one_is_written() {
    for bad in [
        "",
        "ada",
        "ada@",
        "@example.org",
        "a b@example.org",
        "<ada@example.org",
        "a@b@c",
    ] {
        assert_eq!(
            bad.parse::<Mailbox>().unwrap_err(),
            MailboxError::Form,
            "{bad:?}"
        );
    }
    assert_eq!(
        "jörg@example.org".parse::<Mailbox>().unwrap_err(),
        MailboxError::NotAscii
    );
    let long = format!("{}@example.org", "a".repeat(300));
    assert!(long.parse::<Mailbox>().is_err());
    let named: Mailbox = "Ada Lovelace <ada@example.org>".parse().unwrap();
    assert_eq!(
        (named.name(), named.address()),
        (Some("Ada Lovelace"), "ada@example.org")
    );
}

#[test]
fn what_a_message_says_is_not_in_what_is_printed_of_it() {
    let shown = format!("{:?}", message());
    assert!(
        shown.contains("ada@example.org") && !shown.contains("s3cr3t"),
        "{shown}"
    );
}

#[test]
fn a_message_that_is_too_large_is_refused() {
    let of = |bytes: usize| Message {
        text: "a".repeat(bytes),
        ..message()
    };
    assert!(compose(&of(256 * 1024)).is_ok());
    assert!(compose(&of(256 * 1024 + 1)).is_err());
}
