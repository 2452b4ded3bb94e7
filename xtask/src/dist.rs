//! `cargo xtask dist`: what a release is, and that it works where nothing else is.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use crate::cargo;
use crate::command;
use crate::project;
use crate::stack::Stack;
use crate::tools;

const TARGET: &str = "x86_64-unknown-linux-gnu";
const BUILD_LIMIT: Duration = Duration::from_secs(40 * 60);
const LIMIT: Duration = Duration::from_secs(120);
/// From the download to the first authorized call.
const GOAL: Duration = Duration::from_secs(60);

/// Builds the archive, its sums and its bill of materials in `target/dist`, then uses it as a newcomer would; gives what was
/// measured, in sentences.
pub fn run() -> anyhow::Result<Vec<String>> {
    let dist = project::target().join("dist");
    if dist.exists() {
        std::fs::remove_dir_all(&dist)?;
    }
    std::fs::create_dir_all(&dist)?;
    let metadata = metadata()?;
    let version = version(&metadata)?;
    let name = format!("portcullis-{version}-x86_64-linux");

    let binary = build()?;
    let archive = dist.join(format!("{name}.tar.gz"));
    pack(&binary, &dist, &name)?;
    std::fs::write(
        dist.join(format!("{name}.cdx.json")),
        serde_json::to_vec_pretty(&bill_of_materials(&metadata, &version)?)?,
    )?;
    sums(&dist)?;
    let size = format!(
        "archive: {:.1} MB; the program {:.1} MB, without any library",
        megabytes(&archive)?,
        megabytes(&binary)?
    );
    println!("    {}: {size}", archive.display());
    alone(&binary)?;
    let took = from_download_to_call(&dist, &name)?;
    let time = time_to_call(took);
    println!("    {time}");
    if took > GOAL {
        bail!("the archive takes too long");
    }
    Ok(vec![size, time])
}

fn time_to_call(took: Duration) -> String {
    format!(
        "archive: download, sum, unpacking, start, sign-in and first authorized call in {:.1} s (goal: {} s)",
        took.as_secs_f64(),
        GOAL.as_secs()
    )
}

/// The static program. Paths of this machine stay out of it, so that the same source gives the same bytes elsewhere.
fn build() -> anyhow::Result<PathBuf> {
    let home = std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cargo")))
        .context("neither CARGO_HOME nor HOME is set")?;
    let flags = format!(
        "-C target-feature=+crt-static --remap-path-prefix={}=/portcullis --remap-path-prefix={}=/cargo",
        project::root().display(),
        home.display()
    );
    let mut build = cargo::cargo();
    build
        .args(["build", "--release", "--locked", "--target", TARGET])
        .args(["--package", "portcullis-cli"])
        .env("RUSTFLAGS", flags);
    command::run("dist-build", &mut build, BUILD_LIMIT)?.check("cargo build --target")?;
    let binary = project::target().join(TARGET).join("release/portcullis");
    let mut ldd = Command::new("ldd");
    let linked = command::run("dist-ldd", ldd.arg(&binary), LIMIT)?.output;
    if !linked.contains("statically linked") {
        bail!("the program wants libraries: {linked}");
    }
    Ok(binary)
}

/// One folder in one archive, the same bytes for the same commit: names in order, no owner, the commit's time.
fn pack(binary: &Path, dist: &Path, name: &str) -> anyhow::Result<()> {
    let folder = dist.join(name);
    std::fs::create_dir_all(&folder)?;
    std::fs::copy(binary, folder.join("portcullis"))?;
    let root = project::root();
    for file in [
        "README.md",
        "CHANGELOG.md",
        "LICENSE-APACHE",
        "LICENSE-MIT",
        "SECURITY.md",
    ] {
        std::fs::copy(root.join(file), folder.join(file))?;
    }
    let mut copy = Command::new("cp");
    copy.arg("-r")
        .arg(root.join("deploy"))
        .arg(root.join("docs"))
        .arg(&folder);
    command::run("dist-copy", &mut copy, LIMIT)?.check("cp")?;
    let mut time = Command::new("git");
    let time = command::run("dist-time", time.args(["log", "-1", "--format=%ct"]), LIMIT)?
        .check("git log")?
        .output;
    let mut tar = Command::new("tar");
    tar.args(["--sort=name", "--owner=0", "--group=0", "--numeric-owner"])
        .args(["--mode=u+rw,go+r-w", &format!("--mtime=@{}", time.trim())])
        .args(["--use-compress-program=gzip -9 -n", "--create", "--file"])
        .arg(dist.join(format!("{name}.tar.gz")))
        .arg("--directory")
        .arg(dist)
        .arg(name);
    command::run("dist-tar", &mut tar, LIMIT)?.check("tar")?;
    std::fs::remove_dir_all(folder)?;
    Ok(())
}

