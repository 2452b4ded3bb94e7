#![allow(clippy::unwrap_used)]
use super::*;
use crate::config::load;

fn check(text: &str) -> anyhow::Result<Valid> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    std::fs::write(&file, text).unwrap();
    load(&file, std::iter::empty())?.valid()
}

fn refused(text: &str) -> String {
    let error = check(text).expect_err(text).to_string();
    let (_, problems) = error.split_once("cannot be used").unwrap();
    problems.trim().to_owned()
}

const URL: &str = "public_url = \"https://mcp.example.com\"\n";

#[test]
fn one_line_is_a_whole_configuration() {
    let valid = check(URL).unwrap();
    assert!(matches!(valid.database, DatabasePlace::Sqlite));
    assert!(matches!(valid.master_key, MasterKeyPlace::DataDirectory));
    assert_eq!(valid.listen, ["127.0.0.1:4180".parse().unwrap()]);
    assert_eq!(valid.warnings.len(), 1, "{:?}", valid.warnings);
    assert!(refused("").starts_with("public_url is missing"));
}

#[test]
fn audit_events_are_kept_for_a_year_and_a_month_or_as_long_as_was_said() {
    for (text, days) in [
        ("", Some(400)),
        ("[retention]\naudit = \"1d\"\n", Some(1)),
        ("[retention]\naudit = \"3650d\"\n", Some(3650)),
        ("[retention]\naudit = \"forever\"\n", None),
    ] {
        let kept = check(&format!("{URL}{text}"))
            .unwrap()
            .retention
            .audit
            .duration();
        assert_eq!(
            kept.map(|kept| kept.as_secs() / (24 * 3600)),
            days,
            "{text}"
        );
    }
}

#[test]
fn a_proxy_or_a_certificate_answers_the_warning() {
    let proxy = format!("{URL}[proxy]\ntrusted = [\"127.0.0.1\"]\n");
    assert!(check(&proxy).unwrap().warnings.is_empty());
    let tls = format!("{URL}[[tls.certificates]]\ncertificate_file = \"a\"\nkey_file = \"b\"\n");
    assert!(check(&tls).unwrap().warnings.is_empty());
    let http = tls.replace("https://mcp.example.com", "http://localhost:4180");
    assert_eq!(
        refused(&http),
        "line 2, column 7: tls.certificates: are given, and public_url http://localhost:4180 is not https"
    );
}

#[test]
fn addresses_stand_once() {
    assert!(
        check(&format!(
            "{URL}[listen]\naddresses = [\"127.0.0.1:1\", \"[::1]:1\"]\n"
        ))
        .is_ok()
    );
    for (text, problem) in [
        ("[listen]\naddresses = []", "is empty"),
        (
            "[listen]\naddresses = [\"127.0.0.1:1\", \"127.0.0.1:1\"]",
            "stands twice",
        ),
        (
            "[admin]\nlisten = [\"127.0.0.1:4180\"]",
            "is a public address too",
        ),
        (
            "[admin]\nurl = \"https://a.example\"",
            "without admin.listen",
        ),
        ("[admin]\ntls = true", "without admin.listen"),
        (
            "[operations]\nlisten = [\"127.0.0.1:4180\"]",
            "is for something else too",
        ),
        ("[admin]\nlisten = [\"10.0.0.1:9\"]", "admin.url must say"),
        (
            "[admin]\nlisten = [\"127.0.0.1:9\"]\ntls = true",
            "needs a certificate",
        ),
    ] {
        let found = refused(&format!("{URL}{text}"));
        assert!(found.contains(problem), "{text}: {found}");
    }
}

#[test]
fn the_dashboard_has_an_origin_of_its_own() {
    let admin = |text: &str| {
        let valid = check(&format!("{URL}[admin]\n{text}")).unwrap();
        valid.admin.unwrap().url.to_string()
    };
    assert_eq!(admin("listen = [\"127.0.0.1:9\"]"), "http://127.0.0.1:9");
    assert_eq!(
        admin("listen = [\"10.0.0.1:9\"]\nurl = \"https://admin.example.com\""),
        "https://admin.example.com"
    );
}

