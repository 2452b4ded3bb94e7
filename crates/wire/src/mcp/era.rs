//! Which of the two protocols a message belongs to.

use super::json::Json;
use super::message::Message;
use super::{method, rpc, version};

/// The member of `params._meta` that makes a request modern.
pub const PROTOCOL_VERSION_META: &str = "io.modelcontextprotocol/protocolVersion";
/// The member of `params._meta` that names the client.
pub const CLIENT_INFO_META: &str = "io.modelcontextprotocol/clientInfo";
/// The member of `params._meta` that says what the client can do.
pub const CLIENT_CAPABILITIES_META: &str = "io.modelcontextprotocol/clientCapabilities";

/// Which of the two protocols a message belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Era {
    /// 2025-03-26 to 2025-11-25: `initialize`, sessions, a GET stream.
    Legacy,
    /// From 2026-07-28: each request says all that matters.
    Modern,
}

/// Why a message belongs to no era. Always HTTP 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EraRefusal {
    /// The header names a modern revision, the body has no envelope.
    #[error("params._meta[\"{PROTOCOL_VERSION_META}\"] is missing")]
    EnvelopeMissing,
    /// The envelope is there and wrong.
    #[error("params._meta is malformed: {0}")]
    EnvelopeMalformed(&'static str),
    /// The body is modern and the header is missing.
    #[error("Header mismatch: MCP-Protocol-Version is missing, the body says {body:?}")]
    HeaderMissing {
        /// The version in the body.
        body: String,
    },
    /// Header and body name different revisions.
    #[error("Header mismatch: MCP-Protocol-Version is {header:?}, the body says {body:?}")]
    HeaderMismatch {
        /// The version in the header.
        header: String,
        /// The version in the body.
        body: String,
    },
    /// A revision whose rules are not known here, so that nothing could be judged by them.
    #[error("Unsupported protocol version")]
    Unsupported {
        /// The version asked for.
        requested: String,
    },
    /// An answer in an era in which clients send none.
    #[error("Clients send no responses in this protocol version")]
    ResponseInModernEra,
}

impl EraRefusal {
    /// The JSON-RPC code that says so.
    pub fn rpc_code(&self) -> i64 {
        match self {
            Self::EnvelopeMissing | Self::EnvelopeMalformed(_) => rpc::INVALID_PARAMS,
            Self::HeaderMissing { .. } | Self::HeaderMismatch { .. } => rpc::HEADER_MISMATCH,
            Self::Unsupported { .. } => rpc::UNSUPPORTED_PROTOCOL_VERSION,
            Self::ResponseInModernEra => rpc::INVALID_REQUEST,
        }
    }

    /// The `data` of the error.
    pub fn rpc_data(&self) -> Option<Json> {
        let Self::Unsupported { requested } = self else {
            return None;
        };
        let supported = version::MODERN.iter().map(|known| Json::from(*known));
        Some(Json::object([
            ("supported", Json::Array(supported.collect())),
            ("requested", Json::from(requested.as_str())),
        ]))
    }
}

/// Which era a message of a POST belongs to. The body decides; `version_header`, the one `MCP-Protocol-Version`,
/// must agree. GET and DELETE, which have no body, are always legacy.
///
/// Spec: MCP 2026-07-28, versioning, "Backward Compatibility with Initialization-Based Versions"; Streamable HTTP,
/// "Protocol Version Header".
///
/// # Errors
/// When body and header do not make one message of one era.
pub fn classify(message: &Message, version_header: Option<&str>) -> Result<Era, EraRefusal> {
    let header_is_modern = version_header.is_some_and(version::is_modern);
    if let Some(claimed) = claimed_version(message)? {
        return match version_header {
            None => Err(EraRefusal::HeaderMissing {
                body: shortened(claimed),
            }),
            Some(header) if header != claimed => Err(EraRefusal::HeaderMismatch {
                header: shortened(header),
                body: shortened(claimed),
            }),
            Some(_) if !version::is_known_modern(claimed) => Err(EraRefusal::Unsupported {
                requested: shortened(claimed),
            }),
            Some(_) => Ok(Era::Modern),
        };
    }
    match message {
        // The modern era has no `initialize`; some clients send it with the newest version they know in the header.
        Message::Request(request) if request.method == method::INITIALIZE => Ok(Era::Legacy),
        Message::Request(_) if header_is_modern => Err(EraRefusal::EnvelopeMissing),
        Message::Response(_) if header_is_modern => Err(EraRefusal::ResponseInModernEra),
        Message::Notification(_) if header_is_modern => match version_header {
            Some(header) if !version::is_known_modern(header) => Err(EraRefusal::Unsupported {
                requested: shortened(header),
            }),
            _ => Ok(Era::Modern),
        },
        _ => Ok(Era::Legacy),
    }
}

/// The version in the envelope, or `None` when there is no envelope.
fn claimed_version(message: &Message) -> Result<Option<&str>, EraRefusal> {
    let malformed = |what| Err(EraRefusal::EnvelopeMalformed(what));
    let Some(meta) = message.meta() else {
        return Ok(None);
    };
    let Some(meta) = meta.as_object() else {
        return malformed("it must be an object");
    };
    let Some(claimed) = meta.get(PROTOCOL_VERSION_META) else {
        return Ok(None);
    };
    let Some(claimed) = claimed.as_str() else {
        return malformed("the protocol version must be a string");
    };
    for (name, what) in [
        (CLIENT_INFO_META, "the client info must be an object"),
        (
            CLIENT_CAPABILITIES_META,
            "the client capabilities must be an object",
        ),
    ] {
        if meta
            .get(name)
            .is_some_and(|info| info.as_object().is_none())
        {
            return malformed(what);
        }
    }
    Ok(Some(claimed))
}

fn shortened(version: &str) -> String {
    version.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
