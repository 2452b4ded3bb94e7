//! Servers that refuse, hang, break off and babble, at each step.

use std::time::{Duration, Instant};

use testkit::{SmtpFault, SmtpSettings, SmtpTls};

use super::{Post, USER, message};
use crate::{Failure, Kind, Mailer, Step};

/// Sends once with the fault, which must fail, and once without, which must not.
async fn faulty(post: &Post, mailer: &Mailer, fault: SmtpFault) -> Failure {
    post.server.fail(Some(fault.clone()));
    let begun = Instant::now();
    let failure = mailer.send(&message()).await.expect_err("it must fail");
    assert!(
        begun.elapsed() < post.settings.total_timeout + Duration::from_millis(500),
        "{fault:?} took {:?}",
        begun.elapsed()
    );
    post.server.fail(None);
    mailer
        .send(&message())
        .await
        .expect("and its twin must not");
    failure
}

#[tokio::test]
async fn what_is_said_for_now_and_what_is_said_for_good_are_told_apart() {
    let post = Post::start(SmtpSettings {
        user: Some(USER),
        ..SmtpSettings::default()
    })
    .await;
    let mailer = post.mailer();
    for (step, reply, permanent, kind) in [
        (
            "greeting",
            "421 4.3.2 too many connections",
            false,
            Kind::Deferred,
        ),
        ("greeting", "554 5.7.1 go away", true, Kind::Refused),
        ("EHLO", "502 5.5.1 what", true, Kind::Refused),
        ("STARTTLS", "454 4.7.0 no TLS now", false, Kind::Deferred),
        ("STARTTLS", "501 5.5.4 no TLS", true, Kind::Insecure),
        ("AUTH", "454 4.7.0 later", false, Kind::Deferred),
        ("AUTH", "535 5.7.8 no", true, Kind::NotSignedIn),
        ("MAIL", "451 4.3.0 later", false, Kind::Deferred),
        ("MAIL", "553 5.7.1 not your address", true, Kind::Refused),
        ("RCPT", "450 4.2.1 greylisted", false, Kind::Deferred),
        ("RCPT", "550 5.1.1 no such person", true, Kind::Refused),
        ("DATA", "452 4.3.1 full", false, Kind::Deferred),
        ("content", "451 4.3.0 later", false, Kind::Deferred),
        ("content", "554 5.7.1 looks like spam", true, Kind::Refused),
    ] {
        let failure = faulty(&post, &mailer, SmtpFault::Says(step, reply)).await;
        assert_eq!(failure.kind, kind, "{step}: {failure}");
        assert_eq!(failure.is_permanent(), permanent, "{step}: {failure}");
        assert!(!failure.may_have_arrived, "{step}: {failure}");
        let text = failure.to_string();
        assert!(
            text.contains(&reply[..3]) && text.contains(&reply[10..]),
            "{text}"
        );
        assert!(!failure.advice(&post.settings).is_empty());
    }
}

#[tokio::test]
async fn a_server_that_hangs_costs_the_time_that_was_set_and_says_where() {
    let mut post = Post::start(SmtpSettings::default()).await;
    post.settings.total_timeout = Duration::from_millis(600);
    let mailer = post.mailer();
    for (at, step, in_doubt) in [
        ("greeting", Step::Greeting, false),
        ("EHLO", Step::Hello, false),
        ("STARTTLS", Step::StartTls, false),
        ("RCPT", Step::Recipient, false),
        ("content", Step::Content, true),
    ] {
        let failure = faulty(&post, &mailer, SmtpFault::Silent(at)).await;
        assert_eq!(
            (failure.step, failure.kind),
            (step, Kind::TimedOut),
            "{failure}"
        );
        assert!(!failure.is_permanent());
        assert_eq!(failure.may_have_arrived, in_doubt, "{failure}");
    }
}

#[tokio::test]
async fn a_server_that_closes_in_the_middle_is_a_passing_failure() {
    let post = Post::start(SmtpSettings::default()).await;
    let mailer = post.mailer();
    for (at, in_doubt) in [
        ("greeting", false),
        ("EHLO", false),
        ("STARTTLS", false),
        ("MAIL", false),
        ("DATA", false),
        ("content", true),
    ] {
        let failure = faulty(&post, &mailer, SmtpFault::Closes(at)).await;
        assert_eq!(failure.kind, Kind::Unreachable, "{at}: {failure}");
        assert!(!failure.is_permanent());
        assert_eq!(failure.may_have_arrived, in_doubt, "{at}: {failure}");
    }
}

