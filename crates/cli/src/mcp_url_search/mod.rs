//! Which MCP server somebody means who names none: what the files of their folder say.
//!
//! Files in which people write MCP URLs down are believed first; only when they say nothing is the code looked at. Nothing is
//! run and nothing is sent.

mod choose;
mod client_files;
mod env_file;
mod jsonc;
mod source;
#[cfg(test)]
mod tests;
mod walk;

use std::path::Path;

use url::Url;

use crate::args::parse_mcp_url;

pub use choose::{Choice, choose};

/// The most bytes of one file that are looked at; a larger one is skipped.
const FILE_BYTES_MAX: u64 = 1024 * 1024;
/// The most addresses that are told of.
const CANDIDATES_MAX: usize = 50;

/// What a folder says.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Each address once, in the order in which it was found.
    pub candidates: Vec<Candidate>,
    /// Why the code was not looked at to its end, when it was not.
    pub stopped: Option<&'static str>,
}

/// An address of an MCP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The address.
    pub url: Url,
    /// Where it stands, such as `.cursor/mcp.json, todo`.
    pub places: Vec<String>,
}

impl Found {
    /// Adds an address when it is one.
    fn add(&mut self, text: &str, place: &str) {
        // A name that somebody else fills in is no address yet.
        if text.contains(['{', '}', '$', '<', '>']) {
            return;
        }
        let Ok(url) = parse_mcp_url(text.trim()) else {
            return;
        };
        let has_room = self.candidates.len() < CANDIDATES_MAX;
        match self.candidates.iter_mut().find(|known| known.url == url) {
            Some(known) if known.places.iter().any(|known| known == place) => {}
            Some(known) => known.places.push(place.to_owned()),
            None if has_room => self.candidates.push(Candidate {
                url,
                places: vec![place.to_owned()],
            }),
            None => {}
        }
    }
}

/// Looks at the files of `folder`.
pub fn search(folder: &Path) -> Found {
    let mut found = Found::default();
    for (name, text) in texts(folder, env_file::NAMES) {
        env_file::read(&text, name, &mut found);
    }
    for (name, text) in texts(folder, client_files::NAMES) {
        client_files::read(&text, name, &mut found);
    }
    if found.candidates.is_empty() {
        found.stopped = walk::each(folder, |path, text| source::read(text, path, &mut found));
    }
    found
}

fn texts<'a>(
    folder: &'a Path,
    names: &'a [&'static str],
) -> impl Iterator<Item = (&'static str, String)> + 'a {
    names
        .iter()
        .filter_map(|name| Some((*name, text(&folder.join(name))?)))
}

/// A regular file of bearable size, when it is text.
fn text(path: &Path) -> Option<String> {
    let about = std::fs::symlink_metadata(path).ok()?;
    if !about.is_file() || about.len() > FILE_BYTES_MAX {
        return None;
    }
    std::fs::read_to_string(path).ok()
}
