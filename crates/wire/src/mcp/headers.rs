//! The headers that repeat what the body says.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::era::Era;
use super::message::Message;
use super::{method, rpc};

/// `MCP-Protocol-Version`
pub const MCP_PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Session-Id`
pub const MCP_SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// `Mcp-Method`
pub const MCP_METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`
pub const MCP_NAME: HeaderName = HeaderName::from_static("mcp-name");
/// What the name of a header that mirrors a tool's parameter begins with, in lower case as `http` keeps names.
pub const MCP_PARAM_PREFIX: &str = "mcp-param-";

/// Why the headers are refused. Always HTTP 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HeaderRefusal {
    /// A required header is missing.
    #[error("Header mismatch: {0} is missing")]
    Missing(&'static str),
    /// A header stands twice, so that two readers may see two values.
    #[error("Header mismatch: {0} must stand once")]
    Repeated(String),
    /// A header has characters that it must not have, or a broken `=?base64?…?=`.
    #[error("Header mismatch: {0} has an invalid value")]
    Invalid(String),
    /// A header says something else than the body.
    #[error("Header mismatch: {header} is {value:?}, the body says {body:?}")]
    Differs {
        /// The header.
        header: String,
        /// Its value, decoded and shortened.
        value: String,
        /// The body's, shortened.
        body: String,
    },
    /// A header repeats something that the body does not have.
    #[error("Header mismatch: {0} has nothing in the body to agree with")]
    NothingToMirror(String),
}

impl HeaderRefusal {
    /// The JSON-RPC code that says so.
    pub fn rpc_code(&self) -> i64 {
        rpc::HEADER_MISMATCH
    }
}

/// The one value of a header, or `None` without it.
///
/// # Errors
/// When it stands twice, or has anything but printable ASCII.
pub fn single<'a>(
    headers: &'a HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'a str>, HeaderRefusal> {
    let mut values = headers.get_all(name).iter();
    let Some(value) = values.next() else {
        return Ok(None);
    };
    if values.next().is_some() {
        return Err(HeaderRefusal::Repeated(display_name(name)));
    }
    match value.to_str() {
        Ok(text) => Ok(Some(text.trim_matches([' ', '\t']))),
        Err(_) => Err(HeaderRefusal::Invalid(display_name(name))),
    }
}

/// The `MCP-Protocol-Version`, for [`super::classify`].
///
/// # Errors
/// As [`single`].
pub fn protocol_version(headers: &HeaderMap) -> Result<Option<&str>, HeaderRefusal> {
    single(headers, &MCP_PROTOCOL_VERSION)
}

/// Checks that what `Mcp-Method` and `Mcp-Name` say is what the body says, and that each `Mcp-Param-…` stands once and
/// can be decoded. The modern era requires the first two of requests; where they stand without need they must agree
/// all the same, for somebody behind us may route by them.
///
/// `MCP-Protocol-Version` was checked by [`super::classify`].
///
/// Spec: MCP 2026-07-28, Streamable HTTP, "Request Metadata".
///
/// # Errors
/// The first header that is missing or disagrees.
pub fn check_headers_against_body(
    headers: &HeaderMap,
    message: &Message,
    era: Era,
) -> Result<(), HeaderRefusal> {
    let required = era == Era::Modern && matches!(message, Message::Request(_));
    // The method never needs encoding; a sentinel in it is taken as it stands and then differs.
    let method_header = single(headers, &MCP_METHOD)?;
    agree(&MCP_METHOD, method_header, message.method(), required)?;

    let name_header = match single(headers, &MCP_NAME)? {
        None => None,
        Some(value) => Some(
            decode_value(value).ok_or_else(|| HeaderRefusal::Invalid(display_name(&MCP_NAME)))?,
        ),
    };
    let (name, name_required) = mirrored_name(message);
    agree(
        &MCP_NAME,
        name_header.as_deref(),
        name,
        required && name_required,
    )?;

    for name in headers.keys() {
        if name.as_str().starts_with(MCP_PARAM_PREFIX) {
            let value = single(headers, name)?.unwrap_or_default();
            if decode_value(value).is_none() {
                return Err(HeaderRefusal::Invalid(display_name(name)));
            }
        }
    }
    Ok(())
}

