//! Each node and the database fail in turn under an honest load.

use std::time::Duration;

use base::Random as _;
use stack_tests::binary;
use stack_tests::fleet::{Fleet, Load, Pace, Shutdown};
use testkit::{SeededRandom, Way};

use crate::support::{count, seed};

/// How long a process is halted or the network is silent.
const SILENCE: Duration = Duration::from_millis(1500);

const PEOPLE: usize = 4;

/// What can go wrong. A node that has one role only gets its faults here, too, once it can be started.
#[derive(Debug, Clone, Copy)]
enum Fault {
    Kill(usize),
    Halt(usize),
    Restart(usize),
    Database(Shutdown),
    Cut,
    Silence,
    Refuse,
}

/// Each fault that `nodes` nodes and their database can have.
fn faults(nodes: usize) -> Vec<Fault> {
    let mut faults: Vec<Fault> = (0..nodes)
        .flat_map(|node| [Fault::Kill(node), Fault::Halt(node), Fault::Restart(node)])
        .collect();
    faults.extend([
        Fault::Database(Shutdown::Fast),
        Fault::Database(Shutdown::Immediate),
        Fault::Cut,
        Fault::Silence,
        Fault::Refuse,
    ]);
    faults
}

async fn happen(fault: Fault, fleet: &mut Fleet) -> anyhow::Result<()> {
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
        Fault::Database(shutdown) => fleet.database.restart(shutdown).await?,
        Fault::Cut => fleet.proxy.cut(),
        Fault::Silence => {
            fleet.proxy.switch(Way::Hold);
            tokio::time::sleep(SILENCE).await;
            fleet.proxy.switch(Way::Pass);
        }
        Fault::Refuse => {
            fleet.proxy.switch(Way::Refuse);
            fleet.proxy.cut();
            tokio::time::sleep(SILENCE).await;
            fleet.proxy.switch(Way::Pass);
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
    let mut fleet = Fleet::start(&[binary(), binary()], PEOPLE).await.unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Full).await.unwrap();
    let mut ahead = Vec::new();
    for _ in 0..wanted {
        // Each of them before any comes again, in another order each time.
        if ahead.is_empty() {
            ahead = faults(fleet.nodes.len());
        }
        let fault = ahead.swap_remove(below(&random, ahead.len()));
        load.wait_for(operations / (wanted + 1)).await.unwrap();
        if let Err(error) = happen(fault, &mut fleet).await {
            panic!("{fault:?}, seed {seed}: {error:#}");
        }
    }
    load.wait_for(operations / (wanted + 1)).await.unwrap();
    let verdict = load.verdict().await.unwrap();
    println!("nodes: {wanted} faults, seed {seed}, {verdict}");
    assert_eq!(verdict.broken(), Vec::<String>::new(), "seed {seed}");
}
