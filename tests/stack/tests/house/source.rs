//! What stands in our own source, and what must not.

use std::path::{Path, PathBuf};

use super::root;

/// Each file below `folder` that ends so.
pub fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && name != "node_modules" {
            found.extend(files(&path, end));
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found
}

/// The source that is shipped: no tests, which may do more.
fn shipped() -> Vec<(PathBuf, String)> {
    let mut shipped = Vec::new();
    for krate in std::fs::read_dir(root().join("crates")).unwrap() {
        let folder = krate.unwrap().path();
        if folder.ends_with("testkit") {
            continue;
        }
        for path in files(&folder.join("src"), ".rs") {
            let inside = path.strip_prefix(&folder).unwrap();
            let is_test = inside.components().any(|part| {
                let part = part.as_os_str().to_string_lossy();
                part == "tests" || part == "tests.rs" || part == "test_child.rs"
            });
            let text = std::fs::read_to_string(&path).unwrap();
            // Tests stand at the end.
            let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap();
            if !is_test {
                shipped.push((path, text.to_owned()));
            }
        }
    }
    assert!(shipped.len() > 300, "{}", shipped.len());
    shipped
}

fn has_word(text: &str, word: &str) -> bool {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| line.split(|char: char| !char.is_ascii_alphanumeric() && char != '_'))
        .any(|found| found == word)
}

#[test]
fn no_crate_of_ours_can_hold_unsafe_code() {
    let workspace = std::fs::read_to_string(root().join("Cargo.toml")).unwrap();
    assert!(workspace.contains("\n[workspace.lints.rust]\nunsafe_code = \"forbid\"\n"));
    let mut manifests = vec![root().join("xtask/Cargo.toml")];
    for folder in ["crates", "examples", "tests"] {
        manifests.extend(files(&root().join(folder), "Cargo.toml"));
    }
    assert!(manifests.len() > 15);
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest).unwrap();
        assert!(
            text.contains("\n[lints]\nworkspace = true\n"),
            "{}",
            manifest.display()
        );
    }
    // What is forbidden cannot be allowed again further down, so that no file need be read.
    assert!(!workspace.contains("unsafe_code = \"allow\""));
}

/// Randomness is the operating system's, by the one library; nothing is seeded and nothing can be cloned with a machine.
#[test]
fn what_is_secret_is_made_by_the_operating_system_alone() {
    let mut manifests = files(&root().join("crates"), "Cargo.toml");
    manifests.retain(|path| !path.ends_with("testkit/Cargo.toml"));
    for manifest in manifests {
        let text = std::fs::read_to_string(&manifest).unwrap();
        let shipped = text.split("[dev-dependencies]").next().unwrap();
        for other in ["rand", "fastrand", "getrandom", "uuid", "oorandom"] {
            let named = shipped
                .lines()
                .any(|line| line.split(['.', ' ', '=']).next() == Some(other));
            assert!(!named, "{}: {other}", manifest.display());
        }
    }
    for (path, text) in shipped() {
        for other in ["thread_rng", "SmallRng", "StdRng", "RandomState"] {
            // It makes the hash of a map there, and no secret.
            if other == "RandomState" && path.ends_with("sdk/src/rate_counts.rs") {
                continue;
            }
            assert!(!has_word(&text, other), "{}: {other}", path.display());
        }
    }
    let made_here = std::fs::read_to_string(root().join("crates/base/src/random.rs")).unwrap();
    assert!(has_word(&made_here, "SystemRandom"));
}

