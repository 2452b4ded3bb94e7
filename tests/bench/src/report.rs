//! The table of figures.

use std::fmt::Write as _;
use std::time::Duration;

use crate::load::Round;
use crate::process::Usage;

/// One line: what, how fast, at what cost, beside its floor.
pub struct Line {
    /// What was done.
    pub what: String,
    /// Ours.
    pub ours: Figure,
    /// The floor of the same run, when there is one.
    pub floor: Option<Figure>,
    /// The ratio that must be reached, processor time to processor time.
    pub must: Option<f64>,
}

/// One measured round.
#[derive(Clone)]
pub struct Figure {
    /// Operations per second.
    pub per_second: f64,
    /// Processor microseconds of the server per operation.
    pub cpu_us: f64,
    /// Median latency in milliseconds.
    pub p50_ms: f64,
    /// 99th percentile in milliseconds.
    pub p99_ms: f64,
}

impl Figure {
    /// From a round and the usage before and after it.
    pub fn new(round: &Round, before: Usage, after: Usage) -> Self {
        Self {
            per_second: round.per_second(),
            cpu_us: (after.cpu.saturating_sub(before.cpu)).as_secs_f64() * 1e6
                / round.count.max(1) as f64,
            p50_ms: round.percentile_ms(0.50),
            p99_ms: round.percentile_ms(0.99),
        }
    }

    /// The median of several rounds by processor time.
    pub fn median(mut figures: Vec<Self>) -> Self {
        figures.sort_by(|a, b| a.cpu_us.total_cmp(&b.cpu_us));
        figures.swap_remove(figures.len() / 2)
    }
}

/// The table in Markdown.
pub fn table(lines: &[Line]) -> String {
    let mut out = String::from(
        "| Operation | per second | CPU µs | p50 / p99 ms | floor per second | floor CPU µs | ratio | must |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for line in lines {
        let ours = &line.ours;
        let _ = write!(
            out,
            "| {} | {:.0} | {:.1} | {:.2} / {:.2} |",
            line.what, ours.per_second, ours.cpu_us, ours.p50_ms, ours.p99_ms
        );
        match &line.floor {
            Some(floor) => {
                let ratio = ours.cpu_us / floor.cpu_us;
                let verdict = match line.must {
                    Some(must) if ratio <= must => format!("{must:.1}x, reached"),
                    Some(must) => format!("{must:.1}x, **missed**"),
                    None => "–".to_owned(),
                };
                let _ = writeln!(
                    out,
                    " {:.0} | {:.1} | {ratio:.2}x | {verdict} |",
                    floor.per_second, floor.cpu_us
                );
            }
            None => {
                let _ = writeln!(out, " – | – | – | – |");
            }
        }
    }
    out
}

/// A duration in milliseconds, for a sentence.
pub fn ms(duration: Duration) -> String {
    format!("{:.0} ms", duration.as_secs_f64() * 1e3)
}

/// Bytes in MiB, for a sentence.
pub fn mib(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / 1_048_576.0)
}
