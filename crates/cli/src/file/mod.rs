//! `portcullis export`: what the store keeps of servers, clients and people, as one readable file for git.

mod document;
mod entries;
mod gather;
mod write;
