//! What is counted about mail.

use std::time::Duration;

use metrics::{counter, histogram};

use crate::Failure;

const MESSAGES: &str = "portcullis_mail_messages_total";
const DURATION: &str = "portcullis_mail_duration_seconds";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[(
    MESSAGES,
    "Messages to people, by what became of them: sent, or why not",
)];

/// The histograms of seconds, each with what it measures.
pub const DURATIONS: &[(&str, &str)] = &[(
    DURATION,
    "How long a message took until the mail server had it, or until it was given up",
)];

pub(crate) fn ended(failure: Option<&Failure>, took: Duration) {
    let outcome = failure.map_or("sent", |failure| failure.kind.as_str());
    counter!(MESSAGES, "outcome" => outcome).increment(1);
    histogram!(DURATION).record(took);
}
