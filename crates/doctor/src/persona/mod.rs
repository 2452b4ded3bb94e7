//! The same server as each client meets it.
//!
//! A persona is data: the `journey` of an entry of the known clients. Its requests are sent as it would send them, in
//! its order, and its answers are read as it would read them, up to the page that its browser opens. What equals a
//! request that another persona sent before is not sent again.

mod authorize;
mod cache;
mod choice;
mod client_id;
mod compare;
mod cookies;
mod open;
pub mod phrases;
mod resource;
mod scopes;
mod server;
pub mod table;
mod walk;

use serde::Serialize;

use crate::{Desk, Finding, Flaw, Section};
pub use choice::choose;

use cache::Cache;
use walk::{Walk, Walked};

/// How far one client comes.
#[derive(Debug, Clone, Serialize)]
pub struct Journey {
    /// The client's id in the list of known clients.
    pub client: String,
    /// What people call it.
    pub name: String,
    /// What it did, one line per step, to the browser step at most.
    pub steps: Vec<String>,
    /// Where it would stop; `None` when it comes to the browser step, or as far as could be looked at.
    pub stop: Option<Stop>,
    /// Why it was not followed to its end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_examined: Option<String>,
    /// Which of its ways nobody has established, so that the specification's were taken.
    pub assumed: Vec<&'static str>,
}

/// Where a client would stop.
#[derive(Debug, Clone, Serialize)]
pub struct Stop {
    /// At which step.
    pub step: String,
    /// Why, in a sentence.
    pub why: String,
    /// What its user would see.
    pub user_sees: String,
    /// The id of the flaw that stops it.
    pub flaw: Option<&'static str>,
}

/// Runs the sequence of each client that was asked for.
pub async fn examine(desk: &mut Desk) {
    if desk.plan.personas.is_empty() {
        return;
    }
    let clients = match choose(&desk.plan.personas.join(",")) {
        Ok(clients) => clients,
        Err(why) => return desk.notes.not_examined(Section::Personas, why),
    };
    let mut cache = Cache::default();
    let port = walk::some_port(&*desk.plan.random);
    let mut stopped: Vec<(Flaw, Finding, Vec<&str>)> = Vec::new();
    let mut unexamined: Vec<(String, Vec<&str>)> = Vec::new();
    for client in clients {
        let Some(ways) = &client.journey else {
            let why = client
                .no_journey
                .as_deref()
                .unwrap_or("Nothing of its way is established.");
            desk.notes
                .not_examined(Section::Personas, format!("{}: {why}", client.name));
            continue;
        };
        let Walked { journey, finding } =
            Walk::new(desk, &mut cache, client, ways, port).run().await;
        if let Some(why) = &journey.not_examined {
            match unexamined.iter_mut().find(|(known, _)| known == why) {
                Some((_, names)) => names.push(&client.name),
                None => unexamined.push((why.clone(), vec![&client.name])),
            }
        }
        if let Some(finding) = finding {
            match stopped.iter_mut().find(|(flaw, ..)| *flaw == finding.flaw) {
                Some((_, _, names)) => names.push(&client.name),
                None => stopped.push((finding.flaw, finding, vec![&client.name])),
            }
        }
        desk.notes.journeys.push(journey);
    }
    for (_, mut finding, names) in stopped {
        finding.title = format!("{}: {}", names.join(", "), finding.title);
        desk.notes.add(finding);
    }
    for (why, names) in unexamined {
        desk.notes
            .not_examined(Section::Personas, format!("{}: {why}", names.join(", ")));
    }
    let all_pass = desk
        .notes
        .journeys
        .iter()
        .all(|journey| journey.stop.is_none());
    if all_pass {
        let passed = desk
            .notes
            .journeys
            .iter()
            .filter(|journey| journey.not_examined.is_none())
            .count();
        desk.notes.well(
            Section::Personas,
            format!("{passed} clients come to the page that their browser opens"),
        );
    }
}

#[cfg(test)]
mod tests;
