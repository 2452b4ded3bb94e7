//! A disk that is full, fails, is read-only or slow, under a server and its commands: at each way in which something is
//! written the answer is an error and never a wrong success, and the same process works again when the disk does.

mod admin_api;
mod faults;
mod governing;
mod paths;
mod restores;
mod scene;

use std::time::{Duration, Instant};

use faults::Fault;
use paths::{Change, Fact, Outcome, Prepared, WritePath, until_done};
use scene::{Scene, integrity};

use base::Random as _;
use testkit::SeededRandom;

use super::support::{count, seed};

#[tokio::test(flavor = "multi_thread")]
async fn at_each_write_path_a_failing_disk_gives_an_error_and_is_recovered_from() {
    if !cfg!(target_os = "linux") {
        println!("a failing disk is simulated on Linux only");
        return;
    }
    let delay = Duration::from_millis(count("PORTCULLIS_SLOW_SYNC_MS", 100));
    let mut scene = Scene::start().await;
    let mut wrong = Vec::new();
    let mut kept = 0;
    let commands = usize::try_from(count("PORTCULLIS_DISK_COMMANDS", 7)).unwrap();
    let rounds = count("PORTCULLIS_DISK_ROUNDS", 1);
    let random = SeededRandom::new(seed());
    for round in 0..rounds {
        for (turn, fault) in Fault::ALL.into_iter().enumerate() {
            if round > 0 && fault == Fault::Slow {
                continue;
            }
            let weather = Weather {
                fault,
                delay,
                random: (round > 0).then_some(&random),
            };
            let paths = WritePath::of_turn(turn * commands, commands);
            let facts = one_fault(&scene, &weather, paths, &mut wrong).await;
            scene.kill_and_start().await;
            kept += facts.len();
            for fact in facts {
                if let Err(error) = fact.check(&scene).await {
                    wrong.push(format!(
                        "{}: {} that was acknowledged is lost: {error:#}",
                        fault.name(),
                        fact.name()
                    ));
                }
            }
        }
    }
    scene.stop().await;
    let found = integrity(&scene.data().join("portcullis.db")).await;
    assert_eq!(found, Vec::<String>::new());
    assert_eq!(wrong, Vec::<String>::new(), "{}", scene.log());
    println!(
        "disk: after each fault and a SIGKILL {kept} acknowledged facts were all there, {rounds} rounds, seed {}",
        seed()
    );
}

/// A sync that failed wrote nothing, but the system shows the bytes as if they were there. Here the process is killed then,
/// so that the next one reads them from the log, and what it acknowledges afterwards must not stand behind that hole.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_failed_sync_was_for_is_not_built_upon_by_the_next_process() {
    if !cfg!(target_os = "linux") {
        println!("a failing disk is simulated on Linux only");
        return;
    }
    let mut scene = Scene::start().await;
    let made = Prepared::make(&scene).await;
    let log = scene.data().join("portcullis.db-wal");
    let synced = std::fs::read(&log).unwrap();
    scene.disk.fails(Fault::SyncFails, Duration::ZERO);
    let refused = WritePath::Registration.attempt(&scene, &made).await;
    assert!(matches!(refused.unwrap(), Outcome::Refused(_)));
    let lost = std::fs::read(&log).unwrap();
    assert!(
        lost.len() > synced.len(),
        "nothing was written before the sync"
    );
    scene.kill().await;
    scene.disk.heals();
    scene.start_again().await;
    let (facts, _) = until_done(WritePath::Registration, &scene, &made)
        .await
        .unwrap();
    let [Fact::Client(client)] = &facts[..] else {
        panic!("a client was registered")
    };
    // What is on the disk: everything but what was only shown, where nothing was written over it.
    let disk = tempfile::tempdir().unwrap();
    let mut now = std::fs::read(&log).unwrap();
    let built_upon = now.starts_with(&lost);
    if built_upon {
        now[synced.len()..lost.len()].fill(0);
    }
    let database = disk.path().join("portcullis.db");
    std::fs::copy(scene.data().join("portcullis.db"), &database).unwrap();
    std::fs::write(disk.path().join("portcullis.db-wal"), now).unwrap();
    assert!(
        scene::knows_client(&database, client).await,
        "a client that was acknowledged is lost (built upon: {built_upon})"
    );
    scene.stop().await;
    println!(
        "disk: what was acknowledged after a failed sync and a SIGKILL does not stand behind the hole it left"
    );
}

/// A file system of its own that really is full. Its log may still have room that it had before, so a write may also be
/// done, and then it is there.
#[tokio::test(flavor = "multi_thread")]
async fn on_a_real_disk_that_is_full_writes_are_refused_until_there_is_room() {
    let outer = tempfile::tempdir().unwrap();
    let folder = outer.path().join("disk");
    std::fs::create_dir(&folder).unwrap();
    let Some(mounted) = Mounted::tmpfs(&folder) else {
        println!(
            "no file system can be mounted here (it takes root on Linux): a really full disk was not tried"
        );
        return;
    };
    let mut scene = Scene::start_in(outer).await;
    let made = Prepared::make(&scene).await;
    let (access_token, _) = scene.tokens().await;
    let filler = folder.join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    while std::io::Write::write_all(&mut file, &[0; 4096]).is_ok() {}
    let mut facts = Vec::new();
    let refused = loop {
        match WritePath::Registration
            .attempt(&scene, &made)
            .await
            .unwrap()
        {
            Outcome::Done(done) => facts.extend(done),
            Outcome::Refused(words) => break words,
        }
        assert!(facts.len() < 5_000, "the disk is not full");
    };
    for path in [WritePath::Exchange, WritePath::Refresh] {
        match path.attempt(&scene, &made).await.unwrap() {
            Outcome::Done(done) => facts.extend(done),
            Outcome::Refused(_) => {}
        }
    }
    reads(&scene, &access_token).await.unwrap();
    drop(file);
    std::fs::remove_file(&filler).unwrap();
    let (done, took) = until_done(WritePath::Registration, &scene, &made)
        .await
        .unwrap();
    facts.extend(done);
    scene.kill_and_start().await;
    for fact in &facts {
        fact.check(&scene).await.unwrap();
    }
    scene.stop().await;
    drop(scene);
    drop(mounted);
    println!(
        "disk: a tmpfs without room: {refused}; done {took:.0?} after there was room; {} acknowledged facts all there",
        facts.len()
    );
}

