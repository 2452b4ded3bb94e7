use gateway::{ServerSettings, SettingsError, Upstream};
use http::StatusCode;

use crate::support::Rig;
use crate::town::{server, who};

const WELL_KNOWN: &str = "/.well-known/oauth-protected-resource";

/// `a` and `b` at hosts of their own, under one path; `c` beside the authority.
async fn three() -> (Rig, [ServerSettings; 3]) {
    let rig = Rig::start().await;
    let at_home = format!("{}/mcp/c", rig.origin());
    let servers = [
        server("a", "https://a.example/mcp", &who("a").await),
        server("b", "https://b.example:8443/mcp", &who("b").await),
        server("c", &at_home, &who("c").await),
    ];
    rig.settle(&servers);
    (rig, servers)
}

#[tokio::test]
async fn each_server_answers_at_its_own_host_and_path_and_nowhere_else() {
    let (rig, servers) = three().await;
    let own = format!("127.0.0.1:{}", rig.port);
    let tokens = servers.each_ref().map(|server| rig.token_for(server));
    for (index, host, path, who) in [
        (0, "a.example", "/mcp", "a"),
        (0, "A.Example:443", "/mcp/", "a"),
        (1, "b.example:8443", "/mcp", "b"),
        (2, own.as_str(), "/mcp/c", "c"),
        (2, "notes.example", "/mcp/c", "c"),
    ] {
        let told = rig.post(host, path, &tokens[index]).await;
        assert_eq!(told.status, StatusCode::OK, "{host}{path}");
        assert_eq!(told.who(), who, "{host}{path}");
    }
    for (host, path) in [
        ("a.example", "/mcp/c"),
        ("a.example", "/mcp/a"),
        ("a.example", "/MCP"),
        ("a.example", "/mcp//"),
        ("a.example", "/"),
        ("a.example", "/mcp/.well-known/oauth-protected-resource"),
        ("b.example:8443", "/mcp/b"),
        (&own, "/mcp"),
        (&own, "/mcp/a"),
        ("notes.example", "/mcp"),
    ] {
        let told = rig.post(host, path, &tokens[0]).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{host}{path}");
        assert_eq!(told.json["error"], "not_found");
    }
    for host in ["b.example", "a.example:8443", "c.example", "a.example."] {
        let told = rig.post(host, "/mcp", &tokens[0]).await;
        assert_eq!(told.status, StatusCode::MISDIRECTED_REQUEST, "{host}");
    }
}

#[tokio::test]
async fn a_token_for_one_server_is_refused_at_another_of_the_same_path() {
    let (rig, servers) = three().await;
    let [for_a, for_b, _] = servers.each_ref().map(|server| rig.token_for(server));
    for (host, token, status) in [
        ("a.example", &for_a, StatusCode::OK),
        ("b.example:8443", &for_a, StatusCode::UNAUTHORIZED),
        ("b.example:8443", &for_b, StatusCode::OK),
        ("a.example", &for_b, StatusCode::UNAUTHORIZED),
    ] {
        let told = rig.post(host, "/mcp", token).await;
        assert_eq!(told.status, status, "{host}");
        if status == StatusCode::UNAUTHORIZED {
            let challenge = told.header("www-authenticate");
            let metadata = format!("resource_metadata=\"https://{host}{WELL_KNOWN}/mcp\"");
            assert!(challenge.contains(&metadata), "{challenge}");
            assert!(challenge.contains("invalid_token"), "{challenge}");
        }
    }
}

