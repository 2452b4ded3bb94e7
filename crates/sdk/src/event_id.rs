//! Event ids that say whose answer their stream carries.
//!
//! A stream that broke off goes on under a GET that names the last event that its client has. Which request that stream answers
//! is known nowhere then: the GET may reach another node, or come after a restart. So the id says it.

use base::{Digest, base64url, base64url_decode};
use wire::mcp::RequestId;

use crate::Principal;
use crate::mcp_session::{SessionBinding, TAG_BYTES, is_visible};

/// Which request an answer is for, as far as it must be known to say whether another one is for the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestTag([u8; TAG_BYTES]);

impl RequestTag {
    /// Of the request `id`.
    pub fn of(id: &RequestId) -> Self {
        let digest = Digest::of(id.to_json().to_text());
        let mut tag = [0; TAG_BYTES];
        tag.copy_from_slice(&digest.as_bytes()[..TAG_BYTES]);
        Self(tag)
    }
}

impl SessionBinding {
    /// The id of an event as the client of `principal` sees it: the server's own one, which request its stream answers, and an
    /// HMAC over both and the principal. `None` for one that no header could carry back.
    pub(crate) fn outward_event(
        &self,
        principal: &Principal,
        answered: &RequestTag,
        own: &str,
    ) -> Option<String> {
        if !is_visible(own) {
            return None;
        }
        let tag = self.event_tag(principal, answered, own);
        let answered = base64url(answered.0);
        Some(format!("{own}.{answered}.{}", base64url(tag)))
    }

    /// The server's own id, and which request its stream answers; `None` when `outward` was made for somebody else, or by
    /// somebody else.
    pub(crate) fn inward_event<'a>(
        &self,
        principal: &Principal,
        outward: &'a str,
    ) -> Option<(&'a str, RequestTag)> {
        let (rest, tag) = outward.rsplit_once('.')?;
        let (own, answered) = rest.rsplit_once('.')?;
        let answered = RequestTag(base64url_decode(answered)?.try_into().ok()?);
        let tag: [u8; TAG_BYTES] = base64url_decode(tag)?.try_into().ok()?;
        let expected = self.event_tag(principal, &answered, own);
        let equal: bool = subtle::ConstantTimeEq::ct_eq(&tag[..], &expected[..]).into();
        (equal && is_visible(own)).then_some((own, answered))
    }

    fn event_tag(
        &self,
        principal: &Principal,
        answered: &RequestTag,
        own: &str,
    ) -> [u8; TAG_BYTES] {
        self.tag("mcp-event", principal, &[&answered.0, own.as_bytes()])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn principal(subject: &str) -> Principal {
        Principal {
            issuer: "https://a.example/servers/todo".into(),
            subject: subject.into(),
            client: "cli_1".into(),
        }
    }

    #[test]
    fn an_event_id_comes_back_for_its_principal_and_its_request_alone() {
        let binding = SessionBinding::new(&[7; 32]);
        let alice = principal("usr_alice");
        let first = RequestTag::of(&RequestId::Integer(1));
        let second = RequestTag::of(&RequestId::String("1".into()));
        assert_ne!(first, second, "1 and \"1\" are two requests");
        for own in ["7", "stream_1", "a.b", &"e".repeat(1024)] {
            let outward = binding.outward_event(&alice, &first, own).unwrap();
            let came_back = binding.inward_event(&alice, &outward);
            assert_eq!(came_back, Some((own, first.clone())));
            assert_eq!(binding.inward_event(&principal("usr_bob"), &outward), None);
            let other_key = SessionBinding::new(&[8; 32]);
            assert_eq!(other_key.inward_event(&alice, &outward), None);
            // Nobody makes one of two.
            let other = binding.outward_event(&alice, &second, own).unwrap();
            let (rest, _) = outward.rsplit_once('.').unwrap();
            let (_, tag) = other.rsplit_once('.').unwrap();
            assert_eq!(binding.inward_event(&alice, &format!("{rest}.{tag}")), None);
        }
        for own in ["", "white space", "ünicode", &"e".repeat(1025)] {
            assert_eq!(binding.outward_event(&alice, &first, own), None, "{own}");
        }
        for wrong in ["", "7", "7.", "7..", "..", "7.x.y"] {
            assert_eq!(binding.inward_event(&alice, wrong), None, "{wrong}");
        }
        // Nor is the id of a session one of an event.
        let session = binding.outward(&alice, "7").unwrap();
        assert_eq!(binding.inward_event(&alice, &session), None);
    }
}
