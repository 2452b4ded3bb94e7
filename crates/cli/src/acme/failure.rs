use instant_acme::{Error, Problem};

use crate::config::Challenge;

const REASON_CHARACTERS_MAX: usize = 600;

/// Why no certificate was issued, and what to change.
#[derive(Debug)]
pub(super) struct Failure {
    /// What the ACME server, or whatever lies on the way to it, says.
    pub reason: String,
    /// What to change.
    pub fix: &'static str,
    /// The ACME server is asked too often.
    pub is_limited: bool,
    /// Our account there is gone.
    pub has_no_account: bool,
    /// Its order is good for nothing any more.
    pub ends_order: bool,
}

impl Failure {
    pub(super) fn new(reason: impl Into<String>, fix: &'static str) -> Self {
        Self {
            reason: reason.into().chars().take(REASON_CHARACTERS_MAX).collect(),
            fix,
            is_limited: false,
            has_no_account: false,
            ends_order: false,
        }
    }

    /// What `error` says about an order whose names are proven by `challenge`.
    pub(super) fn of(error: &Error, challenge: Challenge) -> Self {
        match error {
            Error::Api(problem) => Self::of_problem(problem, challenge),
            Error::Timeout(_) => Self::new(
                "the ACME server did not come to an end in time",
                "it is tried again; see its status page",
            ),
            Error::Other(cause) => Self::new(
                format!("the ACME server cannot be asked: {}", chain(&**cause)),
                "check tls.acme.directory, the way to it, and tls.acme.ca_file when it has a root of its own",
            ),
            Error::Json(_) => Self::new(
                "the answer is not that of an ACME server",
                "check tls.acme.directory: it must be the address of the directory itself",
            ),
            other => Self::new(
                chain(other),
                "it is tried again; check tls.acme.directory when it stays",
            ),
        }
    }

    /// What `problem` says (RFC 8555 section 6.7).
    pub(super) fn of_problem(problem: &Problem, challenge: Challenge) -> Self {
        let kind = problem.r#type.as_deref().unwrap_or_default();
        let kind = kind
            .strip_prefix("urn:ietf:params:acme:error:")
            .unwrap_or(kind);
        let fix = match (kind, challenge) {
            ("connection", Challenge::Http01) => {
                "let port 80 of that name reach tls.acme.http_listen from the Internet"
            }
            ("connection" | "tls" | "unauthorized" | "incorrectResponse", Challenge::TlsAlpn01) => {
                "let port 443 of that name reach listen.addresses from the Internet, as TCP: nothing in between may end TLS; or choose \
                 challenge = \"http-01\""
            }
            ("unauthorized" | "incorrectResponse", Challenge::Http01) => {
                "something else answers port 80 of that name: let it pass /.well-known/acme-challenge/ on to tls.acme.http_listen"
            }
            ("dns", _) => "let that name point to this service in the DNS",
            ("caa", _) => {
                "the CAA record of that name in the DNS forbids this ACME server; add it there"
            }
            ("rateLimited", _) => {
                "the limits of the ACME server are reached; wait, and try with its directory for trials"
            }
            ("rejectedIdentifier" | "unsupportedIdentifier", _) => {
                "this ACME server issues nothing for that name; take it out of tls.acme.domains"
            }
            ("externalAccountRequired", _) => {
                "this ACME server wants an account from elsewhere: set tls.acme.external_account"
            }
            ("userActionRequired", _) => {
                "the terms of the ACME server have changed; agree to them there"
            }
            ("invalidContact" | "unsupportedContact", _) => {
                "this ACME server does not take tls.acme.contact"
            }
            _ => "it is tried again; the ACME server knows more",
        };
        let detail = problem.detail.as_deref().unwrap_or("no detail");
        Self {
            is_limited: kind == "rateLimited",
            has_no_account: kind == "accountDoesNotExist",
            ..Self::new(format!("{kind}: {detail}"), fix)
        }
    }
}

impl From<store::StoreError> for Failure {
    fn from(error: store::StoreError) -> Self {
        Self::new(
            format!("the store: {error}"),
            "it is tried again; the log says what ails the database",
        )
    }
}

/// Each cause once.
fn chain(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let words = inner.to_string();
        if !text.contains(&words) {
            text.push_str(": ");
            text.push_str(&words);
        }
        cause = inner.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(kind: &str, detail: &str) -> Problem {
        Problem {
            r#type: Some(format!("urn:ietf:params:acme:error:{kind}")),
            detail: Some(detail.to_owned()),
            status: Some(403),
            subproblems: Vec::new(),
        }
    }

    #[test]
    fn each_refusal_says_what_to_change_and_a_long_one_is_cut() {
        for (kind, challenge, fix) in [
            ("connection", Challenge::Http01, "port 80"),
            ("connection", Challenge::TlsAlpn01, "port 443"),
            (
                "unauthorized",
                Challenge::Http01,
                "something else answers port 80",
            ),
            ("dns", Challenge::Http01, "DNS"),
            ("caa", Challenge::TlsAlpn01, "CAA"),
            (
                "externalAccountRequired",
                Challenge::Http01,
                "tls.acme.external_account",
            ),
            ("rejectedIdentifier", Challenge::Http01, "tls.acme.domains"),
        ] {
            let failure = Failure::of_problem(&problem(kind, "no"), challenge);
            assert!(failure.fix.contains(fix), "{kind}: {}", failure.fix);
            assert!(!failure.is_limited && !failure.has_no_account);
        }
        let limited = Failure::of_problem(
            &problem("rateLimited", &"x".repeat(9999)),
            Challenge::Http01,
        );
        assert!(limited.is_limited && limited.reason.len() == REASON_CHARACTERS_MAX);
        let gone = Failure::of_problem(&problem("accountDoesNotExist", "no"), Challenge::Http01);
        assert!(gone.has_no_account);
    }
}