#[tokio::test]
async fn metadata_is_at_the_resource_s_own_origin_and_names_what_was_asked() {
    let (rig, _) = three().await;
    let own = format!("127.0.0.1:{}", rig.port);
    for (host, path, resource, slug) in [
        ("a.example", "/mcp", "https://a.example/mcp", "a"),
        ("a.example", "", "https://a.example/mcp", "a"),
        ("A.EXAMPLE:443", "/mcp/", "https://a.example/mcp/", "a"),
        ("b.example:8443", "/mcp", "https://b.example:8443/mcp", "b"),
        ("b.example:8443", "", "https://b.example:8443/mcp", "b"),
    ] {
        let told = rig.get(host, &format!("{WELL_KNOWN}{path}")).await;
        assert_eq!(told.status, StatusCode::OK, "{host}{path}");
        assert_eq!(told.json["resource"], resource);
        assert_eq!(told.json["authorization_servers"][0], rig.issuer_of(slug));
    }
    for (host, path) in [
        ("a.example", "/mcp/c"),
        ("a.example", "/"),
        (&own, "/mcp"),
        (&own, "/mcp/a"),
    ] {
        let told = rig.get(host, &format!("{WELL_KNOWN}{path}")).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{host}{path}");
    }
    // The metadata of the authorization server is at the authority's own origin.
    for path in [
        "/.well-known/oauth-authorization-server",
        "/.well-known/oauth-authorization-server/servers/a",
        "/.well-known/openid-configuration",
        "/servers/a/token",
        "/admin",
        "/",
    ] {
        assert!(rig.claims_it("a.example", path), "{path}");
        let told = rig.get("a.example", path).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(told.json["error"], "not_found");
        assert!(!rig.claims_it(&own, path), "{path}");
    }
}

#[tokio::test]
async fn the_authority_keeps_what_is_not_a_server_s_at_its_own_origin() {
    let (rig, _) = three().await;
    let own = format!("localhost:{}", rig.port);
    for (host, path, ours) in [
        (own.as_str(), "/mcp/c", true),
        (&own, "/mcp/c/", true),
        (&own, &format!("{WELL_KNOWN}/mcp/c"), true),
        (&own, &format!("{WELL_KNOWN}/mcp/nosuch"), true),
        (&own, WELL_KNOWN, true),
        (&own, &format!("{WELL_KNOWN}/administrator"), true),
        // What the authority itself protects.
        (&own, &format!("{WELL_KNOWN}/admin/api/v1"), false),
        ("a.example", &format!("{WELL_KNOWN}/admin/api/v1"), true),
        (&own, "/mcp/a", false),
        (&own, "/mcp", false),
        (&own, "/servers/c/token", false),
        (&own, &format!("{WELL_KNOWN}x"), false),
        ("notes.example", "/mcp/c", true),
        ("notes.example", "/admin", false),
        ("a.example", "/anything", true),
        // Both refuse a host that nobody declared.
        ("evil.example", "/mcp/c", true),
        ("evil.example", "/admin", false),
    ] {
        assert_eq!(rig.claims_it(host, path), ours, "{host}{path}");
    }
}

#[tokio::test]
async fn a_resource_that_is_an_origin_alone_is_asked_with_its_slash() {
    let rig = Rig::start().await;
    let upstream = who("root").await;
    for (resource, other) in [
        ("https://root.example", "https://root.example/"),
        ("https://root.example/", "https://root.example/"),
    ] {
        let more = server("more", "https://root.example/more", &upstream);
        let root = server("root", resource, &upstream);
        rig.settle(&[root.clone(), more]);
        let token = rig.token_for(&root);
        let told = rig.post("root.example", "/", &token).await;
        assert_eq!(told.who(), "root");
        // The root document is its own, however many servers are there.
        let told = rig.get("root.example", WELL_KNOWN).await;
        assert_eq!(told.json["resource"], resource);
        let slashed = rig.get("root.example", &format!("{WELL_KNOWN}/")).await;
        assert_eq!(slashed.json["resource"], other);
        let told = rig.get("root.example", "/").await;
        let challenge = told.header("www-authenticate");
        let address = format!("resource_metadata=\"https://root.example{WELL_KNOWN}\"");
        assert!(challenge.contains(&address), "{challenge}");
        let told = rig.post("root.example", "/x", &token).await;
        assert_eq!(told.status, StatusCode::NOT_FOUND);
    }
}

#[tokio::test]
async fn a_resource_with_a_slash_at_its_end_keeps_it() {
    let rig = Rig::start().await;
    let slashed = server("s", "https://s.example/mcp/", &who("s").await);
    rig.settle(std::slice::from_ref(&slashed));
    let token = rig.token_for(&slashed);
    for path in ["/mcp/", "/mcp"] {
        assert_eq!(rig.post("s.example", path, &token).await.who(), "s");
    }
    let root = rig.get("s.example", WELL_KNOWN).await;
    assert_eq!(root.json["resource"], "https://s.example/mcp/");
}

