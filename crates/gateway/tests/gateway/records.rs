use std::time::{Duration, Instant};

use authz::{ArgumentDigests, Mode};
use gateway::{Judged, ListCount, Outcome};
use http::StatusCode;
use serde_json::{Value, json};
use testkit::McpClient;
use testkit::echo::Hostility;
use wire::mcp::Json;

use crate::support::{Rig, RigSettings, SLUG};

#[tokio::test]
async fn each_call_leaves_one_record_that_says_how_it_ended_and_why() {
    let rig = Rig::start().await;
    let caller = rig.caller("note:read").with_header("user-agent", "tests/1");
    caller.call_tool("echo", json!({"secret": "canary"})).await;
    let record = rig.next_record().await;
    assert_eq!(&*record.server, SLUG);
    assert_eq!(record.subject.as_deref(), Some("usr_alice"));
    assert_eq!(record.client.as_deref(), Some("cli_1"));
    assert_eq!(record.grant.as_deref(), Some("grt_1"));
    assert_eq!(record.user_agent.as_deref(), Some("tests/1"));
    assert_eq!(record.method, "tools/call");
    assert_eq!(record.name.as_deref(), Some("echo"));
    assert_eq!(record.outcome, Outcome::Allowed);
    assert_eq!(record.judged, Some(Judged::Allowed));
    assert_eq!(record.cause, Some("permitted"));
    assert_eq!(record.rule.as_deref(), Some("tool echo: note:read"));
    assert_eq!(record.reason, "tool echo: note:read");
    assert_eq!(record.policy_revision, Some(1));
    let judged_us = record.judged_us.unwrap();
    assert!(judged_us <= record.duration_us, "{judged_us}");
    assert_eq!(record.status, 200);
    assert!(record.duration_us > 0);
    assert_eq!(record.correlation_id, None);
    assert!(!format!("{record:?}").contains("canary"));

    let answer = caller.call_tool("secret", json!({})).await;
    let shown = answer.response()["error"]["data"]["correlation_id"].clone();
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::Denied);
    assert_eq!(record.judged, Some(Judged::Denied));
    assert_eq!(record.cause, Some("denied_by_rule"));
    assert_eq!(record.rule.as_deref(), Some("tool secret: denied"));
    assert_eq!(record.policy_revision, Some(1));
    assert!(record.judged_us.is_some());
    assert_eq!(record.correlation_id.as_deref(), shown.as_str());
    assert!(
        record.reason.contains("tool secret: denied"),
        "{}",
        record.reason
    );

    caller.call_tool("write_note", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::NeedsScope);
    assert_eq!(record.judged, Some(Judged::NeedsScope));
    assert_eq!(record.cause, Some("insufficient_scope"));
    assert_eq!(record.rule.as_deref(), Some("tool write_note: note:write"));

    rig.stranger().call_tool("echo", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.outcome, Outcome::Unauthenticated);
    assert_eq!(record.subject, None);
    assert_eq!((record.judged, record.policy_revision), (None, None));
    assert_eq!(record.cause, Some("no_token"));
    assert_eq!(record.method, "POST");

    caller.post(&json!([])).await;
    let record = rig.next_record().await;
    assert_eq!((record.outcome, record.judged), (Outcome::Rejected, None));
    assert_eq!(record.cause, Some("malformed_message"));

    caller.request("tools/list", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.list, Some(ListCount { shown: 1, total: 3 }));
}

#[tokio::test]
async fn a_list_in_a_stream_is_counted_too() {
    let rig = Rig::with_echo(|echo| echo.answer_as_sse = true).await;
    rig.caller("note:read")
        .request("tools/list", json!({}))
        .await;
    let record = rig.next_record().await;
    assert_eq!(record.list, Some(ListCount { shown: 1, total: 3 }));
    assert_eq!(record.status, 200);
}

/// The digest of what was sent to `echo`, by the key of the rig.
fn digest(arguments: &Value) -> String {
    let digests = ArgumentDigests::new(&[8; 32]).unwrap();
    digests.of("tools/call", "echo", Some(&Json::from_serde(arguments)))
}

