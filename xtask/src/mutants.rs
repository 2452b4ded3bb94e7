//! `cargo xtask mutants`: small faults are put into the functions that check, one at a time; a test must notice each.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail};

use crate::cargo;
use crate::command;
use crate::project;

/// The version that the written figures are of.
const VERSION: &str = "27.1.0";
const INSTALL_LIMIT: Duration = Duration::from_secs(30 * 60);
const RUN_LIMIT: Duration = Duration::from_secs(6 * 60 * 60);

/// Files whose faults the same tests must find.
struct Group {
    name: &'static str,
    /// The package that the files are of.
    package: &'static str,
    /// The package whose tests are run.
    tested_by: &'static str,
    files: &'static [&'static str],
    /// Of these files only the functions that this expression finds.
    functions: Option<&'static str>,
    /// Which of the package's tests are built.
    targets: &'static [&'static str],
    /// Of these the tests with one of these words in their names, or all.
    tests: &'static [&'static str],
}

/// The routes' tests that send forms.
const WHERE_FORMS_ARE_SENT: &[&str] = &[
    "people",
    "authorize",
    "page_attacks",
    "waiting",
    "service_tokens",
];

const GROUPS: &[Group] = &[
    Group {
        name: "wire",
        package: "portcullis-wire",
        tested_by: "portcullis-wire",
        files: &[
            "crates/wire/src/oauth/redirect_uri.rs",
            "crates/wire/src/oauth/pkce.rs",
            "crates/wire/src/oauth/scope.rs",
            "crates/wire/src/oauth/challenge.rs",
            "crates/wire/src/oauth/read_challenge.rs",
        ],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "authz",
        package: "portcullis-authz",
        tested_by: "portcullis-authz",
        files: &[
            "crates/authz/src/verify.rs",
            "crates/authz/src/verifying_keys.rs",
            "crates/authz/src/client_assertion.rs",
            "crates/authz/src/revoked.rs",
            "crates/authz/src/decide.rs",
            "crates/authz/src/visible.rs",
            "crates/authz/src/step_up.rs",
            "crates/authz/src/rule.rs",
        ],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "egress",
        package: "portcullis-egress",
        tested_by: "portcullis-egress",
        files: &["crates/egress/src/address.rs", "crates/egress/src/ports.rs"],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "oauth",
        package: "portcullis-oauth",
        tested_by: "portcullis-oauth",
        files: &[
            "crates/oauth/src/token_text.rs",
            "crates/oauth/src/resource_indicator.rs",
            "crates/oauth/src/client_id_metadata/url.rs",
            "crates/oauth/src/client_id_metadata/key_set.rs",
            "crates/oauth/src/client_id_metadata/document.rs",
        ],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "refresh",
        package: "portcullis-oauth",
        tested_by: "portcullis-oauth",
        files: &["crates/oauth/src/grant/refresh_token.rs"],
        functions: Some("judge"),
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "clients",
        package: "portcullis-oauth",
        tested_by: "portcullis-server",
        files: &[
            "crates/oauth/src/client_auth.rs",
            "crates/oauth/src/client_assertion.rs",
        ],
        functions: None,
        targets: ROUTES,
        tests: &[
            "client_auth",
            "client_credentials",
            "token",
            "refresh",
            "waiting",
        ],
    },
    Group {
        name: "forms",
        package: "portcullis-oauth",
        tested_by: "portcullis-oauth",
        files: &[
            "crates/oauth/src/prompt.rs",
            "crates/oauth/src/parameters.rs",
            "crates/oauth/src/seal.rs",
        ],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "basic",
        package: "portcullis-server",
        tested_by: "portcullis-server",
        files: &["crates/server/src/oauth/basic.rs"],
        functions: None,
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "connector",
        package: "portcullis-egress",
        tested_by: "portcullis-egress",
        files: &["crates/egress/src/connector.rs"],
        functions: Some("check_addresses"),
        targets: &["--test", "client", "--test", "fetcher"],
        tests: &[],
    },
    Group {
        name: "csrf",
        package: "portcullis-oauth",
        tested_by: "portcullis-server",
        files: &["crates/oauth/src/csrf.rs"],
        functions: None,
        targets: ROUTES,
        tests: WHERE_FORMS_ARE_SENT,
    },
    Group {
        name: "origin",
        package: "portcullis-server",
        tested_by: "portcullis-server",
        files: &["crates/server/src/same_origin.rs"],
        functions: None,
        targets: ROUTES,
        tests: WHERE_FORMS_ARE_SENT,
    },
    Group {
        name: "redirects",
        package: "portcullis-oauth",
        tested_by: "portcullis-oauth",
        files: &[
            "crates/oauth/src/registered_redirects.rs",
            "crates/oauth/src/registration_quota.rs",
        ],
        functions: Some("scheme_problem|is_reverse_domain|kinds"),
        targets: &["--lib"],
        tests: &[],
    },
    Group {
        name: "registration",
        package: "portcullis-oauth",
        tested_by: "portcullis-server",
        files: &[
            "crates/oauth/src/registered_redirects.rs",
            "crates/oauth/src/registration_quota.rs",
        ],
        functions: Some(
            r"acceptable|\bproblem\b|is_ours|take_address|\broom\b|give_back|below_the_whole|making_room|Registrations::",
        ),
        targets: ROUTES,
        tests: &["register", "each_client"],
    },
    Group {
        name: "machines",
        package: "portcullis-oauth",
        tested_by: "portcullis-server",
        files: &[
            "crates/oauth/src/introspect.rs",
            "crates/oauth/src/grant/client_credentials.rs",
        ],
        functions: None,
        targets: ROUTES,
        tests: &["introspect", "client_credentials", "service_tokens"],
    },
];

