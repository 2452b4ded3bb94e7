#![allow(clippy::unwrap_used)]
use serde_json::json;

use super::*;

const URL: &str = "https://client.example/oauth.json";

fn usual() -> Value {
    json!({
        "client_id": URL,
        "client_name": "Example",
        "redirect_uris": ["http://127.0.0.1/callback", "https://client.example/callback"],
    })
}

fn read_value(value: &Value) -> Result<Document, Refused> {
    read(
        &DocumentUrl::parse(URL).unwrap(),
        value.to_string().as_bytes(),
    )
}

/// The usual document with one member changed; `Null` takes it away.
fn with(name: &str, value: Value) -> Result<Document, Refused> {
    let mut document = usual();
    match value {
        Value::Null => document.as_object_mut().unwrap().remove(name),
        value => document.as_object_mut().unwrap().insert(name.into(), value),
    };
    read_value(&document)
}

fn words(result: Result<Document, Refused>) -> String {
    result.unwrap_err().words
}

#[test]
fn the_usual_document_is_a_public_client() {
    let document = read_value(&usual()).unwrap();
    assert_eq!(document.name, "Example");
    assert_eq!(document.redirect_uris.len(), 2);
    assert_eq!(document.authentication, ClientAuthentication::none());
    assert_eq!(document.metadata.client_id, URL);
    assert_eq!(document.metadata.token_endpoint_auth_method, "none");
}

#[test]
fn the_client_id_in_the_document_is_its_address_byte_for_byte() {
    for other in [
        "https://client.example/oauth.json/",
        "https://client.example:443/oauth.json",
        "https://CLIENT.example/oauth.json",
        "https://client.example/OAuth.json",
        "https://client.example/oauth%2Ejson",
        "https://client.example/oauth.json?",
        " https://client.example/oauth.json",
        "",
    ] {
        let refused = with("client_id", json!(other)).unwrap_err();
        assert!(refused.words.contains("client_id"), "{other}");
        assert!(!refused.words.contains("client.example"), "{other}");
    }
    assert!(with("client_id", json!(7)).is_err());
    // What does not even mean to be such a document is not talked about.
    assert!(!with("client_id", Value::Null).unwrap_err().may_be_told);
    assert!(with("client_id", json!(URL)).is_ok());
}

#[test]
fn nothing_that_needs_a_shared_secret_is_accepted() {
    for method in [
        "client_secret_basic",
        "client_secret_post",
        "client_secret_jwt",
        "client_secret_new",
    ] {
        for (name, value) in [
            ("token_endpoint_auth_method", json!(method)),
            ("token_endpoint_auth_methods_supported", json!([method])),
            (
                "token_endpoint_auth_methods_supported",
                json!(["none", method]),
            ),
        ] {
            assert!(words(with(name, value)).contains("secret"), "{method}");
        }
    }
    for (name, value) in [
        ("client_secret", json!("x")),
        ("client_secret", json!("")),
        ("client_secret_expires_at", json!(0)),
    ] {
        assert!(words(with(name, value)).contains(name));
    }
    let mut empty = usual();
    empty["client_secret"] = Value::Null;
    assert!(read_value(&empty).is_err());
    assert!(with("token_endpoint_auth_method", json!("none")).is_ok());
}

#[test]
fn private_keys_are_refused_and_public_ones_are_read() {
    let key = || json!({"kty": "EC", "crv": "P-256", "x": "eA", "y": "eQ"});
    let keys = |key: Value| {
        let mut document = usual();
        document["token_endpoint_auth_method"] = json!("private_key_jwt");
        document["jwks"] = json!({"keys": [key]});
        read_value(&document)
    };
    let mut private = key();
    private["d"] = json!("c2VjcmV0");
    assert!(words(keys(private)).contains("private"));
    assert!(keys(json!({"kty": "oct", "k": "c2VjcmV0"})).is_err());
    let document = keys(key()).unwrap();
    assert_eq!(document.authentication.methods, [AuthMethod::PrivateKeyJwt]);
    assert!(
        matches!(document.authentication.keys, Some(ClientKeys::Inline(set)) if set.keys.len() == 1)
    );
    assert_eq!(
        document.metadata.token_endpoint_auth_method,
        "private_key_jwt"
    );
    // A secret is refused even where nobody would use it.
    let mut unused = usual();
    unused["jwks"] = json!({"keys": [{"kty": "RSA", "n": "bg", "e": "AQAB", "d": "eA"}]});
    assert!(read_value(&unused).is_err());
}

