//! The configuration file of `portcullis serve`: one file per section, all defaults, and the words that refuse what is wrong.
//!
//! Only this folder knows the file and the environment; the other crates get plain settings. `docs/configuration.md` and the JSON
//! schema are made from the types here.

mod acme;
mod activity;
mod admin;
mod command;
mod database;
mod egress;
mod environment;
mod issuers;
mod keys;
mod limits;
mod listen;
mod load;
mod log;
mod mail;
mod operations;
mod place;
mod proxy;
mod reference;
mod retention;
mod role;
mod schema;
mod tls;
mod traces;
mod valid;
mod values;

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub use self::mail::Mail;
pub use acme::{AcmePlace, domain_of};
pub use activity::Activity;
use admin::Admin;
pub use command::{ConfigCommand, run};
pub use database::Database;
pub use egress::Egress;
pub use environment::nearest;
use issuers::Issuer;
pub use issuers::IssuerPlace;
pub use keys::Keys;
pub use limits::Limits;
pub use listen::Listen;
pub use load::{Loaded, load, refusal, variables};
pub use log::Log;
pub use place::Place;
pub use proxy::{ForwardedHeader, Proxy};
pub use retention::Retention;
use role::AuthorityElsewhere;
pub use role::Role;
pub use tls::{Certificate, Challenge, Tls};
pub use traces::Traces;
pub use valid::{DatabasePlace, Elsewhere, MasterKeyPlace, Valid};

use operations::Operations;
use values::Origin;
pub use values::Size;

/// Everything that `portcullis serve` is told. MCP servers, scopes and people are not here: they live in the store, and commands
/// change them while it runs.
#[derive(Debug, Clone, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    /// The origin that clients and people see, such as `https://mcp.example.com`: `https`, or `http` on loopback; no path. Required.
    /// It is fixed at the first start, because tokens and registered clients name it. A node with the role `gateway` takes
    /// `authority.url` instead.
    pub public_url: Option<Origin>,
    /// Which parts run here. `portcullis serve --role` says otherwise for one start.
    pub role: Role,
    /// The directory for the SQLite databases and generated keys. Without it: `$XDG_DATA_HOME/portcullis`. With PostgreSQL and a
    /// master key from elsewhere, nothing in it matters to the authority.
    pub data_dir: Option<PathBuf>,
    /// Where clients and people connect.
    pub listen: Listen,
    /// Where the dashboard and the admin API answer.
    pub admin: Admin,
    /// Where whoever operates a node asks it.
    pub operations: Operations,
    /// Certificates, when no proxy in front speaks https.
    pub tls: Tls,
    /// Proxies in front, whose word about the client's address counts.
    pub proxy: Proxy,
    /// Where the authority is, for the role `gateway`.
    pub authority: AuthorityElsewhere,
    /// Other authorization servers, each for one MCP server, whose tokens it takes in the place of ours. Every node that answers for
    /// the server needs the same.
    pub issuers: Vec<Issuer>,
    /// Where the authority keeps everything.
    pub database: Database,
    /// What seals the signing keys.
    pub keys: Keys,
    /// Connections that Portcullis opens itself, to fetch documents of clients.
    pub egress: Egress,
    /// Sizes, times and counts that bound what strangers can ask for.
    pub limits: Limits,
    /// The mail server that takes messages to people. `portcullis mail test` tries it.
    pub mail: Mail,
    /// The activity log: one record of each call that goes through a gateway.
    pub activity: Activity,
    /// How long records are kept.
    pub retention: Retention,
    /// What is logged, and how.
    pub log: Log,
    /// Traces of requests, for a collector that speaks OpenTelemetry's protocol (OTLP) over HTTP.
    pub traces: Traces,
}