#[tokio::test]
async fn a_server_at_a_loopback_address_of_its_own_answers_under_each_loopback_name() {
    let rig = Rig::start().await;
    let own = server("l", "http://localhost:9/mcp", &who("l").await);
    rig.settle(std::slice::from_ref(&own));
    let token = rig.token_for(&own);
    for host in ["localhost:9", "127.0.0.1:9", "[::1]:9"] {
        assert_eq!(rig.post(host, "/mcp", &token).await.who(), "l", "{host}");
        let told = rig.get(host, &format!("{WELL_KNOWN}/mcp")).await;
        assert_eq!(told.json["resource"], format!("http://{host}/mcp"));
    }
}

#[tokio::test]
async fn pages_may_call_a_public_server_and_not_one_on_this_machine() {
    let (rig, servers) = three().await;
    let page = [("origin", "https://app.example")];
    let own = format!("127.0.0.1:{}", rig.port);
    for (index, host, path, status) in [
        (0, "a.example", "/mcp", StatusCode::OK),
        (2, own.as_str(), "/mcp/c", StatusCode::FORBIDDEN),
    ] {
        let token = rig.token_for(&servers[index]);
        let told = rig
            .send(host, path, &token, &page, &crate::town::call())
            .await;
        assert_eq!(told.status, status, "{host}");
    }
}

#[tokio::test]
async fn a_set_in_which_one_cannot_be_used_is_refused_by_name_and_changes_nothing() {
    let (rig, servers) = three().await;
    let upstream = who("d").await;
    let own = rig.origin();
    let at = |resource: &str| server("d", resource, &upstream);
    let ftp = Upstream::Http {
        url: "ftp://x.example/".parse().unwrap(),
        headers: Vec::new(),
    };
    for (bad, reason) in [
        (server("d", "https://d.example/mcp", &ftp), "ftp is neither"),
        (at("not a url"), "not a URL"),
        (at("https://D.example/mcp"), "https://d.example/mcp"),
        (at("https://d.example/mcp?x"), "leave out"),
        (at("https://d.example/.well-known/x"), "metadata"),
        (at("https://a.example/mcp"), "\"a\" is at the same address"),
        (at("https://a.example/mcp/"), "\"a\" is at the same address"),
        (at("http://a.example:443/mcp2"), "do not say whether"),
        (at(&format!("{own}/mcp/c/")), "\"c\" is at the same address"),
        (
            at(&format!("http://localhost:{}/mcp/c", rig.port)),
            "\"c\" is at the same address",
        ),
        (at(&format!("{own}/admin/x")), "the authority's own"),
        (at(&own), "the authority's own"),
    ] {
        let mut all = servers.to_vec();
        all.push(bad.clone());
        let error = rig.gateway.set_servers(all).unwrap_err();
        assert_eq!(error.server(), Some("d"), "{error}");
        assert!(error.to_string().contains(reason), "{error}");
    }
    let mut twice = servers.to_vec();
    twice.push(server("a", "https://d.example/mcp", &upstream));
    let error = rig.gateway.set_servers(twice).unwrap_err();
    assert!(matches!(error, SettingsError::SameSlug { slug } if slug == "a"));
    let told = rig.get("d.example", "/mcp").await;
    assert_eq!(told.status, StatusCode::MISDIRECTED_REQUEST);
    let told = rig
        .post("a.example", "/mcp", &rig.token_for(&servers[0]))
        .await;
    assert_eq!(told.who(), "a");
    // The twins of those that were refused.
    for good in ["https://d.example/mcp", &format!("{own}/anything")] {
        let mut all = servers.to_vec();
        all.push(at(good));
        rig.gateway.set_servers(all).unwrap();
    }
}

#[tokio::test]
async fn settings_that_cannot_be_used_are_503_after_the_token_and_nothing_else_changes() {
    let rig = Rig::start().await;
    let broken = server("x", "https://x.example/mcp", &Upstream::Unusable);
    let good = server("y", "https://x.example/y", &who("y").await);
    rig.settle(&[broken.clone(), good.clone()]);
    let told = rig.post("x.example", "/mcp", &rig.token_for(&broken)).await;
    assert_eq!(told.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(told.header("retry-after"), "30");
    let told = rig.get("x.example", "/mcp").await;
    assert_eq!(told.status, StatusCode::UNAUTHORIZED);
    let told = rig.post("x.example", "/y", &rig.token_for(&good)).await;
    assert_eq!(told.who(), "y");
}
