//! What was run, how long it took, and what it counted.

use std::time::Instant;

/// What one step counted.
#[derive(Default, Clone, Copy)]
pub struct Count {
    /// Checks that passed.
    pub passed: u64,
    /// Checks that failed.
    pub failed: u64,
}

impl Count {
    /// A step that is one check.
    pub const ONE: Self = Self {
        passed: 1,
        failed: 0,
    };

    /// That many checks passed.
    pub fn passed(passed: u64) -> Self {
        Self { passed, failed: 0 }
    }
}

impl std::ops::AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
    }
}

/// Runs steps one after the other; a failed one does not keep the next from running.
#[derive(Default)]
pub struct Steps {
    total: Count,
    lines: Vec<String>,
}

impl Steps {
    /// Runs one step and prints how it went.
    pub fn run(&mut self, name: &str, work: impl FnOnce() -> anyhow::Result<Count>) {
        println!("==> {name}");
        let begun = Instant::now();
        let (count, word) = match work() {
            Ok(count) if count.failed == 0 && count.passed > 0 => (count, "ok"),
            Ok(count) if count.failed > 0 => (count, "FAILED"),
            Ok(_) => {
                println!("    nothing was checked");
                (
                    Count {
                        passed: 0,
                        failed: 1,
                    },
                    "FAILED",
                )
            }
            Err(error) => {
                println!("    {error:#}");
                (
                    Count {
                        passed: 0,
                        failed: 1,
                    },
                    "FAILED",
                )
            }
        };
        self.total += count;
        let line = format!(
            "{word:<7}{name:<14}{:>7.1} s  {} passed, {} failed",
            begun.elapsed().as_secs_f64(),
            count.passed,
            count.failed
        );
        println!("    {line}");
        self.lines.push(line);
    }

    /// Prints the table and the closing line; whether nothing failed.
    pub fn close(self) -> bool {
        println!();
        for line in &self.lines {
            println!("{line}");
        }
        println!();
        println!("{} passed, {} failed", self.total.passed, self.total.failed);
        self.total.failed == 0 && self.total.passed > 0
    }
}
