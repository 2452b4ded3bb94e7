use aws_lc_rs::hmac;
use base::{base64url, base64url_decode};

use crate::Principal;

/// How many bytes of the HMAC an id carries: nobody gets to try 2^128 of them.
pub(crate) const TAG_BYTES: usize = 16;

/// The longest id of a session or an event that is bound, in bytes.
const ID_BYTES_MAX: usize = 1024;

/// Binds MCP session ids to their principal, so that neither side has to remember whose they are.
///
/// The id that a client sees is the server's own one, a dot, and an HMAC over it and the principal. A refreshed token
/// is the same principal, so its session lives on.
#[derive(Debug)]
pub(crate) struct SessionBinding(hmac::Key);

impl SessionBinding {
    pub(crate) fn new(key: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key))
    }

    /// The id as the client of `principal` sees it; `None` when the server's own one is no id at all.
    pub(crate) fn outward(&self, principal: &Principal, own: &str) -> Option<String> {
        if !is_visible(own) {
            return None;
        }
        let tag = self.session_tag(principal, own);
        Some(format!("{own}.{}", base64url(tag)))
    }

    /// The server's own id; `None` when `outward` was made for somebody else, or by somebody else.
    pub(crate) fn inward<'a>(&self, principal: &Principal, outward: &'a str) -> Option<&'a str> {
        if outward.len() > ID_BYTES_MAX + 64 {
            return None;
        }
        let (own, tag) = outward.rsplit_once('.')?;
        let tag: [u8; TAG_BYTES] = base64url_decode(tag)?.try_into().ok()?;
        let expected = self.session_tag(principal, own);
        // Constant time: the tag is a secret until it was shown once.
        let equal: bool = subtle::ConstantTimeEq::ct_eq(&tag[..], &expected[..]).into();
        (equal && is_visible(own)).then_some(own)
    }

    fn session_tag(&self, principal: &Principal, own: &str) -> [u8; TAG_BYTES] {
        self.tag("mcp-session", principal, &[own.as_bytes()])
    }

    /// Over `parts` of what is bound to `principal`; `kind` keeps one kind of it from being taken for another.
    pub(crate) fn tag(
        &self,
        kind: &str,
        principal: &Principal,
        parts: &[&[u8]],
    ) -> [u8; TAG_BYTES] {
        let mut context = hmac::Context::with_key(&self.0);
        let of_whom = [
            kind,
            &principal.issuer,
            &principal.subject,
            &principal.client,
        ];
        for part in of_whom.map(str::as_bytes).iter().chain(parts) {
            // The length in front keeps "a" + "bc" from being "ab" + "c".
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        let mut tag = [0u8; TAG_BYTES];
        tag.copy_from_slice(&context.sign().as_ref()[..TAG_BYTES]);
        tag
    }
}

/// Whether it is an id of visible ASCII, as the specification asks of sessions (MCP 2025-11-25, Streamable HTTP, "Session Management").
pub(crate) fn is_visible(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= ID_BYTES_MAX
        && text.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn principal(subject: &str, client: &str) -> Principal {
        Principal {
            issuer: "https://a.example/servers/todo".into(),
            subject: subject.into(),
            client: client.into(),
        }
    }

    #[test]
    fn an_id_of_1024_characters_is_bound_and_a_longer_one_is_not() {
        let binding = SessionBinding::new(&[7; 32]);
        let alice = principal("usr_alice", "cli_1");
        let longest = "i".repeat(ID_BYTES_MAX);
        let outward = binding.outward(&alice, &longest).unwrap();
        assert_eq!(binding.inward(&alice, &outward), Some(longest.as_str()));
        assert!(binding.outward(&alice, &format!("{longest}i")).is_none());
        let beyond = format!("{}{outward}", "i".repeat(64));
        assert_eq!(binding.inward(&alice, &beyond), None);
    }

    #[test]
    fn a_session_id_comes_back_for_its_principal_and_for_nobody_else() {
        let binding = SessionBinding::new(&[7; 32]);
        let alice = principal("usr_alice", "cli_1");
        let outward = binding.outward(&alice, "own.id-1").unwrap();
        assert_eq!(binding.inward(&alice, &outward), Some("own.id-1"));
        for other in [
            principal("usr_bob", "cli_1"),
            principal("usr_alice", "cli_2"),
            principal("usr_alicec", "li_1"),
        ] {
            assert_eq!(binding.inward(&other, &outward), None);
        }
        let other_key = SessionBinding::new(&[8; 32]);
        assert_eq!(other_key.inward(&alice, &outward), None);
    }

    #[test]
    fn an_id_that_nobody_made_is_nobody_s() {
        let binding = SessionBinding::new(&[7; 32]);
        let alice = principal("usr_alice", "cli_1");
        let outward = binding.outward(&alice, "s").unwrap();
        for wrong in ["", "s", "s.", ".", &format!("{outward}A"), &outward[1..]] {
            assert_eq!(binding.inward(&alice, wrong), None, "{wrong}");
        }
        for own in ["", "white space", "ünicode"] {
            assert_eq!(binding.outward(&alice, own), None, "{own}");
        }
    }
}
