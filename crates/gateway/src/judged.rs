/// What was decided of a call that could be judged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Judged {
    /// The policy allows it.
    Allowed,
    /// It does not.
    Denied,
    /// It would, with more scope.
    NeedsScope,
    /// It does not, or not without more scope, and is only watched: the call went on.
    WouldBeDenied,
}

impl Judged {
    /// Every decision there is.
    pub(crate) const ALL: [Self; 4] = [
        Self::Allowed,
        Self::Denied,
        Self::NeedsScope,
        Self::WouldBeDenied,
    ];

    /// The word for it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Allowed => "allowed",
            Self::Denied => "denied",
            Self::NeedsScope => "needs_scope",
            Self::WouldBeDenied => "would_be_denied",
        }
    }
}
