use base::Timestamp;

use crate::{GroupId, UserId};

/// The longest name of a group, in bytes.
const NAME_BYTES_MAX: usize = 40;

/// Some people of the authority, under a name. Each MCP server can give it roles and name it in rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Immutable; what stands in tokens and policies.
    pub id: GroupId,
    /// What an admin types; no other group has it.
    pub name: String,
    /// When it was added.
    pub created_at: Timestamp,
}

impl Group {
    /// Whether a group may be called so: 1 to 40 of a-z, 0-9, - and _, beginning with a letter.
    pub fn is_name(text: &str) -> bool {
        text.len() <= NAME_BYTES_MAX
            && text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'))
    }
}

/// Who can be given a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RoleHolder {
    /// A person.
    Person(UserId),
    /// Everybody in a group.
    Group(GroupId),
}

impl RoleHolder {
    /// The id of the person or the group.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Person(id) => id.as_str(),
            Self::Group(id) => id.as_str(),
        }
    }

    /// Reads [`RoleHolder::as_str`].
    pub fn from_text(text: &str) -> Self {
        match text.starts_with("grp_") {
            true => Self::Group(GroupId::from_text(text)),
            false => Self::Person(UserId::from_text(text)),
        }
    }
}
