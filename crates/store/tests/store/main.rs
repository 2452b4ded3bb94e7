//! One suite for every database: SQLite always, PostgreSQL when `PORTCULLIS_TEST_POSTGRES_URL` is set. Each test
//! has its own file or schema.
#![allow(clippy::unwrap_used)]

// The name that every other crate knows it by.
extern crate portcullis_store as store;

mod acme;
mod activity;
mod addresses;
mod apply;
mod audit_seals;
mod client_admin;
mod client_documents;
mod clients;
mod codes;
mod copies;
mod crossed_writes;
mod cut_migration;
mod databases;
mod deleted_people;
mod epoch;
mod fixture;
mod housekeeping;
mod keys;
mod machines;
mod newer;
mod opening;
mod owners;
mod people;
mod policy_revisions;
mod races;
mod refused_meanwhile;
mod roles_and_groups;
mod servers;
#[cfg(unix)]
mod standby;
mod tokens;
mod unreachable;
mod upgrade;
