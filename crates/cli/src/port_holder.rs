//! Who listens at a port of this machine: the one file that knows operating systems apart.

use std::process::{Command, Stdio};

/// The program that listens at `port`, such as `node (process 1234)`, when it can be found out.
pub fn find(port: u16) -> Option<String> {
    from_proc(port).or_else(|| from_lsof(port))
}

/// Linux: the socket's inode from `/proc/net`, its owner from the open files of each process we may look at.
#[cfg(target_os = "linux")]
fn from_proc(port: u16) -> Option<String> {
    use std::fs;

    const LISTENING: &str = "0A";
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| {
            table
                .lines()
                .skip(1)
                .filter_map(|line| {
                    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
                    let (_, local_port) = fields.get(1)?.rsplit_once(':')?;
                    let matches = u16::from_str_radix(local_port, 16) == Ok(port)
                        && *fields.get(3)? == LISTENING;
                    matches.then(|| format!("socket:[{}]", fields.get(9).unwrap_or(&"")))
                })
                .collect::<Vec<_>>()
        })
        .collect();
    if inodes.is_empty() {
        return None;
    }
    for process in fs::read_dir("/proc").ok()?.flatten() {
        let name = process.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else {
            continue;
        };
        let Ok(files) = fs::read_dir(process.path().join("fd")) else {
            continue;
        };
        let holds = files.flatten().any(|file| {
            fs::read_link(file.path())
                .ok()
                .and_then(|link| {
                    link.to_str()
                        .map(|link| inodes.iter().any(|inode| inode == link))
                })
                .unwrap_or(false)
        });
        if holds {
            let program = fs::read_to_string(process.path().join("comm")).unwrap_or_default();
            return Some(in_words(program.trim(), pid));
        }
    }
    None
}

#[cfg(not(target_os = "linux"))]
fn from_proc(_port: u16) -> Option<String> {
    None
}

/// macOS and others: `lsof`, where it is installed. `-F pc` prints `p1234` and `cnode` on lines of their own.
fn from_lsof(port: u16) -> Option<String> {
    let output = Command::new("lsof")
        .args(["-nP", &format!("-iTCP:{port}"), "-sTCP:LISTEN", "-F", "pc"])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    let field = |letter: char| text.lines().find_map(|line| line.strip_prefix(letter));
    Some(in_words(field('c')?, field('p')?.parse().ok()?))
}

fn in_words(program: &str, pid: u32) -> String {
    if pid == std::process::id() {
        return "this program itself".into();
    }
    format!("{program} (process {pid})")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_listening_port_has_a_holder_and_a_free_one_has_none() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        if cfg!(target_os = "linux") {
            assert_eq!(find(port).as_deref(), Some("this program itself"));
        }
        drop(listener);
        assert_eq!(find(port), None);
    }
}
