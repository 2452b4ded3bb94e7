use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use super::serde;
use super::told::Told;

/// What one dialect of a reader makes of a message.
#[derive(Debug)]
pub enum Reading {
    /// It executes this.
    Message(Told),
    /// Its parser refuses the text.
    Refused,
    /// It is no object to it.
    NoMessage,
}

/// A JSON parser that somebody else wrote.
pub enum Reader {
    /// A process of its own.
    Process {
        name: &'static str,
        child: Child,
        sink: ChildStdin,
        source: ChildStdout,
    },
    /// serde_json, which is here anyway.
    Serde,
}

impl Reader {
    /// All five; with each that cannot be had, the reason.
    pub fn all() -> (Vec<Self>, Vec<String>) {
        let (mut readers, mut missing) = (vec![Self::Serde], Vec::new());
        for (name, command) in [
            ("Go encoding/json", go()),
            ("V8 JSON.parse", script("node", "reader.mjs")),
            ("Python json", script("python3", "reader.py")),
            ("simdjson", simdjson()),
        ] {
            match command.and_then(|command| Self::start(name, command)) {
                Ok(reader) => readers.push(reader),
                Err(reason) => missing.push(format!("{name} ({reason})")),
            }
        }
        (readers, missing)
    }

    fn start(name: &'static str, mut command: Command) -> Result<Self, String> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| error.to_string())?;
        Ok(Self::Process {
            name,
            sink: child.stdin.take().unwrap(),
            source: child.stdout.take().unwrap(),
            child,
        })
    }

    pub fn name(&self) -> &'static str {
        match self {
            Self::Process { name, .. } => name,
            Self::Serde => "serde_json",
        }
    }

    /// Whether the last bits of its numbers are nobody's: serde_json reads fast unless told to read exactly.
    pub fn rounds(&self) -> bool {
        matches!(self, Self::Serde)
    }

    /// What it reads of each message, in each of its dialects.
    pub fn read<'m>(
        &mut self,
        messages: impl ExactSizeIterator<Item = &'m [u8]>,
    ) -> Vec<Vec<Reading>> {
        match self {
            Self::Serde => messages.map(serde::read).collect(),
            Self::Process {
                name, sink, source, ..
            } => {
                let count = messages.len();
                let mut batch = length(count).to_vec();
                for message in messages {
                    batch.extend(length(message.len()));
                    batch.extend_from_slice(message);
                }
                sink.write_all(&batch)
                    .unwrap_or_else(|error| panic!("{name}: {error}"));
                (0..count)
                    .map(|_| {
                        let answer = text(source);
                        let (mut at, mut readings) = (&answer[..], Vec::new());
                        while !at.is_empty() {
                            readings.push(reading(&text(&mut at), name));
                        }
                        readings
                    })
                    .collect()
            }
        }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        if let Self::Process { child, .. } = self {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn length(length: usize) -> [u8; 4] {
    u32::try_from(length).unwrap().to_be_bytes()
}

fn text(source: &mut impl std::io::Read) -> Vec<u8> {
    let mut head = [0; 4];
    source.read_exact(&mut head).unwrap();
    let mut text = vec![0; u32::from_be_bytes(head) as usize];
    source.read_exact(&mut text).unwrap();
    text
}

fn reading(answer: &[u8], name: &str) -> Reading {
    match answer.split_first() {
        Some((b'R', _)) => Reading::Refused,
        Some((b'B', _)) => Reading::NoMessage,
        Some((_, told)) => Reading::Message(
            Told::read(told)
                .unwrap_or_else(|| panic!("{name} says {:?}", String::from_utf8_lossy(answer))),
        ),
        None => panic!("{name} says nothing"),
    }
}

/// Where the readers' sources are.
fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/parsers")
}

/// Where the compiled ones go.
fn compiled(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("readers");
    std::fs::create_dir_all(&folder).unwrap();
    folder.join(name)
}

fn script(interpreter: &str, file: &str) -> Result<Command, String> {
    let mut command = Command::new(interpreter);
    command.arg(sources().join(file));
    Ok(command)
}

fn go() -> Result<Command, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    built(&BUILT, "go", |program| {
        let mut build = Command::new("go");
        build
            .args(["build", "-o"])
            .arg(program)
            .arg("reader.go")
            .current_dir(sources())
            .env("GO111MODULE", "off")
            .env("GOFLAGS", "")
            .env("GOCACHE", compiled("go-cache"));
        build
    })
}

fn simdjson() -> Result<Command, String> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    built(&BUILT, "simdjson", |program| {
        let mut build = Command::new("c++");
        build
            .args(["-std=c++17", "-O2", "-Wall", "-o"])
            .arg(program)
            .arg(sources().join("reader.cpp"))
            .arg("-lsimdjson");
        build
    })
}

/// Builds a reader once, beside the one that may run.
fn built(
    once: &OnceLock<Result<PathBuf, String>>,
    name: &str,
    build: impl FnOnce(&Path) -> Command,
) -> Result<Command, String> {
    let program = once.get_or_init(|| {
        let new = compiled(&format!("{name}-{}", std::process::id()));
        let built = build(&new).output().map_err(|error| error.to_string())?;
        if !built.status.success() {
            let words = String::from_utf8_lossy(&built.stderr);
            let reason = words.lines().next().unwrap_or("it does not compile");
            return Err(reason.to_owned());
        }
        let program = compiled(name);
        std::fs::rename(&new, &program).map_err(|error| error.to_string())?;
        Ok(program)
    });
    program.as_ref().map(Command::new).map_err(Clone::clone)
}
