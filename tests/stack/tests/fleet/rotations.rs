//! Signing keys are rotated under load, and everybody's tokens go on.

use std::time::Duration;

use base::{Clock as _, SystemClock};
use stack_tests::binary;
use stack_tests::fleet::{Fleet, Load, Pace};

use crate::support::count;

const PEOPLE: usize = 4;

/// From now until a new key signs. The product says ten minutes, for those who keep the key set for five.
const PUBLISHED_AHEAD: Duration = Duration::from_millis(1500);

/// Rotates as an operator does, and lets nine minutes and more pass for the new key alone: who signs follows from the
/// rows and the clock (docs/decisions/0007), so its row is moved instead of everybody's clock.
async fn rotate(fleet: &Fleet) {
    fleet.run(binary(), &["keys", "rotate"], "").await.unwrap();
    let from = SystemClock.now().after(PUBLISHED_AHEAD);
    let sql = format!(
        "UPDATE portcullis.signing_key SET signs_from = {0} WHERE signs_from > {0};
         UPDATE portcullis.change SET counter = counter + 1",
        from.unix_ms()
    );
    fleet.database.run(&sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_under_load_and_no_honest_token_is_refused() {
    let rotations = count("PORTCULLIS_ROTATIONS", 3);
    let fleet = Fleet::start(&[binary(), binary()], PEOPLE).await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    load.wait_for(100).await.unwrap();
    for _ in 0..rotations {
        rotate(&fleet).await;
        // The next rotation waits until this one's key signs.
        tokio::time::sleep(PUBLISHED_AHEAD + Duration::from_millis(100)).await;
        load.wait_for(100).await.unwrap();
    }
    let verdict = load.verdict().await.unwrap();
    println!(
        "rotations: {rotations} rotations, {} keys signed, {verdict}",
        verdict.keys
    );
    assert_eq!(verdict.broken(), Vec::<String>::new());
    assert_eq!(verdict.keys as u64, rotations + 1, "each key signed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_emergency_rotation_refuses_honest_tokens_so_the_test_above_can_fail() {
    let fleet = Fleet::start(&[binary(), binary()], PEOPLE).await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    load.wait_for(100).await.unwrap();
    fleet
        .run(binary(), &["keys", "rotate", "--now"], "")
        .await
        .unwrap();
    load.wait_for(200).await.unwrap();
    let verdict = load.verdict().await.unwrap();
    println!("rotations: an emergency, {verdict}");
    assert!(verdict.refused() > 0, "{verdict}");
}
