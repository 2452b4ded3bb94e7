//! `portcullis export`, `plan` and `apply`: what the store keeps of servers, clients and people, as one readable file
//! for git, and back.
//!
//! A file is read in two steps: its keys and kinds (`read`), then what its values mean (`wanted`), as the same types that
//! the store gives. The plan that is shown is the difference of the two in the words of the file (`differences`), what
//! is written their difference as changes of the store (`changes`).

mod apply;
mod changes;
mod consequences;
mod differences;
mod document;
mod entries;
mod gather;
mod policy_alone;
mod problems;
mod read;
mod section;
mod show;
mod stale;
#[cfg(test)]
mod tests;
mod visible_toml;
mod wanted;
mod write;

pub use apply::{ApplyArguments, PlanArguments};
pub(crate) use consequences::of_policy as consequences_of_policy;
pub(crate) use policy_alone::{PolicyInFile, policy_as_toml};
