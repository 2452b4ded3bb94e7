use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use crate::support::{World, claims, request};

const REGISTER: &str = "/servers/todo/register";

fn body() -> Value {
    json!({"redirect_uris": ["http://localhost/cb"], "client_name": "A client"})
}

#[tokio::test]
async fn there_is_no_door_to_manage_a_registration() {
    let world = World::new().await;
    let answer = world.post_json(REGISTER, &body()).await;
    assert_eq!(answer.status, StatusCode::CREATED);
    let client = answer.json();
    assert!(client.get("registration_access_token").is_none());
    assert!(client.get("registration_client_uri").is_none());
    let id = client["client_id"].as_str().unwrap();
    for method in [
        Method::GET,
        Method::PUT,
        Method::PATCH,
        Method::DELETE,
        Method::POST,
    ] {
        let request = request(method.clone(), &format!("{REGISTER}/{id}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::AUTHORIZATION, "Bearer x")
            .body(body().to_string().into())
            .unwrap();
        assert_eq!(
            world.send(request).await.status,
            StatusCode::NOT_FOUND,
            "{method}"
        );
    }
}

#[tokio::test]
async fn a_registration_is_read_eight_levels_deep_and_no_deeper() {
    let world = World::new().await;
    let nested = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    let post = async |depth: usize| {
        let body = format!(
            r#"{{"redirect_uris":["http://localhost/cb"],"x":{}}}"#,
            nested(depth)
        );
        let request = request(Method::POST, REGISTER)
            .header(header::CONTENT_TYPE, "application/json")
            .body(body.into())
            .unwrap();
        world.send(request).await
    };
    assert_eq!(post(7).await.status, StatusCode::CREATED);
    for depth in [8, 1_000, 5_000] {
        post(depth)
            .await
            .assert_error(400, "invalid_client_metadata", "JSON");
    }
}

#[tokio::test]
async fn a_registration_is_json_by_its_type_too() {
    let world = World::new().await;
    let post = async |content_type: Option<&str>| {
        let mut request = request(Method::POST, REGISTER);
        if let Some(content_type) = content_type {
            request = request.header(header::CONTENT_TYPE, content_type);
        }
        world
            .send(request.body(body().to_string().into()).unwrap())
            .await
            .status
    };
    // What a form of a foreign page can send without asking first.
    for simple in [
        Some("text/plain"),
        Some("application/x-www-form-urlencoded"),
        Some("multipart/form-data; boundary=x"),
    ] {
        assert_eq!(
            post(simple).await,
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "{simple:?}"
        );
    }
    assert_eq!(
        post(Some("application/json; charset=utf-8")).await,
        StatusCode::CREATED
    );
}

#[tokio::test]
async fn ids_of_clients_people_and_tokens_are_of_different_names_and_nobody_chooses_one() {
    let world = World::new().await;
    let alice = world.add_alice().await;
    let mut asked = body();
    asked["client_id"] = json!(alice.id.as_str());
    asked["sub"] = json!(alice.id.as_str());
    let client = world.post_json(REGISTER, &asked).await.json();
    let id = client["client_id"].as_str().unwrap().to_owned();
    assert!(id.starts_with("cli_") && !id.starts_with("https://"));
    assert!(alice.id.as_str().starts_with("usr_"));
    assert!(
        world
            .store
            .find_user_by_email(&alice.email)
            .await
            .unwrap()
            .is_some()
    );

    let connected = World::new().await;
    let (client, tokens) = connected.connected().await;
    let claims = claims(tokens["access_token"].as_str().unwrap());
    assert_eq!(claims["client_id"], client.as_str());
    assert!(claims["sub"].as_str().unwrap().starts_with("usr_"));
    assert!(claims["grant_id"].as_str().unwrap().starts_with("gra_"));
}
