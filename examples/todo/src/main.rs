//! A todo list for each person, as an MCP server that protects itself: an authority of Portcullis decides who may do what.
//!
//!     portcullis servers add todo http://127.0.0.1:8080/mcp --url http://localhost:8080/mcp --unseen
//!     export PORTCULLIS_CREDENTIAL=$(portcullis servers credential todo)
//!     export PORTCULLIS_ISSUER=http://localhost:4180/servers/todo
//!     cargo run -p example-todo

use std::env::var;

use axum::Router;
use portcullis::Protection;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    tracing_subscriber::fmt().init();
    let resource = var("TODO_URL").unwrap_or_else(|_| "http://localhost:8080/mcp".to_owned());
    let listen = var("TODO_LISTEN").unwrap_or_else(|_| "127.0.0.1:8080".to_owned());

    let protection = Protection::for_resource(&resource)
        .authority(&var("PORTCULLIS_ISSUER")?, var("PORTCULLIS_CREDENTIAL")?)
        .policy(example_todo::policy())
        .start()?;
    let app = Router::new().fallback_service(protection.protect(example_todo::mcp()));

    axum::serve(TcpListener::bind(listen).await?, app).await?;
    Ok(())
}
