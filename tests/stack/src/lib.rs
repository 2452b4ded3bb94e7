//! Tests that stand above the binary: the whole stack, driven from outside.
