use std::fmt::Write as _;

use url::form_urlencoded;
use wire::oauth::RedirectUri;

use crate::{AuthorizationRequest, Error, ServerContext};

/// The address that carries a code to the client (RFC 6749 section 4.1.2; RFC 9207 section 2).
pub(crate) fn success(
    server: &ServerContext,
    request: &AuthorizationRequest,
    code: &str,
) -> String {
    with_parameters(
        &request.redirect_uri,
        &[
            ("code", Some(code)),
            ("state", request.state.as_deref()),
            ("iss", Some(&server.issuer)),
        ],
    )
}

/// The address that carries an error to the client (RFC 6749 section 4.1.2.1; RFC 9207 section 2).
pub(crate) fn failure(
    server: &ServerContext,
    redirect_uri: &RedirectUri,
    state: Option<&str>,
    error: &Error,
) -> String {
    with_parameters(
        redirect_uri,
        &[
            ("error", Some(error.code().as_str())),
            ("error_description", Some(error.description())),
            ("state", state),
            ("iss", Some(&server.issuer)),
        ],
    )
}

/// Appends to the URI's own query, textually: a parser would rewrite what the client registered.
fn with_parameters(redirect_uri: &RedirectUri, parameters: &[(&str, Option<&str>)]) -> String {
    let mut address = redirect_uri.as_str().to_owned();
    let mut separator = match address.find('?') {
        Some(at) if at + 1 == address.len() => "",
        Some(_) => "&",
        None => "?",
    };
    for (name, value) in parameters {
        let Some(value) = value else { continue };
        let _ = write!(address, "{separator}{name}=");
        address.extend(form_urlencoded::byte_serialize(value.as_bytes()));
        separator = "&";
    }
    address
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn parameters_are_appended_to_whatever_query_is_there_and_states_survive() {
        let build = |uri: &str, state: &str| {
            with_parameters(
                &RedirectUri::parse(uri).unwrap(),
                &[("code", Some("c")), ("none", None), ("state", Some(state))],
            )
        };
        assert_eq!(
            build("http://127.0.0.1:1/", "x"),
            "http://127.0.0.1:1/?code=c&state=x"
        );
        assert_eq!(
            build("https://a.example/cb?k=v", "x"),
            "https://a.example/cb?k=v&code=c&state=x"
        );
        assert_eq!(
            build("https://a.example/cb?", "x"),
            "https://a.example/cb?code=c&state=x"
        );
        assert_eq!(
            build("cursor://mcp/cb", "x"),
            "cursor://mcp/cb?code=c&state=x"
        );
        let hard = "vscode://x/?a=%2F&b==+ /~ä\"'";
        let address = build("https://a.example/cb", hard);
        let url = url::Url::parse(&address).unwrap();
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap();
        assert_eq!(state.1, hard);
    }
}
