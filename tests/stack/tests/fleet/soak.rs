//! Hours of half a load leave nothing behind: no memory, no descriptors, no unexplained answers.

use std::time::{Duration, Instant};

use stack_tests::binary;
use stack_tests::fleet::{Fleet, Load, Node, Pace};

use crate::support::count;

const PEOPLE: usize = 4;
const SAMPLES: u32 = 120;

/// Less than the warm-up of an hour's run: what is kept until the last token has expired is then as much as it will be.
const TOKENS_LIVE_MINUTES: u32 = 10;

/// A run this long says something about memory; a shorter one is all warm-up.
const MEMORY_FROM: Duration = Duration::from_secs(20 * 60);

/// Connections come and go: the same few, more or less.
const DESCRIPTORS_MORE_MAX: usize = 8;

/// What one node holds at one moment.
#[derive(Debug, Clone, Copy)]
struct Held {
    seconds: f64,
    kibibytes: f64,
    descriptors: usize,
}

fn held(node: &Node, since: Instant) -> Held {
    let process = format!("/proc/{}", node.id().unwrap());
    let status = std::fs::read_to_string(format!("{process}/status")).unwrap();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let resident = resident.unwrap().trim().trim_end_matches(" kB");
    Held {
        seconds: since.elapsed().as_secs_f64(),
        kibibytes: resident.parse().unwrap(),
        descriptors: std::fs::read_dir(format!("{process}/fd")).unwrap().count(),
    }
}

/// How much of the mean is gained from the first to the last sample, along the line that fits all of them best.
fn slope(samples: &[Held]) -> f64 {
    let count = samples.len() as f64;
    let time = samples.iter().map(|held| held.seconds).sum::<f64>() / count;
    let memory = samples.iter().map(|held| held.kibibytes).sum::<f64>() / count;
    let (mut both, mut square) = (0.0, 0.0);
    for held in samples {
        both += (held.seconds - time) * (held.kibibytes - memory);
        square += (held.seconds - time).powi(2);
    }
    let lasted = samples[samples.len() - 1].seconds - samples[0].seconds;
    both / square * lasted / memory
}

fn most_descriptors(samples: &[Held]) -> usize {
    samples.iter().map(|held| held.descriptors).max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn half_a_load_leaves_no_memory_no_descriptors_and_no_unexplained_answer_behind() {
    if !cfg!(target_os = "linux") {
        println!("what a process holds is read on Linux only");
        return;
    }
    let lasts = Duration::from_secs(count("PORTCULLIS_SOAK_SECONDS", 15));
    let mut fleet = Fleet::start(&[binary(), binary()], PEOPLE).await.unwrap();
    fleet
        .let_tokens_live(binary(), TOKENS_LIVE_MINUTES)
        .await
        .unwrap();
    let load = Load::begin(&fleet, PEOPLE, Pace::Half).await.unwrap();
    let begun = Instant::now();
    let mut samples = vec![Vec::new(); fleet.nodes.len()];
    for _ in 0..SAMPLES {
        tokio::time::sleep(lasts / SAMPLES).await;
        for (node, samples) in fleet.nodes.iter().zip(&mut samples) {
            samples.push(held(node, begun));
        }
    }
    let verdict = load.verdict().await.unwrap();
    println!("soak: {lasts:?} at half load, {verdict}");
    assert_eq!(verdict.broken(), Vec::<String>::new());
    // Nothing was wrong with anything: a 503 or a broken connection has no explanation.
    assert_eq!(verdict.retries, 0, "{verdict}");
    for (index, samples) in samples.iter().enumerate() {
        // The first quarter warms up.
        let (early, late) = samples[samples.len() / 4..].split_at(samples.len() * 3 / 8);
        let (before, after) = (most_descriptors(early), most_descriptors(late));
        let gained = slope(&samples[samples.len() / 4..]);
        println!(
            "soak: node {index}, {before} and then {after} descriptors at most, {:.0} KiB at the end, memory slope {:.2} %",
            samples[samples.len() - 1].kibibytes,
            gained * 100.0
        );
        assert!(
            after <= before + DESCRIPTORS_MORE_MAX,
            "{before} descriptors became {after}"
        );
        assert!(
            lasts < MEMORY_FROM || gained < 0.01,
            "memory grew by {gained}"
        );
    }
}

#[test]
fn the_slope_of_what_grows_is_seen_and_of_what_swings_is_not() {
    let line = |kibibytes: fn(u32) -> f64| -> Vec<Held> {
        (0..120)
            .map(|at| Held {
                seconds: f64::from(at) * 30.0,
                kibibytes: kibibytes(at),
                descriptors: 0,
            })
            .collect()
    };
    let grows = slope(&line(|at| 50_000.0 + 10.0 * f64::from(at)));
    assert!((0.02..0.03).contains(&grows), "{grows}");
    let swings = slope(&line(|at| 50_000.0 + 10.0 * f64::from(at % 2)));
    assert!(swings.abs() < 0.001, "{swings}");
}
