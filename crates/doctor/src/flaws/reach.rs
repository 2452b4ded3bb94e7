//! Whether clients reach the MCP server at all, and unchanged.

flaws! { Reach:
    NAME_UNKNOWN = "name-unknown", Critical,
        "The host name of the MCP URL has an address.",
        "RFC 9110 section 4.2";
    NOT_REACHABLE = "not-reachable", Critical,
        "Something answers HTTP at the host and port of the MCP URL.",
        "RFC 9110 section 4.2; claude-ai-mcp#214";
    TLS_EXPIRED = "tls-expired", Critical,
        "The certificate is valid today.",
        "RFC 5280 section 6.1.3";
    TLS_NAME = "tls-name", Critical,
        "The certificate is for the host of the MCP URL.",
        "RFC 9110 section 4.3.4";
    TLS_UNTRUSTED = "tls-untrusted", Critical,
        "The server sends a certificate and every intermediate up to a root that clients trust.",
        "RFC 5280 section 6; claude-ai-mcp#214 (hosted clients fetch no missing intermediates)";
    TLS_FAILS = "tls-fails", Critical,
        "The server speaks TLS 1.2 or 1.3.",
        "RFC 9325 section 3.1";
    HTTP_NOT_LOOPBACK = "http-not-loopback", High,
        "An MCP URL that does not lead to this machine is https.",
        "MCP authorization, Communication Security; OAuth 2.1 section 1.5";
    URL_SPACE_OR_DOT = "url-space-or-dot", Medium,
        "The MCP URL has no space and its host does not end with a dot.",
        "RFC 9728 section 3.3 (resource is compared as text)";
    ADDRESS_NOT_PUBLIC = "address-not-public", Low,
        "The host of an MCP server that hosted clients use has a public IPv4 address.",
        "claude-ai-mcp#214; Anthropic connector documentation";
    HANGS = "hangs", Critical,
        "The MCP URL answers a request without a token within 10 seconds.",
        "Anthropic connector documentation (10 s for discovery, registration and token)";
    SLOW_ANSWER = "slow-answer", Medium,
        "Each answer before sign-in takes less than 3 seconds.",
        "Anthropic connector documentation (10 s limit)";
    HUGE_BODY = "huge-body", High,
        "An answer before sign-in has a small body.",
        "RFC 6750 section 3; clients read these answers into memory";
    FLOODS = "floods", High,
        "An answer to a request without a token ends.",
        "RFC 6750 section 3; MCP Streamable HTTP";
    MCP_REDIRECTS = "mcp-redirects", High,
        "The MCP URL that people type answers by itself and sends nobody elsewhere.",
        "typescript-sdk and rmcp sources (redirects to another origin are not followed); Claude drops Authorization across hosts";
    MCP_REDIRECTS_TO_HTTP = "mcp-redirects-to-http", High,
        "No redirect leads from https to http.",
        "OAuth 2.1 section 1.5; RFC 9700 section 2.6";
    MCP_REDIRECT_LOOP = "mcp-redirect-loop", Critical,
        "Redirects end.",
        "RFC 9110 section 15.4";
    SLASH_REDIRECTS = "slash-redirects", High,
        "The MCP URL is served with or without its last slash as people type it, not by a redirect to the other form.",
        "Anthropic connector documentation (Authorization is lost)";
    BOT_WALL_HOSTED_AGENTS = "bot-wall-hosted-agents", High,
        "Requests of hosted clients get the same answer as any other.",
        "claude-ai-mcp#49, #350, #279, #430";
    GATEWAY_HTML = "gateway-html", Critical,
        "A program behind the MCP URL answers, not an error page of a proxy before it.",
        "MCP Streamable HTTP";
    INTERNAL_HOST_IN_METADATA = "internal-host-in-metadata", Critical,
        "Every URL in metadata names a host that clients reach.",
        "RFC 9728 section 2; RFC 8414 section 2; LibreChat#12254, rmcp and gemini-cli sources (private hosts are refused)";
    HTTP_IN_METADATA = "http-in-metadata", High,
        "Behind a proxy with TLS, every URL in metadata is https.",
        "RFC 8414 section 2; RFC 9728 section 2; typescript-sdk v2 (insecure token endpoint)";
}
