#![allow(clippy::unwrap_used)]

use serde_json::json;
use wire::mcp::{Limits, parse_strict};

use super::*;

const FACTS: CallerFacts<'static> = CallerFacts {
    subject: "usr_alice",
    client: "cli_1",
    client_vouched: false,
    client_proven: false,
    client_of_other_issuer: false,
    roles: &[],
    groups: &[],
};

fn judged(argument: &str, operator: Value, arguments: &str) -> Outcome {
    let condition: Condition =
        serde_json::from_value(json!({"argument": argument, "operator": operator})).unwrap();
    let arguments = parse_strict(arguments.as_bytes(), &Limits::default()).unwrap();
    condition.judge(Some(&arguments), &FACTS)
}

#[test]
fn an_argument_is_compared_with_a_client_id_that_is_proven_or_no_document_s() {
    let condition = Condition {
        argument: "/x".to_owned(),
        operator: Operator::EqualsClaim("client_id".to_owned()),
    };
    const DOCUMENT: &str = "https://claude.ai/c";
    for (client, client_proven, client_of_other_issuer, expected) in [
        (DOCUMENT, true, false, Outcome::Met),
        (DOCUMENT, false, false, Outcome::Unclear),
        (DOCUMENT, true, true, Outcome::Unclear),
        ("cli_1", false, false, Outcome::Met),
        ("app", false, true, Outcome::Met),
    ] {
        let facts = CallerFacts {
            client,
            client_proven,
            client_of_other_issuer,
            ..FACTS
        };
        let arguments = json!({"x": client}).to_string();
        let arguments = parse_strict(arguments.as_bytes(), &Limits::default()).unwrap();
        assert_eq!(
            condition.judge(Some(&arguments), &facts),
            expected,
            "{facts:?}"
        );
        let can_be_met = expected == Outcome::Met;
        assert_eq!(condition.can_be_met(&facts), can_be_met, "{facts:?}");
    }
}

