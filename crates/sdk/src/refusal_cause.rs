use authz::{DenialReason, TokenRefusal};

use crate::RefusalKind;

/// Why a call was refused, as one word of a closed set: for counting. The words for the log say more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "each is the word it stands for")]
pub enum RefusalCause {
    NoToken,
    MalformedToken,
    BadSignature,
    WrongIssuer,
    WrongAudience,
    ExpiredToken,
    NotYetValidToken,
    BoundToken,
    RevokedToken,
    UnknownServiceToken,
    InactiveToken,
    InsufficientScope,
    Unmapped,
    Quarantined,
    DeniedByRule,
    ScopeNotObtainable,
    UnknownMethod,
    UnsafeUri,
    NotPermitted,
    ConditionNotMet,
    ConditionUnclear,
    InvalidRequest,
    MalformedMessage,
    UnknownSession,
    UnknownHost,
    ForeignOrigin,
    NotFound,
    TooManyRequests,
    RateLimited,
    TemporarilyUnavailable,
    Unrecorded,
    BadGateway,
    GatewayTimeout,
    UpstreamUnusable,
    UpstreamRefused,
}

impl RefusalCause {
    /// Every cause there is.
    pub const ALL: [Self; 35] = [
        Self::NoToken,
        Self::MalformedToken,
        Self::BadSignature,
        Self::WrongIssuer,
        Self::WrongAudience,
        Self::ExpiredToken,
        Self::NotYetValidToken,
        Self::BoundToken,
        Self::RevokedToken,
        Self::UnknownServiceToken,
        Self::InactiveToken,
        Self::InsufficientScope,
        Self::Unmapped,
        Self::Quarantined,
        Self::DeniedByRule,
        Self::ScopeNotObtainable,
        Self::UnknownMethod,
        Self::UnsafeUri,
        Self::NotPermitted,
        Self::ConditionNotMet,
        Self::ConditionUnclear,
        Self::InvalidRequest,
        Self::MalformedMessage,
        Self::UnknownSession,
        Self::UnknownHost,
        Self::ForeignOrigin,
        Self::NotFound,
        Self::TooManyRequests,
        Self::RateLimited,
        Self::TemporarilyUnavailable,
        Self::Unrecorded,
        Self::BadGateway,
        Self::GatewayTimeout,
        Self::UpstreamUnusable,
        Self::UpstreamRefused,
    ];

    /// The kind of no that it leads to.
    pub const fn kind(self) -> RefusalKind {
        match self {
            Self::NoToken
            | Self::MalformedToken
            | Self::BadSignature
            | Self::WrongIssuer
            | Self::WrongAudience
            | Self::ExpiredToken
            | Self::NotYetValidToken
            | Self::BoundToken
            | Self::RevokedToken
            | Self::UnknownServiceToken
            | Self::InactiveToken => RefusalKind::Unauthenticated,
            Self::InsufficientScope => RefusalKind::NeedsScope,
            Self::Unmapped
            | Self::Quarantined
            | Self::DeniedByRule
            | Self::ScopeNotObtainable
            | Self::UnknownMethod
            | Self::UnsafeUri
            | Self::NotPermitted
            | Self::ConditionNotMet
            | Self::ConditionUnclear => RefusalKind::Denied,
            Self::InvalidRequest
            | Self::MalformedMessage
            | Self::UnknownSession
            | Self::UnknownHost
            | Self::ForeignOrigin
            | Self::NotFound
            | Self::TooManyRequests
            | Self::RateLimited => RefusalKind::Rejected,
            Self::TemporarilyUnavailable | Self::Unrecorded => RefusalKind::Unavailable,
            Self::BadGateway
            | Self::GatewayTimeout
            | Self::UpstreamUnusable
            | Self::UpstreamRefused => RefusalKind::UpstreamFailed,
        }
    }

    /// The word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::NoToken => "no_token",
            Self::MalformedToken => "malformed_token",
            Self::BadSignature => "bad_signature",
            Self::WrongIssuer => "wrong_issuer",
            Self::WrongAudience => "wrong_audience",
            Self::ExpiredToken => "expired_token",
            Self::NotYetValidToken => "not_yet_valid_token",
            Self::BoundToken => "bound_token",
            Self::RevokedToken => "revoked_token",
            Self::UnknownServiceToken => "unknown_service_token",
            Self::InactiveToken => "inactive_token",
            Self::InsufficientScope => "insufficient_scope",
            Self::Unmapped => "unmapped",
            Self::Quarantined => "quarantined",
            Self::DeniedByRule => "denied_by_rule",
            Self::ScopeNotObtainable => "scope_not_obtainable",
            Self::UnknownMethod => "unknown_method",
            Self::UnsafeUri => "unsafe_uri",
            Self::NotPermitted => "not_permitted",
            Self::ConditionNotMet => "condition_not_met",
            Self::ConditionUnclear => "condition_unclear",
            Self::InvalidRequest => "invalid_request",
            Self::MalformedMessage => "malformed_message",
            Self::UnknownSession => "unknown_session",
            Self::UnknownHost => "unknown_host",
            Self::ForeignOrigin => "foreign_origin",
            Self::NotFound => "not_found",
            Self::TooManyRequests => "too_many_requests",
            Self::RateLimited => "rate_limited",
            Self::TemporarilyUnavailable => "temporarily_unavailable",
            Self::Unrecorded => "unrecorded",
            Self::BadGateway => "bad_gateway",
            Self::GatewayTimeout => "gateway_timeout",
            Self::UpstreamUnusable => "upstream_unusable",
            Self::UpstreamRefused => "upstream_refused",
        }
    }
}

impl From<&TokenRefusal> for RefusalCause {
    fn from(refusal: &TokenRefusal) -> Self {
        match refusal {
            TokenRefusal::NotCompact
            | TokenRefusal::NotJson(_)
            | TokenRefusal::Claim(_)
            | TokenRefusal::WrongType => Self::MalformedToken,
            TokenRefusal::HeaderParameter(_)
            | TokenRefusal::WrongAlgorithm
            | TokenRefusal::UnknownKey
            | TokenRefusal::BadSignature => Self::BadSignature,
            TokenRefusal::WrongIssuer => Self::WrongIssuer,
            TokenRefusal::WrongAudience => Self::WrongAudience,
            TokenRefusal::Expired => Self::ExpiredToken,
            TokenRefusal::NotYetValid(_) => Self::NotYetValidToken,
            TokenRefusal::SenderConstrained => Self::BoundToken,
            TokenRefusal::Inactive | TokenRefusal::Contradicted(_) => Self::InactiveToken,
        }
    }
}

impl From<DenialReason> for RefusalCause {
    fn from(reason: DenialReason) -> Self {
        match reason {
            DenialReason::Unmapped => Self::Unmapped,
            DenialReason::Quarantined => Self::Quarantined,
            DenialReason::DeniedByRule => Self::DeniedByRule,
            DenialReason::ScopeNotObtainable => Self::ScopeNotObtainable,
            DenialReason::UnknownMethod => Self::UnknownMethod,
            DenialReason::UnsafeUri => Self::UnsafeUri,
            DenialReason::NotPermitted => Self::NotPermitted,
            DenialReason::ConditionNotMet => Self::ConditionNotMet,
            DenialReason::ConditionUnclear => Self::ConditionUnclear,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::RefusalCause;

    #[test]
    fn each_cause_stands_in_the_list_once_where_its_number_says() {
        for (index, cause) in RefusalCause::ALL.into_iter().enumerate() {
            assert_eq!(cause as usize, index, "{cause:?}");
        }
    }
}
