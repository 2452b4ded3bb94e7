//! The seams that every floor uses: the clock, randomness, time stamps, secrets and digests.
//!
//! Nothing in the house reads the wall clock or the operating system's random source except through
//! [`Clock`] and [`Random`], so that a test can move time and repeat a run from its seed.

mod clock;
mod correlation_id;
mod count;
mod digest;
mod owner;
mod random;
mod secret;
mod timestamp;

pub use clock::{Clock, ClockMoved, SystemClock};
pub use correlation_id::CorrelationId;
pub use digest::{Digest, base64url, base64url_decode};
pub use owner::give_to_owner_of_folder;
pub use random::{OsRandom, Random, random_token};
pub use secret::Secret;
pub use timestamp::Timestamp;
