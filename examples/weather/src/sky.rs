use std::sync::Arc;

use axum::extract::Path;
use axum::{Extension, Json};
use portcullis::VerifiedCaller;
use serde_json::{Value, json};

/// `GET /forecast/{city}`.
pub async fn forecast(
    Path(city): Path<String>,
    Extension(caller): Extension<Arc<VerifiedCaller>>,
) -> Json<Value> {
    Json(json!({"forecast": of(&city), "for": &*caller.principal().subject}))
}

/// What the sky over a city will look like.
pub fn of(city: &str) -> String {
    let sky = ["sun", "clouds", "rain"];
    format!("{city}: {}", sky[city.len() % sky.len()])
}
