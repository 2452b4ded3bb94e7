#![allow(clippy::unwrap_used)]

use super::super::{Valid, load};
use super::*;

fn check(text: &str) -> anyhow::Result<Valid> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("portcullis.toml");
    let text = format!("public_url = \"https://mcp.example.com\"\n{text}");
    std::fs::write(&file, text).unwrap();
    load(&file, std::iter::empty())?.valid()
}

const ISSUER: &str = "[[issuers]]\nserver = \"todo\"\nurl = \"https://login.example.com\"\n";
const ASKED: &str =
    "introspection_client_id = \"gateway\"\nintrospection_client_secret = \"secret\"\n";

#[test]
fn an_issuer_needs_a_server_and_an_address_and_what_it_is_asked_with() {
    let valid = check(ISSUER).unwrap();
    let [place] = &*valid.issuers else {
        panic!("{:?}", valid.issuers)
    };
    assert_eq!(place.slug.as_str(), "todo");
    assert_eq!(place.settings.issuer, "https://login.example.com");
    assert_eq!(place.settings.validation, Validation::Jwt);
    assert_eq!(place.settings.algorithms, ALGORITHMS);
    assert_eq!(place.settings.form, TokenForm::default());
    assert_eq!(place.settings.kept_for, KEPT);
    for validation in ["introspection", "both", "either"] {
        let text = format!("{ISSUER}validation = \"{validation}\"\n");
        let problem = check(&text).unwrap_err().to_string();
        assert!(
            problem.contains("needs introspection_client_id"),
            "{problem}"
        );
        check(&format!("{text}{ASKED}")).unwrap();
    }
}

#[test]
fn everything_about_its_tokens_can_be_said() {
    let text = format!(
        "{ISSUER}{ASKED}validation = \"either\"\naudience = \"api://todo\"\naudience_lists = true\nalgorithms = [\"RS256\"]\n\
         plain_jwt = true\nintrospection_kept = \"5s\"\nsubject_claim = \"oid\"\nclient_claim = \"azp\"\nscope_claim = \"scp\"\n\
         roles_claim = \"/realm_access/roles\"\nrole_names = [\"https://x.example/?a=b=admin\", \"readers=reader\"]\n\
         introspection_without_audience = true\nintrospection_without_subject = true\n"
    );
    let valid = check(&text).unwrap();
    let settings = &valid.issuers[0].settings;
    assert_eq!(settings.audience.as_deref(), Some("api://todo"));
    assert_eq!(settings.algorithms, ["RS256"]);
    assert_eq!(settings.kept_for, Duration::from_secs(5));
    let form = TokenForm {
        subject: "oid".into(),
        client: "azp".into(),
        scope: "scp".into(),
        roles: Some("/realm_access/roles".into()),
        role_names: vec![
            ("https://x.example/?a=b".into(), "admin".into()),
            ("readers".into(), "reader".into()),
        ],
        plain_jwt: true,
        audience_lists: true,
        audience_left_out: true,
        subject_left_out: true,
    };
    assert_eq!(settings.form, form);
    assert!(!format!("{valid:?}").contains("\"secret\""));
}

#[test]
fn what_does_not_fit_is_refused_with_its_place() {
    for (text, words) in [
        (
            ISSUER.replace("https", "http"),
            "issuers[0].url: \"http://login.example.com\" must begin with https://",
        ),
        (ISSUER.replace("todo", "To do"), "issuers[0].server"),
        (
            format!("{ISSUER}{ISSUER}"),
            "issuers[1].server: todo has another issuer already",
        ),
        (
            format!("{ISSUER}{ASKED}"),
            "introspection_client_id: means nothing",
        ),
        (
            format!("{ISSUER}algorithms = [\"none\"]\n"),
            "\"none\" is not one of",
        ),
        (
            format!("{ISSUER}algorithms = [\"HS256\"]\n"),
            "\"HS256\" is not one of",
        ),
        (
            format!("{ISSUER}audience = \"\"\n"),
            "issuers[0].audience: is empty",
        ),
        (
            format!("{ISSUER}role_names = [\"a=b\"]\n"),
            "means nothing without roles_claim",
        ),
        (
            format!("{ISSUER}roles_claim = \"r\"\nrole_names = [\"a\"]\n"),
            "\"a\" is not value=role",
        ),
        (
            format!("{ISSUER}{ASKED}validation = \"both\"\nintrospection_kept = \"61s\"\n"),
            "is longer than 1m",
        ),
        (
            format!("{ISSUER}jwks_uri = \"http://keys.example/\"\n"),
            "must begin with https://",
        ),
        (
            format!("{ISSUER}issuer = \"x\"\n"),
            "unknown key issuers[0].issuer",
        ),
        (
            format!("role = \"authority\"\n{ISSUER}"),
            "is for nodes that answer for MCP servers",
        ),
        (
            format!(
                "role = \"gateway\"\n[authority]\nurl = \"https://mcp.example.com\"\n[[authority.servers]]\nslug = \"other\"\n\
                 credential = \"a:b\"\n{ISSUER}"
            ),
            "todo is not in authority.servers",
        ),
    ] {
        let problem = check(&text).expect_err(&text).to_string();
        assert!(problem.contains(words), "{problem}");
    }
}
