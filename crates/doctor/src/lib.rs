//! What is wrong with a protected MCP server, seen from outside, and what exactly to change.
//!
//! The doctor knows nothing of the server but the URL that a person types. Each finding has its evidence (the requests
//! and answers, without secrets), the rule with its source, and the change to make. What could not be looked at is said
//! to be not examined: silence never means well.
//!
//! [`examine`] takes the sections in order. One flaw is one finding: a check whose failure only follows from a cause
//! that was found before stays silent.

pub mod attack;
mod challenge;
mod cors;
mod desk;
mod endpoints;
mod examine;
mod exchange;
pub mod explain;
mod finding;
pub mod flaws;
mod keys;
mod look;
mod metadata_document;
mod metadata_hosts;
mod notebook;
pub mod persona;
mod plan;
mod reach;
mod registration;
mod report;
mod resource_metadata;
mod scene;
mod section;
mod server_metadata;
pub mod signed_in;
pub mod verdict;

pub use desk::Desk;
pub use examine::examine;
pub use exchange::{Answer, Ask, Ended, Evidence, Exchange, Failure, Wire, redact};
pub use finding::Finding;
pub use flaws::{Flaw, Severity};
pub use metadata_document::{Fetched, MetadataDocument};
pub use notebook::{NotExamined, Notebook};
pub use plan::{Limits, Plan};
pub use report::Report;
pub use scene::Scene;
pub use section::Section;
