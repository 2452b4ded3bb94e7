//! What is counted about certificates.

use metrics::counter;

const ORDERS: &str = "portcullis_acme_orders_total";

/// The counters, each with what it counts.
pub const COUNTERS: &[(&str, &str)] = &[(
    ORDERS,
    "Certificates that this node ordered, by how that ended: issued or failed",
)];

pub(super) fn ordered(is_issued: bool) {
    let outcome = if is_issued { "issued" } else { "failed" };
    counter!(ORDERS, "outcome" => outcome).increment(1);
}
