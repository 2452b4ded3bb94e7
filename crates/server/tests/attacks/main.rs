//! The attacks of `docs/attack-map.md` that belong to no single route, each with the honest request beside it.
#![allow(clippy::unwrap_used)]

mod addresses;
mod authorization;
mod browser;
mod clocks;
mod codes;
mod errors;
mod limits;
mod other_tokens;
mod refresh_tokens;
mod registration;
#[allow(dead_code, reason = "shared with the tests of the routes")]
#[path = "../routes/support.rs"]
mod support;
