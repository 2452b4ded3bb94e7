//! What a request without a token is answered.

flaws! { Challenge:
    OPEN_SERVER = "open-server", Critical,
        "A protected MCP server answers nothing but 401 without a token.",
        "MCP authorization, Token Handling; RFC 6750 section 3.1";
    OPEN_METHODS = "open-methods", Critical,
        "Every MCP method is answered 401 without a token.",
        "MCP authorization, Token Requirements; RFC 6750 section 3.1";
    NO_401 = "no-401", Critical,
        "A missing token is answered 401, not another status.",
        "MCP authorization, Error Handling; RFC 6750 section 3.1; claude-ai-mcp#795, #174";
    ERROR_IN_200 = "error-in-200", Critical,
        "A missing token is answered with the HTTP status 401, not with an error inside a 200.",
        "RFC 6750 section 3.1; claude-ai-mcp#410";
    NO_CHALLENGE = "no-challenge", Critical,
        "A 401 carries a WWW-Authenticate header with the scheme Bearer.",
        "RFC 9110 section 15.5.2; RFC 6750 section 3; claude-ai-mcp#410";
    CHALLENGE_UNPARSABLE = "challenge-unparsable", High,
        "The parameters of the challenge are name=\"value\" pairs with commas between them.",
        "RFC 9110 section 11.2; RFC 6750 section 3";
    CHALLENGE_NOT_BEARER_FIRST = "challenge-not-bearer-first", High,
        "Bearer is the first scheme in the WWW-Authenticate header.",
        "typescript-sdk v1 and v2 sources (only the first word is looked at)";
    CHALLENGE_SEVERAL_HEADERS_WRONG_FIRST = "challenge-several-headers-wrong-first", High,
        "With several WWW-Authenticate headers, the one with Bearer is the first.",
        "typescript-sdk v1 and v2 sources (only the first word is looked at)";
    CHALLENGE_NO_RESOURCE_METADATA = "challenge-no-resource-metadata", Medium,
        "The challenge names the resource metadata.",
        "RFC 9728 section 5.1; MCP authorization, Protected Resource Metadata Discovery";
    CHALLENGE_RELATIVE_URL = "challenge-relative-url", High,
        "resource_metadata is an absolute URL.",
        "RFC 9728 section 5.1";
    CHALLENGE_OTHER_ORIGIN = "challenge-other-origin", High,
        "resource_metadata is on the origin of the MCP URL.",
        "Zed source (ignored), gemini-cli source (refused), codex#42427";
    CHALLENGE_ERROR_WITHOUT_TOKEN = "challenge-error-without-token", Low,
        "A challenge for a missing token has no error code.",
        "RFC 6750 section 3.1";
    GET_NOT_401 = "get-not-401", High,
        "GET without a token is answered 401 with the challenge.",
        "Codex and mcp-remote (they probe with GET)";
    HEAD_NOT_401 = "head-not-401", Medium,
        "HEAD without a token is answered 401 with the challenge.",
        "gemini-cli (it probes with HEAD)";
    DELETE_NOT_401 = "delete-not-401", Medium,
        "DELETE without a token is answered 401, or 405 where nobody ends a session.",
        "MCP authorization, Token Requirements; MCP Streamable HTTP, Session Management";
    DEPENDS_ON_PROTOCOL_VERSION = "401-depends-on-protocol-version", High,
        "A missing token is answered 401 whatever protocol version the request names.",
        "Codex (probes with 2024-11-05), FastMCP and Claude Code (2026-07-28, server/discover)";
    DEPENDS_ON_ACCEPT = "401-depends-on-accept", Medium,
        "A missing token is answered 401 whatever the request accepts.",
        "gemini-cli, typescript-sdk (probes without Accept)";
}