fn sums(dist: &Path) -> anyhow::Result<()> {
    let mut names: Vec<String> = std::fs::read_dir(dist)?
        .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
        .collect::<anyhow::Result<_>>()?;
    names.sort();
    let mut sum = Command::new("sha256sum");
    sum.args(&names).current_dir(dist);
    let sums = command::run("dist-sums", &mut sum, LIMIT)?
        .check("sha256sum")?
        .output;
    std::fs::write(dist.join("SHA256SUMS"), sums)?;
    Ok(())
}

/// Starts it where there is no other file: no libraries, no shell, no certificates. Only root may.
fn alone(binary: &Path) -> anyhow::Result<()> {
    if !tools::is_root()? {
        println!("    not root: it was not started in an empty folder");
        return Ok(());
    }
    let folder = project::logs().join("dist-alone");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(folder.join("data"))?;
    std::fs::copy(binary, folder.join("portcullis"))?;
    let mut up = Command::new("chroot");
    up.arg(&folder)
        .args(["/portcullis", "up", "--no-open", "--ready-json"]);
    up.args(["--data-dir", "/data", "--port"]);
    up.arg(crate::stack::free_port()?.to_string());
    let running = command::Background::start("dist-alone", &mut up, Duration::from_secs(60))?;
    if !running.stop()?.success() {
        bail!("it did not stop well in an empty folder");
    }
    println!("    it starts in an empty folder");
    Ok(())
}

/// Downloads the archive from this machine, checks the sum, unpacks, starts and calls.
fn from_download_to_call(dist: &Path, name: &str) -> anyhow::Result<Duration> {
    tools::javascript()?;
    let folder = project::logs().join("dist-downloaded");
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let archive = format!("{name}.tar.gz");
    let address = serve_files(dist, &[archive.clone(), "SHA256SUMS".to_owned()])?;

    let begun = Instant::now();
    let mut download = Command::new("curl");
    download
        .args(["--fail", "--silent", "--show-error", "--remote-name-all"])
        .arg(format!("http://{address}/{archive}"))
        .arg(format!("http://{address}/SHA256SUMS"))
        .current_dir(&folder);
    command::run("dist-download", &mut download, LIMIT)?.check("curl")?;
    let mut check = Command::new("sha256sum");
    check.args(["--check", "--ignore-missing", "--strict", "SHA256SUMS"]);
    command::run("dist-check", check.current_dir(&folder), LIMIT)?.check("sha256sum --check")?;
    let mut unpack = Command::new("tar");
    unpack.args(["xzf", &archive]).current_dir(&folder);
    command::run("dist-unpack", &mut unpack, LIMIT)?.check("tar")?;
    let stack = Stack::start(&folder.join(name).join("portcullis"), "dist-up", &[])?;
    stack.add_person()?;
    let mut client = Command::new(project::node());
    client
        .arg(project::root().join("tests/interop/typescript_v1.mjs"))
        .env("MCP_URL", &stack.ready.mcp_url)
        .env("FIRST_CALL", "1")
        .envs(crate::person::environment());
    command::run("dist-call", &mut client, LIMIT)?.check("the first call")?;
    let took = begun.elapsed();
    stack.stop()?;
    Ok(took)
}

/// Answers one request for each of these files, on loopback, as any web server would.
fn serve_files(dist: &Path, names: &[String]) -> anyhow::Result<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let files: Vec<(String, Vec<u8>)> = names
        .iter()
        .map(|name| Ok((format!("GET /{name} "), std::fs::read(dist.join(name))?)))
        .collect::<anyhow::Result<_>>()?;
    std::thread::spawn(move || -> std::io::Result<()> {
        for _ in 0..files.len() {
            let (mut stream, _) = listener.accept()?;
            let mut asked = Vec::new();
            let mut part = [0; 1024];
            while !asked.ends_with(b"\r\n\r\n") && asked.len() < 8192 {
                let read = stream.read(&mut part)?;
                if read == 0 {
                    break;
                }
                asked.extend_from_slice(&part[..read]);
            }
            let asked = String::from_utf8_lossy(&asked).into_owned();
            if let Some((_, file)) = files.iter().find(|(line, _)| asked.starts_with(line)) {
                let length = file.len();
                write!(
                    stream,
                    "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )?;
                stream.write_all(file)?;
            }
        }
        Ok(())
    });
    Ok(address)
}

