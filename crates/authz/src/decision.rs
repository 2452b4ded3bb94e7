use wire::oauth::ScopeSet;

/// What was decided, always with the rule that did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allowed {
        /// The rule, such as `tool add_todo: todo:write`.
        rule: String,
    },
    /// Yes, once the client has these scopes too; they can be had by asking the person.
    NeedsScope {
        /// Everything the call needs and the token lacks or has: all scopes of the cheapest set.
        required: ScopeSet,
        /// The rule.
        rule: String,
    },
    /// No.
    Denied {
        /// Why, for the log; the caller is told one thing for all of them.
        reason: DenialReason,
        /// The rule.
        rule: String,
    },
}

/// Why a call was denied.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DenialReason {
    /// The policy does not know it.
    Unmapped,
    /// Its definition changed and nobody has approved that.
    Quarantined,
    /// A rule says nobody may.
    DeniedByRule,
    /// The scope it needs is not one this server declares.
    ScopeNotObtainable,
    /// Nobody here knows this method.
    UnknownMethod,
    /// The URI has dot segments or characters that no URI has, so a template that it matches says nothing about where
    /// it leads.
    UnsafeUri,
    /// None of this person's roles permits a scope that it needs.
    NotPermitted,
    /// A condition on its arguments is not met.
    ConditionNotMet,
    /// A condition on its arguments cannot be judged: an argument is missing or of another type, or the token says
    /// nothing of what it is compared with.
    ConditionUnclear,
}

impl Decision {
    /// Whether it is a plain yes.
    pub fn is_allowed(&self) -> bool {
        matches!(self, Self::Allowed { .. })
    }

    /// The rule that decided.
    pub fn rule(&self) -> &str {
        match self {
            Self::Allowed { rule } | Self::NeedsScope { rule, .. } | Self::Denied { rule, .. } => {
                rule
            }
        }
    }
}

impl DenialReason {
    /// For logs and reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unmapped => "unmapped",
            Self::Quarantined => "quarantined",
            Self::DeniedByRule => "denied_by_rule",
            Self::ScopeNotObtainable => "scope_not_obtainable",
            Self::UnknownMethod => "unknown_method",
            Self::UnsafeUri => "unsafe_uri",
            Self::NotPermitted => "not_permitted",
            Self::ConditionNotMet => "condition_not_met",
            Self::ConditionUnclear => "condition_unclear",
        }
    }
}
