use std::borrow::{Borrow, Cow};
use std::fmt;
use std::ops::Deref;

/// A member name. The names of the protocol itself are not allocated: they are in nearly every message.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Cow<'static, str>);

/// Answers with the static twin of each name listed.
macro_rules! static_names {
    ($($name:literal),+ $(,)?) => {
        fn static_name(text: &str) -> Option<&'static str> {
            match text {
                $($name => Some($name),)+
                _ => None,
            }
        }

        impl Key {
            /// All names that are not allocated.
            #[cfg(test)]
            pub(crate) fn static_names() -> impl Iterator<Item = &'static str> {
                [$($name),+].into_iter()
            }
        }
    };
}

static_names![
    "jsonrpc",
    "id",
    "method",
    "params",
    "result",
    "error",
    "code",
    "message",
    "data",
    "name",
    "arguments",
    "uri",
    "uriTemplate",
    "ref",
    "argument",
    "context",
    "cursor",
    "nextCursor",
    "_meta",
    "progressToken",
    "io.modelcontextprotocol/protocolVersion",
    "io.modelcontextprotocol/clientInfo",
    "io.modelcontextprotocol/clientCapabilities",
    "protocolVersion",
    "capabilities",
    "clientInfo",
    "serverInfo",
    "version",
    "title",
    "description",
    "type",
    "text",
    "content",
    "structuredContent",
    "isError",
    "resultType",
    "tools",
    "resources",
    "resourceTemplates",
    "prompts",
    "inputSchema",
    "outputSchema",
    "annotations",
    "properties",
    "required",
    "items",
    "mimeType",
    "readOnlyHint",
    "destructiveHint",
    "idempotentHint",
    "openWorldHint",
    "cacheScope",
    "ttlMs",
    "taskId",
    "requestId",
    "inputResponses",
    "requestState",
];

impl Key {
    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is one of the protocol's own names, letter for letter.
    pub(crate) fn is_static(&self) -> bool {
        matches!(self.0, Cow::Borrowed(_))
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        match static_name(text) {
            Some(name) => Self(Cow::Borrowed(name)),
            None => Self(Cow::Owned(text.to_owned())),
        }
    }
}

impl From<String> for Key {
    fn from(text: String) -> Self {
        match static_name(&text) {
            Some(name) => Self(Cow::Borrowed(name)),
            None => Self(Cow::Owned(text)),
        }
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for Key {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl PartialEq<str> for Key {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Key {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), formatter)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
