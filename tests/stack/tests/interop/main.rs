//! Clients that others wrote, each through its whole life with every way of getting a client id: discovery, one sign-in
//! with part of the scopes, a call, the step-up for the rest, a restart of the server, a refresh, the end by revocation.
//!
//! One test is one cell of the matrix. `cargo xtask test` installs the clients.

#![allow(clippy::unwrap_used, clippy::print_stdout)]

mod cell;
mod day;
mod driver;
mod field;
mod other_issuer;
mod rmcp;

use cell::Registration::{Configured, ConfiguredWithSecret, Document, Dynamic};
use driver::{FASTMCP, PYTHON, TYPESCRIPT_V1, TYPESCRIPT_V2};

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v1_registers_itself() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V1, Dynamic).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v1_has_a_metadata_document() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V1, Document).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v1_is_configured() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V1, Configured).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v1_is_configured_with_a_secret() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V1, ConfiguredWithSecret).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v2_registers_itself() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V2, Dynamic).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v2_has_a_metadata_document() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V2, Document).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v2_is_configured() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V2, Configured).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn typescript_v2_is_configured_with_a_secret() -> anyhow::Result<()> {
    driver::live(TYPESCRIPT_V2, ConfiguredWithSecret).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn python_registers_itself() -> anyhow::Result<()> {
    driver::live(PYTHON, Dynamic).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn python_has_a_metadata_document() -> anyhow::Result<()> {
    driver::live(PYTHON, Document).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn python_is_configured() -> anyhow::Result<()> {
    driver::live(PYTHON, Configured).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn python_is_configured_with_a_secret() -> anyhow::Result<()> {
    driver::live(PYTHON, ConfiguredWithSecret).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn fastmcp_registers_itself() -> anyhow::Result<()> {
    driver::live(FASTMCP, Dynamic).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn fastmcp_has_a_metadata_document() -> anyhow::Result<()> {
    driver::live(FASTMCP, Document).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn fastmcp_is_configured() -> anyhow::Result<()> {
    driver::live(FASTMCP, Configured).await
}

#[tokio::test]
#[ignore = "needs the clients that cargo xtask test installs"]
async fn fastmcp_is_configured_with_a_secret() -> anyhow::Result<()> {
    driver::live(FASTMCP, ConfiguredWithSecret).await
}

#[tokio::test]
async fn rmcp_registers_itself() -> anyhow::Result<()> {
    rmcp::live(Dynamic).await
}

#[tokio::test]
async fn rmcp_has_a_metadata_document() -> anyhow::Result<()> {
    rmcp::live(Document).await
}

#[tokio::test]
async fn rmcp_is_configured() -> anyhow::Result<()> {
    rmcp::live(Configured).await
}

#[tokio::test]
async fn rmcp_is_configured_with_a_secret() -> anyhow::Result<()> {
    rmcp::live(ConfiguredWithSecret).await
}

#[tokio::test]
#[ignore = "needs the clients, and the library that moves the clock, that cargo xtask test installs"]
async fn typescript_v1_sleeps_through_a_day() -> anyhow::Result<()> {
    day::live(TYPESCRIPT_V1).await
}

#[tokio::test]
#[ignore = "needs the clients, and the library that moves the clock, that cargo xtask test installs"]
async fn typescript_v2_sleeps_through_a_day() -> anyhow::Result<()> {
    day::live(TYPESCRIPT_V2).await
}

#[tokio::test]
#[ignore = "needs the clients, and the library that moves the clock, that cargo xtask test installs"]
async fn python_sleeps_through_a_day() -> anyhow::Result<()> {
    day::live(PYTHON).await
}

#[tokio::test]
#[ignore = "needs the clients, and the library that moves the clock, that cargo xtask test installs"]
async fn fastmcp_sleeps_through_a_day() -> anyhow::Result<()> {
    day::live(FASTMCP).await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_the_typescript_sdks_protected_example() -> anyhow::Result<()> {
    field::examine("typescript_sdk.mjs").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_fastmcp_with_a_jwt_verifier() -> anyhow::Result<()> {
    field::examine("fastmcp_jwt.py").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_cloudflares_oauth_provider_for_workers() -> anyhow::Result<()> {
    field::examine("workers_oauth.mjs").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_better_auths_mcp_plugin() -> anyhow::Result<()> {
    field::examine("better_auth.mjs").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_the_sample_of_a_quickstart() -> anyhow::Result<()> {
    field::examine("sample_quickstart.mjs").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_the_sample_with_open_cors() -> anyhow::Result<()> {
    field::examine("sample_cors.mjs").await
}

#[tokio::test]
#[ignore = "needs the servers that cargo xtask test installs"]
async fn the_doctor_examines_the_sample_on_fastapi() -> anyhow::Result<()> {
    field::examine("sample_fastapi.py").await
}
