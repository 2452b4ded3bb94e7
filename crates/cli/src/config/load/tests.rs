#![allow(clippy::unwrap_used)]
use super::*;

fn read(text: &str, environment: &[(&str, &str)]) -> Result<(Config, Places), Vec<String>> {
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    read_text(text, environment)
}

fn problems(text: &str, environment: &[(&str, &str)]) -> Vec<String> {
    read(text, environment).expect_err("it is wrong")
}

#[test]
fn an_empty_file_is_all_defaults() {
    let (config, places) = read("", &[]).unwrap();
    assert_eq!(config.listen.addresses.len(), 1);
    assert_eq!(config.limits.connections, 4096);
    assert_eq!(places.of("limits.connections"), Place::Default);
}

#[test]
fn each_value_is_read_and_knows_its_place() {
    let text = "public_url = \"https://MCP.example.com/\"\n\n[limits]\n  request_body = \"8MiB\"\nhead_timeout = \"30s\"\n\
                [[tls.certificates]]\ncertificate_file = \"a.pem\"\nkey_file = \"a.key\"\n";
    let (config, places) = read(text, &[]).unwrap();
    assert_eq!(
        config.public_url.unwrap().to_string(),
        "https://mcp.example.com"
    );
    assert_eq!(config.limits.request_body.bytes(), 8 << 20);
    assert_eq!(config.tls.certificates.len(), 1);
    assert_eq!(
        places.of("limits.request_body"),
        Place::File { line: 4, column: 3 }
    );
    assert_eq!(
        places.of("tls.certificates").to_string(),
        "line 6, column 7"
    );
}

#[test]
fn unknown_keys_are_all_named_with_the_nearest_and_their_place() {
    let text = "public_ulr = \"https://a.example\"\n[listen]\nadresses = []\n[tls]\ncertificates = [{ cert_file = \"x\", key_file = \"y\" }]\n\
                [zebra]\nx = 1\n";
    assert_eq!(
        problems(text, &[]),
        [
            "line 1, column 1: unknown key public_ulr; did you mean public_url?",
            "line 3, column 1: unknown key listen.adresses; did you mean listen.addresses?",
            "line 5, column 19: unknown key tls.certificates[0].cert_file; did you mean tls.certificates[0].certificate_file?",
            "line 6, column 2: unknown key zebra; there are: activity, admin, authority, data_dir, database, egress, issuers, keys, limits, \
             listen, log, mail, operations, proxy, public_url, retention, role, tls, traces",
        ]
    );
}

#[test]
fn values_of_the_wrong_kind_say_where_they_are_and_what_to_write() {
    for (text, problem) in [
        (
            "[limits]\nrequest_body = \"4MB\"",
            "line 2, column 16: limits.request_body: write a number and its unit: 64KiB, 4MiB or 1GiB",
        ),
        (
            "[limits]\nhead_timeout = 10",
            "line 2, column 16: limits.head_timeout: invalid type: integer `10`, expected a string",
        ),
        (
            "listen = \"x\"",
            "line 1, column 1: listen: is a section, not a value",
        ),
        (
            "database = \"postgres://u:hunter2@db/x\"",
            "line 1, column 1: database: is a section, not a value",
        ),
        (
            "[keys]\nmaster_key = 5",
            "line 2, column 1: keys.master_key: must be text",
        ),
        (
            "[listen]\naddresses = [\"127.0.0.1:1\", \":443\"]",
            "line 2, column 13: listen.addresses: \":443\" is no address with a port; write 127.0.0.1:4180, 0.0.0.0:443 or [::]:443",
        ),
        (
            "[log]\nformat = \"xml\"",
            "line 2, column 10: log.format: unknown variant `xml`, expected `text` or `json`",
        ),
        (
            "[limits]\nconnections = 3",
            "line 2, column 1: limits.connections: 3 is not between 16 and 1000000",
        ),
        (
            "public_url = \"http://mcp.example.com\"",
            "line 1, column 14: public_url: http is only for localhost, 127.0.0.1 and [::1]; use https",
        ),
        (
            "[retention]\naudit = \"23h\"",
            "line 2, column 9: retention.audit: must be at least 1d, or forever",
        ),
        (
            "[retention]\naudit = \"never\"",
            "line 2, column 9: retention.audit: write a number and its unit: 90s, 30m, 12h or 90d; or say forever",
        ),
        (
            "[[tls.certificates]]\nkey_file = \"x\"",
            "line 1, column 1: tls.certificates: missing field `certificate_file`",
        ),
    ] {
        assert_eq!(problems(text, &[]), [problem], "{text}");
    }
    for text in ["a = ", "[limits\n", "x", "a = 1\na = 2", "\u{0}"] {
        let found = problems(text, &[]);
        assert!(found[0].starts_with("line "), "{text:?}: {found:?}");
    }
}

