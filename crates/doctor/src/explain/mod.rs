//! What an access token says, in words, offline: `portcullis token explain`.
//!
//! Nothing here trusts a token. What is printed of one is bounded and cannot move a cursor; its signature and the token
//! as a whole are never repeated, so that an explanation can be pasted into an issue.

mod against;
mod checks;
mod form;
mod signature;
mod words;

use serde::Serialize;
use wire::mcp::{Json, Object};

pub use against::Against;
pub use checks::{Check, Outcome};
pub use form::{Form, Jwt, read};
pub use signature::check_signature;
pub use words::{length, shown};

/// The most members of a header or of the claims that are shown.
const MEMBERS_SHOWN_MAX: usize = 64;
/// The most characters of one value that are shown.
const VALUE_SHOWN_MAX: usize = 300;

/// A token in words.
#[derive(Debug, Clone, Serialize)]
pub struct Explanation {
    /// `jwt`, `encrypted`, `opaque` or `damaged`.
    pub kind: &'static str,
    /// What it is, in one sentence.
    pub sentence: String,
    /// What its header says.
    pub header: Vec<Member>,
    /// What it claims.
    pub claims: Vec<Member>,
    /// The checklist.
    pub checks: Vec<Check>,
    /// What is odd about it besides.
    pub notes: Vec<String>,
    /// Whether it is good.
    pub verdict: Verdict,
}

/// A member of the header or the claims.
#[derive(Debug, Clone, Serialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// Its value as JSON, cut when it is long.
    pub value: String,
    /// What it means.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
}

/// What follows from the checks.
#[derive(Debug, Clone, Serialize)]
pub struct Verdict {
    /// Good only when everything was compared and everything holds.
    pub outcome: Outcome,
    /// Why, and what to give for more.
    pub says: String,
}

/// Explains `text`, which may be a token, an `Authorization` header or a whole token response.
pub fn explain(text: &str, against: &Against) -> Explanation {
    let (form, mut notes) = read(text);
    let jwt = match form {
        Form::Jwt(jwt) => jwt,
        other => return without_claims(&other, notes, against),
    };
    notes.extend(checks::notes(&jwt));
    let checks = checks::all(&jwt, against);
    Explanation {
        kind: "jwt",
        sentence: format!(
            "A signed JWT (alg {}): anybody who has it can read its claims.",
            jwt.header
                .str("alg")
                .map_or("missing".to_owned(), |alg| shown(alg, 20))
        ),
        header: members(&jwt.header, |name, _| words::header(name)),
        claims: members(&jwt.claims, |name, value| {
            words::claim(name, value, against)
        }),
        verdict: verdict(&checks, against),
        checks,
        notes,
    }
}

fn without_claims(form: &Form, notes: Vec<String>, against: &Against) -> Explanation {
    let unknown = |says: &str| Verdict {
        outcome: Outcome::Unknown,
        says: says.to_owned(),
    };
    let (kind, sentence, header, verdict) = match form {
        Form::Encrypted(header) => (
            "encrypted",
            "An encrypted JWT (JWE): only who holds the key can read its claims.".to_owned(),
            members(header, |name, _| words::header(name)),
            unknown(
                "an MCP server that verifies JWTs cannot read it; it must hold the key, or ask the introspection endpoint",
            ),
        ),
        Form::Opaque { characters } => (
            "opaque",
            format!("An opaque token of {characters} characters: it says nothing by itself."),
            Vec::new(),
            unknown(if against.is_empty() {
                "only the authorization server that issued it knows what it stands for: ask its introspection endpoint (RFC 7662)"
            } else {
                "there is no issuer, audience or expiry in it to compare with what was given: ask the introspection endpoint (RFC 7662)"
            }),
        ),
        Form::Damaged { why } => (
            "damaged",
            "It is not a token that can be read.".to_owned(),
            Vec::new(),
            Verdict {
                outcome: Outcome::Bad,
                says: why.clone(),
            },
        ),
        Form::Jwt(_) => unreachable!("a JWT has claims"),
    };
    Explanation {
        kind,
        sentence,
        header,
        claims: Vec::new(),
        checks: Vec::new(),
        notes,
        verdict,
    }
}

fn members(object: &Object, words: impl Fn(&str, &Json) -> Option<String>) -> Vec<Member> {
    let mut members: Vec<Member> = object
        .iter()
        .take(MEMBERS_SHOWN_MAX)
        .map(|(name, value)| Member {
            name: shown(name, 60),
            value: words::value(value, VALUE_SHOWN_MAX),
            words: words(name, value),
        })
        .collect();
    if let Some(more) = object
        .len()
        .checked_sub(MEMBERS_SHOWN_MAX)
        .filter(|n| *n > 0)
    {
        members.push(Member {
            name: "…".to_owned(),
            value: format!("and {more} more"),
            words: None,
        });
    }
    members
}

fn verdict(checks: &[Check], against: &Against) -> Verdict {
    let mut bad = checks.iter().filter(|check| check.outcome == Outcome::Bad);
    if let Some(first) = bad.next() {
        let more: Vec<&str> = bad.map(|check| check.name).collect();
        let also = match more.is_empty() {
            true => String::new(),
            false => format!(". Also wrong: {}", more.join(", ")),
        };
        return Verdict {
            outcome: Outcome::Bad,
            says: format!("{}: {}{also}", first.name, first.says),
        };
    }
    let open: Vec<&str> = checks
        .iter()
        .filter(|check| check.outcome == Outcome::Unknown)
        .map(|check| check.name)
        .collect();
    let missing = against.missing();
    match (open.is_empty(), missing.is_empty()) {
        (true, _) => Verdict {
            outcome: Outcome::Good,
            says: "issuer, audience, expiry and signature are as an MCP server of this URL must want them".into(),
        },
        (false, false) => Verdict {
            outcome: Outcome::Unknown,
            says: format!(
                "nothing is wrong with what could be looked at; for a verdict give {} as well",
                missing.join(", ")
            ),
        },
        (false, true) => Verdict {
            outcome: Outcome::Unknown,
            says: format!(
                "nothing is wrong with what could be looked at; left open: {}",
                open.join(", ")
            ),
        },
    }
}