/// What a library exports for looking into a token is used to trust it.
#[test]
fn no_library_of_ours_reads_an_access_token_without_verifying_it() {
    let mut with_claims = Vec::new();
    let mut decoding = Vec::new();
    for (path, text) in shipped() {
        let path = path.strip_prefix(root().join("crates")).unwrap();
        let mut libraries = ["base", "wire", "authz", "egress", "sdk"].into_iter();
        if !libraries.any(|library| path.starts_with(library)) {
            continue;
        }
        let path = path.to_string_lossy().into_owned();
        let functions = text.lines().filter_map(|line| {
            let line = line.trim_start();
            let line = line.strip_prefix("pub ")?;
            let line = line.strip_prefix("async ").unwrap_or(line);
            line.strip_prefix("fn ")
        });
        for function in functions {
            let name = function.split(['(', '<']).next().unwrap();
            for word in [
                "unverified",
                "insecure",
                "decode_token",
                "decode_jwt",
                "peek",
            ] {
                assert!(!name.contains(word), "{path}: {name}");
            }
        }
        if has_word(&text, "AccessTokenClaims") {
            with_claims.push(path.clone());
        }
        if has_word(&text, "base64url_decode") {
            decoding.push(path);
        }
    }
    with_claims.sort();
    assert_eq!(
        with_claims,
        [
            "authz/src/verify.rs",
            "authz/src/verify/other_issuer.rs",
            "wire/src/oauth/claims.rs",
            "wire/src/oauth/mod.rs",
        ]
    );
    // Whoever joins this list says here what is read there.
    decoding.sort();
    assert_eq!(
        decoding,
        [
            // What a client proves itself with; what it claims is called so until it is proven.
            "authz/src/client_assertion.rs",
            // The ids of grants.
            "authz/src/revoked_grants.rs",
            // Keys that gateways are sent.
            "authz/src/snapshot.rs",
            "authz/src/verify.rs",
            // Numbers of keys.
            "authz/src/verifying_keys.rs",
            "base/src/digest.rs",
            "base/src/lib.rs",
            // The tags of ids of events and of sessions.
            "sdk/src/event_id.rs",
            "sdk/src/mcp_session.rs",
            // How long a service token is.
            "sdk/src/opaque_tokens.rs",
            // Whom a token is not to be shown to, since somebody else made it.
            "sdk/src/other_issuer/mod.rs",
        ]
    );
    // The one function that makes claims of a token.
    let verify = std::fs::read_to_string(root().join("crates/authz/src/verify.rs")).unwrap();
    let public = verify
        .lines()
        .filter_map(|line| line.strip_prefix("pub fn "));
    let public: Vec<&str> = public.map(|line| line.split('(').next().unwrap()).collect();
    assert_eq!(public, ["verify_access_token"]);
}

/// Maps are those of the standard library, whose hashes have a key of this process. One is not, and says why.
#[test]
fn no_map_is_hashed_so_that_a_stranger_can_choose_collisions() {
    let mut own = Vec::new();
    for (path, text) in shipped() {
        let words = [
            "BuildHasherDefault",
            "FxHashMap",
            "FnvHashMap",
            "AHashMap",
            "with_hasher",
        ];
        if words.iter().any(|word| has_word(&text, word)) {
            own.push(path.file_name().unwrap().to_string_lossy().into_owned());
        }
    }
    // Its keys are SHA-256 digests of tokens of ours that verified.
    assert_eq!(own, ["token_cache.rs"]);
}

/// Nothing secret stands among the arguments of a program, which every neighbour on the machine can read.
#[test]
fn no_flag_takes_a_secret() {
    let arguments = root().join("crates/cli/src/args.rs");
    let text = std::fs::read_to_string(arguments).unwrap();
    let fields: Vec<_> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("pub ")?.split_once(':'))
        .collect();
    assert!(fields.len() > 30, "{}", fields.len());
    for (name, kind) in fields {
        let is_secret = ["password", "secret", "token", "key"]
            .iter()
            .any(|word| name.split('_').any(|part| part == *word));
        let takes_text = kind.contains("String");
        assert!(!is_secret || !takes_text, "--{name} takes {kind}");
    }
}

/// No workflow runs what a stranger wrote, and none uses what its maker can change afterwards.
#[test]
fn what_runs_in_ci_is_pinned_and_takes_no_words_of_strangers() {
    let mut workflows = vec![root().join(".ci/run")];
    let folder = root().join(".github/workflows");
    if folder.is_dir() {
        workflows.extend(files(&folder, ".yml"));
        workflows.extend(files(&folder, ".yaml"));
    }
    for workflow in workflows {
        let text = std::fs::read_to_string(&workflow).unwrap();
        assert_eq!(
            problems(&text),
            Vec::<String>::new(),
            "{}",
            workflow.display()
        );
    }
    let sha = "0123456789abcdef0123456789abcdef01234567";
    assert!(problems(&format!("  - uses: actions/checkout@{sha}\n")).is_empty());
    for wrong in [
        "  - uses: actions/checkout@v4\n",
        "on: pull_request_target\n",
        "  run: echo ${{ github.event.issue.title }}\n",
        "  run: curl -fsS https://example.com/install | sh\n",
    ] {
        assert_eq!(problems(wrong).len(), 1, "{wrong}");
    }
}

fn problems(text: &str) -> Vec<String> {
    let is_wrong = |line: &&str| {
        let pinned = |used: &str| {
            used.split_once('@').is_some_and(|(_, version)| {
                let version = version.split_whitespace().next().unwrap_or_default();
                version.len() == 40 && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        };
        let used = line.trim().trim_start_matches("- ").strip_prefix("uses: ");
        used.is_some_and(|used| !used.starts_with("./") && !pinned(used))
            || line.contains("pull_request_target")
            || line.contains("${{ github.event")
            || ((line.contains("curl") || line.contains("wget")) && line.contains("| "))
    };
    text.lines().filter(is_wrong).map(str::to_owned).collect()
}
