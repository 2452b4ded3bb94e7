//! What the gateway counts, through the `metrics` facade.
//!
//! Each label is of a closed set: slugs of the servers that exist, tools that their policies know, the methods that MCP has,
//! outcomes and reasons that are enums. Nothing a caller writes becomes a label, so no caller can make a new series.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use http::Method;
use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use sdk::RefusalCause;
use wire::mcp::method;

use crate::record::Outcome;
use crate::tool_metric::{TOOL_CALLS, ToolMetric};

const CALLS: &str = "portcullis_calls_total";
const CALL_DURATION: &str = "portcullis_call_duration_seconds";
const UPSTREAM_DURATION: &str = "portcullis_upstream_duration_seconds";
const OPEN_CALLS: &str = "portcullis_open_calls";
const MESSAGES_WITHHELD: &str = "portcullis_messages_withheld_total";
const RECORDS_DROPPED: &str = "portcullis_call_records_dropped_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[
    (
        CALLS,
        "Requests that the gateway answered, by how they ended",
    ),
    (TOOL_CALLS, "Calls of tools, by what was decided of them"),
    (
        MESSAGES_WITHHELD,
        "Messages on streams of MCP servers that did not belong there, or could not be read",
    ),
    (
        RECORDS_DROPPED,
        "Records of calls that found no room on their way to the activity log",
    ),
];

/// The gauges.
pub const GAUGES: &[(&str, &str)] = &[(
    OPEN_CALLS,
    "Calls that are being answered now, streams included",
)];

/// The histograms, in seconds.
pub const DURATIONS: &[(&str, &str)] = &[
    (
        CALL_DURATION,
        "From a request's head to the head of its answer",
    ),
    (
        UPSTREAM_DURATION,
        "From forwarding a call to the head of its upstream's answer",
    ),
];

/// The messages that have a label of their own, those that come most often first.
const MESSAGES: [&str; 25] = [
    method::TOOLS_CALL,
    method::TOOLS_LIST,
    method::INITIALIZE,
    method::NOTIFICATIONS_INITIALIZED,
    method::PING,
    method::SERVER_DISCOVER,
    method::LOGGING_SET_LEVEL,
    method::RESOURCES_LIST,
    method::RESOURCES_TEMPLATES_LIST,
    method::RESOURCES_READ,
    method::RESOURCES_SUBSCRIBE,
    method::RESOURCES_UNSUBSCRIBE,
    method::PROMPTS_LIST,
    method::PROMPTS_GET,
    method::COMPLETION_COMPLETE,
    method::SUBSCRIPTIONS_LISTEN,
    method::TASKS_GET,
    method::TASKS_RESULT,
    method::TASKS_CANCEL,
    method::TASKS_UPDATE,
    method::TASKS_LIST,
    method::NOTIFICATIONS_CANCELLED,
    method::NOTIFICATIONS_PROGRESS,
    method::NOTIFICATIONS_ROOTS_LIST_CHANGED,
    method::NOTIFICATIONS_TASKS_STATUS,
];

/// What has no message, or one of another method.
const OTHERS: [&str; 5] = ["response", "POST", "GET", "DELETE", "other"];

const METHODS: usize = MESSAGES.len() + OTHERS.len();
const REASONS: usize = 4 + RefusalCause::ALL.len();

/// A method as a label.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MethodLabel(usize);

impl MethodLabel {
    const OTHER: Self = Self(METHODS - 1);

    /// Of a message; one without a method is a response.
    pub(crate) fn of_message(method: Option<&str>) -> Self {
        let Some(method) = method else {
            return Self(MESSAGES.len());
        };
        MESSAGES
            .iter()
            .position(|known| *known == method)
            .map_or(Self::OTHER, Self)
    }

    /// Of a request whose message was not read.
    pub(crate) fn of_http(method: &Method) -> Self {
        match *method {
            Method::POST => Self(MESSAGES.len() + 1),
            Method::GET => Self(MESSAGES.len() + 2),
            Method::DELETE => Self(MESSAGES.len() + 3),
            _ => Self::OTHER,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self.0.checked_sub(MESSAGES.len()) {
            None => MESSAGES[self.0],
            Some(index) => OTHERS[index],
        }
    }
}

/// Why a call ended as it did, as a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The policy allows it.
    Permitted,
    /// The policy does not, and is only watched.
    Observed,
    /// Protected resource metadata.
    Metadata,
    /// Whoever called went away before it was judged.
    CallerLeft,
    /// It was refused.
    Refused(RefusalCause),
}