/// What `Mcp-Name` mirrors, and whether the header is required then.
fn mirrored_name(message: &Message) -> (Option<&str>, bool) {
    let Some(params) = message.params() else {
        return (None, false);
    };
    match message.method() {
        Some(method::TOOLS_CALL | method::PROMPTS_GET) => (params.str("name"), true),
        Some(method::RESOURCES_READ) => (params.str("uri"), true),
        // The tasks extension mirrors the task; older clients of it do not.
        Some(
            method::TASKS_GET | method::TASKS_UPDATE | method::TASKS_CANCEL | method::TASKS_RESULT,
        ) => (params.str("taskId"), false),
        _ => (params.str("name").or_else(|| params.str("uri")), false),
    }
}

fn agree(
    header: &HeaderName,
    value: Option<&str>,
    body: Option<&str>,
    required: bool,
) -> Result<(), HeaderRefusal> {
    match (value, body) {
        (Some(value), Some(body)) if value == body => Ok(()),
        (Some(value), Some(body)) => Err(HeaderRefusal::Differs {
            header: display_name(header),
            value: shortened(value),
            body: shortened(body),
        }),
        (Some(_), None) => Err(HeaderRefusal::NothingToMirror(display_name(header))),
        (None, Some(_)) if required && *header == MCP_METHOD => {
            Err(HeaderRefusal::Missing("Mcp-Method"))
        }
        (None, Some(_)) if required => Err(HeaderRefusal::Missing("Mcp-Name")),
        (None, _) => Ok(()),
    }
}

/// Resolves `=?base64?…?=`; any other value stands for itself. `None` when the sentinel holds no canonical base64 of
/// UTF-8.
///
/// Spec: MCP 2026-07-28, Streamable HTTP, "Value Encoding".
pub fn decode_value(value: &str) -> Option<String> {
    let encoded = value
        .strip_prefix("=?base64?")
        .and_then(|rest| rest.strip_suffix("?="));
    match encoded {
        None => Some(value.to_owned()),
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
    }
}

/// Writes `value` so that [`decode_value`] gives it back: as it stands where that is unambiguous.
pub fn encode_value(value: &str) -> HeaderValue {
    let printable = value.bytes().all(|byte| matches!(byte, b' '..=b'~'));
    let trimmed_on_the_way = value.starts_with(' ') || value.ends_with(' ');
    let looks_encoded = value.starts_with("=?base64?") && value.ends_with("?=");
    let text = if !printable || trimmed_on_the_way || looks_encoded {
        format!("=?base64?{}?=", STANDARD.encode(value))
    } else {
        value.to_owned()
    };
    HeaderValue::from_str(&text).expect("printable ASCII is a header value")
}

/// The `Mcp-Method` and `Mcp-Name` that belong to a request: what a forwarder sends, rebuilt from what was judged.
pub fn mirror_headers(message: &Message) -> impl Iterator<Item = (HeaderName, HeaderValue)> {
    let method = message
        .method()
        .map(|method| (MCP_METHOD, encode_value(method)));
    let name = match mirrored_name(message) {
        (Some(name), true) => Some((MCP_NAME, encode_value(name))),
        _ => None,
    };
    method.into_iter().chain(name)
}

/// The header's name as the specification writes it.
fn display_name(name: &HeaderName) -> String {
    match name.as_str() {
        "mcp-protocol-version" => "MCP-Protocol-Version".to_owned(),
        "mcp-method" => "Mcp-Method".to_owned(),
        "mcp-name" => "Mcp-Name".to_owned(),
        other => other.to_owned(),
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
}

#[cfg(test)]
mod tests;
