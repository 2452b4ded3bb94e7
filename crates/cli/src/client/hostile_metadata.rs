//! Servers that lie about themselves, each beside the honest one.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, header};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use url::Url;
use wire::oauth::ReadChallenge;

use super::discover::{Discovery, discover};
use super::http_client::HttpClient;
use super::login::{check_issuer, endpoint, other_hosts};

const RESOURCE: &str = "/.well-known/oauth-protected-resource/mcp";
const SERVER: &str = "/.well-known/oauth-authorization-server/as";

type Documents = HashMap<&'static str, (u16, String)>;

/// Serves `documents`, with ORIGIN in them replaced; gives the origin.
async fn serve(documents: Documents) -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let origin = format!("http://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let documents: Arc<Documents> = Arc::new(
        documents
            .into_iter()
            .map(|(path, (status, text))| (path, (status, text.replace("ORIGIN", &origin))))
            .collect(),
    );
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let documents = Arc::clone(&documents);
            let service = service_fn(move |request: Request<Incoming>| {
                let found = documents.get(request.uri().path()).cloned();
                let (status, text) = found.unwrap_or((404, "{}".into()));
                let mut response = Response::builder().status(status);
                if (300..400).contains(&status) {
                    response = response.header(header::LOCATION, text.as_str());
                }
                let response = response.body(Full::new(Bytes::from(text))).unwrap();
                async move { Ok::<_, Infallible>(response) }
            });
            tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service));
        }
    });
    origin
}

fn resource() -> Value {
    json!({
        "resource": "ORIGIN/mcp",
        "authorization_servers": ["ORIGIN/as"],
        "bearer_methods_supported": ["header"],
    })
}

fn server() -> Value {
    json!({
        "issuer": "ORIGIN/as",
        "authorization_endpoint": "ORIGIN/as/authorize",
        "token_endpoint": "ORIGIN/as/token",
        "registration_endpoint": "ORIGIN/as/register",
        "jwks_uri": "ORIGIN/jwks.json",
        "scopes_supported": [], "response_types_supported": ["code"], "response_modes_supported": ["query"],
        "grant_types_supported": ["authorization_code"], "token_endpoint_auth_methods_supported": ["none"],
        "code_challenge_methods_supported": ["S256"],
        "authorization_response_iss_parameter_supported": true,
        "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"],
    })
}

fn with(mut document: Value, name: &str, value: Value) -> (u16, String) {
    document[name] = value;
    (200, document.to_string())
}

async fn found(resource: (u16, String), server: (u16, String)) -> anyhow::Result<Discovery> {
    let origin = serve([(RESOURCE, resource), (SERVER, server)].into()).await;
    let url = Url::parse(&format!("{origin}/mcp")).unwrap();
    discover(&HttpClient::new().unwrap(), &url, &ReadChallenge::default()).await
}

#[tokio::test]
async fn each_lie_of_a_server_about_itself_is_refused_and_the_truth_is_believed() {
    let honest = || ((200, resource().to_string()), (200, server().to_string()));
    let (document, metadata) = honest();
    let discovery = found(document, metadata).await.unwrap();
    assert!(discovery.server.issuer.ends_with("/as"));
    assert!(discovery.resource.ends_with("/mcp"));

    for other in [
        "ORIGIN",
        "ORIGIN/mcp2",
        "ORIGIN/mcp/",
        "https://other.example/mcp",
        "no url",
    ] {
        let (_, metadata) = honest();
        let error = found(with(resource(), "resource", json!(other)), metadata)
            .await
            .unwrap_err();
        assert!(error.to_string().contains("resource"), "{other}: {error}");
    }
    for issuer in [
        "ORIGIN",
        "ORIGIN/as/",
        "ORIGIN/AS",
        "https://other.example/as",
        "",
    ] {
        let (document, _) = honest();
        let error = found(document, with(server(), "issuer", json!(issuer)))
            .await
            .unwrap_err();
        assert!(
            error.to_string().contains("calls itself"),
            "{issuer}: {error}"
        );
    }
    for methods in [json!([]), json!(["plain"])] {
        let (document, _) = honest();
        let metadata = with(server(), "code_challenge_methods_supported", methods);
        let error = found(document, metadata).await.unwrap_err();
        assert!(error.to_string().contains("PKCE"), "{error}");
    }
    for odd in [
        (302, "ORIGIN/elsewhere".to_owned()),
        (200, "<!doctype html>".to_owned()),
        (200, "[]".to_owned()),
        (500, "{}".to_owned()),
    ] {
        let (document, metadata) = honest();
        assert!(found(odd.clone(), metadata).await.is_err(), "{odd:?}");
        assert!(found(document, odd.clone()).await.is_err(), "{odd:?}");
    }
    let (_, metadata) = honest();
    let nobody = with(resource(), "authorization_servers", json!([]));
    assert!(found(nobody, metadata).await.is_err());
}