#[test]
fn variables_count_over_the_file_and_only_ours_are_read() {
    let text = "[limits]\nconnections = 100\nopen_calls = 7\n";
    let (config, places) = read(
        text,
        &[
            ("PORTCULLIS__LIMITS__CONNECTIONS", "200"),
            ("PORTCULLIS__LISTEN__ADDRESSES", "127.0.0.1:1, [::1]:2"),
            ("PORTCULLIS__PROXY__TRUSTED", "[\"10.0.0.0/8\"]"),
            ("PORTCULLIS__ADMIN__TLS", "true"),
            (
                "PORTCULLIS__TLS__CERTIFICATES",
                "[{ certificate_file = \"a\", key_file = \"b\" }]",
            ),
            ("PORTCULLIS__KEYS__MASTER_KEY_FILE", "/run/secrets/key"),
            ("PORTCULLIS_DATA_DIR", "another matter"),
            ("HOME", "/root"),
        ],
    )
    .unwrap();
    assert_eq!(config.limits.connections, 200);
    assert_eq!(config.limits.open_calls, 7);
    assert_eq!(config.listen.addresses[1].to_string(), "[::1]:2");
    assert_eq!(config.proxy.trusted[0].to_string(), "10.0.0.0/8");
    assert_eq!(config.tls.certificates[0].key_file, Path::new("b"));
    assert!(config.admin.tls);
    assert_eq!(
        places.of("limits.connections"),
        Place::Environment("PORTCULLIS__LIMITS__CONNECTIONS".into())
    );
}

#[test]
fn a_wrong_variable_is_named() {
    for (name, value, problem) in [
        (
            "PORTCULLIS__LIMITS__CONECTIONS",
            "1",
            "there is no such setting; did you mean PORTCULLIS__LIMITS__CONNECTIONS",
        ),
        (
            "PORTCULLIS__LIMITS__CONNECTIONS",
            "many",
            "\"many\" is no whole number",
        ),
        (
            "PORTCULLIS__LIMITS",
            "1",
            "is a section; name one of its settings",
        ),
        (
            "PORTCULLIS__ADMIN__TLS",
            "yes",
            "\"yes\" is neither true nor false",
        ),
        ("PORTCULLIS__", "1", "there is no such setting"),
        (
            "PORTCULLIS__LIMITS__DRAIN",
            "5",
            "write a number and its unit: 90s, 30m, 12h or 90d",
        ),
        ("PORTCULLIS__DATABASE__URL", "", "must not be empty"),
    ] {
        assert_eq!(
            problems("", &[(name, value)]),
            [format!("{name}: {problem}")]
        );
    }
}

#[test]
fn a_variable_with_one_underscore_too_few_is_named_as_it_was_meant_and_others_are_left_alone() {
    for (name, meant) in [
        ("PORTCULLIS_LIMITS__DRAIN", "PORTCULLIS__LIMITS__DRAIN"),
        ("PORTCULLIS_LIMITS_DRAIN", "PORTCULLIS__LIMITS__DRAIN"),
        (
            "PORTCULLIS_TLS_ACME_CONTACT",
            "PORTCULLIS__TLS__ACME__CONTACT",
        ),
        ("PORTCULLIS_PUBLIC_URL", "PORTCULLIS__PUBLIC_URL"),
    ] {
        let words = format!("{name}: is no setting; did you mean {meant}?");
        assert_eq!(problems("", &[(name, "20s")]), [words]);
    }
    for other in [
        "PORTCULLIS_DATA_DIR",
        "PORTCULLIS_LOG_FORMAT",
        "PORTCULLIS_MASTER_KEY",
        "PORTCULLIS_ADMIN_SERVICE_HOST",
        "PORTCULLIS_PORT_4180_TCP",
    ] {
        assert!(read("", &[(other, "x")]).is_ok(), "{other}");
    }
}
