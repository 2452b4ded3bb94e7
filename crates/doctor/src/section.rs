use serde::Serialize;

/// A part of an examination, in the order in which they are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "`title` says it")]
pub enum Section {
    Reach,
    Challenge,
    ResourceMetadata,
    ServerMetadata,
    Keys,
    Cors,
    Endpoints,
    Registration,
    Personas,
    SignedIn,
    Attack,
}

impl Section {
    /// All of them, in order.
    pub const ALL: [Self; 11] = [
        Self::Reach,
        Self::Challenge,
        Self::ResourceMetadata,
        Self::ServerMetadata,
        Self::Keys,
        Self::Cors,
        Self::Endpoints,
        Self::Registration,
        Self::Personas,
        Self::SignedIn,
        Self::Attack,
    ];

    /// What it is called on a page.
    pub fn title(self) -> &'static str {
        match self {
            Self::Reach => "Reachability",
            Self::Challenge => "Challenge",
            Self::ResourceMetadata => "Resource metadata",
            Self::ServerMetadata => "Authorization server metadata",
            Self::Keys => "Keys",
            Self::Cors => "Browser clients (CORS)",
            Self::Endpoints => "OAuth endpoints",
            Self::Registration => "Registration",
            Self::Personas => "As each client",
            Self::SignedIn => "Signed in",
            Self::Attack => "Attacks",
        }
    }
}