impl Reason {
    fn index(self) -> usize {
        match self {
            Self::Permitted => 0,
            Self::Observed => 1,
            Self::Metadata => 2,
            Self::CallerLeft => 3,
            Self::Refused(cause) => 4 + cause as usize,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Permitted => "permitted",
            Self::Observed => "observed",
            Self::Metadata => "metadata",
            Self::CallerLeft => "caller_left",
            Self::Refused(cause) => cause.as_str(),
        }
    }
}

type OfReason = Box<[OnceLock<Counter>; REASONS]>;

/// The counters of one MCP server. Each is looked up by name once, when it first counts.
#[derive(Debug)]
pub(crate) struct ServerMetric {
    slug: Arc<str>,
    calls: [OnceLock<OfReason>; METHODS],
    durations: [OnceLock<Histogram>; Outcome::ALL.len()],
    /// By tool and decision.
    pub(crate) tools: Arc<ToolMetric>,
    upstream: OnceLock<Histogram>,
    withheld: OnceLock<Counter>,
    open: OnceLock<Gauge>,
}

impl ServerMetric {
    /// With `tools`, which outlives the settings of its MCP server: what was counted keeps its place.
    pub(crate) fn new(slug: &Arc<str>, tools: Arc<ToolMetric>) -> Self {
        Self {
            slug: Arc::clone(slug),
            calls: [const { OnceLock::new() }; METHODS],
            durations: [const { OnceLock::new() }; Outcome::ALL.len()],
            tools,
            upstream: OnceLock::new(),
            withheld: OnceLock::new(),
            open: OnceLock::new(),
        }
    }

    /// Counts one request.
    pub(crate) fn count(&self, method: MethodLabel, outcome: Outcome, reason: Reason) {
        self.calls[method.0].get_or_init(|| Box::new([const { OnceLock::new() }; REASONS]))
            [reason.index()]
        .get_or_init(|| {
            counter!(
                CALLS,
                "server" => self.slug.to_string(),
                "method" => method.as_str(),
                "outcome" => outcome.as_str(),
                "reason" => reason.as_str(),
            )
        })
        .increment(1);
    }

    /// How long it took until the head of an answer was there.
    pub(crate) fn answered_after(&self, outcome: Outcome, duration: Duration) {
        self.durations[outcome as usize]
            .get_or_init(|| {
                histogram!(
                    CALL_DURATION,
                    "server" => self.slug.to_string(),
                    "outcome" => outcome.as_str(),
                )
            })
            .record(duration);
    }

    /// How long the upstream took of that.
    pub(crate) fn upstream_answered_after(&self, duration: Duration) {
        self.upstream
            .get_or_init(|| histogram!(UPSTREAM_DURATION, "server" => self.slug.to_string()))
            .record(duration);
    }

    /// Counts a message that was not sent on.
    pub(crate) fn withheld(&self) {
        self.withheld
            .get_or_init(|| counter!(MESSAGES_WITHHELD, "server" => self.slug.to_string()))
            .increment(1);
    }

    /// How many calls are open.
    pub(crate) fn open(&self) -> &Gauge {
        self.open
            .get_or_init(|| gauge!(OPEN_CALLS, "server" => self.slug.to_string()))
    }
}

/// Counts records that were dropped.
pub(crate) fn records_dropped() -> Counter {
    counter!(RECORDS_DROPPED)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_method_is_its_own_label_and_every_other_is_other() {
        for known in MESSAGES {
            assert_eq!(MethodLabel::of_message(Some(known)).as_str(), known);
        }
        for unknown in ["", "tools/call2", "POST", "response", "Tools/Call", "\n"] {
            assert_eq!(MethodLabel::of_message(Some(unknown)).as_str(), "other");
        }
        assert_eq!(MethodLabel::of_message(None).as_str(), "response");
        assert_eq!(MethodLabel::of_http(&Method::GET).as_str(), "GET");
        assert_eq!(MethodLabel::of_http(&Method::TRACE).as_str(), "other");
    }

    #[test]
    fn each_reason_has_a_place_and_a_word_of_its_own() {
        let mut reasons = vec![
            Reason::Permitted,
            Reason::Observed,
            Reason::Metadata,
            Reason::CallerLeft,
        ];
        reasons.extend(RefusalCause::ALL.map(Reason::Refused));
        assert_eq!(reasons.len(), REASONS);
        // An authority believes these words and no others.
        let said: Vec<&str> = reasons.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(said, wire::gateway::CAUSES);
        let mut words = std::collections::HashSet::new();
        for (index, reason) in reasons.into_iter().enumerate() {
            assert_eq!(reason.index(), index);
            assert!(words.insert(reason.as_str()), "{reason:?}");
        }
    }
}
