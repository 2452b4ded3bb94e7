//! One target of `tests/fuzz` under libFuzzer; `PORTCULLIS_FUZZ_TARGET` names it. `cargo xtask fuzz` builds and runs it.

#![no_main]

use std::sync::LazyLock;

use fuzz_targets::Target;
use libfuzzer_sys::fuzz_target;

static TARGET: LazyLock<&'static Target> = LazyLock::new(|| {
    let name = std::env::var("PORTCULLIS_FUZZ_TARGET").unwrap_or_default();
    fuzz_targets::find(&name).unwrap_or_else(|| {
        let names: Vec<&str> = fuzz_targets::TARGETS
            .iter()
            .map(|target| target.name)
            .collect();
        panic!("PORTCULLIS_FUZZ_TARGET must be one of {names:?}, not {name:?}")
    })
});

fuzz_target!(|bytes: &[u8]| (TARGET.run)(bytes));
