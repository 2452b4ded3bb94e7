//! The report for people and for programs.

mod bundle;
mod json;
mod junit;
mod page;
mod text;

pub use bundle::bundle;
pub use json::json;
pub use junit::junit;
pub use page::{Look, page};
pub use text::{plain, wrap};
