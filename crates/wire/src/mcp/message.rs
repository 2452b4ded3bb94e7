//! JSON-RPC messages as MCP uses them.

use super::json::{Json, JsonError, Limits, Object, parse_strict};
use super::{rpc, twin};

/// The longest method name that is read, in bytes.
pub(super) const METHOD_BYTES_MAX: usize = 256;
/// The longest string id that is read, in bytes.
const ID_BYTES_MAX: usize = 1024;
/// Beyond it a reader that keeps numbers as doubles answers to another id (RFC 8259 section 6).
const ID_INTEGER_MAX: i64 = (1 << 53) - 1;

/// One JSON-RPC message, read from one value and written again from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// Asks for an answer.
    Request(Request),
    /// Asks for none.
    Notification(Notification),
    /// Answers.
    Response(Response),
}

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Request {
    /// What the answer must carry.
    pub id: RequestId,
    /// What is asked.
    pub method: String,
    /// With what.
    pub params: Option<Object>,
}

/// A notification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notification {
    /// What is told.
    pub method: String,
    /// With what.
    pub params: Option<Object>,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Response {
    /// The request's; `None` only for an error about a request that could not be read.
    pub id: Option<RequestId>,
    /// What came of it.
    pub outcome: Outcome,
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The `result`.
    Result(Json),
    /// The `error`: it has an integer `code` and a string `message`.
    Error(Object),
}

/// A request id. Null, fractions and integers that a double cannot hold are no ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RequestId {
    /// A number.
    Integer(i64),
    /// A string.
    String(String),
}

/// Why a text is no message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// It is no JSON, or none that everybody reads the same way.
    #[error("The body is not acceptable JSON: {0}")]
    Json(#[from] JsonError),
    /// An array of messages.
    #[error("Batches are not supported; send each message as its own request")]
    Batch,
    /// Anything but an object.
    #[error("A message must be a JSON object")]
    NotAnObject,
    /// `jsonrpc` is missing or wrong.
    #[error("Member \"jsonrpc\" must be \"2.0\"")]
    Version,
    /// `id` is no id.
    #[error(
        "Member \"id\" must be a string of at most 1024 bytes or an integer between -(2^53-1) and 2^53-1"
    )]
    Id,
    /// `method` is no method.
    #[error("Member \"method\" must be a string of 1 to 256 bytes")]
    Method,
    /// `params` is no object.
    #[error("Member \"params\" must be an object")]
    Params,
    /// `error` has no integer code or no message.
    #[error("Member \"error\" must be an object with an integer \"code\" and a string \"message\"")]
    ErrorObject,
    /// Neither request nor notification nor answer, or more than one of them.
    #[error("A message is a request, a notification or a response")]
    Shape,
    /// A member at the top that no message has.
    #[error("Unknown member {0:?}")]
    UnknownMember(String),
    /// A member that another reader could take for one of the protocol.
    #[error("Member {0:?} differs from a protocol member only in letter case")]
    Twin(String),
}

impl MessageError {
    /// The JSON-RPC code that says so.
    pub fn rpc_code(&self) -> i64 {
        match self {
            Self::Json(_) => rpc::PARSE_ERROR,
            _ => rpc::INVALID_REQUEST,
        }
    }
}

impl RequestId {
    /// Reads an id.
    pub fn from_json(json: &Json) -> Option<Self> {
        match json {
            Json::String(text) if text.len() <= ID_BYTES_MAX => Some(Self::String(text.clone())),
            // "-0" would come back as "0".
            Json::Number(number) if number.as_str() != "-0" => number
                .as_i64()
                .filter(|id| (-ID_INTEGER_MAX..=ID_INTEGER_MAX).contains(id))
                .map(Self::Integer),
            _ => None,
        }
    }

    /// As it stands in a message.
    pub fn to_json(&self) -> Json {
        match self {
            Self::Integer(id) => Json::from(*id),
            Self::String(id) => Json::from(id.as_str()),
        }
    }

    pub(super) fn write_to(&self, out: &mut Vec<u8>) {
        match self {
            Self::Integer(id) => out.extend_from_slice(id.to_string().as_bytes()),
            Self::String(id) => super::json::write_string(id, out),
        }
    }
}

/// Reads what a client sent: strict JSON, strict message.
///
/// # Errors
/// Why it is no message.
pub fn read_message(body: &[u8], limits: &Limits) -> Result<Message, MessageError> {
    message_of_client(parse_strict(body, limits)?)
}

/// As [`read_message`], from a value that was read already.
///
/// # Errors
/// Why it is no message.
pub fn message_of_client(json: Json) -> Result<Message, MessageError> {
    let members = object(json)?;
    if let Some(name) = twin::twin_in(&members, twin::ENVELOPE) {
        return Err(MessageError::Twin(name.chars().take(64).collect()));
    }
    let message = message(members, true)?;
    if let Some(name) = message.params().and_then(twin::twin_in_params) {
        return Err(MessageError::Twin(name.chars().take(64).collect()));
    }
    Ok(message)
}

