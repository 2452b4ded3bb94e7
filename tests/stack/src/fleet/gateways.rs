//! The gateways of a fleet, and what they can have heard of the authority.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http::Request;
use testkit::Connection;
use testkit::person::text;

use super::Fleet;

/// How much older than its arrival the news on a feed may be while things fail. The authority reads its store in a few steps,
/// and each may wait some seconds for a connection to a database that comes back.
const NEWS_AGE_MAX: Duration = Duration::from_secs(10);

/// A feed that was lost is tried again after five seconds at most.
const HEARD_LIMIT: Duration = Duration::from_secs(30);
const PAUSE: Duration = Duration::from_millis(100);

const ANSWER_LIMIT: Duration = Duration::from_secs(8);

/// One of them.
#[derive(Clone)]
pub(super) struct Gateway {
    /// Which node of the fleet.
    pub(super) door: usize,
    operations: String,
}

impl Gateway {
    /// Whether it must have known at `called` what was acknowledged at `since`: its feed was heard after that. While it cannot
    /// say when it was, nothing is claimed, and the next call is asked about again.
    pub(super) async fn should_have_known(&self, since: Instant, called: Instant) -> bool {
        let Ok(Ok(Some(heard))) = tokio::time::timeout(ANSWER_LIMIT, self.last_heard()).await
        else {
            return false;
        };
        (since + NEWS_AGE_MAX..called).contains(&heard)
    }

    /// Waits until it has heard of the authority after this moment; false when it does not for long.
    pub(super) async fn hears_after(&self, since: Instant) -> bool {
        let hearing = async {
            while !matches!(self.last_heard().await, Ok(Some(heard)) if heard > since) {
                tokio::time::sleep(PAUSE).await;
            }
        };
        tokio::time::timeout(HEARD_LIMIT, hearing).await.is_ok()
    }

    /// When it heard of the authority last.
    async fn last_heard(&self) -> anyhow::Result<Option<Instant>> {
        let mut connection = Connection::open(&self.operations).await?;
        // Before the question, so that a slow answer makes it earlier and never later than it was.
        let now = Instant::now();
        let answer = connection.send(Request::get("/metrics"), "").await?;
        let metrics = text(&answer);
        let age = metrics
            .lines()
            .find_map(|line| line.strip_prefix("portcullis_policy_feed_age_seconds "))
            .context("a gateway has a feed")?;
        let age: f64 = age.parse()?;
        Ok(Duration::try_from_secs_f64(age)
            .ok()
            .and_then(|age| now.checked_sub(age)))
    }
}

/// All of them.
pub(super) fn gateways_of(fleet: &Fleet) -> Vec<Gateway> {
    let nodes = fleet.nodes.iter().enumerate();
    nodes
        .filter(|(_, node)| node.role.is_gateway())
        .map(|(door, node)| Gateway {
            door,
            operations: node.operations.clone(),
        })
        .collect()
}