fn metadata() -> anyhow::Result<Value> {
    let mut metadata = cargo::cargo();
    metadata.args(["metadata", "--format-version", "1", "--locked", "--quiet"]);
    metadata.args(["--filter-platform", TARGET]);
    let output = metadata.current_dir(project::root()).output()?;
    if !output.status.success() {
        bail!(
            "cargo metadata: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn version(metadata: &Value) -> anyhow::Result<String> {
    packages(metadata)
        .find(|package| package["name"] == "portcullis-cli")
        .and_then(|package| package["version"].as_str().map(str::to_owned))
        .context("portcullis-cli is a package")
}

fn packages(metadata: &Value) -> impl Iterator<Item = &Value> {
    metadata["packages"].as_array().into_iter().flatten()
}

/// Everything that is linked into the program, as CycloneDX 1.5.
fn bill_of_materials(metadata: &Value, version: &str) -> anyhow::Result<Value> {
    let nodes = metadata["resolve"]["nodes"].as_array().context("resolve")?;
    let root = packages(metadata)
        .find(|package| package["name"] == "portcullis-cli")
        .and_then(|package| package["id"].as_str())
        .context("portcullis-cli is a package")?;
    let mut linked = std::collections::BTreeSet::from([root]);
    let mut waiting = vec![root];
    while let Some(id) = waiting.pop() {
        let node = nodes.iter().find(|node| node["id"] == id);
        for dependency in node
            .and_then(|node| node["deps"].as_array())
            .into_iter()
            .flatten()
        {
            let normal = dependency["dep_kinds"]
                .as_array()
                .is_some_and(|kinds| kinds.iter().any(|kind| kind["kind"].is_null()));
            if let Some(id) = dependency["pkg"].as_str().filter(|_| normal)
                && linked.insert(id)
            {
                waiting.push(id);
            }
        }
    }
    let components: Vec<Value> = packages(metadata)
        .filter(|package| package["id"].as_str().is_some_and(|id| linked.contains(id) && id != root))
        .map(|package| {
            let (name, version) = (&package["name"], &package["version"]);
            json!({
                "type": "library",
                "name": name,
                "version": version,
                "purl": format!(
                    "pkg:cargo/{}@{}",
                    name.as_str().unwrap_or_default(),
                    version.as_str().unwrap_or_default()
                ),
                "licenses": package["license"].as_str().map(|license| json!([{"expression": license}])),
            })
        })
        .collect();
    println!("    {} crates are linked into it", components.len());
    Ok(json!({
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {"component": {"type": "application", "name": "portcullis", "version": version}},
        "components": components,
    }))
}

fn megabytes(file: &Path) -> anyhow::Result<f64> {
    let bytes = u32::try_from(std::fs::metadata(file)?.len())?;
    Ok(f64::from(bytes) / 1e6)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    /// The archive of a program, packed in a folder of its own a moment after its files were written anew.
    fn packed(number: u32, program: &[u8]) -> Vec<u8> {
        let folder = std::env::temp_dir().join(format!("pack-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let binary = folder.join("built");
        std::fs::write(&binary, program).unwrap();
        let later = std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(u64::from(number));
        std::fs::File::open(&binary)
            .unwrap()
            .set_modified(later)
            .unwrap();
        pack(&binary, &folder, "name").unwrap();
        let archive = std::fs::read(folder.join("name.tar.gz")).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        archive
    }

    #[test]
    fn the_same_program_packs_to_the_same_bytes_and_another_one_does_not() {
        let first = packed(1, b"a program");
        assert_eq!(first, packed(2, b"a program"));
        assert_ne!(first, packed(3, b"a_program"));
    }

    #[test]
    fn the_image_is_made_of_what_is_in_the_archive() {
        let folder = std::env::temp_dir().join(format!("image-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let archive = folder.join("a.tar.gz");
        std::fs::write(&archive, packed(4, b"a program")).unwrap();
        let mut list = Command::new("tar");
        let list = list.arg("tzf").arg(&archive).output().unwrap();
        let list = String::from_utf8(list.stdout).unwrap();
        std::fs::remove_dir_all(folder).unwrap();
        let has = |path: &str| list.lines().any(|line| line == format!("name/{path}"));
        let deploy = |file: &str| {
            std::fs::read_to_string(project::root().join("deploy").join(file)).unwrap()
        };
        assert!(deploy("compose.yaml").contains(":-deploy/Dockerfile}"));
        assert!(
            has("deploy/Dockerfile") && has("deploy/compose.yaml"),
            "{list}"
        );
        let image = deploy("Dockerfile");
        let copied: Vec<&str> = image
            .lines()
            .filter_map(|line| line.strip_prefix("COPY ")?.split(' ').next())
            .filter(|word| !word.starts_with("--"))
            .collect();
        assert_eq!(copied, ["portcullis"]);
        assert!(copied.iter().all(|path| has(path)), "{list}");
        assert!(!has("Cargo.toml"), "an archive has no source");
    }

    #[test]
    fn a_file_that_was_swapped_does_not_have_the_sum_that_was_written_and_the_right_one_has() {
        let folder = std::env::temp_dir().join(format!("sums-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("a.tar.gz");
        std::fs::write(&file, "the right one").unwrap();
        sums(&folder).unwrap();
        for (content, is_right) in [("the wrong one", false), ("the right one", true)] {
            std::fs::write(&file, content).unwrap();
            let mut check = Command::new("sha256sum");
            check.args(["--check", "--strict", "--status", "SHA256SUMS"]);
            let status = check.current_dir(&folder).status().unwrap();
            assert_eq!(status.success(), is_right, "{content}");
        }
        std::fs::remove_dir_all(folder).unwrap();
    }
}
