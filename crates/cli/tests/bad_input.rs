//! Every wrong flag, file and directory is refused in words that name it, and changes nothing.
#![allow(clippy::unwrap_used)]

mod common;

use common::{Home, Up};

#[tokio::test]
async fn a_wrong_command_line_names_the_flag_and_exits_2() {
    let home = Home::new();
    let headers = home.write("headers", "X-Key: k\n");
    let headers = headers.to_str().unwrap();
    let url = "http://127.0.0.1:1/mcp";
    let table: &[(&[&str], &str)] = &[
        (&["up", "--port", "70000"], "--port"),
        (&["up", "--port", "http"], "--port"),
        (
            &["up", "--public-url", "http://mcp.example.com"],
            "--public-url",
        ),
        (
            &["up", "--public-url", "https://mcp.example.com/x"],
            "--public-url",
        ),
        (&["up", "--slug", "Not A Slug"], "--slug"),
        (&["up", "--tool-scope", "a"], "--tool-scope"),
        (&["up", "--tool-scope", "a=b c"], "--tool-scope"),
        (
            &["up", "--tool-scope", "a=b", "--tool-scope", "a=c"],
            "--tool-scope",
        ),
        (&["up", "npx"], "TARGET"),
        (&["up", "ftp://127.0.0.1/mcp"], "TARGET"),
        (&["up", url, "--", "npx"], "TARGET"),
        (&["up", url, "--env", "A=b"], "--env"),
        (&["up", "--env", "A=b"], "--env"),
        (&["up", "--env", "A-B=c", "--", "sh"], "--env"),
        (&["up", "--upstream-header-file", headers], "TARGET"),
        (
            &["up", "todo", "--upstream-header-file", headers],
            "--upstream-header-file",
        ),
        (&["up", "--log", "a=b=c"], "--log"),
        (&["up", "--nonsense"], "--nonsense"),
        (&["call"], "TOOL"),
        (&["call", "x", "--json", "["], "--json"),
        (&["call", "x", "--json", "[]"], "--json"),
        (&["call", "x", "y"], "KEY=VALUE"),
        (&["call", "x", "--url", "127.0.0.1"], "--url"),
        (&["tools", "--url", "file:///etc/passwd"], "--url"),
        (&["connect", "emacs"], "emacs"),
        (&["users", "add", "alice"], "EMAIL"),
        (&["users", "add", "alice@example.com"], "--password-stdin"),
        (&["clients", "add", "--name", "x"], "--redirect-uri"),
        (
            &[
                "clients",
                "add",
                "--name",
                "x",
                "--redirect-uri",
                "http://example.com",
            ],
            "--redirect-uri",
        ),
        (&["nonsense"], "nonsense"),
    ];
    for (arguments, named) in table {
        // The ones that need an address fail before they look for an authority.
        let with_url: Vec<&str> = match arguments.first() {
            Some(&"call") if !arguments.contains(&"--url") => {
                [arguments, &["--url", url][..]].concat()
            }
            _ => arguments.to_vec(),
        };
        let ran = home.run(&with_url).await;
        assert_eq!(ran.code, 2, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(named), "{arguments:?}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("error: "),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert_eq!(ran.stdout, "", "{arguments:?}");
        assert!(
            !home.data().join("authority.json").exists(),
            "{arguments:?}"
        );
    }
}

#[tokio::test]
async fn commands_beside_an_authority_say_that_there_is_none_and_make_none() {
    let home = Home::new();
    for arguments in [
        &["users", "list"][..],
        &["clients", "list"],
        &["tools"],
        &["call", "x"],
        &["connect", "cursor"],
    ] {
        let ran = home.run(arguments).await;
        assert_eq!(ran.code, 1, "{arguments:?}");
        assert!(
            ran.stderr.contains("portcullis up"),
            "{arguments:?}: {}",
            ran.stderr
        );
        assert!(!home.data().exists(), "{arguments:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_upstream_that_cannot_be_protected_is_refused_and_leaves_no_server() {
    let home = Home::new();
    let no_mcp = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = no_mcp.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = no_mcp.accept().await.unwrap();
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
                let _ = stream.read(&mut [0; 4096]).await;
                let _ = stream
                    .write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
                    .await;
            });
        }
    });
    let target = format!("http://127.0.0.1:{port}/mcp");
    let missing = home.path("no-such-file");
    let table = [
        (vec![target.as_str()], "Check the address"),
        (
            vec![
                "http://127.0.0.1:9/mcp",
                "--upstream-header-file",
                missing.to_str().unwrap(),
            ],
            "--upstream-header-file",
        ),
        (vec!["--", "no-such-program-here"], "no-such-program-here"),
    ];
    for (arguments, reason) in table {
        let ran = home
            .run(&[&["up", "--no-open", "--port", "0"][..], &arguments].concat())
            .await;
        assert_eq!(ran.code, 1, "{arguments:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(reason), "{arguments:?}: {}", ran.stderr);
        assert!(
            !home.data().join("authority.json").exists(),
            "{arguments:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_first_start_fixed_is_not_changed_by_a_later_one() {
    let home = Home::new();
    let up = Up::start(&home, &["--port", "0"]).await;
    let url = up.url("mcp_url").to_owned();
    let held = home.run(&["up", "--no-open"]).await;
    assert_eq!(held.code, 1);
    assert!(
        held.stderr.contains(up.url("authority_url")),
        "{}",
        held.stderr
    );
    assert!(held.stderr.contains("--data-dir"), "{}", held.stderr);
    assert_eq!(up.stop().await.code, 0);

    let authority = home.data().join("authority.json");
    let before = common::read(&authority);
    for (arguments, named) in [
        (["--port", "1"], "--port 1"),
        (
            ["--public-url", "https://mcp.example.com"],
            "--public-url https://mcp.example.com",
        ),
    ] {
        let ran = home
            .run(&[&["up", "--no-open"][..], &arguments].concat())
            .await;
        assert_eq!(ran.code, 2, "{}", ran.stderr);
        assert!(ran.stderr.contains(named), "{}", ran.stderr);
        assert_eq!(common::read(&authority), before);
    }
    let port = url::Url::parse(&url).unwrap().port().unwrap();
    let taken = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap();
    let ran = home.run(&["up", "--no-open"]).await;
    assert_eq!(ran.code, 1);
    assert!(
        ran.stderr.contains(&format!("port {port} is taken")),
        "{}",
        ran.stderr
    );
    drop(taken);
    let up = Up::start(&home, &[]).await;
    assert_eq!(up.url("mcp_url"), url);
    assert_eq!(up.stop().await.code, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_of_a_newer_version_or_with_another_file_for_a_database_is_refused() {
    let home = Home::new();
    assert_eq!(
        Up::start(&home, &["--port", "0"]).await.stop().await.code,
        0
    );
    let authority = home.data().join("authority.json");
    let good = common::read(&authority);
    std::fs::write(&authority, good.replace("\"format\": 1", "\"format\": 2")).unwrap();
    let ran = home.run(&["up", "--no-open"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("newer portcullis"), "{}", ran.stderr);
    std::fs::write(&authority, good).unwrap();

    let database = home.data().join("portcullis.db");
    std::fs::write(&database, "not a database, whatever its name says").unwrap();
    let ran = home.run(&["up", "--no-open"]).await;
    assert_eq!(ran.code, 1);
    assert!(ran.stderr.contains("portcullis.db"), "{}", ran.stderr);
}

#[tokio::test]
async fn an_answer_that_standard_output_does_not_take_is_a_failure_that_says_so() {
    let home = Home::new();
    let arguments = ["config", "reference"];
    assert_eq!(home.run(&arguments).await.code, 0);
    let Ok(full) = std::fs::File::options().write(true).open("/dev/full") else {
        return;
    };
    // `output()` would take standard output for itself.
    let child = home.command(&arguments).stdout(full).spawn().unwrap();
    let output = child.wait_with_output().await.unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("standard output"), "{said}");
}
