#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn read(text: impl AsRef<[u8]>) -> Result<Json, JsonErrorKind> {
    parse_strict(text.as_ref(), &Limits::default()).map_err(|error| error.kind)
}

#[test]
fn each_hostile_document_is_refused_and_its_twin_accepted() {
    use JsonErrorKind as Kind;
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let deep_objects = |depth: usize| format!("{}1{}", r#"{"a":"#.repeat(depth), "}".repeat(depth));
    let many_members = |twin: &str| {
        let members: Vec<_> = (0..40).map(|index| format!(r#""m{index}":0"#)).collect();
        format!(r#"{{{},"{twin}":0}}"#, members.join(","))
    };
    let duplicate = |name: &str| Kind::DuplicateMember(name.into());
    let table: Vec<(Kind, Vec<u8>, Vec<u8>)> = [
        // one value
        (Kind::Truncated, "", "0"),
        (Kind::Truncated, "  ", " 0 "),
        (Kind::TrailingData, "{}{}", "{}"),
        (Kind::TrailingData, "1 2", "[1,2]"),
        (Kind::TrailingData, "{} x", "{} \r\n\t"),
        (Kind::TrailingData, "null//", "null"),
        (Kind::Truncated, r#"{"a":1"#, r#"{"a":1}"#),
        (Kind::Truncated, "[1,", "[1,1]"),
        (Kind::Truncated, r#""abc"#, r#""abc""#),
        // punctuation
        (Kind::Unexpected("a value"), "[1,]", "[1]"),
        (
            Kind::Unexpected("a member name"),
            r#"{"a":1,}"#,
            r#"{"a":1}"#,
        ),
        (Kind::Unexpected("a member name"), "{a:1}", r#"{"a":1}"#),
        (
            Kind::Unexpected("a member name"),
            r#"{'a':1}"#,
            r#"{"a":1}"#,
        ),
        (Kind::Unexpected("a colon"), r#"{"a" 1}"#, r#"{"a" : 1}"#),
        (
            Kind::Unexpected("a comma or the end of the array"),
            "[1 2]",
            "[1 , 2]",
        ),
        (Kind::Unexpected("a value"), "/* */ 1", "1"),
        (Kind::Unexpected("a value"), "NaN", "0"),
        (Kind::Unexpected("a value"), "nul", "null"),
        (Kind::Unexpected("a value"), "True", "true"),
        (Kind::Unexpected("a value"), "\u{a0}1", "\t1"),
        // numbers
        (Kind::BadNumber, "01", "10"),
        (Kind::BadNumber, "-", "-1"),
        (Kind::BadNumber, "1.", "1.0"),
        (Kind::BadNumber, "1e", "1e5"),
        (Kind::BadNumber, "1e+", "1e+5"),
        (Kind::BadNumber, "-.5", "-0.5"),
        (Kind::TrailingData, "0x10", "16"),
        (Kind::TrailingData, "1_0", "10"),
        (Kind::Unexpected("a value"), "+1", "1"),
        // strings
        (Kind::BadEscape, r#""\x41""#, r#""\u0041""#),
        (Kind::BadEscape, r#""\u00g0""#, r#""\u00a0""#),
        (Kind::BadEscape, r#""\u+041""#, r#""\u0041""#),
        (Kind::ControlCharacter, "\"a\nb\"", r#""a\nb""#),
        (
            Kind::ControlCharacter,
            "\"long enough text \u{1}\"",
            "\"long enough text \u{7f}\"",
        ),
        (Kind::LoneSurrogate, r#""\ud83d""#, r#""\ud83d\ude00""#),
        (
            Kind::LoneSurrogate,
            r#""\ude00\ud83d""#,
            r#""\ud83d\ude00""#,
        ),
        (Kind::LoneSurrogate, r#""\ud83dx""#, r#""😀x""#),
        (Kind::LoneSurrogate, r#""\ud83d\u0041""#, r#""\u0041""#),
        (Kind::LoneSurrogate, r#"{"\udc00":1}"#, r#"{"\u00dc":1}"#),
        // names
        (duplicate("a"), r#"{"a":1,"a":1}"#, r#"{"a":1,"A":1}"#),
        (
            duplicate("method"),
            r#"{"method":1,"m\u0065thod":2}"#,
            r#"{"method":1,"m\u0065thode":2}"#,
        ),
        (
            duplicate("b"),
            r#"{"x":[{"b":1,"c":2,"b":3}]}"#,
            r#"{"x":[{"b":1},{"b":3}]}"#,
        ),
        (duplicate(""), r#"{"":1,"":2}"#, r#"{"":1}"#),
        (Kind::NulInName, r#"{"a\u0000":1}"#, r#"{"a":"\u0000"}"#),
        (Kind::TooDeep, &deep(65), &deep(64)),
        (Kind::TooDeep, &deep_objects(65), &deep_objects(64)),
        (duplicate("m7"), &many_members("m7"), &many_members("m70")),
        (Kind::BadNumber, &"1".repeat(1025), &"1".repeat(1024)),
    ]
    .into_iter()
    .map(|(kind, hostile, twin)| (kind, hostile.as_bytes().to_vec(), twin.as_bytes().to_vec()))
    .chain([
        (
            Kind::ByteOrderMark,
            b"\xef\xbb\xbf{}".to_vec(),
            b"{}".to_vec(),
        ),
        (Kind::NotUtf8, b"\"\xff\"".to_vec(), "\"\u{ff}\"".into()),
        (Kind::NotUtf8, b"\"\xc0\xaf\"".to_vec(), b"\"/\"".to_vec()),
        (
            Kind::NotUtf8,
            b"\"\xed\xa0\x80\"".to_vec(),
            "\"\u{d7ff}\"".into(),
        ),
        (
            Kind::Unexpected("a value"),
            b"\0{\0}".to_vec(),
            b"{}".to_vec(),
        ),
        (Kind::NotUtf8, b"\xff\xfe{\0}\0".to_vec(), b"{}".to_vec()),
    ])
    .collect();
    for (kind, hostile, twin) in table {
        let shown = String::from_utf8_lossy(&hostile[..hostile.len().min(80)]).into_owned();
        assert_eq!(read(&hostile), Err(kind), "{shown}");
        assert!(
            read(&twin).is_ok(),
            "the twin of {shown}: {:?}",
            read(&twin)
        );
    }
}

#[test]
fn more_bytes_or_values_than_the_limits_allow_are_refused() {
    let limits = Limits {
        bytes_max: 9,
        depth_max: 2,
        values_max: 4,
    };
    let read = |text: &str| parse_strict(text.as_bytes(), &limits).map_err(|error| error.kind);
    assert!(read("[1,2,3]").is_ok());
    assert_eq!(read("[1,2,3,4]"), Err(JsonErrorKind::TooManyValues));
    assert!(read("[1,2,345]").is_ok());
    assert_eq!(read("[1,2,3456]"), Err(JsonErrorKind::TooLong));
    assert_eq!(read("[[[1]]]"), Err(JsonErrorKind::TooDeep));
}

#[test]
fn order_and_number_text_are_kept_and_strings_have_one_spelling() {
    let text = r#"{ "z" : 1.0, "a" : [1e5, 1E+5, -0, 12345678901234567890123], "s\u0065": "\u0041\/\u00e9\ud83d\ude00\u001f\"\\\b\f\n\r\t" }"#;
    assert_eq!(
        read(text).unwrap().to_text(),
        r#"{"z":1.0,"a":[1e5,1E+5,-0,12345678901234567890123],"se":"A/é😀\u001f\"\\\b\f\n\r\t"}"#
    );
}

#[test]
fn an_error_says_what_and_where() {
    let error = parse_strict(br#"{"a":1,"a":2}"#, &Limits::default()).unwrap_err();
    assert_eq!(error.to_string(), "member \"a\" stands twice (byte 12)");
}

/// Any JSON value, names unique, strings of all planes.
fn any_json() -> impl Strategy<Value = Json> {
    let name = prop_oneof![
        "[a-zA-Z_]{1,12}",
        "\\PC{0,12}",
        Just("io.modelcontextprotocol/protocolVersion".to_owned())
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        "-?(0|[1-9][0-9]{0,5})(\\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?"
            .prop_map(|text| read(text).unwrap()),
        any::<String>().prop_map(Json::from),
        "[ -~]{0,64}".prop_map(Json::from),
    ];
    leaf.prop_recursive(6, 64, 8, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..8).prop_map(Json::Array),
            proptest::collection::vec((name.clone(), inner), 0..20)
                .prop_map(|members| Json::Object(members.into_iter().collect())),
        ]
    })
}

fn config() -> ProptestConfig {
    let cases = std::env::var("PORTCULLIS_CASES")
        .ok()
        .and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(256),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_written_is_read_back_the_same(json in any_json()) {
        let bytes = json.to_bytes();
        let back = read(&bytes).unwrap();
        prop_assert_eq!(&back, &json);
        prop_assert_eq!(back.to_bytes(), bytes);
    }

    #[test]
    fn serde_reads_what_we_wrote_as_it_reads_what_we_read(json in any_json(), indent in any::<bool>()) {
        let theirs: serde_json::Value = serde_json::from_slice(&json.to_bytes()).unwrap();
        let spelt = if indent { serde_json::to_vec_pretty(&theirs) } else { serde_json::to_vec(&theirs) }.unwrap();
        // serde does not read back every double that it writes; texts are compared.
        prop_assert_eq!(read(&spelt).unwrap(), Json::from_serde(&theirs));
    }

    #[test]
    fn of_damaged_documents_we_accept_none_that_serde_refuses(
        json in any_json(),
        damage in proptest::collection::vec((any::<prop::sample::Index>(), prop_oneof![any::<u8>(), Just(b'"'), Just(b'\\'), Just(b'{'), Just(b','), Just(b'u')]), 1..4),
    ) {
        let mut bytes = json.to_bytes();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        let theirs = serde_json::from_slice::<serde_json::Value>(&bytes);
        match read(&bytes) {
            Ok(ours) => match theirs {
                Ok(theirs) => {
                    let again: serde_json::Value = serde_json::from_slice(&ours.to_bytes()).unwrap();
                    prop_assert_eq!(again, theirs);
                }
                // serde keeps numbers as doubles; we keep their text.
                Err(error) => prop_assert!(error.to_string().contains("number out of range"), "{error}"),
            },
            Err(JsonErrorKind::DuplicateMember(_) | JsonErrorKind::NulInName | JsonErrorKind::ByteOrderMark) => {}
            Err(kind) => prop_assert!(theirs.is_err(), "{kind:?} {}", String::from_utf8_lossy(&bytes)),
        }
    }

    #[test]
    fn random_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = read(&bytes);
    }
}

/// The best of some readings of `text`, in seconds.
fn seconds(text: &str) -> f64 {
    let one = |_| {
        let begun = std::time::Instant::now();
        let read = std::hint::black_box(read(text));
        assert!(read.is_ok());
        begun.elapsed().as_secs_f64()
    };
    (0..15).map(one).fold(f64::MAX, f64::min)
}

/// Eight times the bytes take about eight times as long, whatever they are made of: sixty-four would be quadratic.
#[test]
fn reading_takes_a_time_in_proportion_to_the_size_of_what_is_meant_to_be_slow() {
    let members = |count: usize, name: fn(usize) -> String| {
        let members: Vec<_> = (0..count).map(|at| format!("\"{}\":0", name(at))).collect();
        format!("{{{}}}", members.join(","))
    };
    let shapes: [(&str, &dyn Fn(usize) -> String); 6] = [
        ("numbers", &|n| format!("[{}0]", "1e308,".repeat(n))),
        ("escapes", &|n| format!("[\"{}\"]", "\\u00e9\\n".repeat(n))),
        ("names in order", &|n| members(n, |at| format!("{at:08}"))),
        ("names of one length that differ late", &|n| {
            members(n, |at| format!("{}{at:08}", "x".repeat(40)))
        }),
        ("names backwards", &|n| {
            members(n, |at| format!("{:08}", 99_999_999 - at))
        }),
        ("nests", &|n| {
            let nest = format!("{}{}", "[".repeat(60), "]".repeat(60));
            format!("[{}0]", format!("{nest},").repeat(n / 40))
        }),
    ];
    for (name, shape) in shapes {
        let (small, large) = (shape(1_000), shape(8_000));
        // Somebody else may have the processor now and then, and that says nothing of us.
        let mut slope = f64::MAX;
        for _ in 0..10 {
            slope = slope.min(seconds(&large) / seconds(&small));
            if slope < 24.0 {
                break;
            }
        }
        assert!(slope < 24.0, "{name}: {slope:.1} times as long");
    }
    // A search pair by pair is told from it.
    let pairs = |n: usize| {
        let begun = std::time::Instant::now();
        let names: Vec<usize> = (0..n).collect();
        let twins = names
            .iter()
            .flat_map(|one| names.iter().filter(move |two| one == *two));
        assert_eq!(std::hint::black_box(twins.count()), n);
        begun.elapsed().as_secs_f64()
    };
    let slope = (0..3)
        .map(|_| pairs(3_200) / pairs(400))
        .fold(0.0, f64::max);
    assert!(slope > 24.0, "{slope:.1}");
}
