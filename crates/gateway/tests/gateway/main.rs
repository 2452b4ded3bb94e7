//! The gateway over real HTTP on loopback, between a client that shows all and an upstream that records all.

#![allow(clippy::unwrap_used)]

extern crate portcullis_gateway as gateway;

mod addresses;
mod answers;
mod bad_input;
mod changing_servers;
mod crowd;
mod discovering;
mod forwarding;
mod hostile_upstreams;
mod hosts;
mod identity;
mod instructions;
mod keys;
mod list_news;
mod lists;
mod mirrored_arguments;
mod near_misses;
mod odd_upstreams;
mod pages;
mod parsers;
mod peer_failures;
mod policy_swaps;
mod rate_limits;
mod records;
mod refusals;
mod service_tokens;
mod sessions;
mod smuggling;
mod stdio_children;
mod streams;
mod support;
mod town;
mod upstream_failures;
