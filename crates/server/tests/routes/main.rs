//! The authority as a client, a browser and an attacker see it: one file per route.
#![allow(clippy::unwrap_used)]

mod admin;
mod audit;
mod authorize;
mod authorize_attacks;
mod canary;
mod client_auth;
mod client_credentials;
mod client_documents;
mod closed;
mod consent;
mod each_client;
mod epoch;
mod feed;
mod feed_streams;
mod foreign_resource;
mod gateways;
mod introspect;
mod keys;
mod machines;
mod metadata;
mod page_attacks;
mod people;
mod refresh;
mod register;
mod register_rules;
mod revoke;
mod service_tokens;
mod sessions;
mod slow_hosts;
mod support;
mod surface;
mod token;
mod waiting;
