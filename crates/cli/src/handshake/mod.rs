//! One live line per handshake in the terminal.
//!
//! [`Tracker`] puts what the authority and the gateway saw into lines; it does no I/O. `follow` feeds it and prints.

mod follow;
mod from_gateway;
mod from_server;

pub use follow::follow;
pub use from_gateway::sighting as of_call;
pub use from_server::sighting as of_event;

use std::collections::HashMap;
use std::time::Duration;

use base::Timestamp;

use crate::terminal::plain;

/// A step that comes later than this after the last one begins another handshake.
const WINDOW: Duration = Duration::from_secs(5 * 60);
/// How long after a client was challenged its browser is expected.
const BROWSER_WINDOW: Duration = Duration::from_secs(60);
/// The same trouble is told again only after this time.
const QUIET: Duration = Duration::from_secs(30);
/// Stands before a correlation id, and keeps it in the same row. No step has such a space in its own words.
const REFERENCE: &str = "ref\u{a0}";
const HANDSHAKES_MAX: usize = 256;
const NAMES_MAX: usize = 1024;

/// Something that was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sighting {
    /// When.
    pub at: Timestamp,
    /// At which MCP server.
    pub server: String,
    /// The client, once it is known.
    pub client: Option<String>,
    /// What the program calls itself. The person's browser in some steps, so only anonymous ones are told apart by it.
    pub user_agent: Option<String>,
    /// What happened.
    pub step: Step,
    /// The correlation id that a refusal was answered with.
    pub reference: Option<String>,
}

/// What can be seen of a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// 401 with a challenge.
    Challenged,
    /// A metadata document was fetched.
    Metadata,
    /// The client registered itself under this name.
    Registered(String),
    /// The client registered itself, and an owner has to approve it first.
    Waits {
        /// What it calls itself.
        name: String,
        /// Its id.
        client: String,
    },
    /// A client that was known already came for approval.
    Known(String),
    /// The person said yes to these scopes.
    Approved {
        /// Who.
        person: String,
        /// To what, without the slug before it.
        scopes: String,
    },
    /// The person said no.
    Declined(String),
    /// The client exchanged a code. Shown only while nothing followed.
    Token,
    /// The client refreshed its token.
    Refreshed,
    /// Something failed that the person can try again at once.
    Stumbled(String),
    /// A step failed: which, and why.
    Broken(String),
    /// A list or call went through: the handshake has done what it was for.
    Working(String),
    /// A call was refused or failed: what, and why.
    Trouble(String),
}

/// A line that is new, or that replaces its earlier self.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The same for all states of one handshake.
    pub handshake: u64,
    /// Whose.
    pub name: String,
    /// The steps so far.
    pub steps: Vec<String>,
    /// Whether it ended, and how.
    pub end: Option<End>,
}

/// How a handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs, reason = "the name says it")]
pub enum End {
    Working,
    Broken,
}

/// A step as it stands in a line.
#[derive(Debug)]
struct Told {
    text: String,
    reference: Option<String>,
}

impl Told {
    fn in_words(&self) -> String {
        match &self.reference {
            Some(reference) => format!("{} {REFERENCE}{}", self.text, plain(reference, 40)),
            None => self.text.clone(),
        }
    }
}

#[derive(Debug)]
struct Handshake {
    id: u64,
    server: String,
    client: Option<String>,
    user_agent: Option<String>,
    name: Option<String>,
    steps: Vec<Told>,
    last: Timestamp,
}

/// All handshakes that are going on.
#[derive(Debug, Default)]
pub struct Tracker {
    next: u64,
    open: Vec<Handshake>,
    names: HashMap<String, String>,
    told: HashMap<(Option<String>, String), Timestamp>,
}

impl Tracker {
    /// Takes a sighting; answers with the line it changes, if any.
    pub fn see(&mut self, seen: Sighting) -> Option<Line> {
        self.open.retain(|open| seen.at.since(open.last) < WINDOW);
        match seen.step.clone() {
            Step::Trouble(text) => self.trouble(&seen, text),
            step => self.advance(&seen, step),
        }
    }

