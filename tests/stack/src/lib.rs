//! Tests that stand above the binary: the whole stack, driven from outside.

pub mod fleet;
pub mod named_tests;
mod up;

pub use up::{Ready, Up, binary};
