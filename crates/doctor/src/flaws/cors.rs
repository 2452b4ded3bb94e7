//! What a client in a browser page may see.

flaws! { Cors:
    PREFLIGHT_NEEDS_TOKEN = "preflight-needs-token", Medium,
        "OPTIONS is answered before authentication: a browser never sends a token with it.",
        "Fetch standard, CORS-preflight fetch; sentry-mcp#999";
    PREFLIGHT_REFUSED = "preflight-refused", Medium,
        "OPTIONS of a browser is answered 2xx with what is allowed.",
        "Fetch standard, CORS-preflight fetch; twenty#19836, better-auth#10272";
    CORS_NO_ORIGIN = "cors-no-origin", Medium,
        "Answers allow pages of other origins to read them.",
        "Fetch standard, CORS check; twenty#19836";
    CORS_CREDENTIALS = "cors-credentials", High,
        "Access-Control-Allow-Credentials is not sent: nothing here needs a cookie.",
        "Fetch standard, CORS check; RFC 9700 section 2.6";
    CORS_HEADERS_MISSING = "cors-headers-missing", Medium,
        "Access-Control-Allow-Headers names Authorization, Content-Type and Mcp-Protocol-Version.",
        "Fetch standard, CORS-preflight fetch; MCP Streamable HTTP";
    CORS_NOT_EXPOSED = "cors-not-exposed", Medium,
        "Access-Control-Expose-Headers names WWW-Authenticate and Mcp-Session-Id.",
        "Fetch standard, CORS-safelisted response-header name; sentry-mcp#999";
}
