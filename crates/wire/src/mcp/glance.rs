use super::json::{Json, JsonErrorKind, Key, Limits, Parser};
use super::message::{METHOD_BYTES_MAX, MessageError, RequestId};
use super::twin;

/// What a message of an MCP server is, found without keeping what is in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Glance {
    /// Asks something of the client.
    Request,
    /// Tells something.
    Notification {
        /// What it tells.
        method: String,
    },
    /// Answers.
    Response {
        /// The request's; `None` only for an error about a request that could not be read.
        id: Option<RequestId>,
        /// With what.
        outcome: Glanced,
    },
}

/// What an answer holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Glanced {
    /// An error.
    Error,
    /// A result that is an object.
    Result {
        /// It has a member that was looked for, or one that some reader takes for it.
        is_found: bool,
    },
    /// A result that is anything else.
    NoObject,
}

/// Looks at what an MCP server sent: what kind of message [`read_server_message`](super::read_server_message) makes of it, at a
/// fraction of the work, and whether a result has one of the members called `names`. Of what lies deeper nothing is kept, and only
/// its form is looked at.
///
/// # Errors
/// Why it is no message.
pub fn glance(text: &[u8], bytes_max: usize, names: &[&str]) -> Result<Glance, MessageError> {
    let limits = Limits {
        bytes_max,
        ..Limits::default()
    };
    let mut parser = Parser::begin(text, &limits)?;
    match parser.peek() {
        Some(b'{') => {}
        Some(b'[') => return Err(MessageError::Batch),
        _ => {
            parser.skip_value()?;
            return Err(MessageError::NotAnObject);
        }
    }
    let mut seen = Seen::default();
    let mut has_more = parser.enter_object()?;
    while has_more {
        let name = parser.member_name()?;
        if seen.member(&mut parser, &name, names)? {
            let name = name.as_str().to_owned();
            return Ok(parser.refused(JsonErrorKind::DuplicateMember(name))?);
        }
        has_more = parser.next_member()?;
    }
    parser.end()?;
    seen.message()
}

/// The members of the envelope.
#[derive(Default)]
struct Seen {
    version: Option<bool>,
    id: Option<Json>,
    method: Option<String>,
    params: Option<bool>,
    result: Option<Glanced>,
    error: Option<bool>,
}

impl Seen {
    /// Takes in one member: whether it was there before.
    fn member(
        &mut self,
        parser: &mut Parser<'_>,
        name: &Key,
        names: &[&str],
    ) -> Result<bool, MessageError> {
        Ok(match name.as_str() {
            "jsonrpc" => {
                let version = parser.scalar()?.ok_or(MessageError::Version)?;
                self.version
                    .replace(version.as_str() == Some("2.0"))
                    .is_some()
            }
            "id" => {
                let id = parser.scalar()?.ok_or(MessageError::Id)?;
                self.id.replace(id).is_some()
            }
            "method" => match parser.scalar()? {
                Some(Json::String(method))
                    if !method.is_empty() && method.len() <= METHOD_BYTES_MAX =>
                {
                    self.method.replace(method).is_some()
                }
                _ => return Err(MessageError::Method),
            },
            "params" => {
                let begins = parser.peek();
                parser.skip_value()?;
                match begins {
                    Some(b'{') => self.params.replace(true).is_some(),
                    // Some servers write what they leave out.
                    Some(b'n') => self.params.replace(false).is_some(),
                    _ => return Err(MessageError::Params),
                }
            }
            "result" => {
                let result = result(parser, names)?;
                self.result.replace(result).is_some()
            }
            "error" => {
                let is_object = parser.peek() == Some(b'{');
                parser.skip_value()?;
                self.error.replace(is_object).is_some()
            }
            _ if twin::is_twin_of_any(name, twin::ENVELOPE) => {
                return Err(MessageError::Twin(name.chars().take(64).collect()));
            }
            _ => {
                parser.skip_value()?;
                false
            }
        })
    }

    fn message(self) -> Result<Glance, MessageError> {
        if self.version != Some(true) {
            return Err(MessageError::Version);
        }
        let id = |id: Json| RequestId::from_json(&id).ok_or(MessageError::Id);
        match (self.method, self.result, self.error) {
            (Some(method), None, None) => Ok(match self.id {
                None => Glance::Notification { method },
                Some(given) => {
                    id(given)?;
                    Glance::Request
                }
            }),
            (None, Some(outcome), None) if self.params.is_none() => Ok(Glance::Response {
                id: Some(id(self.id.ok_or(MessageError::Id)?)?),
                outcome,
            }),
            (None, None, Some(true)) if self.params.is_none() => Ok(Glance::Response {
                id: match self.id {
                    None | Some(Json::Null) => None,
                    Some(given) => Some(id(given)?),
                },
                outcome: Glanced::Error,
            }),
            (None, None, Some(false)) => Err(MessageError::ErrorObject),
            _ => Err(MessageError::Shape),
        }
    }
}

fn result(parser: &mut Parser<'_>, names: &[&str]) -> Result<Glanced, MessageError> {
    if parser.peek() != Some(b'{') {
        parser.skip_value()?;
        return Ok(Glanced::NoObject);
    }
    let mut is_found = false;
    let mut has_more = parser.enter_object()?;
    while has_more {
        let name = parser.member_name()?;
        is_found |= names.contains(&name.as_str()) || twin::is_twin_of_any(&name, names);
        parser.skip_value()?;
        has_more = parser.next_member()?;
    }
    Ok(Glanced::Result { is_found })
}

#[cfg(test)]
mod tests;
