//! The authority as a client, a browser and an attacker see it: one file per route.
#![allow(clippy::unwrap_used)]

mod authorize;
mod canary;
mod feed;
mod metadata;
mod people;
mod refresh;
mod register;
mod revoke;
mod support;
mod surface;
mod token;