    fn advance(&mut self, seen: &Sighting, step: Step) -> Option<Line> {
        let found = self.find(seen);
        if found.is_none() && !begins(&step) {
            return None;
        }
        let index = found.unwrap_or_else(|| self.begin(seen));
        let open = self.open.get_mut(index)?;
        open.last = seen.at;
        if seen.client.is_some() {
            open.client.clone_from(&seen.client);
        }
        let end = match &step {
            Step::Working(_) => Some(End::Working),
            Step::Broken(_) | Step::Declined(_) => Some(End::Broken),
            _ => None,
        };
        if let Step::Registered(name) | Step::Known(name) | Step::Waits { name, .. } = &step {
            let name = plain(name, 40);
            open.name = Some(name.clone());
            if let Some(client) = &seen.client {
                if self.names.len() >= NAMES_MAX {
                    self.names.clear();
                }
                self.names.insert(client.clone(), name);
            }
        }
        if open.name.is_none() {
            open.name = seen
                .client
                .as_ref()
                .and_then(|client| self.names.get(client))
                .cloned();
        }
        if let Some(text) = text(step) {
            let reference = seen.reference.clone();
            match open.steps.last_mut() {
                // The same once more, under another reference: the newest is the one that somebody looks for.
                Some(last) if last.text == text && reference.is_some() => {
                    last.reference = reference
                }
                // Clients fetch two documents or are challenged on two methods; that is one step to a person.
                Some(last) if last.text == text => return None,
                last => {
                    if last.is_some_and(|last| last.text == "token") {
                        open.steps.pop();
                    }
                    open.steps.push(Told { text, reference });
                }
            }
        }
        let line = Line {
            handshake: open.id,
            name: open
                .name
                .clone()
                .unwrap_or_else(|| product(open.user_agent.as_deref())),
            steps: open.steps.iter().map(Told::in_words).collect(),
            end,
        };
        if end.is_some() {
            self.open.remove(index);
        }
        Some(line)
    }

    /// A refused call of a client that may long be working: a line of its own, unless it was told a moment ago.
    fn trouble(&mut self, seen: &Sighting, text: String) -> Option<Line> {
        let key = (seen.client.clone(), text.clone());
        let earlier = self.told.get(&key).copied();
        if earlier.is_some_and(|earlier| seen.at.since(earlier) < QUIET) {
            return None;
        }
        if self.told.len() >= NAMES_MAX {
            self.told.clear();
        }
        self.told.insert(key, seen.at);
        let name = seen
            .client
            .as_ref()
            .and_then(|client| self.names.get(client))
            .cloned();
        self.next += 1;
        let told = Told {
            text: plain(&text, 400),
            reference: seen.reference.clone(),
        };
        Some(Line {
            handshake: self.next,
            name: name.unwrap_or_else(|| product(seen.user_agent.as_deref())),
            steps: vec![told.in_words()],
            end: Some(End::Broken),
        })
    }

    fn find(&self, seen: &Sighting) -> Option<usize> {
        let here = |open: &&Handshake| open.server == seen.server;
        let newest = |matches: &dyn Fn(&Handshake) -> bool| {
            self.open
                .iter()
                .enumerate()
                .filter(|(_, open)| here(open) && matches(open))
                .max_by_key(|(_, open)| open.last)
                .map(|(index, _)| index)
        };
        let anonymous = |open: &Handshake| open.client.is_none();
        let same_agent = |open: &Handshake| anonymous(open) && open.user_agent == seen.user_agent;
        if seen.client.is_none() {
            return newest(&same_agent);
        }
        let of_client = newest(&|open| open.client == seen.client).or_else(|| newest(&same_agent));
        if !from_browser(&seen.step) {
            return of_client;
        }
        // The browser's name says nothing about the client, so whoever was challenged a moment ago is meant.
        of_client.or_else(|| {
            newest(&|open| anonymous(open) && seen.at.since(open.last) < BROWSER_WINDOW)
        })
    }

    fn begin(&mut self, seen: &Sighting) -> usize {
        if self.open.len() >= HANDSHAKES_MAX {
            self.open.remove(0);
        }
        self.next += 1;
        self.open.push(Handshake {
            id: self.next,
            server: seen.server.clone(),
            client: seen.client.clone(),
            user_agent: seen.user_agent.clone(),
            name: None,
            steps: Vec::new(),
            last: seen.at,
        });
        self.open.len() - 1
    }
}

/// Whether the person's browser brings it, not the client.
fn from_browser(step: &Step) -> bool {
    matches!(
        step,
        Step::Known(_)
            | Step::Approved { .. }
            | Step::Declined(_)
            | Step::Stumbled(_)
            | Step::Broken(_)
    )
}

