//! The wall clock of a node is moved by a second to a day while it runs, and restarted by.

use stack_tests::binary;
use stack_tests::fleet::{Fleet, Load, Pace};

use crate::moved_clock::{DAY, HOUR, JUMPS, MovedClock, SECOND};
use crate::one_node::OneNode;
use crate::support::count;

const PEOPLE: usize = 4;

/// The clock of this process that the log of a node tells of.
const AHEAD: &str = "the clock of this machine was set ahead, and that of PostgreSQL was not";
const BACK: &str = "the clock of this machine was set back: this process goes on by its own count";
const BELIEVED: &str = "the clock of this machine went ahead";
const TAKEN_BACK: &str = "was set back to the time that this process has counted";
const DIFFER: &str = "the clocks of this machine and of PostgreSQL differ";

fn jumps() -> impl Iterator<Item = i64> {
    let wanted = count("PORTCULLIS_CLOCK_JUMPS", 8);
    JUMPS.into_iter().cycle().take(wanted as usize)
}

#[tokio::test(flavor = "multi_thread")]
async fn under_load_nobody_feels_that_the_clock_of_one_of_several_nodes_is_moved() {
    if !cfg!(target_os = "linux") {
        println!("clock: it is moved on Linux only");
        return;
    }
    let mut fleet = Fleet::start_apart(binary(), PEOPLE).await.unwrap();
    let (moved, of_gateway) = (MovedClock::new(), MovedClock::new());
    for (index, clock) in [(0, &moved), (2, &of_gateway)] {
        let node = &mut fleet.nodes[index];
        clock.give(node);
        node.stop().await.unwrap();
        node.start(binary()).await.unwrap();
    }
    fleet.wait_for_server().await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    let (mut done, mut restarts) = (0, 0);
    for jump in jumps() {
        moved.set(jump);
        // A gateway alone has no second clock to ask when its own is ahead: the machine may have slept.
        of_gateway.set(jump.min(0));
        load.wait_for(25).await.unwrap();
        if jump.abs() == DAY {
            let words = if jump > 0 { AHEAD } else { BACK };
            fleet.nodes[0].wait_for_log(words).await.unwrap();
            fleet.nodes[0].kill().await.unwrap();
            fleet.nodes[0].start(binary()).await.unwrap();
            fleet.nodes[0].wait_for_log(DIFFER).await.unwrap();
            restarts += 1;
            load.wait_for(25).await.unwrap();
        }
        done += 1;
    }
    moved.set(0);
    of_gateway.set(0);
    load.wait_for(25).await.unwrap();
    let verdict = load.verdict().await.unwrap();
    println!(
        "clock: {done} jumps of one node's clock beside two others, {restarts} kills meanwhile, {verdict}"
    );
    assert_eq!(verdict.broken(), Vec::<String>::new());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_alone_revives_nothing_and_signs_nobody_out_however_its_clock_is_moved() {
    if !cfg!(target_os = "linux") {
        println!("clock: it is moved on Linux only");
        return;
    }
    let clock = MovedClock::new();
    let mut one = OneNode::start(&clock).await;
    let (mut done, mut over) = (0_u64, 0);
    for jump in jumps() {
        let revoked = one.revoked().await;
        let mut honest = one.approved().await;
        let mut logged = one.node.log_length();
        clock.set(jump);
        // What has ended by the moved clock has ended, and what goes back is not believed.
        let status = one.call(&honest.access).await;
        match jump {
            HOUR.. => assert_eq!(status, 401, "{jump} ms"),
            ..=SECOND => assert_eq!(status, 200, "{jump} ms"),
            _ => {}
        }
        over += one.check_what_is_over_by_true_time().await;
        one.check_refused(&revoked).await;
        one.check_goes_on(&mut honest).await;
        if jump.abs() >= DAY {
            let words = if jump > 0 { BELIEVED } else { BACK };
            one.node.wait_for_log_behind(logged, words).await.unwrap();
        }
        logged = one.node.log_length();
        clock.set(0);
        one.check_refused(&revoked).await;
        one.check_goes_on(&mut honest).await;
        if jump >= DAY {
            let told = one.node.wait_for_log_behind(logged, TAKEN_BACK).await;
            told.unwrap();
        }
        if jump.abs() >= HOUR {
            // Killed, started by the wrong clock, and again by the right one.
            for now in [jump, 0] {
                one.node.kill().await.unwrap();
                clock.set(now);
                one.node.start(binary()).await.unwrap();
                one.check_refused(&revoked).await;
                one.check_goes_on(&mut honest).await;
            }
        }
        done += 1;
    }
    // A minute is too long for every day.
    if done > JUMPS.len() as u64 {
        over += one.check_a_life_ends_while_the_clock_is_back(&clock).await;
    }
    println!(
        "clock: {done} jumps of the clock of a node alone, 0 things revived, 0 people signed out; {over} calls with tokens that \
         were over by true time alone were refused"
    );
}
