use authz::{DEFINITION_BYTES_MAX, ListKind, fingerprint};
use base::Timestamp;
use wire::mcp::definition::Definition;
use wire::mcp::{Limits, parse_strict};

/// One version of what an MCP server lists, as it is kept for comparison.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDefinition {
    /// Of which list.
    pub kind: ListKind,
    /// Its name, URI or URI template.
    pub identity: String,
    /// See [`authz::fingerprint`].
    pub fingerprint: String,
    /// What was decided of it.
    pub state: DefinitionState,
    /// As it was listed, as JSON; nothing when it was too large, or was not asked for.
    pub definition: Option<String>,
    /// How long the text is that is kept, also when it was not asked for.
    pub text_bytes: usize,
    /// When it was listed first.
    pub seen_at: Timestamp,
    /// When that was decided.
    pub decided_at: Option<Timestamp>,
    /// Since when the server does not list it any more; nothing while it does.
    pub unlisted_at: Option<Timestamp>,
}

/// What was decided of a definition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DefinitionState {
    /// It is, or was, the one that callers may use.
    Accepted,
    /// It waits for a person. With a `decided_at` it was accepted once, and the server went back to it.
    Pending,
    /// A person said no.
    Rejected,
}

impl DefinitionState {
    /// The word in the database.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Accepted => "accepted",
            Self::Pending => "pending",
            Self::Rejected => "rejected",
        }
    }

    /// Reads [`DefinitionState::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Accepted, Self::Pending, Self::Rejected]
            .into_iter()
            .find(|state| state.as_str() == text)
    }
}

impl StoredDefinition {
    /// `definition` as it is listed now.
    pub fn seen(definition: &Definition, state: DefinitionState, now: Timestamp) -> Self {
        let text = definition.json().to_text();
        let text =
            Some(text).filter(|text| text.len() <= DEFINITION_BYTES_MAX && !text.contains('\0'));
        Self {
            kind: definition.kind(),
            identity: definition.identity().to_owned(),
            fingerprint: fingerprint(definition),
            state,
            text_bytes: text.as_ref().map_or(0, String::len),
            definition: text,
            seen_at: now,
            decided_at: (state != DefinitionState::Pending).then_some(now),
            unlisted_at: None,
        }
    }

    /// With what a person decided of it.
    pub fn decided(mut self, state: DefinitionState, now: Timestamp) -> Self {
        self.state = state;
        self.decided_at = Some(now);
        self
    }

    /// By its name alone: there is no room for the text.
    pub fn without_text(mut self) -> Self {
        self.definition = None;
        self.text_bytes = 0;
        self
    }

    /// The definition, if it was kept.
    pub fn read(&self) -> Option<Definition> {
        let limits = Limits {
            bytes_max: DEFINITION_BYTES_MAX,
            ..Limits::default()
        };
        let json = parse_strict(self.definition.as_deref()?.as_bytes(), &limits).ok()?;
        Definition::read(self.kind, json)
    }
}
