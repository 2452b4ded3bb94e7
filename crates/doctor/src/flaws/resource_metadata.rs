//! How the MCP server describes itself.

flaws! { ResourceMetadata:
    PRM_MISSING = "prm-missing", Critical,
        "The MCP server publishes protected resource metadata.",
        "RFC 9728 section 3; MCP authorization, Authorization Server Location";
    PRM_NAMED_MISSING = "prm-named-missing", High,
        "The address that the challenge names has the resource metadata.",
        "RFC 9728 section 5.1";
    PRM_ONLY_ROOT = "prm-only-root", Medium,
        "The resource metadata is at the well-known address with the path of the MCP URL.",
        "RFC 9728 section 3.1; Claude Code (asks there before it calls the server)";
    PRM_ONLY_PATH = "prm-only-path", Low,
        "The resource metadata of the only resource of a host is also at its root.",
        "MCP authorization, Protected Resource Metadata Discovery (the fallback)";
    PRM_DIFFER = "prm-differ", High,
        "Every address of the resource metadata has the same document.",
        "RFC 9728 section 3.3; claude-code#52871, ai#13988";
    PRM_BEHIND_LOGIN = "prm-behind-login", Critical,
        "The resource metadata is read without a token.",
        "RFC 9728 section 3; obsidian-web-mcp#18, claude-ai-mcp#410";
    PRM_HTML = "prm-html", Critical,
        "The well-known address has JSON, not a page.",
        "RFC 9728 section 3.2; claude-ai-mcp#134";
    PRM_NOT_JSON = "prm-not-json", Critical,
        "The resource metadata is a JSON object.",
        "RFC 9728 section 3.2";
    PRM_SERVER_ERROR = "prm-server-error", Critical,
        "The well-known address answers without a server error.",
        "RFC 9728 section 3.2; python-sdk source (5xx is fatal)";
    PRM_REDIRECTS = "prm-redirects", High,
        "The resource metadata is where it is asked for, without a redirect.",
        "typescript-sdk (only same-origin redirects are followed), python-sdk";
    PRM_NULL_MEMBERS = "prm-null-members", High,
        "Members without a value are left out, not null.",
        "RFC 9728 section 3.2; claude-code#52565";
    PRM_RESOURCE_MISSING = "prm-resource-missing", Critical,
        "The resource metadata names its resource.",
        "RFC 9728 section 2";
    PRM_RESOURCE_ORIGIN = "prm-resource-origin", High,
        "resource is the MCP URL with its path, not only its origin.",
        "RFC 9728 section 3.3; gemini-cli#24484, vscode#259251, claude-code#52871";
    PRM_RESOURCE_SLASH = "prm-resource-slash", High,
        "resource ends as the MCP URL does: with a slash only if people type one.",
        "RFC 9728 section 3.3; laravel/mcp#139, vscode#259251";
    PRM_RESOURCE_OTHER_HOST = "prm-resource-other-host", Critical,
        "resource names the host that was asked.",
        "RFC 9728 section 3.3";
    PRM_RESOURCE_OTHER_PATH = "prm-resource-other-path", High,
        "resource names the path that was asked.",
        "RFC 9728 section 3.3; exa-mcp-server#387";
    PRM_RESOURCE_HTTP = "prm-resource-http", High,
        "resource has the scheme that was asked.",
        "RFC 9728 sections 1.2 and 3.3";
    PRM_NO_SERVERS = "prm-no-servers", Critical,
        "The resource metadata names an authorization server.",
        "MCP authorization, Authorization Server Location; RFC 9728 section 2";
    PRM_SEVERAL_SERVERS = "prm-several-servers", Low,
        "The resource metadata names one authorization server.",
        "Claude (the first one only)";
    PRM_SCOPES_MISSING = "prm-scopes-missing", Low,
        "The resource metadata or the challenge says which scopes to ask for.",
        "MCP authorization, Scope Selection Strategy; Kiro#3911";
    PRM_BEARER_METHODS = "prm-bearer-methods", Medium,
        "Tokens are taken in the Authorization header, and only there.",
        "MCP authorization, Token Requirements; RFC 9700 section 4.3.2";
    WELL_KNOWN_NOT_404 = "well-known-not-404", Medium,
        "A well-known address that is not served answers 404.",
        "claude-ai-mcp#697, #134 (a page or a login there is taken for an answer)";
    WRONG_CONTENT_TYPE = "wrong-content-type", Medium,
        "Metadata has the media type application/json.",
        "RFC 9728 section 3.2; RFC 8414 section 3.2";
}
