//! Keeps what this process has in memory out of files and from its neighbours.

/// From now on no core file is written, in which the keys would stand.
///
/// `serve` also closes its memory, environment and open files to other processes of its own user: who took over another
/// service of that user reads nothing here. Not so `up`: whoever develops on this machine may look with a debugger, and
/// another start names who holds its port.
pub fn keep_private(serves: bool) {
    no_core_file();
    if serves {
        close_to_others();
    }
}

fn no_core_file() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, getrlimit, setrlimit};
        let mut limit = getrlimit(Resource::Core);
        // The upper limit stays: a child process of an MCP server may want its own.
        limit.current = Some(0);
        if let Err(error) = setrlimit(Resource::Core, limit) {
            tracing::warn!(%error, "core files could not be switched off");
        }
    }
}

fn close_to_others() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        if let Err(error) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            tracing::warn!(%error, "this process could not be closed to others of its user");
        }
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    use super::*;

    #[test]
    fn no_core_is_written_and_what_serves_is_closed_to_its_neighbours() {
        keep_private(false);
        assert_eq!(getrlimit(Resource::Core).current, Some(0));
        assert_ne!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        keep_private(true);
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        // What the process says of itself at /metrics it still can.
        assert!(std::fs::read_dir("/proc/self/fd").unwrap().count() > 2);
        assert!(std::fs::read_to_string("/proc/self/status").is_ok());
    }
}
