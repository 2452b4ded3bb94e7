//! The checks whose worth grows with their number: few in `test`, many in `prove`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use clap::ValueEnum;

use crate::cargo;
use crate::command;
use crate::evidence::{self, Evidence};
use crate::postgres::{self, Postgres};
use crate::project;
use crate::stack;
use crate::steps::{Count, Steps};
use crate::tools;

/// What CI runs: an environment variable that a test reads, and its value.
pub const SMALL_COUNTS: [(&str, u32); 18] = [
    ("PORTCULLIS_KILLS", 3),
    ("PORTCULLIS_CRASH_POINTS", 6),
    ("PORTCULLIS_RACES", 20),
    ("PORTCULLIS_FAULTS", 6),
    ("PORTCULLIS_OPERATIONS", 600),
    ("PORTCULLIS_CLOCK_JUMPS", 8),
    ("PORTCULLIS_ROTATIONS", 3),
    ("PORTCULLIS_UPGRADES", 1),
    ("PORTCULLIS_SOAK_SECONDS", 15),
    ("PORTCULLIS_SLOW_CONNECTIONS", 500),
    ("PORTCULLIS_RANDOM_KIDS", 5_000),
    ("PORTCULLIS_REGISTRATIONS", 500),
    ("PORTCULLIS_SLOW_SYNC_MS", 100),
    ("PORTCULLIS_DISK_COMMANDS", 7),
    ("PORTCULLIS_DISK_ROUNDS", 1),
    ("PORTCULLIS_RESTORES", 6),
    ("PORTCULLIS_PEER_FAULTS", 1),
    ("PORTCULLIS_MESSAGES", 2_000),
];

const FULL_COUNTS: [(&str, u32); 19] = [
    ("PORTCULLIS_KILLS", 50),
    ("PORTCULLIS_CRASH_POINTS", 100),
    ("PORTCULLIS_RACES", 1000),
    ("PORTCULLIS_FAULTS", 200),
    ("PORTCULLIS_OPERATIONS", 100_000),
    ("PORTCULLIS_CLOCK_JUMPS", 200),
    ("PORTCULLIS_ROTATIONS", 20),
    ("PORTCULLIS_UPGRADES", 5),
    ("PORTCULLIS_SOAK_SECONDS", 3600),
    ("PORTCULLIS_SLOW_CONNECTIONS", 10_000),
    ("PORTCULLIS_RANDOM_KIDS", 1_000_000),
    ("PORTCULLIS_REGISTRATIONS", 20_000),
    ("PORTCULLIS_SLOW_SYNC_MS", 5_000),
    ("PORTCULLIS_DISK_COMMANDS", 32),
    ("PORTCULLIS_DISK_ROUNDS", 20),
    ("PORTCULLIS_RESTORES", 200),
    ("PORTCULLIS_PEER_FAULTS", 7),
    ("PORTCULLIS_MESSAGES", 1_000_000),
    ("PORTCULLIS_PARSERS", 5),
];

/// One page of `docs/evidence`.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Proof {
    /// Killed or without power at random, nothing acknowledged is lost and nothing is spent twice
    Durability,
    /// On a disk that is full, fails, is read-only or slow nothing is answered wrongly, and all goes on when it is well
    Disk,
    /// Sixteen racers, one fresh winner, on both databases
    Races,
    /// Five clients for a month, and nobody signs in twice
    Month,
    /// Honest people are served beside slow connections, tokens of unknown keys and registrations without end
    Floods,
    /// Each peer of a node fails in each way, and those who do not need it notice nothing
    Faults,
    /// Nodes and their database fail in turn under load
    Nodes,
    /// The wall clock is moved by a second to a day while nodes run
    Clock,
    /// Signing keys are rotated under load
    Rotations,
    /// Nodes are upgraded one by one and taken back under load
    Upgrades,
    /// An hour at half a load leaves nothing behind
    Soak,
    /// What was judged is what five JSON parsers execute
    Parsers,
    /// The release archive, from its download to the first authorized call in under a minute
    Archive,
}

struct Plan {
    title: &'static str,
    /// The crates whose change makes it old.
    covers: &'static [&'static str],
    /// The file its tests are in.
    file: &'static str,
    /// What `cargo test` is told, before and behind `--`.
    arguments: &'static [&'static str],
    filter: &'static [&'static str],
    /// The counts it reads.
    counts: &'static [&'static str],
    /// How the sentences begin that tests print and the page quotes.
    sentences: &'static [&'static str],
    binaries: Binaries,
}

