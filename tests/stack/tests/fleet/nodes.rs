//! Two authorities, a gateway alone, their database and the feed between them fail in turn under an honest load.

use std::time::Duration;

use base::Random as _;
use stack_tests::binary;
use stack_tests::fleet::{Administrator, Fleet, Load, Node, Pace, Role, Shutdown};
use testkit::{FaultProxy, SeededRandom, Way};

use crate::support::{count, seed};

/// How long a process is halted or the network is silent.
const SILENCE: Duration = Duration::from_millis(1500);

const PEOPLE: usize = 4;

/// What can go wrong.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(usize),
    Halt(usize),
    Restart(usize),
    /// Every authority is killed, and the gateway is alone until they are back.
    Authorities,
    Database(Shutdown),
    /// Of the connections to the database, or of the feed.
    Cut(Line),
    Silence(Line),
    Refuse(Line),
}

/// What can be broken between two that run.
#[derive(Debug, Clone, Copy)]
enum Line {
    Database,
    Feed,
}

impl Line {
    fn of(self, fleet: &Fleet) -> &FaultProxy {
        match self {
            Self::Database => &fleet.proxy,
            Self::Feed => fleet.feed.as_ref().unwrap(),
        }
    }
}

/// Each fault that `nodes` nodes, their database and their feed can have.
fn faults(nodes: usize) -> Vec<Fault> {
    let mut faults: Vec<Fault> = (0..nodes)
        .flat_map(|node| [Fault::Kill(node), Fault::Halt(node), Fault::Restart(node)])
        .collect();
    for line in [Line::Database, Line::Feed] {
        faults.extend([Fault::Cut(line), Fault::Silence(line), Fault::Refuse(line)]);
    }
    faults.extend([
        Fault::Authorities,
        Fault::Database(Shutdown::Fast),
        Fault::Database(Shutdown::Immediate),
    ]);
    faults
}

async fn happen(fault: Fault, fleet: &mut Fleet, load: &Load) -> anyhow::Result<()> {
    match fault {
        Fault::Kill(node) => {
            fleet.nodes[node].kill().await?;
            fleet.nodes[node].start(binary()).await?;
        }
        Fault::Halt(node) => {
            fleet.nodes[node].signal("-STOP").await?;
            tokio::time::sleep(SILENCE).await;
            fleet.nodes[node].signal("-CONT").await?;
        }
        Fault::Restart(node) => {
            fleet.nodes[node].stop().await?;
            fleet.nodes[node].start(binary()).await?;
        }
        Fault::Authorities => {
            // A gateway that was never told anything has nothing to go on with.
            fleet.wait_for_server().await?;
            let authorities = |node: &&mut Node| node.role.is_authority();
            for node in fleet.nodes.iter_mut().filter(authorities) {
                node.kill().await?;
            }
            load.check_calls_go_on(&[Role::Gateway]).await;
            for node in fleet.nodes.iter_mut().filter(authorities) {
                node.start(binary()).await?;
            }
        }
        Fault::Database(shutdown) => fleet.database.restart(shutdown).await?,
        Fault::Cut(line) => line.of(fleet).cut(),
        Fault::Silence(line) => {
            line.of(fleet).switch(Way::Hold);
            tokio::time::sleep(SILENCE).await;
            line.of(fleet).switch(Way::Pass);
        }
        Fault::Refuse(line) => {
            fleet.wait_for_server().await?;
            line.of(fleet).switch(Way::Refuse);
            line.of(fleet).cut();
            tokio::time::sleep(SILENCE).await;
            load.check_calls_go_on(&[Role::All, Role::Gateway]).await;
            line.of(fleet).switch(Way::Pass);
        }
    }
    Ok(())
}

fn below(random: &SeededRandom, bound: usize) -> usize {
    let mut bytes = [0; 8];
    random.fill(&mut bytes);
    usize::from_le_bytes(bytes) % bound
}

#[tokio::test(flavor = "multi_thread")]
async fn while_nodes_and_database_fail_in_turn_nothing_is_lost_and_nobody_is_refused() {
    let wanted = count("PORTCULLIS_FAULTS", 6);
    let operations = count("PORTCULLIS_OPERATIONS", 600);
    let seed = seed();
    let random = SeededRandom::new(seed);
    let mut fleet = Fleet::start_apart(binary(), PEOPLE).await.unwrap();
    let administrator = Administrator::add(&fleet, binary()).await.unwrap();
    let mut load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    load.write_policies(administrator);
    let mut ahead = Vec::new();
    for _ in 0..wanted {
        // Each of them before any comes again, in another order each time.
        if ahead.is_empty() {
            ahead = faults(fleet.nodes.len());
        }
        let fault = ahead.swap_remove(below(&random, ahead.len()));
        load.wait_for(operations / (wanted + 1)).await.unwrap();
        if let Err(error) = happen(fault, &mut fleet, &load).await {
            panic!("{fault:?}, seed {seed}: {error:#}");
        }
    }
    load.wait_for(operations / (wanted + 1)).await.unwrap();
    let verdict = load.verdict().await.unwrap();
    let (revisions, settings) = verdict.written;
    println!(
        "nodes: {wanted} faults, seed {seed}, {verdict}; {revisions} revisions of the policy and {settings} writes of settings \
         that the admin API acknowledged are all there"
    );
    assert_eq!(verdict.broken(), Vec::<String>::new(), "seed {seed}");
    assert!(revisions > 10 && settings > 2, "{revisions}, {settings}");
}
