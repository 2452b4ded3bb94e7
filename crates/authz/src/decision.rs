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
    /// A rule says nobody may.
    DeniedByRule,
    /// The scope it needs is not one this server declares.
    ScopeNotObtainable,
    /// Nobody here knows this method.
    UnknownMethod,
}