#[test]
fn secrets_come_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("url");
    let with = |text: &str| {
        std::fs::write(&file, text).unwrap();
        format!(
            "{URL}[database]\nurl_file = {:?}\n[keys]\nmaster_key_file = \"k\"\n",
            file.display().to_string()
        )
    };
    match check(&with("postgres://me:pw@db/x\n")).unwrap().database {
        DatabasePlace::Postgres { url, .. } => assert_eq!(url.expose(), "postgres://me:pw@db/x"),
        DatabasePlace::Sqlite => panic!("it is PostgreSQL"),
    }
    for (text, problem) in [
        ("", "must hold one line"),
        ("postgres://a\npostgres://b\n", "must hold one line"),
        ("mysql://a", "is no PostgreSQL address"),
    ] {
        let found = refused(&with(text));
        assert!(found.contains(problem), "{text}: {found}");
        assert!(!found.contains("mysql"), "{found}");
    }
    let url = format!("{URL}[database]\nurl = \"postgres://me:hunter2@db/x\"\n");
    assert!(check(&format!("{url}[keys]\nmaster_key = \"AAAA\"\n")).is_ok());
    for (text, problem) in [
        (
            "[keys]\nmaster_key = \"a\"\nmaster_key_file = \"b\"",
            "both given",
        ),
        ("[database]\nschema = \"a\"", "database.url is missing"),
        (
            "[database]\nurl = \"postgres://a/b\"\nurl_file = \"/x\"",
            "both given",
        ),
        (
            "[keys]\nmaster_key = \"a\"\n[database]\nurl = \"postgres://a/b\"\nschema = \"A b\"",
            "must be 1 to 54",
        ),
        (
            "[database]\nurl_file = \"/does/not/exist\"",
            "cannot be read",
        ),
    ] {
        let found = refused(&format!("{URL}{text}"));
        assert!(found.contains(problem), "{text}: {found}");
    }
}

#[test]
fn certificates_are_ordered_when_the_terms_are_agreed_to_and_names_can_be_proven() {
    let listen = "[listen]\naddresses = [\"[::]:443\"]\n";
    let acme = format!("{URL}{listen}[tls.acme]\nterms_agreed = true\n");
    let valid = check(&acme).unwrap();
    assert!(valid.warnings.is_empty(), "{:?}", valid.warnings);
    let place = valid.acme.unwrap();
    assert_eq!(
        place.directory.as_str(),
        "https://acme-v02.api.letsencrypt.org/directory"
    );
    let http = format!("{acme}challenge = \"http-01\"\nhttp_listen = [\"[::]:80\"]\n");
    assert!(check(&http).unwrap().warnings.is_empty());
    let named = format!("{acme}domains = [\"MCP.Example.com\", \"b.example.com\"]\n");
    let named = check(&named).unwrap().acme.unwrap();
    assert_eq!(named.domains, ["mcp.example.com", "b.example.com"]);

    let not_agreed = acme.replace("true", "false");
    assert!(refused(&not_agreed).contains("tls.acme.terms_agreed: is not true; read the terms"));
    let on_loopback = acme.replace("https://mcp.example.com", "http://localhost:4180");
    assert!(refused(&on_loopback).contains("tls.acme: is given, and public_url"));
    let an_address = acme.replace("mcp.example.com", "192.0.2.7");
    assert!(refused(&an_address).contains("is an address; name at least one host"));
    for (line, problem) in [
        ("challenge = \"http-01\"", "http-01 needs it"),
        ("challenge = \"dns-01\"", "unknown variant"),
        ("domains = [\"*.example.com\"]", "is no name of a host"),
        ("domains = [\"example.com:443\"]", "is no name of a host"),
        (
            "contact = [\"ops@example.com\"]",
            "write mailto:ops@example.com",
        ),
        (
            "directory = \"http://localhost:14000/dir\"",
            "begins with https://",
        ),
        ("http_listen = [\"[::]:443\"]", "is for something else too"),
        (
            "external_account = { key_id = \"a\", hmac_key_file = \"/nowhere\" }",
            "hmac_key_file: /nowhere cannot be read",
        ),
    ] {
        let said = refused(&format!("{acme}{line}\n"));
        assert!(said.contains(problem), "{said}");
    }
    let elsewhere = acme.replace("[::]:443", "[::]:8443");
    assert!(check(&elsewhere).unwrap().warnings[0].contains("has no port 443"));
}

const MAIL: &str =
    "[mail]\nhost = \"smtp.example.com\"\nfrom = \"Example <sign-in@example.com>\"\n";

