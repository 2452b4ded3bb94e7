//! A disk that fails when it is told to, by the shim `failing_disk`.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt as _, FileExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::support::build_shim;

/// What is wrong with the disk.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    Full,
    WriteFails,
    SyncFails,
    ReadOnly,
    Slow,
    /// None of the disk: whoever meets it is killed.
    Kills,
}

impl Fault {
    /// Those of the disk.
    pub const ALL: [Self; 5] = [
        Self::Full,
        Self::WriteFails,
        Self::SyncFails,
        Self::ReadOnly,
        Self::Slow,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::WriteFails => "EIO at write",
            Self::SyncFails => "EIO at fsync",
            Self::ReadOnly => "read-only",
            Self::Slow => "slow fsync",
            Self::Kills => "killed",
        }
    }

    /// Its number in the shim; 0 is none.
    fn number(self) -> u32 {
        let position = Self::ALL.iter().position(|fault| *fault == self);
        1 + position.unwrap_or(Self::ALL.len()) as u32
    }
}

/// A folder whose disk can fail, for the processes that have its environment.
pub struct Disk {
    pub folder: PathBuf,
    control: File,
    environment: Vec<(String, String)>,
}

impl Disk {
    /// The folder `disk` in `outer`.
    pub fn new(outer: &Path) -> Self {
        let folder = outer.join("disk");
        std::fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&folder)
            .unwrap();
        let named = outer.join("fault");
        let control = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(&named)
            .unwrap();
        control.set_len(24).unwrap();
        let environment = [
            ("LD_PRELOAD", build_shim("failing_disk")),
            ("PORTCULLIS_DISK", folder.clone()),
            ("PORTCULLIS_DISK_FAULT", named),
        ]
        .map(|(name, path)| (name.to_owned(), path.display().to_string()));
        Self {
            folder,
            control,
            environment: environment.to_vec(),
        }
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        self.environment.clone()
    }

    /// From now on it fails; of a slow one each sync takes `delay` longer.
    pub fn fails(&self, fault: Fault, delay: Duration) {
        self.fails_after(0, fault, delay);
    }

    /// The same after so many operations that go well.
    pub fn fails_after(&self, spared: u64, fault: Fault, delay: Duration) {
        let delay = u32::try_from(delay.as_millis()).unwrap();
        self.control.write_all_at(&delay.to_ne_bytes(), 4).unwrap();
        self.control.write_all_at(&spared.to_ne_bytes(), 8).unwrap();
        self.control.write_all_at(&[0; 8], 16).unwrap();
        self.control
            .write_all_at(&fault.number().to_ne_bytes(), 0)
            .unwrap();
    }

    /// It is well again; how often the fault was met.
    pub fn heals(&self) -> u64 {
        self.control.write_all_at(&[0; 4], 0).unwrap();
        self.met()
    }

    /// How often the fault was met so far.
    pub fn met(&self) -> u64 {
        self.number_at(16)
    }

    /// How many operations more go well.
    pub fn left(&self) -> u64 {
        self.number_at(8)
    }

    fn number_at(&self, offset: u64) -> u64 {
        let mut bytes = [0; 8];
        self.control.read_exact_at(&mut bytes, offset).unwrap();
        u64::from_ne_bytes(bytes)
    }
}
