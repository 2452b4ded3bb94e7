//! JSON as MCP needs it: read strictly, judged as a value, written again from that value.
//!
//! What is forwarded is written from what was judged, so no two readers can see two messages in one text.
//! Member order and the text of numbers are kept; whitespace and needless escapes are not.

mod error;
mod key;
mod parse;
mod skip;
mod value;
mod write;

#[cfg(test)]
mod tests;

pub use error::{JsonError, JsonErrorKind};
pub use key::Key;
pub(super) use parse::Parser;
pub use parse::{Limits, parse_strict};
pub use value::{Json, Number, Object};
pub(super) use write::write_string;