/// What the tests start.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Binaries {
    /// Nothing from outside.
    None,
    /// The binary.
    Present,
    /// It, and the weakened one that they must catch.
    Weakened,
    /// It, and the release before.
    Earlier,
}

/// A commit whose binary knows roles, rules and a gateway apart, and works with a database of a later release, by its subject:
/// a hash does not survive being picked onto another branch.
const EARLIER: &str =
    "^Let the release before read every policy, and open nothing that it cannot judge$";

/// The variable that names the binary of the release before.
const EARLIER_BIN: &str = "PORTCULLIS_EARLIER_BIN";

/// What all proofs with several nodes stand on.
const FLEET_COVERS: &[&str] = &[
    "crates/store",
    "crates/oauth",
    "crates/gateway",
    "crates/cli",
];

impl Proof {
    fn plan(self) -> Plan {
        match self {
            Self::Durability => Plan {
                title: "Nothing acknowledged is lost, nothing is spent twice",
                covers: &["crates/store", "crates/oauth"],
                file: "tests/stack/tests/durability.rs",
                arguments: &["--workspace", "--test", "durability"],
                filter: &["--skip", "disk::"],
                counts: &["PORTCULLIS_KILLS", "PORTCULLIS_CRASH_POINTS"],
                sentences: &["ledger: ", "power cuts", "slow disk: "],
                binaries: Binaries::Weakened,
            },
            Self::Disk => Plan {
                title: "A disk that fails gives an error at each write path, and never a wrong success",
                covers: &["crates/store", "crates/cli"],
                file: "tests/stack/tests/disk/mod.rs",
                arguments: &["--workspace", "--test", "durability"],
                filter: &["disk::"],
                counts: &[
                    "PORTCULLIS_SLOW_SYNC_MS",
                    "PORTCULLIS_DISK_COMMANDS",
                    "PORTCULLIS_DISK_ROUNDS",
                    "PORTCULLIS_RESTORES",
                ],
                sentences: &["disk: "],
                binaries: Binaries::Present,
            },
            Self::Races => Plan {
                title: "Of sixteen racers for one code or refresh token, one wins",
                covers: &["crates/store"],
                file: "crates/store/tests/store/races.rs",
                arguments: &["--workspace", "--test", "store"],
                filter: &["races"],
                counts: &["PORTCULLIS_RACES"],
                sentences: &["races: "],
                binaries: Binaries::None,
            },
            Self::Month => Plan {
                title: "Thirty simulated days, five clients, one sign-in each",
                covers: &["crates/store", "crates/oauth", "crates/gateway"],
                file: "tests/stack/tests/thirty_days/main.rs",
                arguments: &["--workspace", "--test", "thirty_days"],
                filter: &[],
                counts: &[],
                sentences: &["figure: "],
                binaries: Binaries::None,
            },
            Self::Faults => Plan {
                covers: &[
                    "crates/egress",
                    "crates/mail",
                    "crates/store",
                    "crates/oauth",
                    "crates/gateway",
                    "crates/cli",
                ],
                file: "tests/stack/tests/fleet/peers.rs",
                filter: &["peers::"],
                counts: &["PORTCULLIS_PEER_FAULTS"],
                sentences: &["peers: "],
                ..fleet("Each peer fails in each way, and those who do not need it notice nothing")
            },
            Self::Nodes => Plan {
                file: "tests/stack/tests/fleet/nodes.rs",
                filter: &["nodes::"],
                counts: &["PORTCULLIS_FAULTS", "PORTCULLIS_OPERATIONS"],
                sentences: &["nodes: "],
                ..fleet("Nodes and their database fail in turn, and nothing is lost")
            },
            Self::Clock => Plan {
                file: "tests/stack/tests/fleet/clock.rs",
                filter: &["clock::"],
                counts: &["PORTCULLIS_CLOCK_JUMPS"],
                sentences: &["clock: "],
                ..fleet("The wall clock is moved, and nothing is revived and nobody signed out")
            },
            Self::Rotations => Plan {
                file: "tests/stack/tests/fleet/rotations.rs",
                filter: &["rotations::"],
                counts: &["PORTCULLIS_ROTATIONS"],
                sentences: &["rotations: "],
                ..fleet("Signing keys are rotated, and no honest token is refused")
            },
            Self::Upgrades => Plan {
                file: "tests/stack/tests/fleet/upgrades.rs",
                filter: &["upgrades::"],
                counts: &["PORTCULLIS_UPGRADES"],
                sentences: &["upgrades: "],
                binaries: Binaries::Earlier,
                ..fleet("Nodes are upgraded and taken back, and no honest token is refused")
            },
            Self::Soak => Plan {
                file: "tests/stack/tests/fleet/soak.rs",
                filter: &["soak::"],
                counts: &["PORTCULLIS_SOAK_SECONDS"],
                sentences: &["soak: "],
                ..fleet("An hour at half a load leaves nothing behind")
            },
            Self::Parsers => Plan {
                title: "What was judged is what five JSON parsers execute",
                covers: &[
                    "crates/wire",
                    "crates/authz",
                    "crates/sdk",
                    "crates/gateway",
                ],
                file: "crates/gateway/tests/gateway/parsers/mod.rs",
                arguments: &["--workspace", "--test", "gateway"],
                filter: &["parsers::"],
                counts: &["PORTCULLIS_MESSAGES", "PORTCULLIS_PARSERS"],
                sentences: &["parsers: "],
                binaries: Binaries::None,
            },
            // No test of cargo's: `dist` is what is measured.
            Self::Archive => Plan {
                title: "From the download of the archive to the first authorized call in under a minute",
                covers: &["crates/cli", "crates/server", "xtask/src/dist.rs"],
                file: "xtask/src/dist.rs",
                arguments: &[],
                filter: &[],
                counts: &[],
                sentences: &["archive: "],
                binaries: Binaries::None,
            },
            Self::Floods => Plan {
                title: "Honest people are served beside a flood",
                covers: &["crates/cli", "crates/gateway"],
                file: "tests/stack/tests/floods/main.rs",
                arguments: &["--workspace", "--test", "floods"],
                filter: &[],
                counts: &[
                    "PORTCULLIS_SLOW_CONNECTIONS",
                    "PORTCULLIS_RANDOM_KIDS",
                    "PORTCULLIS_REGISTRATIONS",
                ],
                sentences: &["flood: "],
                binaries: Binaries::Present,
            },
        }
    }
}