#[test]
fn the_list_of_methods_counts_before_the_one_method_and_none_is_the_default() {
    let methods = |changes: Value| {
        let mut document = usual();
        for (name, value) in changes.as_object().unwrap() {
            document[name] = value.clone();
        }
        read_value(&document).map(|document| document.authentication.methods)
    };
    let remote = "https://client.example/jwks.json";
    let (none, key) = (AuthMethod::None, AuthMethod::PrivateKeyJwt);
    for (changes, expected) in [
        (json!({}), vec![none]),
        (json!({"token_endpoint_auth_method": "none"}), vec![none]),
        (
            json!({"token_endpoint_auth_method": "private_key_jwt", "jwks_uri": remote}),
            vec![key],
        ),
        // As ChatGPT has it.
        (
            json!({"token_endpoint_auth_methods_supported": ["none", "private_key_jwt"],
                "token_endpoint_auth_method": "private_key_jwt", "jwks_uri": remote}),
            vec![none, key],
        ),
        (
            json!({"token_endpoint_auth_methods_supported": ["private_key_jwt"],
                "token_endpoint_auth_method": "none", "jwks_uri": remote}),
            vec![key],
        ),
        (
            json!({"token_endpoint_auth_methods_supported": [], "token_endpoint_auth_method": "none"}),
            vec![none],
        ),
        (
            json!({"token_endpoint_auth_methods_supported": ["none", "none", "tls_client_auth"]}),
            vec![none],
        ),
        // Without keys it could never come, so that only the other way is left.
        (
            json!({"token_endpoint_auth_methods_supported": ["none", "private_key_jwt"]}),
            vec![none],
        ),
        (json!({"token_endpoint_auth_method": null}), vec![none]),
    ] {
        assert_eq!(methods(changes.clone()).unwrap(), expected, "{changes}");
    }
    for bad in [
        json!({"token_endpoint_auth_method": "private_key_jwt"}),
        json!({"token_endpoint_auth_method": "tls_client_auth"}),
        json!({"token_endpoint_auth_method": ""}),
        json!({"token_endpoint_auth_method": ["none"]}),
        json!({"token_endpoint_auth_methods_supported": "none"}),
        json!({"jwks_uri": remote, "jwks": {"keys": []}}),
        json!({"jwks_uri": "http://client.example/jwks.json"}),
        json!({"jwks_uri": "https://user@client.example/jwks.json"}),
        json!({"jwks_uri": "file:///etc/passwd"}),
        json!({"jwks_uri": "https://client.example/jwks json"}),
        json!({"jwks_uri": "https://client.example/\n"}),
        json!({"jwks_uri": 7}),
    ] {
        assert!(methods(bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_the_client_can_do_besides_is_tolerated() {
    for (name, value) in [
        (
            "grant_types",
            json!([
                "authorization_code",
                "urn:ietf:params:oauth:grant-type:jwt-bearer",
                "new"
            ]),
        ),
        ("grant_types", json!([])),
        ("response_types", json!(["code", "none"])),
        ("application_type", json!("native")),
        ("scope", json!("a b")),
        ("logo_uri", json!("javascript:alert(1)")),
        ("client_uri", json!("")),
        ("x_new", json!({"deep": [1.5, null]})),
        ("contacts", json!([7])),
    ] {
        assert!(with(name, value.clone()).is_ok(), "{name} {value}");
    }
    for (name, value) in [
        ("grant_types", json!(["client_credentials"])),
        ("grant_types", json!("authorization_code")),
        ("grant_types", json!([7])),
        ("response_types", json!(["token"])),
        ("scope", json!(["a"])),
        ("client_name", json!(7)),
        ("client_name", json!("x".repeat(201))),
        ("client_name", json!("a\u{0}b")),
    ] {
        assert!(words(with(name, value)).contains(name), "{name}");
    }
    assert!(with("client_name", json!("x".repeat(200))).is_ok());
    assert_eq!(
        with("client_name", json!(" A\u{202e}\n b ")).unwrap().name,
        "A b"
    );
    let logo = |uri: &str| with("logo_uri", json!(uri)).unwrap().metadata.logo_uri;
    assert_eq!(logo("http://client.example/logo.png"), None);
    assert!(logo("https://cdn.example/logo.png").is_some());
}

#[test]
fn a_document_without_a_name_to_show_is_refused_and_with_one_it_is_read() {
    assert_eq!(
        words(with("client_name", Value::Null)),
        "client_name is missing"
    );
    let mut null = usual();
    null["client_name"] = Value::Null;
    assert_eq!(words(read_value(&null)), "client_name is missing");
    for blank in ["", " ", "\t\n", "\u{200b}\u{202e}"] {
        let refused = with("client_name", json!(blank)).unwrap_err();
        assert_eq!(refused.words, "client_name is blank", "{blank:?}");
        assert!(refused.may_be_told, "its developer can mend it");
    }
    assert_eq!(with("client_name", json!("x")).unwrap().name, "x");
}

#[test]
fn return_addresses_are_needed_and_a_form_that_is_unknown_spoils_itself_alone() {
    let count = |value: Value| with("redirect_uris", value).map(|read| read.redirect_uris.len());
    assert_eq!(
        count(json!(["https://a.example/cb", "http://evil.example/cb"])).unwrap(),
        1
    );
    assert_eq!(
        count(json!(["https://a.example/cb", "https://a.example/cb"])).unwrap(),
        1
    );
    assert_eq!(
        count(json!(["cursor://x/y", "http://localhost/callback"])).unwrap(),
        2
    );
    let many = |count: usize| -> Value {
        (0..count)
            .map(|at| format!("https://a.example/{at}"))
            .collect()
    };
    assert_eq!(count(many(32)).unwrap(), 32);
    for bad in [
        Value::Null,
        json!([]),
        json!("https://a.example/cb"),
        json!([7]),
        json!(["javascript:alert(1)"]),
        json!(["http://evil.example/cb"]),
        many(33),
    ] {
        assert!(with("redirect_uris", bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn readers_cannot_differ_on_what_is_read() {
    let url = DocumentUrl::parse(URL).unwrap();
    let read = |bytes: &[u8]| read(&url, bytes);
    let good = usual().to_string();
    assert!(read(good.as_bytes()).is_ok());
    let twice = good.replacen('{', "{\"redirect_uris\":[\"https://evil.example/\"],", 1);
    let utf16: Vec<u8> = good.encode_utf16().flat_map(u16::to_le_bytes).collect();
    let bom = [b"\xef\xbb\xbf", good.as_bytes()].concat();
    let trailing = format!("{good}{{}}");
    let comment = format!("/* */{good}");
    for bad in [
        twice.as_bytes(),
        &utf16,
        &bom,
        trailing.as_bytes(),
        comment.as_bytes(),
        b"<html></html>",
        b"[]",
        b"null",
        b"",
        b"\x1f\x8b",
    ] {
        let refused = read(bad).unwrap_err();
        assert!(!refused.may_be_told, "{bad:?}");
    }
    let of_length = |length: usize| {
        let pad = " ".repeat(length - good.len());
        read(format!("{good}{pad}").as_bytes())
    };
    assert_eq!(BYTES_MAX, 5_120);
    assert!(of_length(BYTES_MAX).is_ok());
    assert!(of_length(BYTES_MAX + 1).is_err());
    assert!(with("x", json!([[[[[[[[1]]]]]]]])).is_err());
    assert!(with("x", json!([[[[[[1]]]]]])).is_ok());
    assert!(with("x", Value::from(vec![1; 600])).is_err());
}

#[test]
fn what_matters_for_those_who_approved_is_told_apart_from_the_rest() {
    let before = read_value(&usual()).unwrap();
    for (name, value, expected) in [
        ("client_name", json!("Evil"), "client_name"),
        (
            "redirect_uris",
            json!(["https://client.example/callback"]),
            "redirect_uris",
        ),
    ] {
        let after = with(name, value).unwrap();
        assert_eq!(after.what_changed(&before), [expected]);
        assert!(!after.says_the_same(&before));
    }
    let mut keyed = usual();
    keyed["token_endpoint_auth_method"] = json!("private_key_jwt");
    keyed["jwks_uri"] = json!("https://client.example/jwks.json");
    let changed = read_value(&keyed).unwrap().what_changed(&before);
    assert_eq!(changed, ["token_endpoint_auth_method", "keys"]);
    for (name, value) in [
        ("logo_uri", json!("https://client.example/logo.png")),
        ("scope", json!("x")),
        ("x", json!(1)),
    ] {
        assert!(with(name, value).unwrap().says_the_same(&before), "{name}");
    }
}

#[test]
fn lists_are_kept_as_they_came_and_empty_or_absent_ones_have_their_defaults() {
    let grants = |value: Value| with("grant_types", value).map(|read| read.metadata.grant_types);
    let listed = json!(["authorization_code", "urn:x"]);
    assert_eq!(grants(listed).unwrap(), ["authorization_code", "urn:x"]);
    let default = grants(Value::Null).unwrap();
    assert!(default.contains(&"authorization_code".to_owned()));
    assert_eq!(grants(json!([])).unwrap(), default);
    let refused = grants(json!(["authorization_code", "a\0b"])).unwrap_err();
    assert!(refused.words.contains("grant_types"), "{}", refused.words);
    assert!(grants(json!(["authorization_code", "a b"])).is_ok());
}
