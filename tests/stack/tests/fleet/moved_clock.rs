//! A wall clock that a test moves while a node runs by it.

use std::fs::File;
use std::os::unix::fs::FileExt as _;

use stack_tests::fleet::Node;
use tempfile::TempDir;

use crate::support::build_shim;

pub const SECOND: i64 = 1_000;
pub const MINUTE: i64 = 60 * SECOND;
pub const HOUR: i64 = 60 * MINUTE;
pub const DAY: i64 = 24 * HOUR;

/// Where it is moved to, in milliseconds from the true time.
pub const JUMPS: [i64; 8] = [SECOND, -SECOND, MINUTE, -MINUTE, HOUR, -HOUR, DAY, -DAY];

/// The clock of the nodes that were given it. The monotonic one goes on as ever.
pub struct MovedClock {
    folder: TempDir,
    file: File,
}

impl MovedClock {
    /// A clock that is right.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = File::create(folder.path().join("ahead")).unwrap();
        let clock = Self { folder, file };
        clock.set(0);
        clock
    }

    /// Has `node` live by it from its next start.
    pub fn give(&self, node: &mut Node) {
        let file = self.folder.path().join("ahead");
        node.set("PORTCULLIS_CLOCK", &file.display().to_string());
        node.set(
            "LD_PRELOAD",
            &build_shim("moved_clock").display().to_string(),
        );
    }

    /// Moves it, at once.
    pub fn set(&self, ahead_ms: i64) {
        self.file.write_all_at(&ahead_ms.to_ne_bytes(), 0).unwrap();
    }
}