/// What the proofs with several nodes have in common.
fn fleet(title: &'static str) -> Plan {
    Plan {
        title,
        covers: FLEET_COVERS,
        file: "",
        arguments: &["--workspace", "--test", "fleet"],
        filter: &[],
        counts: &[],
        sentences: &[],
        binaries: Binaries::Present,
    }
}

/// `PORTCULLIS_…` variables of a run in CI.
pub fn small_counts() -> impl Iterator<Item = (String, String)> {
    counts(&SMALL_COUNTS)
}

fn counts(counts: &'static [(&str, u32)]) -> impl Iterator<Item = (String, String)> {
    counts
        .iter()
        .map(|(name, count)| ((*name).to_owned(), count.to_string()))
}

/// Every test that stands above the binary, but those of other people's clients, which are a step of their own.
pub fn whole_stack(binary: &Path) -> anyhow::Result<Count> {
    tools::proxies()?;
    let server = Postgres::start()?;
    let mut environment = vec![
        ("PORTCULLIS_BIN".to_owned(), text(binary)),
        (postgres::URL.to_owned(), server.url()),
    ];
    environment.extend(small_counts());
    let (name, weakened) = weakened(false)?;
    environment.push((name, weakened.clone()));
    environment.push((EARLIER_BIN.to_owned(), weakened));
    // Of the whole workspace, as the step before: of one package alone, cargo would build sqlx and more of it anew.
    let mut arguments = vec!["--workspace".to_owned()];
    let folder = project::root().join("tests/stack/tests");
    for file in std::fs::read_dir(folder)? {
        let path = file?.path();
        let is_test =
            path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists();
        let name = path
            .file_stem()
            .map(|name| name.to_string_lossy().into_owned());
        if let Some(name) = name.filter(|name| is_test && name != "interop") {
            arguments.extend(["--test".to_owned(), name]);
        }
    }
    arguments.extend(
        [
            "--no-fail-fast",
            "--",
            "--include-ignored",
            "--nocapture",
            "--test-threads=2",
        ]
        .map(str::to_owned),
    );
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (count, _) = cargo::test("stack", &arguments, &environment)?;
    Ok(count)
}

/// Runs the named proofs, or all of them, and writes their pages; whether nothing failed.
pub fn run(only: &[Proof], seed: Option<u64>) -> anyhow::Result<bool> {
    let seed = seed.unwrap_or_else(|| jiff::Timestamp::now().as_second().unsigned_abs());
    let server = Postgres::start()?;
    let mut report = Steps::default();
    for proof in Proof::value_variants() {
        if !only.is_empty() && !only.contains(proof) {
            continue;
        }
        let value = proof
            .to_possible_value()
            .context("every proof has a name")?;
        let name = value.get_name();
        report.run(name, || match proof {
            Proof::Archive => archive(name, &proof.plan(), seed),
            _ => prove(name, &proof.plan(), seed, &server),
        });
    }
    Ok(report.close())
}

