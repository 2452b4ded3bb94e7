use http::{Method, header};

use crate::support::{ISSUER, World, request};

const WELL_KNOWN: &str = "/.well-known/oauth-authorization-server/servers/todo";

#[tokio::test]
async fn what_we_say_about_ourselves_does_not_depend_on_headers() {
    let world = World::new().await;
    for path in [
        WELL_KNOWN,
        "/.well-known/oauth-authorization-server",
        "/jwks.json",
    ] {
        let plain = world.get(path).await;
        for (name, value) in [
            ("x-forwarded-host", "evil.example"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/evil"),
            ("forwarded", "host=evil.example;proto=https"),
            ("x-original-url", "/servers/evil"),
            ("x-rewrite-url", "/servers/evil"),
            ("x-host", "evil.example"),
            ("origin", "https://evil.example"),
            ("accept-language", "de"),
            ("accept", "application/xml"),
            ("user-agent", "evil.example"),
        ] {
            let request = request(Method::GET, path)
                .header(name, value)
                .body(axum::body::Body::empty())
                .unwrap();
            let answer = world.send(request).await;
            assert_eq!(answer.text, plain.text, "{name} changes {path}");
            assert_eq!(answer.status, plain.status);
            assert!(!format!("{:?}", answer.headers).contains("evil"), "{name}");
            assert_eq!(answer.header("access-control-allow-origin"), "*");
        }
        let request = request(Method::GET, &format!("{path}?evil=1"))
            .body(axum::body::Body::empty())
            .unwrap();
        assert_eq!(world.send(request).await.text, plain.text);
    }
    assert_eq!(world.get(WELL_KNOWN).await.json()["issuer"], ISSUER);
}

#[tokio::test]
async fn each_form_of_a_well_known_address_leads_to_its_own_server_or_nowhere() {
    let world = World::new().await;
    world
        .add_server("notes", domain::ServerSettings::default())
        .await;
    for slug in ["todo", "notes"] {
        let issuer = format!("http://localhost:4180/servers/{slug}");
        for path in [
            format!("/.well-known/oauth-authorization-server/servers/{slug}"),
            format!("/.well-known/openid-configuration/servers/{slug}"),
            format!("/servers/{slug}/.well-known/openid-configuration"),
            format!("/servers/{slug}/.well-known/oauth-authorization-server"),
        ] {
            let metadata = world.get(&path).await.json();
            assert_eq!(metadata["issuer"], issuer, "{path}");
            for (name, value) in metadata.as_object().unwrap() {
                if name.ends_with("_endpoint") {
                    let value = value.as_str().unwrap();
                    assert!(value.starts_with(&format!("{issuer}/")), "{name} {value}");
                }
            }
        }
    }
    for path in [
        "/.well-known/oauth-authorization-server/servers/Todo",
        "/.well-known/oauth-authorization-server/servers/todo/",
        "/.well-known/oauth-authorization-server/servers/todo/notes",
        "/.well-known/oauth-authorization-server/servers/todo%2Fnotes",
        "/.well-known/oauth-authorization-server/servers//todo",
        "/.well-known/oauth-authorization-server/servers/../servers/todo",
        "/.well-known/oauth-authorization-server/servers/%2e%2e/todo",
        "/.well-known/oauth-authorization-server/servers/todo;notes",
        "/.well-known/oauth-authorization-server/todo",
        "/.well-known/oauth-authorization-server",
        "/servers/todo/.well-known/oauth-protected-resource",
    ] {
        let answer = world.get(path).await;
        assert_eq!(answer.status, 404, "{path}: {}", answer.text);
    }
}

/// A host that is not ours gets nothing, whatever else it says.
#[tokio::test]
async fn a_forged_host_gets_no_metadata() {
    let world = World::new().await;
    for host in [
        "evil.example",
        "localhost:4180.evil.example",
        "localhost:4180@evil.example",
    ] {
        let request = http::Request::builder()
            .uri(WELL_KNOWN)
            .header(header::HOST, host)
            .body(axum::body::Body::empty())
            .unwrap();
        assert_eq!(world.send(request).await.status, 421, "{host}");
    }
    assert_eq!(world.get(WELL_KNOWN).await.status, 200);
}
