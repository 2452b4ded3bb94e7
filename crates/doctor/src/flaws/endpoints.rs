//! What the OAuth endpoints do with strangers.

flaws! { Endpoints:
    AUTHORIZE_MISSING = "authorize-missing", Critical,
        "The authorization endpoint answers.",
        "RFC 6749 section 3.1";
    AUTHORIZE_UNKNOWN_CLIENT_REDIRECTS = "authorize-unknown-client-redirects", Critical,
        "The authorization endpoint sends nobody to an address of a client that it does not know.",
        "OAuth 2.1 section 4.1.2.1; RFC 9700 section 4.11";
    AUTHORIZE_NO_PKCE_ACCEPTED = "authorize-no-pkce-accepted", High,
        "An authorization request of a public client without code_challenge is refused.",
        "OAuth 2.1 section 4.1.1; MCP authorization, Authorization Code Protection";
    AUTHORIZE_REFUSES_REGISTERED = "authorize-refuses-registered", High,
        "A return address that was registered is taken at the authorization endpoint.",
        "RFC 7591 section 3.2.1; tableau-mcp#866, plane-mcp-server#220";
    AUTHORIZE_GET_NOT_IDEMPOTENT = "authorize-get-not-idempotent", Medium,
        "GET of the same authorization request twice gives the same answer.",
        "RFC 9110 section 9.2.1; FastMCP (fetches it before the browser does)";
    TOKEN_MISSING = "token-missing", Critical,
        "The token endpoint answers POST.",
        "RFC 6749 section 3.2";
    TOKEN_REDIRECTS = "token-redirects", High,
        "The token endpoint answers by itself.",
        "RFC 6749 section 3.2; rmcp source (stops at a redirect)";
    TOKEN_WANTS_JSON = "token-wants-json", Critical,
        "The token endpoint takes application/x-www-form-urlencoded.",
        "RFC 6749 section 4.1.3";
    TOKEN_ERROR_HTML = "token-error-html", High,
        "Errors of the token endpoint are JSON.",
        "RFC 6749 section 5.2";
    TOKEN_ERROR_NOT_OAUTH = "token-error-not-oauth", High,
        "Errors of the token endpoint have an error code in error, with status 400 or 401.",
        "RFC 6749 section 5.2";
    TOKEN_UNKNOWN_CLIENT_500 = "token-unknown-client-500", High,
        "A client that the token endpoint does not know is answered invalid_client, not a server error.",
        "RFC 6749 section 5.2; seen with real clients (clients never recover)";
    TOKEN_UNKNOWN_CLIENT_OTHER = "token-unknown-client-other", Low,
        "A client that the token endpoint does not know is answered invalid_client.",
        "RFC 6749 section 5.2; claude-code#4760 (clients register again only then)";
    TOKEN_CACHEABLE = "token-cacheable", Low,
        "Answers of the token endpoint have Cache-Control: no-store.",
        "RFC 6749 section 5.1";
}
