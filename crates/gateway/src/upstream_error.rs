use std::time::Duration;

use http::StatusCode;

/// Why an upstream gave no usable answer, in words that say what was seen and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{words}")]
pub(crate) struct UpstreamError {
    pub(crate) status: StatusCode,
    pub(crate) words: String,
}

impl UpstreamError {
    /// 502 with `words`.
    pub(crate) fn bad(words: impl Into<String>) -> Self {
        Self {
            status: StatusCode::BAD_GATEWAY,
            words: words.into(),
        }
    }

    /// What was set cannot be used; what is wrong is its operator's to know.
    pub(crate) fn unusable() -> Self {
        Self {
            status: StatusCode::SERVICE_UNAVAILABLE,
            words: "The settings of the MCP server behind this gateway cannot be used at the moment. Its operator finds the \
                    reason in the log"
                .into(),
        }
    }

    pub(crate) fn unreachable(error: &egress::Error) -> Self {
        Self::bad(format!(
            "The MCP server behind this gateway cannot be reached: {error}. Start it, or check its address"
        ))
    }

    pub(crate) fn connect_timeout(after: Duration) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            words: format!(
                "The MCP server behind this gateway did not accept a connection within {after:?}. Check its address"
            ),
        }
    }

    pub(crate) fn head_timeout(after: Duration) -> Self {
        Self {
            status: StatusCode::GATEWAY_TIMEOUT,
            words: format!(
                "The MCP server behind this gateway did not begin to answer within {after:?}; what it was asked to do may \
                 still happen"
            ),
        }
    }

    pub(crate) fn broken(error: &dyn std::fmt::Display) -> Self {
        Self::bad(format!(
            "The MCP server behind this gateway broke off before it answered ({error}); what it was asked to do may or may \
             not have happened"
        ))
    }
}
