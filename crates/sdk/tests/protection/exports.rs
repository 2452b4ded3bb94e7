use std::path::{Path, PathBuf};

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

/// The names that `lib.rs` exports.
fn exported() -> Vec<String> {
    let text = std::fs::read_to_string(source().join("lib.rs")).unwrap();
    let uses = text.split("pub use ").skip(1);
    let uses = uses.filter_map(|rest| rest.split(';').next());
    uses.flat_map(|path| {
        let names = path.rsplit("::").next().unwrap();
        let names = names.trim_matches(['{', '}', '\n', ' ']).split(',');
        names.map(|name| name.trim().to_owned()).collect::<Vec<_>>()
    })
    .filter(|name| !name.is_empty())
    .collect()
}

/// A library from which a token can be read without its signature will be used so.
#[test]
fn nothing_that_reads_a_token_without_verifying_it_is_exported() {
    let exported = exported();
    for known in [
        "Protection",
        "ProtectLayer",
        "VerifiedCaller",
        "require_scope",
    ] {
        assert!(
            exported.iter().any(|name| name == known),
            "{known}: {exported:?}"
        );
    }
    for name in &exported {
        let name = name.to_lowercase();
        for word in [
            "decode",
            "unverified",
            "claims",
            "peek",
            "insecure",
            "parse_token",
        ] {
            assert!(!name.contains(word), "{name}");
        }
    }
    // A token is taken apart in one place, and that is not in this crate.
    let mut takes_apart = Vec::new();
    for file in files(&source()) {
        let text = std::fs::read_to_string(&file).unwrap();
        let shipped = text.split("#[cfg(test)]").next().unwrap();
        if ["base64url_decode", "URL_SAFE", "read_assertion"]
            .iter()
            .any(|word| shipped.contains(word))
        {
            takes_apart.push(file.strip_prefix(source()).unwrap().display().to_string());
        }
        // Whoever has one went through authz, which verifies.
        let makes_one = shipped.matches("VerifiedCaller::new(").count();
        let is_there = file.ends_with("authenticate.rs") || file.ends_with("other_issuer/mod.rs");
        assert!(makes_one == 0 || is_there, "{}", file.display());
    }
    takes_apart.sort();
    // The tags of the id of an event and of a session, the random part of a service token, and whom a token is not to be shown to.
    assert_eq!(
        takes_apart,
        [
            "event_id.rs",
            "mcp_session.rs",
            "opaque_tokens.rs",
            "other_issuer/mod.rs"
        ]
    );
    let caller = std::fs::read_to_string(source().join("verified_caller.rs")).unwrap();
    assert!(caller.contains("pub(crate) fn new(token: VerifiedToken)"));
}
