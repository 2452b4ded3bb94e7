//! Nodes are replaced one after the other by another release, and back, under load.
//!
//! Meanwhile rules and roles change, by commands of either release. docs/decisions/0009 says which binary stands for the release before.

use std::path::{Path, PathBuf};

use stack_tests::binary;
use stack_tests::fleet::{Fleet, Governed, Load, Pace};

use crate::support::count;

const PEOPLE: usize = 4;

/// Each node in turn becomes `program`; the others serve meanwhile. What the policy said before holds at the new one, and it is
/// changed by a command of a release in turn while both run.
async fn roll(
    fleet: &mut Fleet,
    load: &Load,
    governed: &mut Governed,
    program: &Path,
    commands: [&Path; 2],
) {
    for turn in 0..fleet.nodes.len() {
        let node = &mut fleet.nodes[turn];
        node.stop().await.unwrap();
        node.start(program).await.unwrap();
        load.wait_for(80).await.unwrap();
        governed.check(fleet).await.unwrap();
        governed.change(fleet, commands[turn % 2]).await.unwrap();
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
    let mut fleet = Fleet::start_apart(first, PEOPLE).await.unwrap();
    let mut governed = Governed::begin(&fleet, first).await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    load.wait_for(80).await.unwrap();
    for _ in 0..upgrades {
        for (program, other) in [(second, first), (first, second)] {
            let commands = [program, other];
            roll(&mut fleet, &load, &mut governed, program, commands).await;
        }
    }
    let verdict = load.verdict().await.unwrap();
    let from = real.unwrap_or_else(|| "a build with fewer migrations".to_owned());
    let (changes, checks) = governed.counts();
    println!(
        "upgrades: {upgrades} of two authorities and a gateway apart from {from} and back, {verdict}; {changes} changes of rules \
         and roles by commands of either release, which gateways were found to hold to {checks} times"
    );
    assert_eq!(verdict.broken(), Vec::<String>::new());
}
