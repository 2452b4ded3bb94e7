#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn events(stream: &[u8], piece_bytes: usize) -> Vec<SseEvent> {
    let mut parser = SseParser::new(1 << 20);
    let mut events = Vec::new();
    for piece in stream.chunks(piece_bytes) {
        parser.push(piece).unwrap();
        events.extend(std::iter::from_fn(|| parser.next_event()));
    }
    events
}

#[test]
fn a_stream_reads_the_same_in_pieces_of_any_size_and_with_any_line_end() {
    let stream = "\u{feff}: hello\n\nid: 1\nevent: message\ndata: {\"a\":1}\nretry: 100\nx-new: y\n\ndata:a\ndata: b\ndata\n\n\n\nid\n\ndata: lost";
    let expected = events(stream.as_bytes(), stream.len());
    assert_eq!(expected.len(), 4);
    assert_eq!(expected[0], SseEvent::comment("hello"));
    assert_eq!(expected[1].data().as_deref(), Some("{\"a\":1}"));
    assert_eq!(expected[1].id(), Some("1"));
    assert_eq!(expected[1].event(), Some("message"));
    assert_eq!(expected[1].retry(), Some("100"));
    assert_eq!(expected[1].fields[4], ("x-new".into(), "y".into()));
    assert_eq!(expected[2].data().as_deref(), Some("a\nb\n"));
    assert_eq!(expected[3].data(), None);
    assert_eq!(expected[3].id(), Some(""));
    for line_end in ["\n", "\r\n", "\r"] {
        let stream = stream.replace('\n', line_end);
        for piece_bytes in 1..12 {
            assert_eq!(
                events(stream.as_bytes(), piece_bytes),
                expected,
                "{line_end:?}"
            );
        }
    }
}

#[test]
fn a_comment_between_frames_is_not_held_back() {
    let mut parser = SseParser::new(100);
    parser.push(b": ping\n").unwrap();
    assert_eq!(parser.next_event(), Some(SseEvent::comment("ping")));
    assert!(!parser.has_partial());
    parser.push(b"data: 1\n: ping\n").unwrap();
    assert_eq!(parser.next_event(), None);
    assert!(parser.has_partial());
}

#[test]
fn a_frame_of_permitted_size_passes_and_a_larger_one_ends_the_stream() {
    let frame = |bytes: usize| format!("data: {}\n\n", "x".repeat(bytes)).into_bytes();
    let mut parser = SseParser::new(100);
    for _ in 0..10 {
        parser.push(&frame(60)).unwrap();
    }
    assert_eq!(std::iter::from_fn(|| parser.next_event()).count(), 10);
    assert_eq!(parser.push(&frame(200)), Err(SseError::TooLarge));
    // Not one long line, but lines without end.
    let mut parser = SseParser::new(10_000);
    assert_eq!(parser.push(&b"a\n".repeat(10_000)), Err(SseError::TooLarge));
    // Comments without end are no frame.
    let mut parser = SseParser::new(100);
    for _ in 0..1000 {
        parser.push(b":\n").unwrap();
        assert!(parser.next_event().is_some());
    }
    assert_eq!(
        SseParser::new(100).push(b"data: \xff\n"),
        Err(SseError::NotUtf8)
    );
}

#[test]
fn no_field_breaks_out_of_its_line() {
    let event = SseEvent {
        fields: vec![
            ("id".into(), "1\ndata: evil".into()),
            ("data".into(), "a\rb".into()),
        ],
    };
    assert_eq!(event.to_bytes(), b"id: 1 data: evil\ndata: a b\n\n");
    assert_eq!(SseEvent::comment("a\n\nb").to_bytes(), b": a  b\n\n");
    assert_eq!(SseEvent::message("{}").to_bytes(), b"data: {}\n\n");
}

#[test]
fn what_some_readers_take_for_the_end_of_a_line_is_in_no_comment_and_no_field_but_data() {
    for end in ["\u{b}", "\u{c}", "\u{1c}", "\u{85}", "\u{2028}", "\u{2029}"] {
        let evil = format!("x{end}{end}data: evil{end}{end}");
        let text = format!(
            ": {evil}\n\nid: {evil}\nretry: {evil}\nevent: {evil}\nevent: message\ndata: a\n\n"
        );
        let mut written = String::new();
        for mut event in events(text.as_bytes(), 100) {
            event.keep_known();
            written.push_str(&String::from_utf8(event.to_bytes()).unwrap());
        }
        assert_eq!(written, ": xdata: evil\n\nevent: message\ndata: a\n\n");
    }
    let honest = "id: 7_1\nretry: 5000\nevent: message\ndata: a\n\n";
    let mut event = events(honest.as_bytes(), 100).remove(0);
    event.keep_known();
    assert_eq!(event.to_bytes(), honest.as_bytes());
}

#[test]
fn data_is_replaced_in_its_place_and_the_rest_stays() {
    let mut event = events(b"id: 7\ndata: a\nx: y\ndata: b\n\n", 100).remove(0);
    event.set_data("c");
    assert_eq!(event.to_bytes(), b"id: 7\ndata: c\nx: y\n\n");
    event.set_data("c\nd");
    assert_eq!(event.data().as_deref(), Some("c\nd"));
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read_back_the_same(
        fields in proptest::collection::vec(("[a-z]{1,8}", "[^\r\n\u{feff}]{0,40}"), 1..8),
        piece_bytes in 1_usize..50,
    ) {
        let event = SseEvent { fields };
        prop_assert_eq!(events(&event.to_bytes(), piece_bytes), vec![event]);
    }
}
