//! The authority over HTTP: OAuth endpoints, the pages people see, and the policy feed.

pub mod pages;
