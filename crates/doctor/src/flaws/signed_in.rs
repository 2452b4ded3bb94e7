//! What only somebody sees who has a token.

flaws! { SignedIn:
    AUTHORIZE_REFUSED = "authorize-refused", High,
        "An authorization request made of what the metadata says ends with a code, once the person approves.",
        "RFC 6749 section 4.1.2; MCP 2025-11-25 authorization";
    STATE_CHANGED = "state-changed", High,
        "The redirect carries state exactly as it was sent.",
        "RFC 6749 section 4.1.2";
    ISS_NOT_IN_REDIRECT = "iss-not-in-redirect", High,
        "Where the metadata promises iss, each redirect has it.",
        "RFC 9207 section 2; gemini-cli PR#29117, codex#33354";
    ISS_IN_REDIRECT_OTHER = "iss-in-redirect-other", High,
        "The iss of a redirect is the issuer of the metadata, byte for byte.",
        "RFC 9207 section 2.4; SEP-2468";
    CODE_REFUSED = "code-refused", High,
        "A code is exchanged for a token with the verifier, client and redirect URI that it was asked with.",
        "RFC 6749 section 4.1.3, RFC 7636 section 4.6; claude-ai-mcp#247, LibreChat#9705";
    CLIENT_CREDENTIALS_REFUSED = "client-credentials-refused", High,
        "A client that is registered for it gets a token with its own credentials.",
        "RFC 6749 section 4.4; MCP extension SEP-1046";
    TOKEN_NO_ACCESS_TOKEN = "token-no-access-token", High,
        "A token response is a JSON object with an access_token.",
        "RFC 6749 section 5.1";
    TOKEN_NO_EXPIRES_IN = "token-no-expires-in", Medium,
        "A token response says in expires_in how long the token is good.",
        "RFC 6749 section 5.1; the Python SDK refreshes only when it knows";
    TOKEN_EXPIRES_STRING = "token-expires-string", High,
        "expires_in is a whole number of seconds above zero, without quotes.",
        "RFC 6749 section 5.1 and appendix A.14; the TypeScript SDK refuses the response otherwise";
    TOKEN_TYPE_ODD = "token-type-odd", Medium,
        "token_type is Bearer, spelt so.",
        "RFC 6749 sections 5.1 and 7.1, RFC 6750; strict clients compare it";
    TOKEN_NO_REFRESH = "token-no-refresh", Medium,
        "A person who signed in gets a refresh token, also when offline_access was not asked for.",
        "OAuth 2.1 section 4.3; claude-ai-mcp#840, canvas-mcp#146, claude-code#55055";
    TOKEN_SHORT_LIVED = "token-short-lived", Low,
        "Access tokens live for ten minutes at least.",
        "Claude Code refreshes before every request within five minutes of the end";
    TOKEN_NULL_MEMBERS = "token-null-members", High,
        "A member of a token response that has no value is left out.",
        "RFC 6749 section 5.1; the TypeScript SDK: expected string, received null";
    TOKEN_CACHEABLE_ANSWER = "token-cacheable-answer", Medium,
        "A token response has Cache-Control: no-store.",
        "RFC 6749 section 5.1";
    TOKEN_SCOPE_MISSING = "token-scope-missing", Low,
        "A token response says which scopes were granted when they are not those asked for.",
        "RFC 6749 section 5.1";
    TOKEN_AUD_MISSING = "token-aud-missing", High,
        "An access token names the one MCP server that it is for.",
        "RFC 9068 section 2.2, RFC 8707 section 2; MCP 2025-11-25 authorization, token audience";
    TOKEN_AUD_OTHER = "token-aud-other", High,
        "The aud of an access token is the resource that was asked for.",
        "RFC 8707 section 2; MCP 2025-11-25 authorization, token audience";
    TOKEN_ISS_OTHER = "token-iss-other", High,
        "The iss of an access token is the issuer of the metadata, byte for byte.",
        "RFC 9068 section 4";
    TOKEN_SUB_MISSING = "token-sub-missing", Medium,
        "An access token says in sub whose it is.",
        "RFC 9068 section 2.2";
    TOKEN_EXP_MISSING = "token-exp-missing", High,
        "An access token says in exp, in seconds, when it ends.",
        "RFC 9068 section 2.2, RFC 7519 section 4.1.4";
    TOKEN_NOT_VERIFIABLE = "token-not-verifiable", High,
        "An access token is signed with a key that the metadata's jwks_uri publishes.",
        "RFC 9068 section 4";
    ACCEPTED_THEN_REFUSED = "accepted-then-refused", Critical,
        "The MCP server takes the tokens that its own authorization server issues.",
        "claude-ai-mcp#480, #566, #397";
    REFRESH_REFUSED = "refresh-refused", High,
        "A refresh token that was just issued gives a new access token.",
        "RFC 6749 section 6";
    REFRESH_NOT_ROTATED = "refresh-not-rotated", Medium,
        "A client without a secret gets a new refresh token with each refresh.",
        "OAuth 2.1 section 4.3.1, RFC 9700 section 4.14.2";
    REFRESH_NEEDS_RESOURCE = "refresh-needs-resource", Medium,
        "A refresh without resource gives a token for the resource of the first one.",
        "RFC 8707 section 2.2; claude-code#89862, codex#33403";
    REFRESH_SCOPE_REFUSED = "refresh-scope-refused", Medium,
        "A refresh may name the scopes that were granted.",
        "RFC 6749 section 6; copilot-cli#4464";
    REFRESH_PARALLEL_FAILS = "refresh-parallel-fails", High,
        "Refreshes with the same token at the same moment all succeed, and the session lives on.",
        "fastmcp#4901, Exceptionless#2404, claude-code#66210";
    REFRESH_DEAD_NOT_INVALID_GRANT = "refresh-dead-not-invalid-grant", Medium,
        "A refresh token that is no good is answered 400 with invalid_grant in JSON.",
        "RFC 6749 section 5.2; clients sign in again only on invalid_grant";
    REFRESH_REUSE_ACCEPTED = "refresh-reuse-accepted", High,
        "A refresh token that was replaced a while ago is refused.",
        "OAuth 2.1 section 4.3.1, RFC 9700 section 4.14.2";
    STEP_UP_401 = "step-up-401", High,
        "A token that lacks a scope is answered 403, not 401.",
        "RFC 6750 section 3.1; MCP 2025-11-25 authorization, scope challenge handling";
    STEP_UP_NO_CHALLENGE = "step-up-no-challenge", Medium,
        "A 403 for a missing scope has a Bearer challenge with insufficient_scope and the scopes.",
        "RFC 6750 section 3.1; typescript-sdk#2255, claude-code#44652";
    REVOCATION_NOT_FELT = "revocation-not-felt", Medium,
        "The MCP server refuses a token within seconds of its session's end.",
        "RFC 7009 section 2.1";
}
