//! Several nodes on one PostgreSQL under an honest load, while something happens to them.
//!
//! The counts are small here and printed; `cargo xtask prove` runs the same tests with the full ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

#[path = "../support/mod.rs"]
mod support;

mod clock;
mod moved_clock;
mod nodes;
mod one_node;
mod peers;
mod rotations;
mod soak;
mod upgrades;
