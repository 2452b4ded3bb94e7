//! Nothing acknowledged is lost and nothing single-use is spent twice: not by SIGKILL, not by a power cut.
//!
//! A load keeps a ledger: each answer of the token endpoint goes to its own synced file before the next request is sent.
//! The server dies, is started again, and is held to the ledger. The counts are small here and printed; `cargo xtask
//! prove` runs the same tests with the full ones.

#![allow(clippy::unwrap_used, clippy::print_stdout, clippy::print_stderr)]

mod disk;
mod support;

use std::time::{Duration, Instant};

use base::Random as _;
use stack_tests::binary;
use support::ledger::Ledger;
use support::{
    build_shim, count, first_start, seed, start_of, stop, try_start_of, weakened_binary,
};
use testkit::SeededRandom;

fn below(random: &SeededRandom, bound: u64) -> u64 {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    u64::from_le_bytes(bytes) % bound
}

#[tokio::test]
async fn killed_at_random_nothing_acknowledged_is_lost_and_nothing_is_spent_twice() {
    let kills = count("PORTCULLIS_KILLS", 4);
    let seed = seed();
    let random = SeededRandom::new(seed);
    let directory = tempfile::tempdir().unwrap();
    let mut server = first_start(binary(), directory.path()).await;
    let mut ledger = Ledger::begin(directory.path(), &server).await;
    for _ in 0..kills {
        let until = Duration::from_millis(100 + below(&random, 900));
        ledger
            .load_until(async { tokio::time::sleep(until).await }, &mut server)
            .await;
        server.kill().await.unwrap();
        server = start_of(binary(), directory.path(), &[]).await;
        ledger.check_everything_acknowledged(&server).await;
    }
    ledger.check_nothing_is_spent_twice(&server).await;
    println!("ledger: {kills} kills, seed {seed}, {}", ledger.summary());
}

#[tokio::test]
async fn at_each_power_cut_nothing_acknowledged_is_lost() {
    if !cfg!(target_os = "linux") {
        println!("power cuts are simulated on Linux only");
        return;
    }
    let points = count("PORTCULLIS_CRASH_POINTS", 6);
    let seed = seed();
    let lost = power_cuts(binary(), points, seed).await;
    assert_eq!(lost, Vec::<String>::new(), "seed {seed}");
    println!("power cuts: {points} crash points, seed {seed}, nothing acknowledged lost");
}

#[tokio::test]
#[ignore = "needs a second build; cargo xtask test makes it"]
async fn a_build_with_weaker_syncs_loses_acknowledged_answers_so_the_test_above_can_fail() {
    if !cfg!(target_os = "linux") {
        println!("power cuts are simulated on Linux only");
        return;
    }
    let seed = seed();
    let lost = power_cuts(&weakened_binary(), 3, seed).await;
    assert!(
        !lost.is_empty(),
        "a build with synchronous=NORMAL passed: the power cut does not bite (seed {seed})"
    );
    println!(
        "power cuts with synchronous=NORMAL: {} acknowledged answers lost, as they must be",
        lost.len()
    );
}

/// Cuts the power `points` times, each on a fresh copy of the same authority, and gives what was acknowledged and lost.
async fn power_cuts(binary: &std::path::Path, points: u64, seed: u64) -> Vec<String> {
    let shim = build_shim("lose_unsynced");
    let random = SeededRandom::new(seed);
    let mut lost = Vec::new();
    for _ in 0..points {
        let directory = tempfile::tempdir().unwrap();
        let server = first_start(binary, directory.path()).await;
        let mut ledger = Ledger::begin(directory.path(), &server).await;
        stop(server).await;
        // A start costs some writes by itself; the range reaches from them into the load.
        let environment = [
            ("LD_PRELOAD", shim.display().to_string()),
            (
                "PORTCULLIS_CRASH_FILES",
                directory.path().display().to_string(),
            ),
            (
                "PORTCULLIS_CRASH_AT",
                (40 + below(&random, 600)).to_string(),
            ),
            (
                "PORTCULLIS_CRASH_SEED",
                below(&random, u64::MAX).to_string(),
            ),
        ];
        if let Ok(mut server) = try_start_of(binary, directory.path(), &environment).await {
            ledger
                .load_until(tokio::time::sleep(Duration::from_secs(60)), &mut server)
                .await;
            assert!(
                server.has_ended().await,
                "the crash point was never reached"
            );
        }
        let server = start_of(binary, directory.path(), &[]).await;
        lost.extend(ledger.lost(&server).await);
    }
    lost
}

#[tokio::test]
async fn no_answer_comes_before_its_write_is_on_disk() {
    if !cfg!(target_os = "linux") {
        println!("a slow disk is simulated on Linux only");
        return;
    }
    let delay = Duration::from_millis(count("PORTCULLIS_SYNC_DELAY_MS", 5000));
    let directory = tempfile::tempdir().unwrap();
    let server = first_start(binary(), directory.path()).await;
    let mut ledger = Ledger::begin(directory.path(), &server).await;
    let begun = Instant::now();
    ledger.exchange_one(&server).await;
    let quick = begun.elapsed();
    assert!(quick < delay / 2, "the twin on a quick disk took {quick:?}");
    stop(server).await;

    let environment = [
        ("LD_PRELOAD", build_shim("slow_sync").display().to_string()),
        ("PORTCULLIS_SYNC_DELAY_MS", delay.as_millis().to_string()),
    ];
    let server = start_of(binary(), directory.path(), &environment).await;
    for what in ["code exchange", "refresh", "registration"] {
        let took = ledger.time_one(what, &server).await;
        assert!(
            took >= delay,
            "a {what} was answered after {took:?}, before its write was on disk"
        );
    }
    println!(
        "slow disk: each sync delayed {delay:?}, no answer came earlier; the quick twin took {quick:?}"
    );
}
