//! What this crate counts, through the `metrics` facade: documents of clients, which nobody above sees being fetched.

use domain::DocumentKind;
use metrics::counter;

const FETCHES: &str = "portcullis_client_document_fetches_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[(
    FETCHES,
    "Fetches of documents of clients from their hosts, by what came of them",
)];

/// What came of a fetch.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fetched {
    /// A document that can be used.
    Good,
    /// The host says that there is none, or it is not acceptable.
    Denied,
    /// The host did not answer, or not with a document.
    Failed,
    /// We fetch enough at the moment.
    Busy,
}

/// Counts a fetch.
pub(crate) fn fetched(kind: DocumentKind, fetched: Fetched) {
    let outcome = match fetched {
        Fetched::Good => "good",
        Fetched::Denied => "denied",
        Fetched::Failed => "failed",
        Fetched::Busy => "busy",
    };
    counter!(FETCHES, "kind" => kind.as_str(), "outcome" => outcome).increment(1);
}
