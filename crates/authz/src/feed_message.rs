use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{PolicyRest, ServerSnapshot};

/// One line of a policy feed that goes over HTTP: JSON, and no line ends in it.
///
/// Members that a reader does not know are left out of account, so that an authority may be newer than its gateways.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum FeedMessage {
    /// This is everything now, whatever was said before.
    Snapshot(Box<FeedSlice>),
    /// The authority has read its store again, and nothing has changed.
    Contact,
}

/// What one MCP server's feed carries: its own slice, and nothing of any other server.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(into = "Written", from = "Written")]
pub struct FeedSlice {
    /// What enforcement needs.
    pub server: ServerSnapshot,
    /// Where its calls go, as the authority keeps it: for gateways. Files that it names are on the gateway's own disk.
    pub upstream: Value,
    /// Other addresses at which it answers, each until its end.
    pub aliases: Vec<(String, Timestamp)>,
    /// When it was added: of two servers at one address the older one stays.
    pub created_at: Timestamp,
}

/// Whose snapshot a line is, by its issuer now and those before, where it can be read no further: what a later release says in
/// it is not known, and what was in force is not in force any more.
pub fn issuers_of_unreadable(line: &[u8]) -> Option<Vec<String>> {
    let outline: Outline = serde_json::from_slice(line).ok()?;
    let former = outline.server.former_issuers.into_iter();
    let issuers = std::iter::once(outline.server.issuer).chain(former.map(|(issuer, _)| issuer));
    (outline.kind == "snapshot").then(|| issuers.collect())
}

#[derive(Deserialize)]
struct Outline {
    kind: String,
    server: OutlineServer,
}

#[derive(Deserialize)]
struct OutlineServer {
    issuer: String,
    #[serde(default)]
    former_issuers: Vec<(String, Value)>,
}

/// It as it is sent: a gateway of the release before must read it, or it goes on with what was in force.
#[derive(Serialize, Deserialize)]
struct Written {
    server: ServerSnapshot,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    policy_rest: Option<PolicyRest>,
    #[serde(default)]
    upstream: Value,
    #[serde(default)]
    aliases: Vec<(String, Timestamp)>,
    created_at: Timestamp,
}

impl From<FeedSlice> for Written {
    fn from(mut slice: FeedSlice) -> Self {
        let (plain, policy_rest) = slice.server.policy.split();
        slice.server.policy = plain;
        Self {
            server: slice.server,
            policy_rest,
            upstream: slice.upstream,
            aliases: slice.aliases,
            created_at: slice.created_at,
        }
    }
}

impl From<Written> for FeedSlice {
    fn from(mut written: Written) -> Self {
        let plain = std::mem::take(&mut written.server.policy);
        written.server.policy = plain.join(written.policy_rest);
        Self {
            server: written.server,
            upstream: written.upstream,
            aliases: written.aliases,
            created_at: written.created_at,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::Secret;
    use wire::oauth::JwkSet;

    use super::*;
    use crate::{Entry, EntryState, Policy, Requirement, Revocations};

    fn slice() -> FeedSlice {
        let until = Timestamp::from_unix_seconds(7);
        FeedSlice {
            server: ServerSnapshot {
                slug: "todo".into(),
                name: "Todo".into(),
                issuer: "https://a.example/servers/todo".into(),
                resource: "https://a.example/mcp/todo".into(),
                policy: Policy::default(),
                policy_revision: 3,
                keys: JwkSet::default(),
                revocations: Revocations {
                    grants: ["b", "a", "c"]
                        .map(|name| (name.to_owned(), until))
                        .into_iter()
                        .collect(),
                    ..Revocations::default()
                },
                documentation_url: None,
                former_resources: Vec::new(),
                former_issuers: Vec::new(),
                session_mac_key: Secret::new(vec![1, 2, 3]),
                argument_digest_key: Secret::new(vec![4]),
            },
            upstream: serde_json::json!({"kind": "http", "url": "http://127.0.0.1:1/mcp"}),
            aliases: vec![("https://b.example/mcp".into(), until)],
            created_at: until,
        }
    }

    #[test]
    fn what_is_written_is_read_back_and_what_is_new_is_left_out() {
        let written = serde_json::to_string(&FeedMessage::Snapshot(Box::new(slice()))).unwrap();
        assert!(!written.contains('\n'));
        let newer = written.replacen('{', r#"{"later":[1],"#, 1);
        for text in [written.clone(), newer] {
            let FeedMessage::Snapshot(read) = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(read.server.session_mac_key.expose(), &[1, 2, 3]);
            assert_eq!(read.server.argument_digest_key.expose(), &[4]);
            assert_eq!(read.server.revocations, slice().server.revocations);
            assert_eq!(read.upstream, slice().upstream);
            assert_eq!(read.aliases, slice().aliases);
            assert_eq!(read.server.policy_revision, 3);
        }
        // An authority of the release before makes no digests.
        let older = written.replacen(r#","argument_digest_key":"BA""#, "", 1);
        assert_ne!(older, written);
        let FeedMessage::Snapshot(read) = serde_json::from_str(&older).unwrap() else {
            panic!("{older}");
        };
        assert!(read.server.argument_digest_key.expose().is_empty());
        let contact = serde_json::to_string(&FeedMessage::Contact).unwrap();
        assert_eq!(contact, r#"{"kind":"contact"}"#);
    }

    #[test]
    fn a_gateway_of_the_release_before_reads_a_quarantine_as_a_denial_and_this_one_as_it_is() {
        let mut slice = slice();
        let entry = Entry {
            requirement: Requirement::Public,
            state: EntryState::Quarantined,
            ..Entry::default()
        };
        let tools = &mut slice.server.policy.tools;
        tools.insert("get".to_owned(), entry.clone());
        let line = serde_json::to_value(FeedMessage::Snapshot(Box::new(slice))).unwrap();
        let sent = &line["server"]["policy"]["tools"]["get"];
        let expected = serde_json::json!({"requirement": "denied", "title": "", "description": ""});
        assert_eq!(*sent, expected);
        let FeedMessage::Snapshot(read) = serde_json::from_value(line).unwrap() else {
            panic!("a snapshot");
        };
        assert_eq!(read.server.policy.tools["get"], entry);
    }

    #[test]
    fn of_a_snapshot_with_a_policy_that_cannot_be_read_it_is_told_whose_it_is() {
        let mut slice = slice();
        let former = "https://old.example/servers/todo";
        let until = Timestamp::from_unix_seconds(9);
        slice.server.former_issuers = vec![(former.to_owned(), until)];
        let mut line = serde_json::to_value(FeedMessage::Snapshot(Box::new(slice))).unwrap();
        line["policy_rest"] = serde_json::json!({"invented_later": 1});
        let text = line.to_string();
        assert!(serde_json::from_str::<FeedMessage>(&text).is_err());
        let issuers = ["https://a.example/servers/todo", former].map(str::to_owned);
        assert_eq!(issuers_of_unreadable(text.as_bytes()), Some(issuers.into()));
        line["kind"] = "later".into();
        let later = line.to_string();
        for nobodys in [r#"{"kind":"contact"}"#, &later, &text[..text.len() - 1]] {
            assert_eq!(issuers_of_unreadable(nobodys.as_bytes()), None, "{nobodys}");
        }
    }

    /// What has not changed is not sent again, and that is told by its bytes.
    #[test]
    fn the_same_slice_is_the_same_bytes() {
        let first = serde_json::to_string(&slice()).unwrap();
        for _ in 0..20 {
            assert_eq!(serde_json::to_string(&slice()).unwrap(), first);
        }
    }
}
