use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::values::Size;
use crate::period::Period;

/// Sizes, times and counts that bound what strangers can ask for.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Open connections at once; more wait in the operating system's queue.
    #[schemars(range(min = 16, max = 1_000_000))]
    pub connections: u32,
    /// Open connections from one address at once, or from one IPv6 network of 64 bits; more are closed. Those of
    /// `proxy.trusted` are not counted.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub connections_per_address: u32,
    /// From the first byte to the end of a request's head, and how long an idle connection is kept.
    pub head_timeout: Period,
    /// How long answers that have begun may go on when the process is told to stop.
    pub drain: Period,
    /// The largest MCP request.
    pub request_body: Size,
    /// The largest answer in JSON, or event of a stream, that is held to see what it is and whose. A larger one is not passed on.
    pub list_answer: Size,
    /// How long a connection to an upstream may take.
    pub upstream_connect: Period,
    /// How long an upstream may take until its answer begins. What follows has no limit.
    pub upstream_answer: Period,
    /// How long until what an upstream offers is read again, give or take a tenth; of one that is a command, twelve times as long.
    /// It is also read when it says that a list changed, or lists something otherwise than it was accepted.
    pub upstream_look: Period,
    /// Calls that one person may have open through one client, streams included.
    #[schemars(range(min = 1, max = 100_000))]
    pub open_calls: u32,
    /// Clients that may have registered themselves at one MCP server.
    #[schemars(range(min = 1, max = 10_000_000))]
    pub registrations: u32,
    /// Threads that hash passwords; 0 means half of the cores.
    #[schemars(range(min = 0, max = 256))]
    pub hash_threads: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            connections_per_address: 1024,
            head_timeout: Period::of(10),
            drain: Period::of(5),
            request_body: Size::mebibytes(4),
            list_answer: Size::mebibytes(16),
            upstream_connect: Period::of(5),
            upstream_answer: Period::of(300),
            upstream_look: Period::of(300),
            open_calls: 128,
            registrations: 100_000,
            hash_threads: 0,
        }
    }
}
