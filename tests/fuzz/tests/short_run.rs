//! Each target over its seeds and some thousand mutations of them, the same ones each time.

#![allow(clippy::unwrap_used)]

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use fuzz_targets::{Mutator, TARGETS, Target};

/// The longest input that is made.
const INPUT_BYTES_MAX: usize = 4096;

fn seed_folder(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../fuzz/seeds")
        .join(target.name)
}

fn seeds(target: &Target) -> Vec<Vec<u8>> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(seed_folder(target))
        .unwrap_or_else(|error| panic!("the seeds of {}: {error}", target.name))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    files
        .iter()
        .map(|file| std::fs::read(file).unwrap())
        .collect()
}

fn try_one(target: &Target, input: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err() {
        panic!(
            "target {} breaks on {:?}; as bytes: {input:?}",
            target.name,
            String::from_utf8_lossy(input)
        );
    }
}

#[test]
fn every_target_has_seeds_and_every_folder_of_seeds_a_target() {
    for target in TARGETS {
        assert!(
            seeds(target).len() >= 3,
            "{} has too few seeds",
            target.name
        );
    }
    for entry in
        std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")).unwrap()
    {
        let name = entry.unwrap().file_name();
        let name = name.to_str().unwrap();
        assert!(fuzz_targets::find(name).is_some(), "{name} is no target");
    }
}

fn short_run(name: &str) {
    let target = fuzz_targets::find(name).unwrap();
    let seeds = seeds(target);
    for seed in &seeds {
        try_one(target, seed);
    }
    let mut mutator = Mutator::new(0x0070_6f72_7463_756c, target.words);
    for _ in 0..target.short_run {
        let (one, other) = (mutator.below(seeds.len()), mutator.below(seeds.len()));
        let input = mutator.mutate(&seeds[one], &seeds[other], INPUT_BYTES_MAX);
        try_one(target, &input);
    }
}

macro_rules! short_runs {
    ($($test:ident: $name:literal;)*) => {
        $(
            #[test]
            fn $test() {
                short_run($name);
            }
        )*

        #[test]
        fn every_target_has_a_short_run() {
            let named = [$($name),*];
            for target in TARGETS {
                assert!(named.contains(&target.name), "{} is never run", target.name);
            }
        }
    };
}

short_runs! {
    no_redirect_address_is_accepted_that_a_second_rule_refuses: "redirect_uri";
    no_resource_is_accepted_that_a_second_rule_refuses: "resource";
    no_value_of_a_challenge_becomes_a_parameter: "challenge";
    forms_are_decoded_as_everybody_does_or_refused: "parameters";
    no_authorization_request_is_accepted_that_a_second_rule_refuses: "authorize_form";
    no_body_without_a_live_code_or_token_is_answered_with_tokens: "token_form";
    no_access_token_is_accepted_that_a_second_rule_refuses: "access_token";
    no_registration_is_answered_with_what_was_not_asked: "registration";
    no_client_document_is_accepted_that_a_second_rule_refuses: "client_document";
}
