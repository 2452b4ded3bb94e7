use std::sync::OnceLock;
use std::time::Duration;

use base::Timestamp;
use metrics::{counter, describe_counter, describe_gauge, describe_histogram, gauge};
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};

/// The bounds of histograms of time, in seconds: fixed, so that quantiles of several nodes can be computed from their
/// sums.
const SECONDS: [f64; 14] = [
    0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0,
];

/// The bounds of histograms of counts.
const COUNTS: [f64; 9] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0];

/// How often what histograms took in is put into their buckets; without it they grow for ever.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

pub(super) const BUILD_INFO: &str = "portcullis_build_info";
pub(super) const FEED_AGE: &str = "portcullis_policy_feed_age_seconds";
pub(super) const KEY_AGE: &str = "portcullis_signing_key_age_seconds";
pub(super) const QUEUE: &str = "portcullis_store_queue_writes";
pub(super) const CONNECTIONS: &str = "portcullis_store_connections";
pub(super) const CERTIFICATE_EXPIRY: &str = "portcullis_certificate_expiry_timestamp_seconds";
pub(super) const EPOCH_BEGAN: &str = "portcullis_epoch_began_timestamp_seconds";
pub(super) const AUDIT_SEALED: &str = "portcullis_audit_log_sealed_timestamp_seconds";
pub(super) const READY: &str = "portcullis_ready";
// Under these names dashboards look for any process.
pub(super) const MEMORY: &str = "process_resident_memory_bytes";
pub(super) const DESCRIPTORS: &str = "process_open_fds";
pub(super) const DESCRIPTORS_MAX: &str = "process_max_fds";
pub(super) const START_TIME: &str = "process_start_time_seconds";

const GAUGES: &[(&str, &str)] = &[
    (BUILD_INFO, "Always 1; the label says which version runs"),
    (
        FEED_AGE,
        "How long ago the gateway last heard of the authority",
    ),
    (
        KEY_AGE,
        "How long the key that signs now has signed, by purpose",
    ),
    (QUEUE, "SQLite: writes that wait for the one writer"),
    (CONNECTIONS, "PostgreSQL: open connections, by state"),
    (
        CERTIFICATE_EXPIRY,
        "When the first of the certificates ends, in seconds since the Unix epoch",
    ),
    (
        EPOCH_BEGAN,
        "When the present epoch began, in seconds since the Unix epoch; 0 when it is the first",
    ),
    (
        AUDIT_SEALED,
        "When the whole audit log was last under seal, or this process began, in seconds since the Unix epoch",
    ),
    (READY, "1 when /readyz last said yes, 0 when it said no"),
    (MEMORY, "Memory that the process has in RAM"),
    (DESCRIPTORS, "Open file descriptors"),
    (
        DESCRIPTORS_MAX,
        "How many file descriptors may be open at once",
    ),
    (
        START_TIME,
        "When the process began, in seconds since the Unix epoch",
    ),
];

/// The counters without labels. They are there from the beginning: an increase is seen only in a series that was there
/// before it.
const WITHOUT_LABELS: [&str; 4] = [
    "portcullis_request_panics_total",
    "portcullis_call_records_dropped_total",
    "portcullis_activity_records_dropped_total",
    "portcullis_policy_feed_failures_total",
];

type Described = &'static [(&'static str, &'static str)];

/// Every metric of this program with what it says: counters, gauges, histograms of seconds, histograms of counts.
pub const DESCRIBED: [&[Described]; 4] = [
    &[
        gateway::metric::COUNTERS,
        server::metric::COUNTERS,
        oauth::metric::COUNTERS,
        store::metric::COUNTERS,
        mail::metric::COUNTERS,
        crate::acme::metric::COUNTERS,
        crate::stack::caught::COUNTERS,
    ],
    &[GAUGES, gateway::metric::GAUGES],
    &[
        gateway::metric::DURATIONS,
        server::metric::DURATIONS,
        store::metric::DURATIONS,
        mail::metric::DURATIONS,
    ],
    &[store::metric::SIZES],
];

/// The one recorder of this process. Whoever comes first installs it: handles that were taken before count nothing.
pub fn install() -> PrometheusHandle {
    static RECORDER: OnceLock<PrometheusHandle> = OnceLock::new();
    RECORDER.get_or_init(build).clone()
}

fn build() -> PrometheusHandle {
    let mut builder = PrometheusBuilder::new()
        .set_buckets(&SECONDS)
        .expect("there are buckets");
    for (name, _) in DESCRIBED[3].iter().copied().flatten() {
        builder = builder
            .set_buckets_for_metric(Matcher::Full((*name).to_owned()), &COUNTS)
            .expect("there are buckets");
    }
    let recorder = builder.build_recorder();
    let handle = recorder.handle();
    if metrics::set_global_recorder(recorder).is_err() {
        tracing::warn!("this process has another recorder of metrics; /metrics stays empty");
    }
    let [counters, gauges, durations, sizes] = DESCRIBED;
    for (name, words) in counters.iter().copied().flatten() {
        describe_counter!(*name, *words);
    }
    for name in WITHOUT_LABELS {
        counter!(name).increment(0);
    }
    for (name, words) in gauges.iter().copied().flatten() {
        describe_gauge!(*name, *words);
    }
    for (name, words) in durations.iter().chain(sizes).copied().flatten() {
        describe_histogram!(*name, *words);
    }
    handle
}

/// Notes when the whole audit log was last under seal.
pub fn audit_log_sealed(at: Timestamp) {
    gauge!(AUDIT_SEALED).set(at.unix_ms() as f64 / 1000.0);
}

/// Keeps the recorder small, for as long as it runs.
pub async fn upkeep(recorder: PrometheusHandle) {
    let mut ticks = tokio::time::interval(UPKEEP_EVERY);
    loop {
        ticks.tick().await;
        recorder.run_upkeep();
    }
}
