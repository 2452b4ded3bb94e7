//! Nodes are replaced one after the other by another release, and back, under load.
//!
//! docs/decisions/0008 says which binary stands for the release before.

use std::path::{Path, PathBuf};

use stack_tests::binary;
use stack_tests::fleet::{Fleet, Load, Pace};

use crate::support::count;

const PEOPLE: usize = 4;

/// Each node in turn becomes `program`; the others serve meanwhile.
async fn roll(fleet: &mut Fleet, load: &Load, program: &Path) {
    for node in &mut fleet.nodes {
        node.stop().await.unwrap();
        node.start(program).await.unwrap();
        load.wait_for(80).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs a second build; cargo xtask test makes it"]
async fn nodes_are_upgraded_and_taken_back_one_by_one_and_no_honest_token_is_refused() {
    let upgrades = count("PORTCULLIS_UPGRADES", 1);
    let earlier = std::env::var_os("PORTCULLIS_EARLIER_BIN").map(PathBuf::from);
    let earlier = earlier.expect("cargo xtask test builds it and names it");
    // The real one makes the database, as it did at everybody's. The one that only knows fewer migrations has code that
    // wants all of them, so it finds them made.
    let real = std::env::var("PORTCULLIS_EARLIER_COMMIT").ok();
    let (first, second) = match &real {
        Some(_) => (earlier.as_path(), binary()),
        None => (binary(), earlier.as_path()),
    };
    let mut fleet = Fleet::start(&[first, first], PEOPLE).await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    load.wait_for(80).await.unwrap();
    for _ in 0..upgrades {
        roll(&mut fleet, &load, second).await;
        roll(&mut fleet, &load, first).await;
    }
    let verdict = load.verdict().await.unwrap();
    let from = real.unwrap_or_else(|| "a build with fewer migrations".to_owned());
    println!("upgrades: {upgrades} from {from} and back, {verdict}");
    assert_eq!(verdict.broken(), Vec::<String>::new());
}
