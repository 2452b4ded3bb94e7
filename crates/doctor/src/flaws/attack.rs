//! What must be refused.

flaws! { Attack:
    ACCEPTS_GARBAGE = "accepts-garbage", Critical,
        "A text that is no token is refused with 401.",
        "MCP authorization, Token Handling; RFC 6750 section 3.1";
    ACCEPTS_FORGED_SIGNATURE = "accepts-forged-signature", Critical,
        "A JWT whose signature does not verify is refused.",
        "RFC 9068 section 4; RFC 8725 section 3.3";
    ACCEPTS_ALG_NONE = "accepts-alg-none", Critical,
        "A JWT without a signature (alg none) is refused, however none is spelt.",
        "RFC 8725 sections 2.1 and 3.2; RFC 9068 section 4";
    ACCEPTS_HS256_PUBLIC_KEY = "accepts-hs256-public-key", Critical,
        "A JWT that is signed with the public key as if it were a shared secret is refused.",
        "RFC 8725 sections 2.1 and 3.1";
    ACCEPTS_UNKNOWN_KID = "accepts-unknown-kid", Critical,
        "A JWT that is signed with a key of its own, even one in its header, is refused.",
        "RFC 8725 sections 3.1 and 3.10; RFC 7515 section 4.1.3";
    ACCEPTS_EXPIRED = "accepts-expired", Critical,
        "A token is refused once its exp is past.",
        "RFC 9068 section 4; RFC 7519 section 4.1.4";
    EXPIRED_NOT_401 = "expired-not-401", High,
        "An expired token is refused with 401, so that clients refresh it.",
        "RFC 6750 section 3.1; claude-ai-mcp#795, #174";
    ACCEPTS_WRONG_AUDIENCE = "accepts-wrong-audience", Critical,
        "A token for another resource is refused.",
        "RFC 8707 section 2; RFC 9068 section 4; MCP authorization, Access Token Privilege Restriction";
    ACCEPTS_NO_AUDIENCE = "accepts-no-audience", High,
        "A token that is for no resource in particular is refused.",
        "RFC 9068 section 4; MCP authorization, Token Audience Binding and Validation";
    ACCEPTS_OTHER_ISSUER = "accepts-other-issuer", Critical,
        "A token whose iss is not the issuer of the metadata is refused.",
        "RFC 9068 section 4; RFC 9207 section 2.4";
    ACCEPTS_TOKEN_IN_QUERY = "accepts-token-in-query", High,
        "A token in the URL is not taken: URLs end in logs and histories.",
        "MCP authorization, Token Requirements; RFC 9700 section 4.3.2";
    BAD_TOKEN_NOT_401 = "bad-token-not-401", High,
        "A token that is not good is answered 401, so that clients sign in again.",
        "RFC 6750 section 3.1; claude-ai-mcp#795, #174";
    BEARER_CASE_SENSITIVE = "bearer-case-sensitive", Low,
        "The scheme of the Authorization header is compared without regard to case.",
        "RFC 9110 section 11.1";
    ERROR_LEAKS_TOKEN = "error-leaks-token", High,
        "A refusal does not repeat the token: answers are logged and shown.",
        "RFC 6750 section 5.2; RFC 9700 section 4.3";
    SCOPE_AS_401 = "scope-as-401", High,
        "A token that lacks a scope is answered 403, not 401.",
        "RFC 6750 section 3.1; MCP authorization, Scope Challenge Handling";
    SCOPE_AS_200 = "scope-as-200", High,
        "A missing scope is answered 403, not with an error inside a 200.",
        "RFC 6750 section 3.1; MCP authorization, Scope Challenge Handling";
    SCOPE_NO_CHALLENGE = "scope-no-challenge", Medium,
        "A 403 for a missing scope has a Bearer challenge with insufficient_scope and what is needed.",
        "RFC 6750 section 3.1; typescript-sdk#2255, claude-code#44652";
    SCOPE_NOT_CHECKED = "scope-not-checked", High,
        "A call that needs a scope is refused to a token without it.",
        "RFC 6749 section 7; MCP authorization, Error Handling";
    LISTS_LEAK_JSON = "lists-leak-json", Medium,
        "A list in JSON has nothing that its caller may not know of.",
        "OWASP API3:2023";
    LISTS_LEAK_SSE = "lists-leak-sse", Medium,
        "A list in an event stream has nothing that its caller may not know of.",
        "OWASP API3:2023";
    PATH_WELL_KNOWN_OPEN = "path-well-known-open", Critical,
        "A well-known path below the MCP URL is no way around the token.",
        "RFC 8615 section 3; CWE-288";
    PATH_ENCODED_OPEN = "path-encoded-open", Critical,
        "The MCP path in percent-encoding is no way around the token.",
        "RFC 3986 section 6.2.2.2; CWE-177";
    PATH_DOUBLE_SLASH_OPEN = "path-double-slash-open", Critical,
        "The MCP path with a slash more is no way around the token.",
        "RFC 3986 section 6.2.2.3; CWE-288";
    PATH_CASE_OPEN = "path-case-open", Critical,
        "The MCP path in other letter case is no way around the token.",
        "RFC 3986 section 6.2.2.1; CWE-178";
    FOREIGN_ORIGIN_ACCEPTED = "foreign-origin-accepted", Critical,
        "No Origin stands in for a token.",
        "MCP Streamable HTTP, Security Warning; CWE-346";
    FOREIGN_HOST_ACCEPTED = "foreign-host-accepted", Medium,
        "A request for a host name that is not the server's is refused, and is not repeated in what clients are told.",
        "MCP Streamable HTTP, Security Warning (DNS rebinding); RFC 9110 section 7.4";
    DUPLICATE_KEYS = "duplicate-keys", Low,
        "A message that names a member twice is refused: two readers see two messages.",
        "RFC 8259 section 4; RFC 7493 section 2.3";
    HEADER_BODY_DISAGREE = "header-body-disagree", Medium,
        "A request whose Mcp-Method or Mcp-Name is not that of its body is refused.",
        "MCP 2026-07-28 Streamable HTTP, request headers";
    BATCH_SMUGGLES = "batch-smuggles", Medium,
        "A batch is refused: since 2025-06-18 a body is one message, and whoever checks the first lets in the rest.",
        "MCP 2025-06-18 Streamable HTTP, Sending Messages to the Server";
    PKCE_PLAIN_ACCEPTED = "pkce-plain-accepted", High,
        "The challenge method plain is refused.",
        "OAuth 2.1 section 4.1.1; RFC 9700 section 2.1.1";
    REDIRECT_NEAR_MISS_ACCEPTED = "redirect-near-miss-accepted", Critical,
        "A return address that only resembles a registered one is refused.",
        "OAuth 2.1 section 4.1.1; RFC 9700 section 4.1.3";
    CODE_REPLAY_ACCEPTED = "code-replay-accepted", High,
        "A code is good once.",
        "OAuth 2.1 section 4.1.3; RFC 9700 section 4.5";
}