/// Reads what an MCP server sent. Members at the top that no message has are dropped, for servers add them; an error
/// may lack an id.
///
/// # Errors
/// Why it is no message.
pub fn read_server_message(body: &[u8], limits: &Limits) -> Result<Message, MessageError> {
    let members = object(parse_strict(body, limits)?)?;
    if let Some(name) = twin::twin_in(&members, twin::ENVELOPE) {
        return Err(MessageError::Twin(name.chars().take(64).collect()));
    }
    message(members, false)
}

fn object(json: Json) -> Result<Object, MessageError> {
    match json {
        Json::Object(members) => Ok(members),
        Json::Array(_) => Err(MessageError::Batch),
        _ => Err(MessageError::NotAnObject),
    }
}

fn message(members: Object, from_client: bool) -> Result<Message, MessageError> {
    let (mut version, mut id, mut method) = (None, None, None);
    let (mut params, mut result, mut error) = (None, None, None);
    for (name, value) in members {
        match name.as_str() {
            "jsonrpc" => version = Some(value),
            "id" => id = Some(value),
            "method" => method = Some(value),
            "params" => params = Some(value),
            "result" => result = Some(value),
            "error" => error = Some(value),
            _ if from_client => {
                return Err(MessageError::UnknownMember(name.chars().take(64).collect()));
            }
            _ => {}
        }
    }
    if version.as_ref().and_then(Json::as_str) != Some("2.0") {
        return Err(MessageError::Version);
    }
    match (method, result, error) {
        (Some(method), None, None) => {
            let Json::String(method) = method else {
                return Err(MessageError::Method);
            };
            if method.is_empty() || method.len() > METHOD_BYTES_MAX {
                return Err(MessageError::Method);
            }
            let params = match params {
                // Some clients write what they leave out; it is left out from here on.
                None | Some(Json::Null) => None,
                Some(Json::Object(params)) => Some(params),
                Some(_) => return Err(MessageError::Params),
            };
            Ok(match id {
                None => Message::Notification(Notification { method, params }),
                Some(id) => Message::Request(Request {
                    id: RequestId::from_json(&id).ok_or(MessageError::Id)?,
                    method,
                    params,
                }),
            })
        }
        (None, result, error) if params.is_none() => {
            let outcome = match (result, error) {
                (Some(result), None) => Outcome::Result(result),
                (None, Some(Json::Object(error)))
                    if error.get("code").and_then(Json::as_i64).is_some()
                        && error.str("message").is_some() =>
                {
                    Outcome::Error(error)
                }
                (None, Some(_)) => return Err(MessageError::ErrorObject),
                _ => return Err(MessageError::Shape),
            };
            let id = match id {
                Some(Json::Null) | None if !from_client && matches!(outcome, Outcome::Error(_)) => {
                    None
                }
                None => return Err(MessageError::Id),
                Some(id) => Some(RequestId::from_json(&id).ok_or(MessageError::Id)?),
            };
            Ok(Message::Response(Response { id, outcome }))
        }
        _ => Err(MessageError::Shape),
    }
}

impl Message {
    /// The method, unless it is an answer.
    pub fn method(&self) -> Option<&str> {
        match self {
            Self::Request(request) => Some(&request.method),
            Self::Notification(notification) => Some(&notification.method),
            Self::Response(_) => None,
        }
    }

    /// The id, unless it is a notification.
    pub fn id(&self) -> Option<&RequestId> {
        match self {
            Self::Request(request) => Some(&request.id),
            Self::Notification(_) => None,
            Self::Response(response) => response.id.as_ref(),
        }
    }

    /// The parameters, if there are any.
    pub fn params(&self) -> Option<&Object> {
        match self {
            Self::Request(request) => request.params.as_ref(),
            Self::Notification(notification) => notification.params.as_ref(),
            Self::Response(_) => None,
        }
    }

    /// The member `params._meta`, if it is there.
    pub fn meta(&self) -> Option<&Json> {
        self.params()?.get("_meta")
    }

    /// Appends it as JSON text without whitespace.
    pub fn write_to(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(br#"{"jsonrpc":"2.0""#);
        if let Some(id) = self.id() {
            out.extend_from_slice(br#","id":"#);
            id.write_to(out);
        }
        match self {
            Self::Response(Response { id, outcome }) => {
                if id.is_none() {
                    out.extend_from_slice(br#","id":null"#);
                }
                match outcome {
                    Outcome::Result(result) => {
                        out.extend_from_slice(br#","result":"#);
                        result.write_to(out);
                    }
                    Outcome::Error(error) => {
                        out.extend_from_slice(br#","error":"#);
                        error.write_to(out);
                    }
                }
            }
            Self::Request(Request { method, params, .. })
            | Self::Notification(Notification { method, params }) => {
                out.extend_from_slice(br#","method":"#);
                super::json::write_string(method, out);
                if let Some(params) = params {
                    out.extend_from_slice(br#","params":"#);
                    params.write_to(out);
                }
            }
        }
        out.push(b'}');
    }

    /// As JSON text without whitespace: what is forwarded.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        self.write_to(&mut out);
        out
    }
}

#[cfg(test)]
mod tests;