#[tokio::test]
async fn a_line_without_an_end_and_what_is_no_smtp_are_not_read_on() {
    for tls in [SmtpTls::StartTls, SmtpTls::Implicit] {
        let post = Post::start(SmtpSettings {
            tls,
            ..SmtpSettings::default()
        })
        .await;
        let mailer = post.mailer();
        for at in ["greeting", "EHLO", "content"] {
            let failure = faulty(&post, &mailer, SmtpFault::Endless(at)).await;
            assert_eq!(failure.kind, Kind::NotSmtp, "{at}: {failure}");
            assert!(failure.to_string().contains("longer"), "{failure}");
        }
        let failure = faulty(
            &post,
            &mailer,
            SmtpFault::Says("greeting", "HTTP/1.1 400 Bad Request"),
        )
        .await;
        assert_eq!(failure.kind, Kind::NotSmtp, "{failure}");
    }
}

#[tokio::test]
async fn a_reply_of_many_lines_is_read_within_its_limit() {
    let post = Post::start(SmtpSettings::default()).await;
    let mailer = post.mailer();
    let many: &'static str = "250-x\r\n".repeat(10_000).leak();
    let failure = faulty(&post, &mailer, SmtpFault::Says("EHLO", many)).await;
    assert_eq!(failure.kind, Kind::NotSmtp, "{failure}");
}

/// CVE-2011-0411 and its kin: words slipped in before TLS that would be taken for words said within.
#[tokio::test]
async fn what_is_said_in_the_clear_behind_starttls_is_refused() {
    let post = Post::start(SmtpSettings::default()).await;
    let mailer = post.mailer();
    let fault = SmtpFault::Says("STARTTLS", "220 go on\r\n250-localhost\r\n250 AUTH PLAIN");
    let failure = faulty(&post, &mailer, fault).await;
    assert_eq!(failure.kind, Kind::Insecure, "{failure}");
    assert!(failure.to_string().contains("in the clear"), "{failure}");
}

#[tokio::test]
async fn words_of_the_server_that_repeat_the_password_or_a_link_are_not_shown() {
    let post = Post::start(SmtpSettings {
        user: Some(("portcullis", "correct-horse")),
        ..SmtpSettings::default()
    })
    .await;
    let mailer = post.mailer();
    let echoes = "535 what is AHBvcnRjdWxsaXMAY29ycmVjdC1ob3JzZQ==";
    let failure = faulty(&post, &mailer, SmtpFault::Says("AUTH", echoes)).await;
    assert!(
        !format!("{failure} {failure:?}").contains("AHBvc"),
        "{failure:?}"
    );
    let failure = faulty(
        &post,
        &mailer,
        SmtpFault::Says("AUTH", "535 correct-horse is wrong"),
    )
    .await;
    assert!(
        !format!("{failure} {failure:?}").contains("horse"),
        "{failure:?}"
    );

    let quotes = "554 spam: https://mcp.example.com/sign-in?token=s3cr3t looks bad";
    let failure = faulty(&post, &mailer, SmtpFault::Says("content", quotes)).await;
    assert!(
        !format!("{failure} {failure:?}").contains("s3cr3t"),
        "{failure:?}"
    );
    assert!(
        failure.to_string().contains("(link) looks bad"),
        "{failure}"
    );
}

#[tokio::test]
async fn nobody_at_the_port_and_a_name_that_leads_nowhere_are_passing_failures() {
    let mut post = Post::start(SmtpSettings::default()).await;
    post.settings.port = testkit::unused_port().await;
    let failure = post.send().await.unwrap_err();
    assert_eq!(
        (failure.step, failure.kind),
        (Step::Connect, Kind::Unreachable)
    );
    assert!(failure.advice(&post.settings).contains("mail.port"));
    post.settings.host = "nobody.invalid".to_owned();
    let failure = post.send().await.unwrap_err();
    assert_eq!((failure.step, failure.is_permanent()), (Step::Name, false));
    assert!(failure.advice(&post.settings).contains("mail.host"));
}
