use serde_json::Value;

use crate::Target;
use crate::rules::{cut, has_a_double_member, host_and_port, is_description};

/// The address of a client's document, and on the lines after it the document; or `keys` and a key set.
pub const TARGET: Target = Target {
    name: "client_document",
    run,
    words: &[
        "https://client.example/id.json\n",
        "\"client_id\":\"https://client.example/id.json\"",
        "\"client_name\":\"A\",",
        "\"redirect_uris\":[",
        "\"http://localhost/cb\"",
        "\"client_secret\":\"s\",",
        "\"token_endpoint_auth_method\":\"client_secret_post\"",
        "\"token_endpoint_auth_methods_supported\":[\"private_key_jwt\",\"none\"]",
        "\"jwks_uri\":\"https://client.example/jwks.json\"",
        "\"jwks\":{\"keys\":[]}",
        "\"d\":\"AAAA\"",
        "\"kty\":\"oct\"",
        "keys\n",
        "/%2e%2e/",
        "/../",
        "@",
        ":443",
        "#",
        "?",
        "\\u0000",
        "\u{feff}",
        "{",
        "}",
        ",",
        "null",
    ],
    short_run: 20_000,
};

fn run(bytes: &[u8]) {
    let split = bytes.iter().position(|byte| *byte == b'\n');
    let (first, body) = bytes.split_at(split.unwrap_or(bytes.len()));
    let body = body.strip_prefix(b"\n").unwrap_or_default();
    let Ok(first) = std::str::from_utf8(first) else {
        return;
    };
    if first == "keys" {
        return keys(body);
    }
    match oauth::doors::read_client_document(first, body) {
        Ok(metadata) => accepted(first, body, &metadata),
        Err(error) => assert!(is_description(error.description()), "{error}"),
    }
}

fn accepted(url: &str, body: &[u8], metadata: &Value) {
    is_a_plain_https_address(url);
    assert!(body.len() <= 5 * 1024);
    let text = std::str::from_utf8(body).expect("only text is JSON");
    let document: Value = serde_json::from_str(text).expect("another reader reads it too");
    assert!(!has_a_double_member(text), "a member stands there twice");
    assert_eq!(document["client_id"], url, "byte for byte");
    assert!(document.get("client_secret").is_none());
    assert!(!text.contains("\"d\":") || document.pointer("/jwks/keys/0/d").is_none());
    let method = |value: &Value| {
        value
            .as_str()
            .is_some_and(|name| name.starts_with("client_secret"))
    };
    assert!(!method(&document["token_endpoint_auth_method"]));
    let listed = document["token_endpoint_auth_methods_supported"].as_array();
    assert!(!listed.is_some_and(|listed| listed.iter().any(method)));
    assert_eq!(metadata["client_id"], url);
    let name = document["client_name"].as_str().expect("a name");
    assert!(!name.trim().is_empty(), "there is a name to show");
    let asked = document["redirect_uris"].as_array().expect("a list");
    let kept = metadata["redirect_uris"].as_array().expect("a list");
    assert!(!kept.is_empty() && kept.iter().all(|uri| asked.contains(uri)));
    for uri in kept {
        assert!(wire::oauth::RedirectUri::parse(uri.as_str().unwrap()).is_ok());
    }
}

/// Draft 02 of client ID metadata documents, section 3, by cutting.
fn is_a_plain_https_address(url: &str) {
    let cut = cut(url).expect("scheme and authority");
    assert!(url.starts_with("https://") && !url.contains(['#', '\\']));
    assert!(cut.rest.starts_with('/'), "{url} has no path");
    assert!(!cut.authority.contains('@'));
    let (host, port) = host_and_port(&cut.authority).expect("a host and a port");
    assert!(cut.authority.starts_with(&host), "{host} is in lower case");
    assert_ne!(port, Some(0));
    let path = cut.rest.split('?').next().unwrap().to_ascii_lowercase();
    let dots = ["..", "%2e.", ".%2e", "%2e%2e", ".", "%2e"];
    assert!(
        path.split('/').all(|segment| !dots.contains(&segment)),
        "{url}"
    );
}

fn keys(body: &[u8]) {
    match oauth::doors::read_client_keys(body) {
        Ok(count) => {
            let text = std::str::from_utf8(body).expect("only text is JSON");
            let set: Value = serde_json::from_str(text).expect("another reader reads it too");
            let listed = set["keys"].as_array().expect("a list").len();
            assert!(count <= listed);
        }
        Err(error) => assert!(is_description(error.description()), "{error}"),
    }
}
