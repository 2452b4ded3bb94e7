//! Outgoing mail: one SMTP server, bounded time, a bounded number of messages at once, and words that say what to change.
//!
//! lettre writes the message (MIME, quoting, headers) and knows the words of SMTP; the conversation itself is held here, so
//! that every reply has a limit, a server that does not offer the encryption that was asked for is never spoken to in the
//! clear, and each step can say where it failed. Trust is that of every other outgoing connection.

mod conversation;
mod failure;
mod mailbox;
mod mailer;
mod message;
pub mod metric;
mod session;
mod settings;
mod step;

pub use failure::{Failure, Kind};
pub use mailbox::{Mailbox, MailboxError};
pub use mailer::{Mailer, Sent};
pub use message::Message;
pub use settings::{Encryption, Settings};
pub use step::Step;

#[cfg(test)]
mod tests;
