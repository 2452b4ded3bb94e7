use std::io::BufRead;

use url::Url;

use super::{Candidate, Found};
use crate::failure::usage;
use crate::target::without_query;
use crate::terminal::{Terminal, plain};

/// What is left to do with what was found.
#[derive(Debug, PartialEq, Eq)]
pub enum Choice {
    /// There is one, or the person chose one.
    One(Url),
    /// There is none.
    Nothing,
}

/// Takes the only address and says where it was found, or asks `person` which of several is meant.
///
/// # Errors
/// When there are several and nobody is there to be asked, or they chose none.
pub fn choose(
    found: &Found,
    person: Option<&mut dyn BufRead>,
    progress: &Terminal,
) -> anyhow::Result<Choice> {
    let [first, rest @ ..] = &found.candidates[..] else {
        return Ok(Choice::Nothing);
    };
    if rest.is_empty() {
        progress.line(format!(
            "No URL was given; this folder names {}",
            told(first)
        ));
        return Ok(Choice::One(first.url.clone()));
    }
    let Some(person) = person else {
        let list: Vec<String> = found
            .candidates
            .iter()
            .map(|candidate| format!("\n  {}", told(candidate)))
            .collect();
        return Err(usage(format!(
            "this folder names several MCP servers; say which one: portcullis doctor URL{}",
            list.concat()
        )));
    };
    progress.line("This folder names several MCP servers:");
    for (index, candidate) in found.candidates.iter().enumerate() {
        progress.line(format!("  {:>2}  {}", index + 1, told(candidate)));
    }
    progress.write(&format!("Which one? [1-{}] ", found.candidates.len()));
    let mut answer = String::new();
    person.read_line(&mut answer)?;
    let chosen: Option<usize> = answer.trim().parse().ok();
    chosen
        .and_then(|number| found.candidates.get(number.checked_sub(1)?))
        .map(|candidate| Choice::One(candidate.url.clone()))
        .ok_or_else(|| usage("none of them was chosen"))
}

/// The address without its query, which often holds a key, and where it stands.
fn told(candidate: &Candidate) -> String {
    const PLACES_MAX: usize = 3;
    let mut places: Vec<String> = candidate
        .places
        .iter()
        .take(PLACES_MAX)
        .map(|place| plain(place, 100))
        .collect();
    if candidate.places.len() > PLACES_MAX {
        places.push(format!("{} more", candidate.places.len() - PLACES_MAX));
    }
    format!(
        "{} ({})",
        plain(&without_query(candidate.url.as_str()), 200),
        places.join("; ")
    )
}