/// The routes, for what needs a store.
const ROUTES: &[&str] = &["--test", "routes"];

/// Runs the named group, or all of them; whether every fault was noticed or is argued on the page.
pub fn run(only: Option<&str>) -> anyhow::Result<bool> {
    if let Some(only) = only
        && !GROUPS.iter().any(|group| group.name == only)
    {
        let names: Vec<&str> = GROUPS.iter().map(|group| group.name).collect();
        bail!("there is no group {only}; there are {}", names.join(", "));
    }
    let program = installed()?;
    let page = std::fs::read_to_string(project::root().join("docs/evidence/mutants.md"))
        .context("docs/evidence/mutants.md")?;
    let mut all_noticed = true;
    for group in GROUPS {
        if only.is_none_or(|only| only == group.name) {
            all_noticed &= mutate(&program, group, &page)?;
        }
    }
    Ok(all_noticed)
}

fn mutate(program: &Path, group: &Group, page: &str) -> anyhow::Result<bool> {
    println!("==> {} ({} files)", group.name, group.files.len());
    let folder = project::root().join("target/mutants").join(group.name);
    std::fs::create_dir_all(&folder)?;
    let mut mutants = Command::new(program);
    mutants.args(["mutants", "--package", group.package]);
    mutants.args(["--test-package", group.tested_by]);
    for file in group.files {
        mutants.args(["--file", file]);
    }
    if let Some(functions) = group.functions {
        mutants.args(["--re", functions]);
    }
    mutants.arg("--output").arg(&folder);
    // Said to the build as well: a fault costs one test program and not all of the package's.
    for target in group.targets {
        mutants.arg(format!("--cargo-arg={target}"));
    }
    mutants.args([
        "--no-shuffle",
        "--jobs",
        "1",
        "--timeout",
        "300",
        "--",
        "--",
    ]);
    mutants.args(group.tests);
    // It exits with an error when a fault was not noticed, which the page may argue.
    let outcome = command::run(&format!("mutants-{}", group.name), &mut mutants, RUN_LIMIT)?;
    let found = |name: &str| -> anyhow::Result<Vec<String>> {
        let path = folder.join("mutants.out").join(name);
        let text = std::fs::read_to_string(&path)
            .with_context(|| format!("{}; see {}", path.display(), outcome.log.display()))?;
        Ok(text.lines().map(str::to_owned).collect())
    };
    let (caught, missed) = (found("caught.txt")?, found("missed.txt")?);
    let (timeout, unviable) = (found("timeout.txt")?, found("unviable.txt")?);
    let (argued, survivors): (Vec<_>, Vec<_>) = missed
        .iter()
        .partition(|mutant| page.contains(&format!("`{}`", without_place(mutant))));
    println!(
        "    {} noticed, {} ended by the time limit, {} do not compile, {} argued, {} not noticed",
        caught.len(),
        timeout.len(),
        unviable.len(),
        argued.len(),
        survivors.len()
    );
    for survivor in &survivors {
        println!("    | {survivor}");
    }
    Ok(survivors.is_empty() && !caught.is_empty())
}

/// "file:line:column: what" without line and column, which move.
fn without_place(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_), Some(_), Some(what)) => format!("{file}:{what}"),
        _ => mutant.to_owned(),
    }
}

/// cargo-mutants, in the ignored folder of tools.
fn installed() -> anyhow::Result<PathBuf> {
    let folder = project::tools().join(format!("cargo-mutants-{VERSION}"));
    let program = folder.join("bin/cargo-mutants");
    if !program.exists() {
        println!("==> installing cargo-mutants {VERSION}");
        let mut install = cargo::cargo();
        install.args(["install", "cargo-mutants", "--locked", "--version", VERSION]);
        install.arg("--root").arg(&folder);
        command::run("cargo-install-mutants", &mut install, INSTALL_LIMIT)?
            .check("cargo install cargo-mutants")?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::without_place;

    #[test]
    fn a_fault_is_told_without_its_line() {
        assert_eq!(
            without_place("crates/a/src/b.rs:12:34: replace > with >= in A::b"),
            "crates/a/src/b.rs: replace > with >= in A::b"
        );
        assert_eq!(without_place("words"), "words");
    }
}
