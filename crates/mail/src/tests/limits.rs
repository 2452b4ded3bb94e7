//! How many at once, and what is counted.

use std::time::Duration;

use testkit::{SmtpFault, SmtpSettings};

use super::{Post, message};
use crate::{Kind, Step};

#[tokio::test]
async fn a_few_go_at_once_some_wait_and_the_rest_is_told_so() {
    let mut post = Post::start(SmtpSettings::default()).await;
    post.settings.total_timeout = Duration::from_millis(1500);
    post.server.fail(Some(SmtpFault::Silent("greeting")));
    let mailer = post.mailer();
    let sending: Vec<_> = (0..300)
        .map(|_| {
            let mailer = mailer.clone();
            tokio::spawn(async move { mailer.send(&message()).await.unwrap_err() })
        })
        .collect();
    let mut at = std::collections::BTreeMap::new();
    for one in sending {
        let failure = one.await.unwrap();
        *at.entry((failure.step, failure.kind.as_str())).or_insert(0) += 1;
    }
    let count = |step, kind| at.get(&(step, kind)).copied().unwrap_or(0);
    // Four hold their places until their time is over, and so is that of nearly everybody who waited for them.
    let greeted = count(Step::Greeting, "timed_out");
    assert!((4..64).contains(&greeted), "{at:?}");
    assert_eq!(count(Step::Waiting, "busy"), 300 - 4 - 256, "{at:?}");
    assert_eq!(at.values().sum::<i32>(), 300, "{at:?}");

    post.server.fail(None);
    mailer
        .send(&message())
        .await
        .expect("every place was given back");
}

#[tokio::test]
async fn each_message_is_counted_by_what_became_of_it() {
    let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
    let handle = recorder.handle();
    let post = Post::start(SmtpSettings::default()).await;
    let _recording = metrics::set_default_local_recorder(&recorder);
    post.send().await.unwrap();
    post.server
        .fail(Some(SmtpFault::Says("RCPT", "550 5.1.1 no")));
    assert_eq!(post.send().await.unwrap_err().kind, Kind::Refused);
    let text = handle.render();
    for line in [
        "portcullis_mail_messages_total{outcome=\"sent\"} 1",
        "portcullis_mail_messages_total{outcome=\"refused\"} 1",
        "portcullis_mail_duration_seconds_count 2",
    ] {
        assert!(text.contains(line), "{line}\n{text}");
    }
}