#[test]
fn each_operator_says_yes_no_and_that_it_cannot_tell() {
    use Outcome::{Met, NotMet, Unclear};
    for (operator, arguments, expected) in [
        (json!({"equals": "home"}), r#"{"x":"home"}"#, Met),
        (json!({"equals": "home"}), r#"{"x":"Home"}"#, NotMet),
        (json!({"equals": "home"}), r#"{"x":["home"]}"#, Unclear),
        (json!({"equals": "home"}), r#"{"y":"home"}"#, Unclear),
        (json!({"equals": 100}), r#"{"x":1e2}"#, Met),
        (json!({"equals": 100}), r#"{"x":"100"}"#, Unclear),
        (json!({"equals": true}), r#"{"x":true}"#, Met),
        (json!({"equals": true}), r#"{"x":"true"}"#, Unclear),
        (json!({"equals": true}), r#"{"x":1}"#, Unclear),
        (json!({"one_of": ["a", 1]}), r#"{"x":1.0}"#, Met),
        (json!({"one_of": ["a", 1]}), r#"{"x":"b"}"#, NotMet),
        (json!({"one_of": ["a", 1]}), r#"{"x":null}"#, Unclear),
        (json!({"one_of": []}), r#"{"x":"a"}"#, Unclear),
        (json!({"starts_with": "team-"}), r#"{"x":"team-a"}"#, Met),
        (
            json!({"starts_with": "team-"}),
            r#"{"x":"my team-a"}"#,
            NotMet,
        ),
        (
            json!({"starts_with": "team-"}),
            r#"{"x":{"team-":1}}"#,
            Unclear,
        ),
        (
            json!({"starts_with": "reports"}),
            r#"{"x":"reports/../../etc/passwd"}"#,
            NotMet,
        ),
        (
            json!({"starts_with": "Note: "}),
            r#"{"x":"Note: see a/b ...\nand so on"}"#,
            Met,
        ),
        (json!({"at_most": 10}), r#"{"x":10}"#, Met),
        (
            json!({"at_most": 10}),
            r#"{"x":10.000000000000000000001}"#,
            NotMet,
        ),
        (json!({"at_most": 10}), r#"{"x":1e400}"#, NotMet),
        (json!({"at_most": 10}), r#"{"x":"1"}"#, Unclear),
        (json!({"equals_claim": "sub"}), r#"{"x":"usr_alice"}"#, Met),
        (json!({"equals_claim": "sub"}), r#"{"x":"usr_bob"}"#, NotMet),
        (
            json!({"equals_claim": "client_id"}),
            r#"{"x":"cli_1"}"#,
            Met,
        ),
        (
            json!({"equals_claim": "email"}),
            r#"{"x":"usr_alice"}"#,
            Unclear,
        ),
    ] {
        assert_eq!(
            judged("/x", operator.clone(), arguments),
            expected,
            "{operator} {arguments}"
        );
    }
}

#[test]
fn a_path_that_climbs_out_of_its_beginning_does_not_begin_so() {
    for (path, expected) in [
        ("/home/alice/notes.txt", Outcome::Met),
        ("/home/alice/my notes.txt", Outcome::Met),
        ("/home/alice/..notes", Outcome::Met),
        ("/home/alice/../bob", Outcome::NotMet),
        ("/home/alice/%2e%2e/bob", Outcome::NotMet),
        ("/home/alice/..", Outcome::NotMet),
        ("/home/alice/./x", Outcome::NotMet),
        ("/home/alice", Outcome::NotMet),
    ] {
        let arguments = json!({"x": path}).to_string();
        let operator = json!({"starts_with": "/home/alice/"});
        assert_eq!(judged("/x", operator, &arguments), expected, "{path}");
    }
}

#[test]
fn a_path_of_windows_climbs_with_either_slash() {
    for (path, expected) in [
        (r"C:\shared\notes.txt", Outcome::Met),
        (r"C:\shared\my notes\a..b", Outcome::Met),
        (r"C:\shared\a/b", Outcome::Met),
        (r"C:\shared\..\Windows", Outcome::NotMet),
        (r"C:\shared\x\../../Windows/x", Outcome::NotMet),
        (r"C:\shared\../../Windows/x", Outcome::NotMet),
        (r"C:\shared\%2e%2e/Windows", Outcome::NotMet),
        (r"C:\shared\..%5cWindows", Outcome::NotMet),
        (r"C:\shared\.. \Windows", Outcome::NotMet),
        ("C:\\shared\\a\0b", Outcome::NotMet),
        (r"C:\shared\a%00b", Outcome::NotMet),
        (r"C:\shared\a%2500b", Outcome::NotMet),
        (r"C:\shared", Outcome::NotMet),
    ] {
        let arguments = json!({"x": path}).to_string();
        let operator = json!({"starts_with": r"C:\shared\"});
        assert_eq!(judged("/x", operator, &arguments), expected, "{path:?}");
    }
}

#[test]
fn an_argument_beside_one_that_another_reader_takes_for_it_cannot_be_judged() {
    let operator = || json!({"starts_with": "/srv/shared/"});
    for (pointer, arguments, expected) in [
        (
            "/path",
            r#"{"path":"/srv/shared/a","paths":"/etc"}"#,
            Outcome::Met,
        ),
        (
            "/path",
            r#"{"path":"/srv/shared/a","Path":"/etc/passwd"}"#,
            Outcome::Unclear,
        ),
        (
            "/path",
            r#"{"PATH":"/etc/passwd","path":"/srv/shared/a"}"#,
            Outcome::Unclear,
        ),
        ("/path", r#"{"Path":"/srv/shared/a"}"#, Outcome::Unclear),
        (
            "/files/path",
            "{\"files\":{\"path\":\"/srv/shared/a\"},\"file\u{17f}\":{}}",
            Outcome::Unclear,
        ),
        (
            "/a/path",
            r#"{"a":{"path":"/srv/shared/a"},"Path":1}"#,
            Outcome::Met,
        ),
        ("/größe", r#"{"größe":"/srv/shared/a"}"#, Outcome::Met),
        (
            "/größe",
            r#"{"größe":"/srv/shared/a","GRÖßE":"/etc"}"#,
            Outcome::Unclear,
        ),
    ] {
        assert_eq!(
            judged(pointer, operator(), arguments),
            expected,
            "{arguments}"
        );
    }
}

#[test]
fn an_argument_is_found_as_rfc_6901_section_4_says() {
    let arguments = r#"{"a":{"b":["x","y"]},"c/d":"z","~":"t","01":"n"}"#;
    for (pointer, value, expected) in [
        ("/a/b/1", "y", Outcome::Met),
        ("/a/b/0", "y", Outcome::NotMet),
        ("/a/b/2", "y", Outcome::Unclear),
        ("/a/b/01", "y", Outcome::Unclear),
        ("/c~1d", "z", Outcome::Met),
        ("/~0", "t", Outcome::Met),
        ("/~", "t", Outcome::Unclear),
        ("/~2", "t", Outcome::Unclear),
        ("/01", "n", Outcome::Met),
        ("a", "x", Outcome::Unclear),
        ("", "x", Outcome::Unclear),
    ] {
        let outcome = judged(pointer, json!({"equals": value}), arguments);
        assert_eq!(outcome, expected, "{pointer}");
    }
    let condition = Condition {
        argument: "/a".into(),
        operator: Operator::AtMost(1.into()),
    };
    assert_eq!(condition.judge(None, &FACTS), Outcome::Unclear);
}
