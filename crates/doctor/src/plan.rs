use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use base::{Clock, OsRandom, Random, SystemClock};

use crate::attack::Materials;
use crate::signed_in::SignIn;

/// What is to be examined and how far the doctor may go.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The URL as the person typed it.
    pub url: String,
    /// The ids of the clients whose sequences are run.
    pub personas: Vec<String>,
    /// Whether clients may be registered at the authorization server.
    pub register: bool,
    /// Whether attacks may be tried on a server that is not on this machine.
    pub attack: bool,
    /// What some attacks are made of.
    pub attack_materials: Materials,
    /// How to come by a token.
    pub sign_in: SignIn,
    /// A PEM file with certificates to trust beside the machine's own.
    pub ca_file: Option<PathBuf>,
    /// What turns names into addresses.
    pub names: egress::Names,
    /// What it may cost.
    pub limits: Limits,
    /// Tells the time.
    pub clock: Arc<dyn Clock>,
    /// Unpredictable bytes, for states and verifiers.
    pub random: Arc<dyn Random>,
}

impl Plan {
    /// Looks at `url` without an account, registers nothing and attacks only what is on this machine.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            personas: Vec::new(),
            register: false,
            attack: false,
            attack_materials: Materials::default(),
            sign_in: SignIn::No,
            ca_file: None,
            names: egress::Names::default(),
            limits: Limits::default(),
            clock: Arc::new(SystemClock),
            random: Arc::new(OsRandom),
        }
    }
}

/// What an examination may cost, whatever the other side does.
#[derive(Debug, Clone)]
pub struct Limits {
    /// All of it.
    pub total: Duration,
    /// How many requests are sent.
    pub requests_max: u32,
    /// How much of one answer's body is read.
    pub answer_bytes_max: usize,
    /// How much is read of all bodies together.
    pub all_bytes_max: usize,
    /// How long a connection may take.
    pub connect: Duration,
    /// How long one answer may take, to its last byte.
    pub answer: Duration,
    /// From when on an answer is called slow.
    pub slow: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            total: Duration::from_secs(60),
            requests_max: 400,
            answer_bytes_max: 1024 * 1024,
            all_bytes_max: 32 * 1024 * 1024,
            connect: Duration::from_secs(5),
            answer: Duration::from_secs(10),
            slow: Duration::from_secs(3),
        }
    }
}
