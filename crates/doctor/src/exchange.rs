//! Requests and what came of them: the only way out of this crate, and the only form in which it leaves a trace.

mod answer;
mod ask;
mod evidence;
pub mod redact;
mod wire;

pub use answer::{Answer, Ended, Exchange, Failure};
pub use ask::Ask;
pub use evidence::Evidence;
pub use wire::Wire;
