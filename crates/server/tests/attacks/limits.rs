use axum::body::Body;
use http::{Method, StatusCode, header};

use crate::support::{Answer, Browser, World, authorize_path, request};

const FORM: &str = "application/x-www-form-urlencoded";
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Where a stranger may send a body, its type, and how an honest one begins.
const DOORS: &[(&str, &str, &str)] = &[
    ("/servers/todo/token", FORM, "grant_type=none&x="),
    ("/servers/todo/revoke", FORM, "token=none&x="),
    ("/servers/todo/introspect", FORM, "token=none&x="),
    (
        "/servers/todo/register",
        "application/json",
        r#"{"redirect_uris":[],"x":""#,
    ),
];

async fn post(world: &World, path: &str, kind: &str, body: Vec<u8>, encoding: &str) -> Answer {
    let mut request = request(Method::POST, path).header(header::CONTENT_TYPE, kind);
    if !encoding.is_empty() {
        request = request.header(header::CONTENT_ENCODING, encoding);
    }
    world.send(request.body(Body::from(body)).unwrap()).await
}

#[tokio::test]
async fn a_body_of_64_kib_is_read_at_every_door_and_one_byte_more_is_413() {
    let world = World::new().await;
    for (path, kind, start) in DOORS {
        for (bytes, is_read) in [(BODY_BYTES_MAX, true), (BODY_BYTES_MAX + 1, false)] {
            let end = if start.starts_with('{') { "\"}" } else { "" };
            let mut body = (*start).to_owned();
            body.push_str(&"x".repeat(bytes - start.len() - end.len()));
            body.push_str(end);
            let answer = post(&world, path, kind, body.into_bytes(), "").await;
            let too_large = answer.status == StatusCode::PAYLOAD_TOO_LARGE;
            assert_eq!(too_large, !is_read, "{path}: {}", answer.text);
            if too_large {
                assert!(answer.text.contains("larger than 65536 bytes"));
            }
        }
    }
}

/// Whatever a body would become, nothing here makes more of it than it is.
#[tokio::test]
async fn a_compressed_body_is_refused_at_every_door_and_a_plain_one_is_read() {
    let world = World::new().await;
    for (path, kind, start) in DOORS {
        for encoding in ["gzip", "deflate", "br", "zstd", "gzip, gzip", "x-unknown"] {
            let answer = post(&world, path, kind, start.as_bytes().to_vec(), encoding).await;
            assert_eq!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
            assert!(answer.text.contains("Content-Encoding is not supported"));
        }
        for plain in ["", "identity"] {
            let answer = post(&world, path, kind, start.as_bytes().to_vec(), plain).await;
            assert_ne!(answer.status, StatusCode::UNSUPPORTED_MEDIA_TYPE, "{path}");
        }
    }
}

#[tokio::test]
async fn a_query_of_32_kib_is_read_and_one_byte_more_is_explained() {
    let world = World::new().await;
    let client = world.register().await;
    let path = authorize_path(&client, &[]);
    let query = path.split_once('?').unwrap().1.len();
    for (bytes, is_read) in [(32 * 1024, true), (32 * 1024 + 1, false)] {
        let padding = "x".repeat(bytes - query - "&x=".len());
        let answer = Browser::default()
            .get(&world, &format!("{path}&x={padding}"))
            .await;
        match is_read {
            true => answer.assert_status(200),
            false => answer.assert_page(400, "longer than 32 KiB"),
        }
    }
}

#[tokio::test]
async fn a_form_of_256_parameters_is_read_and_one_of_more_is_refused() {
    let world = World::new().await;
    for (parameters, words) in [
        (256, "client_id is missing"),
        (257, "more than 256 parameters"),
    ] {
        let mut body = "grant_type=none".to_owned();
        for number in 1..parameters {
            body.push_str(&format!("&p{number}=x"));
        }
        let answer = post(&world, "/servers/todo/token", FORM, body.into_bytes(), "").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.text.contains(words), "{}", answer.text);
    }
}
