use std::sync::Arc;

use base::{Clock, Timestamp};
use domain::KeyPurpose;
use gateway::Feeds;
use metrics::gauge;
use oauth::Authority;
use sdk::PolicyFeed;
use store::StoreLoad;

use super::metrics::{
    BUILD_INFO, CERTIFICATE_EXPIRY, CONNECTIONS, DESCRIPTORS, DESCRIPTORS_MAX, EPOCH_BEGAN,
    FEED_AGE, KEY_AGE, MEMORY, QUEUE, START_TIME,
};
use super::process::Process;
use crate::tls::Certificates;

/// What is not counted when it happens and looked up when somebody asks. Nothing here waits for anything.
pub struct Observed {
    authority: Option<Authority>,
    feeds: Option<Feeds>,
    clock: Arc<dyn Clock>,
    certificates: Option<Arc<Certificates>>,
    began: Timestamp,
}

impl Observed {
    pub fn new(
        authority: Option<Authority>,
        feeds: Option<Feeds>,
        clock: Arc<dyn Clock>,
        certificates: Option<Arc<Certificates>>,
    ) -> Self {
        Self {
            authority,
            feeds,
            began: clock.now(),
            certificates,
            clock,
        }
    }

    /// Writes it into the recorder.
    pub fn record(&self) {
        gauge!(BUILD_INFO, "version" => crate::args::VERSION).set(1);
        if let Some(feeds) = &self.feeds {
            // Without a first snapshot there is no age; an alert waits for a number. Of several the oldest one counts.
            let now = self.clock.now();
            let age =
                |feed: &PolicyFeed| feed.age(now).map_or(f64::INFINITY, |age| age.as_secs_f64());
            gauge!(FEED_AGE).set(feeds.all().map(age).fold(0.0, f64::max));
        }
        if let Some(authority) = &self.authority {
            of_authority(authority);
        }
        let certificates = self.certificates.as_ref();
        if let Some(end) = certificates.and_then(|certificates| certificates.not_after()) {
            gauge!(CERTIFICATE_EXPIRY).set(end.unix_ms() as f64 / 1000.0);
        }
        let process = Process::now();
        for (name, value) in [
            (MEMORY, process.memory_bytes),
            (DESCRIPTORS, process.descriptors),
            (DESCRIPTORS_MAX, process.descriptors_max),
        ] {
            if let Some(value) = value {
                gauge!(name).set(value as f64);
            }
        }
        gauge!(START_TIME).set(self.began.unix_ms() as f64 / 1000.0);
    }
}

fn of_authority(authority: &Authority) {
    for purpose in [KeyPurpose::AccessToken, KeyPurpose::Identity] {
        if let Some(age) = authority.signing_key_age(purpose) {
            gauge!(KEY_AGE, "purpose" => purpose.as_str()).set(age);
        }
    }
    gauge!(EPOCH_BEGAN).set(authority.store().epoch().began_at.unix_ms() as f64 / 1000.0);
    match authority.store().load() {
        StoreLoad::Sqlite { writes_waiting } => gauge!(QUEUE).set(writes_waiting as f64),
        StoreLoad::Postgres {
            connections_busy,
            connections_idle,
        } => {
            gauge!(CONNECTIONS, "state" => "busy").set(connections_busy as f64);
            gauge!(CONNECTIONS, "state" => "idle").set(connections_idle as f64);
        }
    }
}
