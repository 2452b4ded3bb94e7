//! Who issues the tokens, and how it describes itself.

flaws! { ServerMetadata:
    ISSUER_MISSING = "issuer-missing", Critical,
        "The authorization server metadata has an issuer.",
        "RFC 8414 section 2";
    ISSUER_SLASH = "issuer-slash", High,
        "issuer is the text in authorization_servers, byte for byte, the last slash included.",
        "RFC 8414 section 3.3; typescript-sdk v2, python-sdk, C# SDK sources";
    ISSUER_HTTP = "issuer-http", High,
        "The issuer is https.",
        "RFC 8414 section 2";
    ISSUER_OTHER = "issuer-other", Critical,
        "issuer is the text in authorization_servers, byte for byte.",
        "RFC 8414 section 3.3; codex#33354";
    ISSUER_QUERY = "issuer-query", High,
        "The issuer has neither query nor fragment.",
        "RFC 8414 section 2";
    ASM_MISSING = "asm-missing", Critical,
        "The authorization server publishes its metadata at an address that clients make from its issuer.",
        "RFC 8414 section 3; MCP authorization, Authorization Server Metadata Discovery";
    ASM_ONLY_APPENDED = "asm-only-appended", High,
        "The well-known part stands between host and path of the issuer.",
        "RFC 8414 section 3.1; MCP authorization, Authorization Server Metadata Discovery";
    ASM_ONLY_OIDC = "asm-only-oidc", Medium,
        "The metadata is at the address of RFC 8414 too, not only at the one of OpenID Connect.",
        "RFC 8414 section 3; seen with real clients (clients that ask only there)";
    ASM_DIFFER = "asm-differ", High,
        "Every address of the metadata has the same issuer and endpoints.",
        "RFC 8414 section 5";
    ASM_HTML = "asm-html", Critical,
        "The well-known address of the authorization server has JSON, not a page.",
        "RFC 8414 section 3.2; claude-ai-mcp#134";
    ASM_NOT_JSON = "asm-not-json", Critical,
        "The authorization server metadata is a JSON object.",
        "RFC 8414 section 3.2";
    ASM_BEHIND_LOGIN = "asm-behind-login", Critical,
        "The authorization server metadata is read without a token.",
        "RFC 8414 section 3";
    ASM_SERVER_ERROR = "asm-server-error", Critical,
        "The well-known address of the authorization server answers without a server error.",
        "RFC 8414 section 3.2";
    ASM_REDIRECTS = "asm-redirects", High,
        "The metadata is where it is asked for, without a redirect.",
        "typescript-sdk, python-sdk sources (redirects off the origin are not followed)";
    ASM_NULL_MEMBERS = "asm-null-members", High,
        "Members without a value are left out, neither null nor an empty URL.",
        "RFC 8414 section 3.2; claude-code#38102";
    ASM_NO_RESPONSE_TYPES = "asm-no-response-types", High,
        "response_types_supported is there and lists code.",
        "RFC 8414 section 2 (required); typescript-sdk schema";
    ASM_NO_S256 = "asm-no-s256", High,
        "code_challenge_methods_supported lists S256.",
        "MCP authorization, Authorization Code Protection; claude-ai-mcp#840, #786; Go SDK";
    ASM_PLAIN = "asm-plain", Medium,
        "code_challenge_methods_supported does not list plain.",
        "OAuth 2.1 section 7.5.1; RFC 9700 section 2.1.1";
    ASM_NO_AUTH_METHODS = "asm-no-auth-methods", Medium,
        "token_endpoint_auth_methods_supported is there.",
        "RFC 8414 section 2 (absent means client_secret_basic); C# SDK (assumes client_secret_post)";
    ASM_NONE_NOT_LISTED = "asm-none-not-listed", High,
        "token_endpoint_auth_methods_supported lists none, for clients on people's machines.",
        "OAuth 2.1 section 2.1; claude-ai-mcp#247";
    ASM_NONE_NOT_FIRST = "asm-none-not-first", Low,
        "none is the first entry of token_endpoint_auth_methods_supported.",
        "C# SDK source (takes the first entry)";
    ASM_NO_REFRESH = "asm-no-refresh", Medium,
        "grant_types_supported lists refresh_token.",
        "RFC 8414 section 2 (absent means authorization_code and implicit); claude-ai-mcp#840";
    ASM_RELATIVE_ENDPOINT = "asm-relative-endpoint", Critical,
        "Endpoints are absolute URLs.",
        "RFC 8414 section 2";
    ASM_HTTP_ENDPOINT = "asm-http-endpoint", High,
        "Endpoints are https.",
        "OAuth 2.1 section 1.5; typescript-sdk v2 (refuses an http token endpoint)";
    ASM_NO_REGISTRATION = "asm-no-registration", High,
        "A client that nobody registered can get a client_id: by a metadata document or by registering.",
        "MCP authorization, Client Registration Approaches; claude-code#38102, codex#13200";
    ASM_CIMD_WITHOUT_NONE = "asm-cimd-without-none", High,
        "Where metadata documents are taken as client_id, none is a method of authentication.",
        "draft-ietf-oauth-client-id-metadata-document section 6; Claude and Codex documents (none)";
    ASM_NO_ISS_PROMISE = "asm-no-iss-promise", Medium,
        "authorization_response_iss_parameter_supported is true.",
        "RFC 9207 section 3; Codex and ChatGPT (another return address without it)";
    ASM_OIDC_INCOMPLETE = "asm-oidc-incomplete", Medium,
        "A document at the OpenID address has jwks_uri, subject_types_supported and id_token_signing_alg_values_supported.",
        "OpenID Connect Discovery section 3; typescript-sdk schema";
    ASM_NO_AUTHORIZATION_ENDPOINT = "asm-no-authorization-endpoint", Critical,
        "authorization_endpoint is there.",
        "RFC 8414 section 2";
    ASM_NO_TOKEN_ENDPOINT = "asm-no-token-endpoint", Critical,
        "token_endpoint is there.",
        "RFC 8414 section 2";
    ASM_NEEDS_OWN_AUTHORITY = "asm-needs-own-authority", High,
        "The authorization server registers MCP clients and takes resource.",
        "RFC 8707; claude-ai-mcp#632, codex#17265, claude-code#52871 (AADSTS9010010)";
    ASM_SCOPES_ADMIN = "asm-scopes-admin", Medium,
        "scopes_supported of the authorization server lists nothing that only administrators should have.",
        "gemini-cli and Cursor (they ask for all of them); tldraw#10612";
}
