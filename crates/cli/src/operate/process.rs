use std::fs;

/// What the operating system says of this process; what it does not say is left out.
#[derive(Debug, Default)]
pub struct Process {
    /// Memory in RAM, in bytes.
    pub memory_bytes: Option<u64>,
    /// Open file descriptors.
    pub descriptors: Option<u64>,
    /// How many may be open.
    pub descriptors_max: Option<u64>,
}

impl Process {
    /// Asks `/proc`; elsewhere nothing is known.
    pub fn now() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        Self {
            memory_bytes: number_after(&status, "VmRSS:").map(|kibibytes| kibibytes * 1024),
            // One of them is the directory that is being read.
            descriptors: fs::read_dir("/proc/self/fd")
                .ok()
                .map(|entries| (entries.count() as u64).saturating_sub(1)),
            descriptors_max: number_after(&limits, "Max open files"),
        }
    }
}

/// The first number in the line that begins with `name`.
fn number_after(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_number_is_found_in_its_line_and_a_missing_one_is_none() {
        let text =
            "VmPeak:\t  20 kB\nVmRSS:\t  12 kB\nMax open files            1024   4096   files\n";
        assert_eq!(number_after(text, "VmRSS:"), Some(12));
        assert_eq!(number_after(text, "Max open files"), Some(1024));
        assert_eq!(number_after(text, "VmSwap:"), None);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_open_file_is_counted() {
        let before = Process::now();
        let files: Vec<_> = (0..64)
            .map(|_| fs::File::open("/proc/self/status").unwrap())
            .collect();
        let after = Process::now();
        drop(files);
        // Other tests of this process open and close some meanwhile.
        assert!(after.descriptors.unwrap() > before.descriptors.unwrap() + 32);
        assert!(after.memory_bytes.unwrap() > 1024 * 1024);
        assert!(after.descriptors_max.unwrap() >= 64);
    }
}
