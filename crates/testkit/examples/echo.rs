//! The echo server as a process of its own, for benchmarks: `echo [PORT]`. Prints its URL and runs until killed.
#![allow(clippy::print_stdout)]

use portcullis_testkit::echo::{Echo, EchoSettings};

#[tokio::main]
async fn main() {
    let port: u16 = std::env::args()
        .nth(1)
        .map_or(0, |port| port.parse().expect("PORT is a number"));
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", port))
        .await
        .expect("the port is free");
    let echo = Echo::start_on(listener, EchoSettings::default());
    println!("{}", echo.url());
    std::future::pending::<()>().await;
}