#[test]
fn two_lines_name_a_mail_server_and_the_rest_is_usual() {
    assert!(check(URL).unwrap().mail.is_none());
    let mail = check(&format!("{URL}{MAIL}")).unwrap().mail.unwrap();
    assert_eq!(mail.encryption, mail::Encryption::StartTls);
    assert_eq!(
        (mail.port, mail.hello_name.as_str()),
        (587, "mcp.example.com")
    );
    assert_eq!(mail.from.address(), "sign-in@example.com");
    assert!(mail.credentials.is_none());
    for (tls, port) in [("implicit", 465), ("starttls", 587)] {
        let text = format!("{URL}{MAIL}tls = \"{tls}\"\n");
        assert_eq!(check(&text).unwrap().mail.unwrap().port, port);
    }
}

#[test]
fn mail_in_the_clear_is_for_this_machine_or_said_explicitly() {
    let local = MAIL.replace("smtp.example.com", "127.0.0.1");
    let valid = check(&format!("{URL}{local}tls = \"none\"\n")).unwrap();
    assert_eq!(valid.mail.unwrap().port, 25);
    assert!(!valid.warnings.iter().any(|words| words.contains("mail")));
    let text = format!("{URL}{MAIL}tls = \"none\"\n");
    assert!(refused(&text).contains("mail.tls: is none, and smtp.example.com is another machine"));
    let said = check(&format!("{text}unencrypted_allowed = true\n")).unwrap();
    assert!(
        said.warnings
            .iter()
            .any(|words| words.contains("not encrypted"))
    );
}

#[test]
fn a_password_of_the_mail_server_comes_from_a_file_and_belongs_to_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "hunter2\n").unwrap();
    let with_file = format!("password_file = {:?}\n", file.display().to_string());
    let text = format!("{URL}{MAIL}user_name = \"portcullis\"\n{with_file}");
    let (name, password) = check(&text).unwrap().mail.unwrap().credentials.unwrap();
    assert_eq!(
        (name.as_str(), password.expose().as_str()),
        ("portcullis", "hunter2")
    );
    for (more, problem) in [
        (
            "user_name = \"portcullis\"\n",
            "mail.user_name: needs mail.password_file",
        ),
        (
            with_file.as_str(),
            "mail.password_file: means nothing without mail.user_name",
        ),
        (
            "user_name = \"portcullis\"\npassword_file = \"/nowhere/at/all\"\n",
            "mail.password_file: /nowhere/at/all cannot be read",
        ),
        (
            &format!("user_name = \"portcullis\"\npassword = \"a\"\n{with_file}"),
            "mail.password: and mail.password_file are both given",
        ),
        (
            "user_name = \"port\\ncullis\"\npassword = \"a\"\n",
            "mail.user_name: is empty or has",
        ),
    ] {
        let words = refused(&format!("{URL}{MAIL}{more}"));
        assert!(words.contains(problem), "{more}: {words}");
    }
}

#[test]
fn what_is_wrong_with_a_mail_server_is_said_at_its_key() {
    for (section, problem) in [
        (
            "[mail]\nfrom = \"a@example.com\"\n",
            "mail.from: means nothing without mail.host",
        ),
        (
            "[mail]\nhost = \"smtp.example.com\"\n",
            "mail.host: needs mail.from",
        ),
        (
            "[mail]\nhost = \"smtp.example.com:587\"\nfrom = \"a@example.com\"\n",
            "mail.host: \"smtp.example.com:587\" is no name of a host",
        ),
        (
            "[mail]\nhost = \"smtp.example.com\"\nfrom = \"nobody\"\n",
            "mail.from: \"nobody\" is no address of mail",
        ),
        (
            "[mail]\nhost = \"smtp.example.com\"\nfrom = \"a@example.com\\nBcc: b@example.com\"\n",
            "mail.from:",
        ),
        (
            &format!("{MAIL}port = 0\n"),
            "mail.port: 0 is not between 1 and 65535",
        ),
        (&format!("{MAIL}tls = \"ssl\"\n"), "mail.tls"),
        (
            &format!("{MAIL}ca_file = \"/nowhere/ca.pem\"\n"),
            "mail.ca_file: /nowhere/ca.pem:",
        ),
        (
            &format!("{MAIL}connect_timeout = \"40s\"\n"),
            "mail.connect_timeout: is longer than mail.timeout, which is 30s",
        ),
    ] {
        let words = refused(&format!("{URL}{section}"));
        assert!(words.contains(problem), "{section}: {words}");
    }
    assert!(
        check(&format!(
            "{URL}{MAIL}port = 2525\nconnect_timeout = \"5s\"\ntimeout = \"20s\"\n"
        ))
        .is_ok()
    );
}