#[tokio::test]
async fn of_arguments_there_is_a_digest_and_as_they_are_those_alone_that_the_policy_declares_safe()
{
    let rig = Rig::start().await;
    let caller = rig.caller("note:read");
    let arguments = json!({"path": "/srv/a", "password": "hunter2", "in": {"a": "b"}});
    let call = async |caller: &McpClient, tool: &str, arguments: Value| {
        caller.call_tool(tool, arguments).await;
        rig.next_record().await
    };
    let record = call(&caller, "echo", arguments.clone()).await;
    assert_eq!(record.arguments_digest, Some(digest(&arguments)));
    assert_eq!(record.arguments, None);

    let declare_safe = |mode: Mode| {
        rig.publish(|server| {
            server.policy_revision = 2;
            server.policy.mode = mode;
            for tool in ["echo", "secret"] {
                let entry = server.policy.tools.get_mut(tool).unwrap();
                entry.recorded_arguments = vec!["/path".into(), "/in".into(), "/other".into()];
            }
        });
    };
    declare_safe(Mode::Enforce);
    let record = call(&caller, "echo", arguments.clone()).await;
    assert_eq!(record.arguments.as_deref(), Some(r#"{"/path":"/srv/a"}"#));
    assert_eq!(record.arguments_digest, Some(digest(&arguments)));
    assert_eq!(record.policy_revision, Some(2));
    assert!(!format!("{record:?}").contains("hunter2"));
    // Of whoever is refused there is no digest, by which they could try what others sent to that tool.
    for (tool, judged) in [
        ("secret", Judged::Denied),
        ("write_note", Judged::NeedsScope),
    ] {
        let record = call(&caller, tool, arguments.clone()).await;
        assert_eq!(record.judged, Some(judged));
        assert_eq!(record.arguments_digest, None, "{tool}");
        if tool == "secret" {
            assert_eq!(record.arguments.as_deref(), Some(r#"{"/path":"/srv/a"}"#));
        }
    }
    // What is only watched goes on, and has one.
    declare_safe(Mode::Observe);
    let record = call(&caller, "secret", arguments.clone()).await;
    assert_eq!(record.judged, Some(Judged::WouldBeDenied));
    assert_eq!(record.arguments.as_deref(), Some(r#"{"/path":"/srv/a"}"#));
    let of_another_tool = record.arguments_digest.unwrap();
    assert_ne!(of_another_tool, digest(&arguments));
    declare_safe(Mode::Enforce);
    // What stands for another argument to some reader is not recorded.
    let doubtful = json!({"path": "/srv/a", "Path": "/srv/b"});
    let record = call(&caller, "echo", doubtful).await;
    assert_eq!(record.arguments, None);

    // An authority of the release before gives no key.
    rig.publish(|server| server.argument_digest_key = vec![].into());
    let record = call(&caller, "echo", arguments).await;
    assert_eq!(record.arguments_digest, None);
    // Housekeeping has no arguments.
    caller.request("ping", json!({})).await;
    assert_eq!(rig.next_record().await.arguments_digest, None);
}

#[tokio::test]
async fn while_a_policy_is_only_watched_what_it_would_deny_goes_on_and_is_recorded_as_that() {
    let rig = Rig::start().await;
    let caller = rig.caller("note:read");
    for mode in [Mode::Observe, Mode::Enforce] {
        rig.publish(|server| server.policy.mode = mode);
        for (tool, cause, rule, enforced) in [
            (
                "secret",
                "denied_by_rule",
                "tool secret: denied",
                Judged::Denied,
            ),
            (
                "nobody_knows_it",
                "unmapped",
                "default: deny",
                Judged::Denied,
            ),
            (
                "write_note",
                "insufficient_scope",
                "tool write_note: note:write",
                Judged::NeedsScope,
            ),
            ("echo", "permitted", "tool echo: note:read", Judged::Allowed),
        ] {
            let heard = rig.echo.requests().len();
            let answer = caller.call_tool(tool, json!({})).await;
            let asked = rig.echo.requests().len() - heard;
            let record = rig.next_record().await;
            assert_eq!(record.cause, Some(cause), "{tool}");
            assert_eq!(record.rule.as_deref(), Some(rule), "{tool}");
            match (mode, enforced) {
                (Mode::Observe, Judged::Denied | Judged::NeedsScope) => {
                    assert_eq!(record.judged, Some(Judged::WouldBeDenied), "{tool}");
                    assert_eq!((record.outcome, asked), (Outcome::Allowed, 1), "{tool}");
                    assert_eq!(answer.status, StatusCode::OK, "{tool}");
                    assert!(
                        record.reason.starts_with("observed only"),
                        "{}",
                        record.reason
                    );
                }
                (_, judged) => {
                    assert_eq!(record.judged, Some(judged), "{tool}");
                    assert_eq!(asked, usize::from(judged == Judged::Allowed), "{tool}");
                }
            }
        }
    }
}

#[tokio::test]
async fn an_upstream_that_fails_leaves_the_decision_as_it_was() {
    let rig = Rig::with_echo(|echo| echo.bearer = Some("what nobody sends".into())).await;
    rig.publish(|server| server.policy.mode = Mode::Observe);
    let caller = rig.caller("note:read");
    for (tool, judged, cause) in [
        ("echo", Judged::Allowed, "bad_gateway"),
        // Why it would have been refused is what somebody asks about later.
        ("secret", Judged::WouldBeDenied, "denied_by_rule"),
    ] {
        caller.call_tool(tool, json!({})).await;
        let record = rig.next_record().await;
        assert_eq!(record.outcome, Outcome::UpstreamFailed);
        assert_eq!((record.judged, record.cause), (Some(judged), Some(cause)));
        assert!(record.reason.contains("credentials"), "{}", record.reason);
    }
}

#[tokio::test]
async fn a_rule_and_a_reason_of_any_length_leave_a_short_record() {
    let rig = Rig::start().await;
    let long = "x".repeat(2000);
    rig.publish(|server| {
        let secret = server.policy.tools["secret"].clone();
        server.policy.tools.insert(long.clone(), secret);
    });
    let caller = rig.caller("note:read");
    caller.call_tool(&long, json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.name.unwrap().chars().count(), 200);
    assert_eq!(record.rule.unwrap().chars().count(), 300);
    assert_eq!(record.reason.chars().count(), 500);
    caller.call_tool("secret", json!({})).await;
    let record = rig.next_record().await;
    assert_eq!(record.rule.as_deref(), Some("tool secret: denied"));
}

/// A gateway whose records nobody takes, with room for `places` beside those of calls that are open.
async fn with_a_hanging_log(places: usize, must_record: bool) -> Rig {
    let mut settings = RigSettings {
        record_places: places,
        ..RigSettings::default()
    };
    if must_record {
        settings.record_places = places + 100;
        settings.limits.records_waiting_max = Some(places);
    }
    Rig::with(settings).await
}

/// How long the slowest but one in a hundred of `calls` calls took.
async fn p99(rig: &Rig, calls: usize) -> Duration {
    let caller = rig.caller("note:read");
    let mut times = Vec::with_capacity(calls);
    for _ in 0..calls {
        let began = Instant::now();
        let answer = caller.call_tool("echo", json!({"a": 1})).await;
        times.push(began.elapsed());
        assert_eq!(answer.status, StatusCode::OK);
    }
    times.sort_unstable();
    times[calls * 99 / 100]
}

#[tokio::test]
async fn a_log_that_hangs_slows_no_call_and_what_it_misses_is_counted() {
    const CALLS: usize = 200;
    const TRIES: usize = 8;
    let roomy = Rig::start().await;
    let hanging = with_a_hanging_log(8, false).await;
    let mut told = Vec::new();
    // A machine that does something else meanwhile is given more tries; a log that is waited for fails all of them.
    for tried in 1..=TRIES {
        let usual = p99(&roomy, CALLS).await;
        let while_it_hangs = p99(&hanging, CALLS).await;
        assert_eq!(
            hanging.gateway.records_dropped() as usize,
            tried * CALLS - 8
        );
        if while_it_hangs < usual.mul_f64(1.25) + Duration::from_millis(1) {
            return;
        }
        told.push(format!("{while_it_hangs:?} instead of {usual:?}"));
    }
    panic!("{told:?}");
}

#[tokio::test]
async fn where_each_call_must_be_recorded_one_without_room_is_not_forwarded() {
    // Whoever floods with what is refused, with a token or without, takes half of the room.
    for has_token in [false, true] {
        let rig = with_a_hanging_log(8, true).await;
        let caller = rig.caller("note:read");
        for _ in 0..20 {
            match has_token {
                false => rig.stranger().call_tool("echo", json!({})).await,
                true => caller.call_tool("secret", json!({})).await,
            };
        }
        assert_eq!(rig.gateway.records_dropped(), 16, "{has_token}");
        for _ in 0..4 {
            let answer = caller.call_tool("echo", json!({})).await;
            assert_eq!(answer.status, StatusCode::OK, "{has_token}");
        }
        let heard = rig.echo.requests().len();
        let answer = caller.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(answer.headers["retry-after"], "5");
        assert!(!answer.headers.contains_key("www-authenticate"));
        let words = answer.response()["error"]["message"].to_string();
        assert!(words.contains("cannot be recorded"), "{words}");
        assert_eq!(rig.echo.requests().len(), heard, "nothing was forwarded");
        // One that would be refused is, as always: nothing happens that had to be recorded.
        let answer = caller.call_tool("secret", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK);
        let message = &answer.response()["error"]["message"];
        assert_eq!(message, "Unknown tool: secret");
        // With room again they go on.
        for _ in 0..8 {
            rig.next_record().await;
        }
        let answer = caller.call_tool("echo", json!({})).await;
        assert_eq!(answer.status, StatusCode::OK);
        assert_eq!(rig.next_record().await.outcome, Outcome::Allowed);
    }
}

#[tokio::test]
async fn calls_that_are_open_take_no_room_of_the_records_that_wait() {
    let rig = with_a_hanging_log(2, true).await;
    rig.echo.set_hostility(Some(Hostility::Hang));
    let caller = rig.caller("note:read");
    // Five times as many as records may wait, and none of them waits yet.
    let open: Vec<_> = (0..10)
        .map(|_| {
            let caller = caller.clone();
            tokio::spawn(async move { caller.call_tool("echo", json!({})).await.status })
        })
        .collect();
    let began = Instant::now();
    while rig.echo.requests().len() < 10 {
        assert!(began.elapsed() < Duration::from_secs(2), "not all are open");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    for one in open {
        assert_eq!(one.await.unwrap(), StatusCode::GATEWAY_TIMEOUT);
    }
    // Each had kept its place; now they wait, and one more is refused.
    let answer = caller.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    let words = answer.response()["error"]["message"].to_string();
    assert!(words.contains("cannot be recorded"), "{words}");
    for _ in 0..10 {
        assert_eq!(rig.next_record().await.outcome, Outcome::UpstreamFailed);
    }
}

#[tokio::test]
async fn a_call_that_cannot_be_recorded_is_counted_under_no_rate_limit() {
    let rig = with_a_hanging_log(2, true).await;
    rig.publish(|server| {
        let limits = json!([{"id": "lim_1", "per": "person", "rate": "3 per 1h"}]);
        server.policy.rate_limits = serde_json::from_value(limits).unwrap();
    });
    let caller = rig.caller("note:read");
    let status = async || caller.call_tool("echo", json!({})).await.status;
    for expected in [StatusCode::OK, StatusCode::OK] {
        assert_eq!(status().await, expected);
    }
    for _ in 0..5 {
        assert_eq!(status().await, StatusCode::SERVICE_UNAVAILABLE);
    }
    for _ in 0..2 {
        rig.next_record().await;
    }
    for expected in [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS] {
        assert_eq!(status().await, expected);
    }
}

#[tokio::test]
async fn a_flood_of_what_is_refused_takes_no_room_from_what_goes_on_where_records_may_be_lost() {
    let rig = with_a_hanging_log(8, false).await;
    for _ in 0..20 {
        rig.stranger().call_tool("echo", json!({})).await;
    }
    assert_eq!(rig.gateway.records_dropped(), 16);
    let caller = rig.caller("note:read");
    for _ in 0..4 {
        caller.call_tool("echo", json!({})).await;
    }
    assert_eq!(rig.gateway.records_dropped(), 16);
    for expected in [Outcome::Unauthenticated, Outcome::Allowed] {
        for _ in 0..4 {
            assert_eq!(rig.next_record().await.outcome, expected);
        }
    }
}

#[tokio::test]
async fn calls_for_which_too_many_are_open_take_half_of_the_room_for_records() {
    let mut settings = RigSettings {
        record_places: 100,
        ..RigSettings::default()
    };
    settings.limits.records_waiting_max = Some(8);
    settings.limits.open_calls_max = 1;
    let rig = Rig::with(settings).await;
    let (busy, other) = (
        rig.caller("note:read"),
        rig.caller_as("usr_bob", "cli_1", "note:read"),
    );
    let held = busy.clone();
    let held = tokio::spawn(async move { held.call_tool("slow", json!({"ms": 1500})).await });
    tokio::time::sleep(Duration::from_millis(250)).await;
    for _ in 0..20 {
        let refused = busy.call_tool("echo", json!({})).await;
        assert_eq!(refused.status, StatusCode::TOO_MANY_REQUESTS);
    }
    let answer = other.call_tool("echo", json!({})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(held.await.unwrap().status, StatusCode::OK);
}
