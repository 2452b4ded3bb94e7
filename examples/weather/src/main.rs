//! The weather, over plain HTTP and over MCP, protected without an authority of Portcullis: a policy in a file beside the
//! program, and tokens of an issuer whose public keys are read from its `jwks_uri`.
//!
//!     export WEATHER_ISSUER=https://auth.example.com/servers/weather
//!     export WEATHER_JWKS=https://auth.example.com/jwks.json
//!     cargo run -p example-weather

mod mcp;
mod sky;

use std::env::var;

use axum::Router;
use axum::routing::{get, post};
use portcullis::{IssuerKeys, Protection};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let resource = var("WEATHER_URL").unwrap_or_else(|_| "http://localhost:8081/mcp".to_owned());
    let listen = var("WEATHER_LISTEN").unwrap_or_else(|_| "127.0.0.1:8081".to_owned());

    let protection = Protection::for_resource(&resource)
        .policy(serde_json::from_str(include_str!("../policy.json"))?)
        .issuer(
            &var("WEATHER_ISSUER")?,
            IssuerKeys::at(var("WEATHER_JWKS")?),
        )
        .start()?;
    let app = Router::new()
        .route("/forecast/{city}", get(sky::forecast))
        .route_layer(protection.require_scope("weather:read")?)
        .fallback_service(protection.protect(post(mcp::answer)));

    axum::serve(TcpListener::bind(listen).await?, app).await?;
    Ok(())
}
