use domain::ServerSettings;

use crate::support::{ISSUER, World};

const ADDRESSES: [&str; 6] = [
    "/.well-known/oauth-authorization-server/servers/todo",
    "/.well-known/openid-configuration/servers/todo",
    "/servers/todo/.well-known/openid-configuration",
    "/servers/todo/.well-known/oauth-authorization-server",
    "/.well-known/oauth-authorization-server",
    "/.well-known/openid-configuration",
];

#[tokio::test]
async fn the_metadata_is_the_same_at_every_address_and_promises_only_what_is_there() {
    let world = World::new().await;
    let first = world.get(ADDRESSES[0]).await;
    insta::assert_json_snapshot!("authorization_server_metadata", first.json());
    for address in ADDRESSES {
        let answer = world.get(address).await;
        assert_eq!(answer.status, 200, "{address}");
        assert_eq!(answer.text, first.text, "{address}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_eq!(first.json()["issuer"], ISSUER);
    assert!(!first.text.contains("null"));
}

#[tokio::test]
async fn the_bare_origin_has_metadata_only_while_one_server_lives_there() {
    let world = World::new().await;
    world.add_server("notes", ServerSettings::default()).await;
    for address in &ADDRESSES[4..] {
        let answer = world.get(address).await;
        assert_eq!(answer.status, 404);
        assert_eq!(answer.json()["error"], "not_found");
    }
    let notes = world
        .get("/.well-known/oauth-authorization-server/servers/notes")
        .await;
    assert_eq!(
        notes.json()["issuer"],
        "http://localhost:4180/servers/notes"
    );
    assert_eq!(world.get(ADDRESSES[0]).await.json()["issuer"], ISSUER);
}

#[tokio::test]
async fn a_server_without_dynamic_registration_does_not_advertise_it() {
    let settings = ServerSettings {
        dynamic_registration: domain::RegistrationMode::Off,
        ..ServerSettings::default()
    };
    let world = World::with("http://localhost:4180", settings).await;
    let metadata = world.get(ADDRESSES[0]).await.json();
    assert!(metadata.get("registration_endpoint").is_none());
    assert!(metadata.get("revocation_endpoint").is_some());
}

#[tokio::test]
async fn where_people_read_about_a_server_is_named_when_it_is_set() {
    let address = "https://docs.example.com/todo";
    let settings = ServerSettings {
        documentation_url: Some(address.into()),
        ..ServerSettings::default()
    };
    let world = World::with("http://localhost:4180", settings).await;
    world.add_server("notes", ServerSettings::default()).await;
    let metadata = world.get(ADDRESSES[0]).await.json();
    assert_eq!(metadata["service_documentation"], address);
    let feed = portcullis_server::policy_feed::snapshot(&world.authority)
        .await
        .unwrap();
    let told = |slug: &str| feed.servers[slug].documentation_url.clone();
    assert_eq!((told("todo"), told("notes")), (Some(address.into()), None));
    let other = "/.well-known/oauth-authorization-server/servers/notes";
    let metadata = world.get(other).await.json();
    assert!(metadata.get("service_documentation").is_none());
}

#[tokio::test]
async fn both_key_sets_are_published_with_one_key_each_and_no_private_part() {
    let world = World::new().await;
    let access = world.get("/jwks.json").await;
    let identity = world.get("/identity/jwks.json").await;
    for answer in [&access, &identity] {
        let keys = answer.json();
        assert_eq!(keys["keys"].as_array().unwrap().len(), 1);
        assert_eq!(keys["keys"][0]["alg"], "ES256");
        assert!(keys["keys"][0].get("d").is_none());
        assert_eq!(answer.header("access-control-allow-origin"), "*");
    }
    assert_ne!(access.text, identity.text);
}
