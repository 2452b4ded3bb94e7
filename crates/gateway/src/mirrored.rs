//! Arguments of tools that stand in headers as well: somebody on the way may go by those.

use authz::QuarantineFrom;
use sdk::{Era, Permitted};
use wire::mcp::headers::HeaderRefusal;
use wire::mcp::json::{Json, Object};
use wire::mcp::{Message, method};

use crate::definitions::Definitions;

/// Holds the `Mcp-Param-…` headers of a call against its arguments, by the definition of the tool that was accepted, once a list
/// showed it here. Of another one, or of one that may be another one by now, the MCP server compares them alone.
///
/// Spec: MCP 2026-07-28, Streamable HTTP, "Schema Extension".
///
/// # Errors
/// The first header that is missing, or says something else.
pub(crate) fn check(permitted: &Permitted, definitions: &Definitions) -> Result<(), HeaderRefusal> {
    let Some(Message::Request(request)) = permitted.message() else {
        return Ok(());
    };
    let policy = &permitted.in_force().server().policy;
    if permitted.era() != Era::Modern
        || request.method != method::TOOLS_CALL
        || !policy.enforced()
        || policy.quarantine_from == QuarantineFrom::Never
    {
        return Ok(());
    }
    let params = request.params.as_ref();
    let name = params.and_then(|params| params.str("name"));
    let Some((name, entry)) = name.and_then(|name| Some((name, policy.tools.get(name)?))) else {
        return Ok(());
    };
    let arguments = params.and_then(|params| params.get("arguments"));
    let arguments: Option<&Object> = arguments.and_then(Json::as_object);
    definitions.check_params(name, entry, permitted.headers(), arguments)
}
