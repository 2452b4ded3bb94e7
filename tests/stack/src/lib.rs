//! Tests that stand above the binary: the whole stack, driven from outside.

mod command;
pub mod fleet;
pub mod named_tests;
mod up;

pub use command::run_beside;
pub use up::{Ready, Up, binary};