#[tokio::test]
async fn a_challenge_that_leads_to_another_origin_is_not_followed() {
    let documents = [
        (RESOURCE, (200, resource().to_string())),
        (SERVER, (200, server().to_string())),
    ];
    let origin = serve(documents.into()).await;
    let elsewhere = serve(HashMap::new()).await;
    let url = Url::parse(&format!("{origin}/mcp")).unwrap();
    let follow = async |address: String| {
        let challenge = ReadChallenge {
            resource_metadata: Some(address),
            ..ReadChallenge::default()
        };
        discover(&HttpClient::new().unwrap(), &url, &challenge).await
    };
    for address in [
        format!("{elsewhere}{RESOURCE}"),
        "https://evil.example/x".to_owned(),
        "file:///etc/passwd".to_owned(),
        "no url".to_owned(),
    ] {
        assert!(follow(address.clone()).await.is_err(), "{address}");
    }
    assert!(follow(format!("{origin}{RESOURCE}")).await.is_ok());
}

#[test]
fn an_endpoint_is_an_address_of_the_web_and_never_a_command() {
    for bad in [
        "http://evil.example/authorize",
        "javascript:alert(1)",
        "file:///bin/sh",
        "data:text/html,x",
        "-version",
        "--help",
        "$(touch /tmp/x)",
        "`id`",
        "; id",
        "cmd.exe /c calc",
        "ms-msdt:/id",
        "vscode://x",
        "//evil.example",
        "https://user@a.example/authorize",
        "https://user:word@a.example/authorize",
        "",
    ] {
        assert!(endpoint(bad, "authorization_endpoint").is_err(), "{bad}");
    }
    for good in [
        "https://a.example/authorize?tenant=1",
        "http://localhost:4180/authorize",
        "http://127.0.0.1/authorize",
        "http://[::1]:1/authorize",
    ] {
        assert!(endpoint(good, "authorization_endpoint").is_ok(), "{good}");
    }
    // What a shell would read is escaped, and a browser is given one argument that begins with its scheme.
    let odd = endpoint(
        "https://a.example/$(id);`id`\" 'x'\n",
        "authorization_endpoint",
    )
    .unwrap();
    assert!(odd.as_str().starts_with("https://a.example/"));
    assert!(!odd.as_str().contains([' ', '"', '`', '\n']));
    assert!(!crate::browser::open("javascript:alert(1)") && !crate::browser::open("-x"));
}

#[tokio::test]
async fn the_answer_must_come_from_the_issuer_that_was_asked() {
    let discovery = found((200, resource().to_string()), (200, server().to_string()))
        .await
        .unwrap();
    let issuer = discovery.server.issuer.clone();
    let mut silent = discovery.clone();
    silent.server.authorization_response_iss_parameter_supported = false;
    for (came, promised, is_accepted) in [
        (Some(issuer.clone()), true, true),
        (Some(issuer.clone()), false, true),
        (None, false, true),
        (None, true, false),
        (Some(format!("{issuer}/")), true, false),
        (Some(format!("{issuer}/")), false, false),
        (Some(issuer.to_uppercase()), true, false),
        (Some("https://evil.example".into()), false, false),
        (Some(String::new()), false, false),
    ] {
        let discovery = if promised { &discovery } else { &silent };
        let checked = check_issuer(came.as_deref(), discovery);
        assert_eq!(checked.is_ok(), is_accepted, "{came:?} {promised}");
    }
}

#[tokio::test]
async fn hosts_beside_the_issuer_s_own_are_pointed_out_and_the_own_one_is_not() {
    let mut discovery = found((200, resource().to_string()), (200, server().to_string()))
        .await
        .unwrap();
    assert_eq!(other_hosts(&discovery), Vec::<String>::new());
    discovery.server.token_endpoint = "https://evil.example/token".into();
    discovery.server.registration_endpoint = Some("https://evil.example/register".into());
    assert_eq!(other_hosts(&discovery), ["evil.example"]);
}