/// A working call of a client whose handshake is over, or a refresh, is daily life and no handshake.
fn begins(step: &Step) -> bool {
    !matches!(step, Step::Working(_) | Step::Refreshed | Step::Token)
}

fn text(step: Step) -> Option<String> {
    Some(match step {
        Step::Challenged => "401".into(),
        Step::Metadata => "metadata".into(),
        Step::Registered(_) => "registered".into(),
        Step::Waits { client, .. } => format!(
            "registered and waits for you: portcullis clients approve {}",
            plain(&client, 80)
        ),
        Step::Known(_) => return None,
        Step::Approved { person, scopes } if scopes.is_empty() => {
            format!("{} approved nothing", plain(&person, 60))
        }
        Step::Approved { person, scopes } => {
            format!("{} approved {}", plain(&person, 60), plain(&scopes, 200))
        }
        Step::Declined(person) => format!("{} said no", plain(&person, 60)),
        Step::Token => "token".into(),
        Step::Refreshed => "refreshed".into(),
        Step::Stumbled(text) | Step::Broken(text) | Step::Working(text) | Step::Trouble(text) => {
            plain(&text, 400)
        }
    })
}

/// `claude-code/2.1.329 (cli)` → `claude-code`.
fn product(user_agent: Option<&str>) -> String {
    let product = user_agent
        .unwrap_or_default()
        .split(['/', ' ', '('])
        .next()
        .unwrap_or_default();
    match plain(product, 40).as_str() {
        "" => "a client without a name".into(),
        // Every browser's first word.
        "Mozilla" => "a browser".into(),
        name => name.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    struct Seen {
        tracker: Tracker,
        now: i64,
    }

    impl Seen {
        fn new() -> Self {
            Self {
                tracker: Tracker::default(),
                now: 0,
            }
        }

        fn see(&mut self, client: Option<&str>, agent: &str, step: Step) -> Option<String> {
            self.see_refused(client, agent, step, None)
        }

        fn see_refused(
            &mut self,
            client: Option<&str>,
            agent: &str,
            step: Step,
            reference: Option<&str>,
        ) -> Option<String> {
            self.now += 1000;
            let line = self.tracker.see(Sighting {
                at: Timestamp::from_unix_ms(self.now),
                server: "todo".into(),
                client: client.map(str::to_owned),
                user_agent: Some(agent.to_owned()),
                step,
                reference: reference.map(str::to_owned),
            })?;
            Some(format!("{}  {}", line.name, line.steps.join(" -> ")))
        }
    }

    fn approved() -> Step {
        Step::Approved {
            person: "alice".into(),
            scopes: "read, write".into(),
        }
    }

    #[test]
    fn a_whole_handshake_is_one_line() {
        let mut told = Seen::new();
        told.see(None, "claude-code/2.1 (cli)", Step::Challenged);
        told.see(None, "claude-code/2.1 (cli)", Step::Challenged);
        let line = told
            .see(None, "claude-code/2.1 (cli)", Step::Metadata)
            .unwrap();
        assert_eq!(line, "claude-code  401 -> metadata");
        told.see(
            Some("c"),
            "claude-code/2.1 (cli)",
            Step::Registered("Claude Code".into()),
        );
        told.see(Some("c"), "Mozilla/5.0", approved());
        told.see(Some("c"), "claude-code/2.1 (cli)", Step::Token);
        let line = told
            .see(
                Some("c"),
                "claude-code/2.1 (cli)",
                Step::Working("tools/list 4 of 5".into()),
            )
            .unwrap();
        assert_eq!(
            line,
            "Claude Code  401 -> metadata -> registered -> alice approved read, write -> tools/list 4 of 5"
        );
        assert_eq!(
            told.see(
                Some("c"),
                "claude-code/2.1 (cli)",
                Step::Working("tools/call".into())
            ),
            None
        );
    }

    #[test]
    fn a_known_client_takes_over_the_anonymous_steps_before_it() {
        let mut told = Seen::new();
        told.see(None, "Codex/1", Step::Challenged);
        told.see(Some("c"), "Mozilla/5.0", Step::Known("Codex".into()));
        let line = told.see(Some("c"), "Mozilla/5.0", approved()).unwrap();
        assert_eq!(line, "Codex  401 -> alice approved read, write");
    }

    #[test]
    fn two_clients_at_once_keep_their_own_lines() {
        let mut told = Seen::new();
        told.see(None, "a/1", Step::Challenged);
        told.see(None, "b/1", Step::Challenged);
        told.see(Some("ca"), "a/1", Step::Registered("A".into()));
        told.see(Some("cb"), "b/1", Step::Registered("B".into()));
        assert_eq!(
            told.see(Some("ca"), "x", approved()).unwrap(),
            "A  401 -> registered -> alice approved read, write"
        );
        assert_eq!(
            told.see(Some("cb"), "x", approved()).unwrap(),
            "B  401 -> registered -> alice approved read, write"
        );
    }

    #[test]
    fn a_client_at_work_does_not_take_over_the_handshake_of_another() {
        let mut told = Seen::new();
        told.see(None, "Zed/1", Step::Challenged);
        assert_eq!(
            told.see(
                Some("c"),
                "portcullis/1",
                Step::Working("tools/list 5".into())
            ),
            None
        );
        assert_eq!(
            told.see(None, "Zed/1", Step::Metadata).unwrap(),
            "Zed  401 -> metadata"
        );
    }

    #[test]
    fn a_broken_handshake_names_the_step_and_the_reason_and_the_next_begins_anew() {
        let mut told = Seen::new();
        told.see(None, "x/1", Step::Challenged);
        let line = told
            .see(
                None,
                "x/1",
                Step::Broken("register refused: redirect_uri".into()),
            )
            .unwrap();
        assert_eq!(line, "x  401 -> register refused: redirect_uri");
        assert_eq!(told.see(None, "x/1", Step::Challenged).unwrap(), "x  401");
    }

    #[test]
    fn a_refused_step_ends_with_its_reference_and_the_same_once_more_with_the_newest() {
        let mut told = Seen::new();
        let wrong = || Step::Stumbled("sign-in refused: wrong password (access_denied)".into());
        told.see(None, "x/1", Step::Challenged);
        let mut stumble = |reference| told.see_refused(None, "x/1", wrong(), reference);
        assert_eq!(
            stumble(Some("EWm9HMgR0VHC")).unwrap(),
            "x  401 -> sign-in refused: wrong password (access_denied) ref\u{a0}EWm9HMgR0VHC"
        );
        let again = stumble(Some("Zq0Kd7pTn2Lw")).unwrap();
        assert!(again.ends_with("(access_denied) ref\u{a0}Zq0Kd7pTn2Lw"));
        assert!(!again.contains("EWm9HMgR0VHC"));
        assert_eq!(stumble(None), None);
        let broken = told.see_refused(None, "x/1", Step::Broken("token refused".into()), Some("B"));
        assert!(broken.unwrap().ends_with(" -> token refused ref\u{a0}B"));
    }

    #[test]
    fn trouble_of_a_working_client_is_told_once_in_a_while() {
        let mut told = Seen::new();
        told.see(Some("c"), "x/1", Step::Registered("X".into()));
        let trouble = || Step::Trouble("delete_todo needs todo:delete".into());
        assert_eq!(
            told.see(Some("c"), "x/1", trouble()).unwrap(),
            "X  delete_todo needs todo:delete"
        );
        // The same under another reference is the same.
        let again = told.see_refused(Some("c"), "x/1", trouble(), Some("A"));
        assert_eq!(again, None);
        told.now += 60_000;
        let later = told.see_refused(Some("c"), "x/1", trouble(), Some("B"));
        assert!(later.unwrap().ends_with("todo:delete ref\u{a0}B"));
    }

    #[test]
    fn a_step_after_a_long_pause_begins_another_handshake() {
        let mut told = Seen::new();
        told.see(None, "x/1", Step::Challenged);
        told.now += 10 * 60_000;
        assert_eq!(
            told.see(None, "x/1", Step::Metadata).unwrap(),
            "x  metadata"
        );
    }

    #[test]
    fn names_from_clients_cannot_forge_a_line() {
        let mut told = Seen::new();
        let line = told
            .see(
                Some("c"),
                "x",
                Step::Registered("Evil\n\u{1b}[1A Claude".into()),
            )
            .unwrap();
        assert_eq!(line, "Evil [1A Claude  registered");
    }
}
