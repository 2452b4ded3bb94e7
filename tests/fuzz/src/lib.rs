//! What random input must never be able to do. Each target takes any bytes and panics when a promise is broken: not
//! only that nothing panics, but that nothing is accepted that a second rule, written apart from the first, refuses.
//!
//! `cargo xtask fuzz` runs them under libFuzzer with coverage; `cargo test` runs each over its seeds and some thousand
//! mutations of them.

#![allow(
    clippy::unwrap_used,
    reason = "a target's only way to complain is a panic"
)]

mod mutate;
mod rules;
mod targets;
mod world;

pub use mutate::Mutator;

/// One promise, and how it is put to the test.
pub struct Target {
    /// Also the name of its seed folder.
    pub name: &'static str,
    /// Panics when the promise is broken.
    pub run: fn(&[u8]),
    /// Pieces that random bytes would hardly hit.
    pub words: &'static [&'static str],
    /// How many mutations a short run tries; a slow target has fewer.
    pub short_run: u32,
}

/// Every target.
pub const TARGETS: &[Target] = &[
    targets::redirect_uri::TARGET,
    targets::resource::TARGET,
    targets::challenge::TARGET,
    targets::parameters::TARGET,
    targets::authorize_form::TARGET,
    targets::token_form::TARGET,
    targets::access_token::TARGET,
    targets::registration::TARGET,
    targets::client_document::TARGET,
];

/// The target of that name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
