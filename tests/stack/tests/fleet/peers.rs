//! Each peer of a node fails in each of seven ways, and whoever does not need that peer notices nothing.

mod affected;
mod bystanders;
mod world;

use std::fmt;
use std::time::{Duration, Instant};

use testkit::Way;

use super::support::count;
use affected::Affected;
use bystanders::Bystanders;
use world::World;

/// How long a fault lasts at least, and how long is measured without one.
const WINDOW: Duration = Duration::from_millis(2500);
/// Below this, twice as slow says nothing on a machine that does other things too: it is what one turn of another process
/// costs.
const FLOOR: Duration = Duration::from_millis(5);
/// How often others may be slower by more than twice: what a fault does it does each time.
const TRIES: usize = 3;
/// How long after a fault the affected path may still fail.
const RECOVERY: Duration = Duration::from_secs(15);

/// Somebody a node depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    Database,
    Upstream,
    ClientDocuments,
    ClientKeys,
    Mail,
}

const PEERS: [Peer; 5] = [
    Peer::Database,
    Peer::Upstream,
    Peer::ClientDocuments,
    Peer::ClientKeys,
    Peer::Mail,
];

/// What befalls a peer. Names that fail and names that hang count as one kind of fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    NameHangs,
    NameFails,
    ConnectHangs,
    NeverAnswers,
    StopsBehindHead,
    OneByteASecond,
    Resets,
}

const FAULTS: [Fault; 7] = [
    Fault::NameHangs,
    Fault::ConnectHangs,
    Fault::NeverAnswers,
    Fault::StopsBehindHead,
    Fault::OneByteASecond,
    Fault::Resets,
    Fault::NameFails,
];

impl Fault {
    fn way(self) -> Way {
        match self {
            // A connection that is open needs no name.
            Self::NameHangs | Self::NameFails => Way::Pass,
            Self::ConnectHangs => Way::Unreachable,
            Self::NeverAnswers => Way::Hold,
            Self::StopsBehindHead => Way::Stop,
            Self::OneByteASecond => Way::Drip,
            Self::Resets => Way::Reset,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::NameHangs => "its name hangs",
            Self::NameFails => "its name fails",
            Self::ConnectHangs => "connecting hangs",
            Self::NeverAnswers => "never answers",
            Self::StopsBehindHead => "stops behind the head",
            Self::OneByteASecond => "one byte a second",
            Self::Resets => "resets",
        })
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_peer_that_fails_is_felt_by_those_alone_who_need_it() {
    if !cfg!(target_os = "linux") {
        println!("names are made to hang by a library that is preloaded, on Linux only");
        return;
    }
    let wanted = count("PORTCULLIS_PEER_FAULTS", 1) as usize;
    let world = World::start().await.unwrap();
    let mut cells = 0;
    let mut failed = Vec::new();
    let (mut worst, mut above) = (0.0_f64, 0.0_f64);
    for (row, peer) in PEERS.into_iter().enumerate() {
        for column in 0..wanted.min(FAULTS.len()) {
            // A single one is another at each peer.
            let fault = FAULTS[(row + column) % FAULTS.len()];
            cells += 1;
            match cell(&world, peer, fault).await {
                Ok((before, during)) => {
                    let ratio = during.as_secs_f64() / before.as_secs_f64();
                    worst = worst.max(ratio);
                    if during > FLOOR {
                        above = above.max(ratio);
                    }
                }
                Err(words) => {
                    println!("peers: {peer:?}, {fault}: FAILED: {words}");
                    failed.push(format!("{peer:?}, {fault}: {words}"));
                }
            }
        }
    }
    println!(
        "peers: {} of {cells} cells as they should be: others' p99 within 2 times that of before, or {FLOOR:?}, in one of at \
         most {TRIES} tries; at worst {worst:.1} times, and {above:.1} times above {FLOOR:?}",
        cells - failed.len()
    );
    assert!(failed.is_empty(), "{failed:#?}\n{}", world.node.log());
}

/// One peer and one fault; gives the p99 of those who do not need the peer, before and during it.
async fn cell(world: &World, peer: Peer, fault: Fault) -> Result<(Duration, Duration), String> {
    let mut attempt = 1;
    loop {
        let affected = Affected::new(peer);
        affected
            .works(world)
            .await
            .map_err(|words| format!("before: {words}"))?;
        let before = Bystanders::watch(world, peer, WINDOW).await;

        world.break_peer(peer, fault).await;
        let begun = Instant::now();
        let ((felt, took), during) = tokio::join!(
            affected.feels(world, fault),
            Bystanders::watch(world, peer, WINDOW)
        );
        world.mend_peer(peer);
        let mended = Instant::now();
        let back = affected.recovers(world, RECOVERY).await;

        let line = format!(
            "{peer:?}, {fault}: {felt} after {took:.1?}; others: {during}, p99 {:.1?} (before: {:.1?}); works again after {:.1?}",
            during.p99(),
            before.p99(),
            mended.elapsed()
        );
        println!("peers: {line} (fault of {:.1?})", mended - begun);
        felt.as_expected(took)?;
        during.all_served()?;
        back?;
        if during.p99() <= FLOOR.max(2 * before.p99()) {
            return Ok((before.p99(), during.p99()));
        }
        attempt += 1;
        if attempt > TRIES {
            return Err(format!("others are slower by more than 2: {line}"));
        }
    }
}
