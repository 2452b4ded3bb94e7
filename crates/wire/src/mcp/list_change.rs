use super::definition::ListKind;
use super::json::{Json, Object};
use super::message::{Message, Notification, RequestId};
use super::method;

/// Where a notification of a `subscriptions/listen` stream names the request that opened it.
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// What a server tells when a list of it is another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ListChange {
    /// Of tools.
    Tools,
    /// Of resources or of their templates: the protocol tells them together.
    Resources,
    /// Of prompts.
    Prompts,
}

impl ListChange {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Tools, Self::Resources, Self::Prompts];

    /// The notification that tells it.
    pub fn method(self) -> &'static str {
        match self {
            Self::Tools => method::NOTIFICATIONS_TOOLS_LIST_CHANGED,
            Self::Resources => method::NOTIFICATIONS_RESOURCES_LIST_CHANGED,
            Self::Prompts => method::NOTIFICATIONS_PROMPTS_LIST_CHANGED,
        }
    }

    /// The member of `notifications` by which `subscriptions/listen` asks for it, and its acknowledgement promises it.
    pub fn listen_member(self) -> &'static str {
        match self {
            Self::Tools => "toolsListChanged",
            Self::Resources => "resourcesListChanged",
            Self::Prompts => "promptsListChanged",
        }
    }

    /// The lists that are meant.
    pub fn lists(self) -> &'static [ListKind] {
        match self {
            Self::Tools => &[ListKind::Tools],
            Self::Resources => &[ListKind::Resources, ListKind::ResourceTemplates],
            Self::Prompts => &[ListKind::Prompts],
        }
    }

    /// The notification; on a stream of the modern era `subscription` is the id of the request that opened it.
    pub fn notification(self, subscription: Option<&RequestId>) -> Message {
        let params = subscription.map(|id| {
            let meta = Json::object([(SUBSCRIPTION_ID, id.to_json())]);
            Object::from_iter([("_meta", meta)])
        });
        Message::Notification(Notification {
            method: self.method().to_owned(),
            params,
        })
    }
}

/// Some of [`ListChange`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ListChanges(u8);

impl ListChanges {
    /// What the `params` of `subscriptions/listen` ask for, or those of its acknowledgement promise.
    pub fn asked_for(params: Option<&Object>) -> Self {
        let filter = params.and_then(|params| params.get("notifications"));
        let asks = |change: &ListChange| {
            let member = filter.and_then(|filter| filter.get(change.listen_member()));
            member.and_then(Json::as_bool) == Some(true)
        };
        ListChange::ALL.into_iter().filter(asks).collect()
    }

    /// From [`ListChanges::bits`].
    pub fn from_bits(bits: u8) -> Self {
        ListChange::ALL
            .into_iter()
            .filter(|change| bits & bit(*change) != 0)
            .collect()
    }

    /// As a number.
    pub fn bits(self) -> u8 {
        self.0
    }

    /// Whether `change` is one of them.
    pub fn contains(self, change: ListChange) -> bool {
        self.0 & bit(change) != 0
    }

    /// Whether there is none.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Those that are in both.
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Each of them.
    pub fn iter(self) -> impl Iterator<Item = ListChange> {
        ListChange::ALL
            .into_iter()
            .filter(move |change| self.contains(*change))
    }
}

impl FromIterator<ListChange> for ListChanges {
    fn from_iter<I: IntoIterator<Item = ListChange>>(changes: I) -> Self {
        Self(
            changes
                .into_iter()
                .fold(0, |bits, change| bits | bit(change)),
        )
    }
}

fn bit(change: ListChange) -> u8 {
    1 << change as u8
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::mcp::{Limits, parse_strict};

    #[test]
    fn what_is_asked_for_is_true_and_nothing_else() {
        for (notifications, asked) in [
            (r#"{"toolsListChanged":true}"#, vec![ListChange::Tools]),
            (
                r#"{"promptsListChanged":true,"resourcesListChanged":true,"toolsListChanged":false}"#,
                vec![ListChange::Resources, ListChange::Prompts],
            ),
            (
                r#"{"toolsListChanged":"true","resourceSubscriptions":["a:b"]}"#,
                vec![],
            ),
            ("[]", vec![]),
        ] {
            let params = format!(r#"{{"notifications":{notifications}}}"#);
            let params = parse_strict(params.as_bytes(), &Limits::default()).unwrap();
            let changes = ListChanges::asked_for(params.as_object());
            assert_eq!(changes.iter().collect::<Vec<_>>(), asked);
            assert_eq!(ListChanges::from_bits(changes.bits()), changes);
            assert_eq!(changes.is_empty(), asked.is_empty());
        }
        assert!(ListChanges::asked_for(None).is_empty());
    }

    #[test]
    fn a_notification_names_the_subscription_in_the_modern_era_alone() {
        let told = |id: Option<&RequestId>| {
            let message = ListChange::Tools.notification(id);
            String::from_utf8(message.to_bytes()).unwrap()
        };
        assert_eq!(
            told(None),
            r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#
        );
        for (id, text) in [
            (RequestId::Integer(7), "7"),
            (RequestId::String("s-1".into()), "\"s-1\""),
        ] {
            assert_eq!(
                told(Some(&id)),
                format!(
                    r#"{{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{{"_meta":{{"io.modelcontextprotocol/subscriptionId":{text}}}}}}}"#
                )
            );
        }
    }
}
