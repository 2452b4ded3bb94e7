use base::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::ServerSnapshot;

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
pub struct FeedSlice {
    /// What enforcement needs.
    pub server: ServerSnapshot,
    /// Where its calls go, as the authority keeps it: for gateways. Files that it names are on the gateway's own disk.
    #[serde(default)]
    pub upstream: Value,
    /// Other addresses at which it answers, each until its end.
    #[serde(default)]
    pub aliases: Vec<(String, Timestamp)>,
    /// When it was added: of two servers at one address the older one stays.
    pub created_at: Timestamp,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use base::Secret;
    use wire::oauth::JwkSet;

    use super::*;
    use crate::{Policy, Revocations};

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
        for text in [written, newer] {
            let FeedMessage::Snapshot(read) = serde_json::from_str(&text).unwrap() else {
                panic!("{text}");
            };
            assert_eq!(read.server.session_mac_key.expose(), &[1, 2, 3]);
            assert_eq!(read.server.revocations, slice().server.revocations);
            assert_eq!(read.upstream, slice().upstream);
            assert_eq!(read.aliases, slice().aliases);
            assert_eq!(read.server.policy_revision, 3);
        }
        let contact = serde_json::to_string(&FeedMessage::Contact).unwrap();
        assert_eq!(contact, r#"{"kind":"contact"}"#);
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
