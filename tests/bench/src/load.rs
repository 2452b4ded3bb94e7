//! Closed-loop load over keep-alive connections, one task each.

use std::future::Future;
use std::time::{Duration, Instant};

/// How a round of load went.
#[derive(Debug, Clone)]
pub struct Round {
    /// Requests answered as they should be.
    pub count: u64,
    /// How long it took.
    pub took: Duration,
    /// Latencies, sorted, in microseconds.
    pub latencies_us: Vec<u32>,
}

impl Round {
    /// Operations per second.
    pub fn per_second(&self) -> f64 {
        self.count as f64 / self.took.as_secs_f64()
    }

    /// The latency below which `share` of the answers came, in milliseconds.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let index = ((self.latencies_us.len() as f64 - 1.0) * share)
            .round()
            .max(0.0) as usize;
        self.latencies_us
            .get(index)
            .copied()
            .map_or(f64::NAN, |us| f64::from(us) / 1000.0)
    }
}

/// Runs `workers` tasks until `deadline` or until each says that it has nothing left; each step is one operation.
pub async fn rounds<W, F, Fut>(
    workers: Vec<W>,
    duration: Duration,
    step: F,
) -> anyhow::Result<(Round, Vec<W>)>
where
    W: 'static,
    F: Fn(W) -> Fut + Clone + 'static,
    Fut: Future<Output = anyhow::Result<(W, bool)>> + 'static,
{
    let begun = Instant::now();
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = workers
        .into_iter()
        .map(|mut worker| {
            let step = step.clone();
            local.spawn_local(async move {
                let mut latencies = Vec::with_capacity(65_536);
                while begun.elapsed() < duration {
                    let sent = Instant::now();
                    let (next, more) = step(worker).await?;
                    worker = next;
                    if !more {
                        break;
                    }
                    latencies.push(u32::try_from(sent.elapsed().as_micros()).unwrap_or(u32::MAX));
                }
                anyhow::Ok((worker, latencies))
            })
        })
        .collect();
    let mut latencies_us = Vec::new();
    let mut back = Vec::new();
    local
        .run_until(async {
            for task in tasks {
                let (worker, mut latencies) = task.await??;
                latencies_us.append(&mut latencies);
                back.push(worker);
            }
            anyhow::Ok(())
        })
        .await?;
    let took = begun.elapsed();
    latencies_us.sort_unstable();
    Ok((
        Round {
            count: latencies_us.len() as u64,
            took,
            latencies_us,
        },
        back,
    ))
}

/// Runs `workers` at `per_second` operations together, whether or not the answers keep up: an operation that had to wait for
/// the answer before it counts from when it was due.
pub async fn paced<W, F, Fut>(
    workers: Vec<W>,
    per_second: f64,
    duration: Duration,
    step: F,
) -> anyhow::Result<Round>
where
    W: 'static,
    F: Fn(W) -> Fut + Clone + 'static,
    Fut: Future<Output = anyhow::Result<W>> + 'static,
{
    let count = workers.len();
    let between = Duration::from_secs_f64(count as f64 / per_second);
    let begun = Instant::now();
    let local = tokio::task::LocalSet::new();
    let tasks: Vec<_> = (0_u32..)
        .zip(workers)
        .map(|(index, mut worker)| {
            let step = step.clone();
            local.spawn_local(async move {
                let mut due = begun + between * index / count as u32;
                let mut latencies = Vec::with_capacity(65_536);
                while due < begun + duration {
                    // A timer that rings late is this program's fault and counts for nobody.
                    let from = if due > Instant::now() {
                        tokio::time::sleep_until(due.into()).await;
                        Instant::now()
                    } else {
                        due
                    };
                    worker = step(worker).await?;
                    latencies.push(u32::try_from(from.elapsed().as_micros()).unwrap_or(u32::MAX));
                    due += between;
                }
                anyhow::Ok(latencies)
            })
        })
        .collect();
    let mut latencies_us = Vec::new();
    local
        .run_until(async {
            for task in tasks {
                latencies_us.append(&mut task.await??);
            }
            anyhow::Ok(())
        })
        .await?;
    latencies_us.sort_unstable();
    Ok(Round {
        count: latencies_us.len() as u64,
        took: begun.elapsed(),
        latencies_us,
    })
}