/// A file system that is gone afterwards.
struct Mounted(std::path::PathBuf);

impl Mounted {
    fn tmpfs(folder: &std::path::Path) -> Option<Self> {
        let mut mount = std::process::Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=8m,mode=0700", "none"]);
        let mounted = mount.arg(folder).output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then(|| Self(folder.to_owned()))
    }
}

impl Drop for Mounted {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount")
            .arg("-l")
            .arg(&self.0)
            .status();
    }
}

/// What a disk does to one round of paths.
struct Weather<'a> {
    fault: Fault,
    /// Of each sync of a slow one.
    delay: Duration,
    /// The fault begins after a few operations of each path; without this at once.
    random: Option<&'a SeededRandom>,
}

impl Weather<'_> {
    fn begins(&self, scene: &Scene) {
        let mut spared = [0];
        if let Some(random) = self.random {
            random.fill(&mut spared);
        }
        let spared = u64::from(spared[0] % 12);
        scene.disk.fails_after(spared, self.fault, self.delay);
    }
}

/// Meets a fault on each path, lets the disk get well, and gives what was acknowledged.
async fn one_fault(
    scene: &Scene,
    weather: &Weather<'_>,
    paths: impl Iterator<Item = WritePath>,
    wrong: &mut Vec<String>,
) -> Vec<Fact> {
    let &Weather {
        fault,
        delay,
        random,
    } = weather;
    let mut facts = Vec::new();
    let mut slowest = Duration::ZERO;
    let (access_token, _) = scene.tokens().await;
    let made = Prepared::make(scene).await;
    let mut answers: Vec<(String, Vec<&str>)> = Vec::new();
    for path in paths {
        weather.begins(scene);
        let begun = Instant::now();
        let outcome = path.attempt(scene, &made).await;
        let took = begun.elapsed();
        let met = scene.disk.met();
        let readable = match path {
            // Done, it has withdrawn the key of this token.
            WritePath::Command(Change::KeysRotate) => Ok(()),
            _ => reads(scene, &access_token).await,
        };
        if let Err(error) = readable {
            wrong.push(format!("{} while {}: {error:#}", path.name(), fault.name()));
        }
        scene.disk.heals();
        let say = |words: String| format!("{} while {}: {words}", path.name(), fault.name());
        let answer = match outcome {
            Ok(Outcome::Refused(words)) => words,
            Ok(Outcome::Done(done)) => {
                if fault != Fault::Slow && random.is_none() {
                    wrong.push(say("a success on a disk that takes nothing".to_owned()));
                } else if fault == Fault::Slow && took < delay {
                    wrong.push(say(format!("a success after {took:?}, before its sync")));
                }
                // The codes of slow paths would be too old when they are looked at.
                let is_code = fault == Fault::Slow && path == WritePath::Consent;
                facts.extend(done.into_iter().filter(|_| !is_code));
                if fault != Fault::Slow {
                    continue;
                }
                "done after the sync".to_owned()
            }
            Err(error) => {
                wrong.push(say(format!("{error:#}")));
                continue;
            }
        };
        if met == 0 && random.is_none() {
            wrong.push(say("the fault was never met".to_owned()));
        }
        match answers.iter_mut().find(|(words, _)| *words == answer) {
            Some((_, paths)) => paths.push(path.name()),
            None => answers.push((answer, vec![path.name()])),
        }
        if fault == Fault::Slow {
            continue;
        }
        match until_done(path, scene, &made).await {
            Ok((done, took)) => {
                facts.extend(done);
                if !path.is_command() {
                    slowest = slowest.max(took);
                }
            }
            Err(error) => wrong.push(say(format!("not done when the disk is well: {error:#}"))),
        }
    }
    if random.is_some() {
        return facts;
    }
    for (answer, paths) in answers {
        println!("disk: {}: {answer}: {}", fault.name(), paths.join(", "));
    }
    if fault != Fault::Slow {
        println!(
            "disk: {}: well again, the slowest write over HTTP was done after {slowest:.0?}",
            fault.name()
        );
    }
    facts
}

/// What needs no write is answered whatever the disk does.
async fn reads(scene: &Scene, access_token: &str) -> anyhow::Result<()> {
    for path in [
        "/jwks.json",
        "/.well-known/oauth-authorization-server/servers/echo",
        "/.well-known/oauth-protected-resource/mcp/echo",
        "/sign-in",
    ] {
        let answer = scene.get(path).await?;
        let status = answer.status();
        anyhow::ensure!(status == 200 || status == 303, "{path} answered {status}");
    }
    scene.call(access_token).await
}