fn prove(name: &str, plan: &Plan, seed: u64, server: &Postgres) -> anyhow::Result<Count> {
    if plan.counts.contains(&"PORTCULLIS_PARSERS") {
        tools::parsers()?;
    }
    let commit = evidence::commit(plan.covers)?;
    let mut environment = vec![
        ("PORTCULLIS_SEED".to_owned(), seed.to_string()),
        (postgres::URL.to_owned(), server.url()),
    ];
    environment.extend(counts(&FULL_COUNTS));
    match plan.binaries {
        Binaries::None | Binaries::Present => {}
        Binaries::Weakened => environment.push(weakened(true)?),
        Binaries::Earlier => {
            let commit = evidence::find_commit(EARLIER)?;
            let earlier = stack::build_earlier(&commit)?;
            environment.push((EARLIER_BIN.to_owned(), text(&earlier)));
            environment.push(("PORTCULLIS_EARLIER_COMMIT".to_owned(), commit));
        }
    }
    if plan.binaries != Binaries::None {
        environment.push(("PORTCULLIS_BIN".to_owned(), text(&stack::build(true)?)));
    }
    let mut arguments = vec!["--release"];
    arguments.extend(plan.arguments);
    arguments.extend(["--", "--include-ignored", "--nocapture", "--test-threads=1"]);
    arguments.extend(plan.filter);
    let (count, output) = cargo::test(&format!("prove-{name}"), &arguments, &environment)?;
    if count.failed == 0 {
        let mut figures = figures(&output, plan);
        figures.push(format!(
            "{} checks passed, beside {}",
            count.passed, server.version
        ));
        evidence::write(
            name,
            &Evidence {
                title: plan.title,
                covers: plan.covers,
                checks: checks(plan.file)?,
                commit,
                seed,
                figures,
            },
        )?;
    }
    Ok(count)
}

/// Builds and uses the archive, and writes down what it took.
fn archive(name: &str, plan: &Plan, seed: u64) -> anyhow::Result<Count> {
    let commit = evidence::commit(plan.covers)?;
    let figures = crate::dist::run()?;
    evidence::write(
        name,
        &Evidence {
            title: plan.title,
            covers: plan.covers,
            checks: vec![format!("{}::from_download_to_call", plan.file)],
            commit,
            seed,
            figures,
        },
    )?;
    Ok(Count::ONE)
}

/// `FILE::FUNCTION` of each test in `file`.
fn checks(file: &str) -> anyhow::Result<Vec<String>> {
    let source = std::fs::read_to_string(project::root().join(file))
        .with_context(|| format!("{file} cannot be read"))?;
    let mut checks = Vec::new();
    let mut test = false;
    for line in source.lines().map(str::trim) {
        if line.starts_with("#[test]") || line.starts_with("#[tokio::test") {
            test = true;
        } else if test && let Some((_, rest)) = line.split_once("fn ") {
            let function = rest.split('(').next().unwrap_or(rest);
            checks.push(format!("{file}::{function}"));
            test = false;
        }
    }
    Ok(checks)
}

/// The counts that were asked for, and the sentences that tests printed, which may stand behind their names.
fn figures(output: &str, plan: &Plan) -> Vec<String> {
    let counts = FULL_COUNTS
        .iter()
        .filter(|(name, _)| plan.counts.contains(name))
        .map(|(name, count)| format!("{name}={count}"));
    let said = output.lines().filter_map(|line| {
        let start = plan
            .sentences
            .iter()
            .filter_map(|begins| line.find(begins))
            .min()?;
        Some(line[start..].trim_start_matches("figure: ").to_owned())
    });
    counts.chain(said).collect()
}

/// Builds the binary that the durability tests must catch.
fn weakened(release: bool) -> anyhow::Result<(String, String)> {
    let binary = stack::build_weakened(release)?;
    Ok(("PORTCULLIS_WEAKENED_BIN".to_owned(), text(&binary)))
}

/// Compiles `tests/stack/shim/NAME.c` and says where the library is.
pub fn shim(name: &str) -> anyhow::Result<String> {
    let library: PathBuf = project::target().join(format!("lib{name}.so"));
    std::fs::create_dir_all(project::target())?;
    let mut cc = Command::new("cc");
    cc.args([
        "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o",
    ])
    .arg(&library)
    .arg(project::root().join(format!("tests/stack/shim/{name}.c")))
    .args(["-ldl", "-lpthread"]);
    command::run(&format!("cc-{name}"), &mut cc, Duration::from_secs(60))?.check("cc")?;
    Ok(text(&library))
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
