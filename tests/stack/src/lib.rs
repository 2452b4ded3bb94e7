//! Tests that stand above the binary: the whole stack, driven from outside.

mod up;

pub use up::{Ready, Up, binary};
