//! What only the sequence of a client shows.

flaws! { Personas:
    CIMD_HOST_REFUSED = "cimd-host-refused", High,
        "Where client ID metadata documents are promised, a well-known client is let in by its document.",
        "MCP authorization, Client ID Metadata Documents; Engram#1633, altinity-mcp#118, pomerium#6692, claude-code#84263";
    KNOWN_REDIRECT_REFUSED = "known-redirect-refused", High,
        "A well-known client may register the return address that its maker publishes.",
        "RFC 7591 section 2; omi#8824, odoo-mcp-pro#57, bytebase#20447";
    SELF_HOSTED_REDIRECT_REFUSED = "self-hosted-redirect-refused", Low,
        "A client that people host themselves may register an https address of its own host.",
        "RFC 7591 section 2; LibreChat, Open WebUI";
    LOOPBACK_PORT_COMPARED = "loopback-port-compared", High,
        "The port of a return address on the person's machine is not compared, for localhost too.",
        "RFC 8252 section 7.3; vscode#278512, google_workspace_mcp#800, claude-code#37747";
    RESOURCE_FORMS_REFUSED = "resource-forms-refused", High,
        "resource is taken as clients write it: with or without the slash of a bare origin, or left out.",
        "RFC 8707 section 2; claude-code#52871, ai#13988, openwork#4516";
    EXTRA_SCOPE_FATAL = "extra-scope-fatal", High,
        "Scopes that cannot be granted are left out of what is granted, not answered with an error.",
        "RFC 6749 section 3.3; modelcontextprotocol#653, appstrate#1267, boardoil#11, ai#19496";
    AUTHORIZE_NOT_A_PAGE = "authorize-not-a-page", High,
        "The authorization request of a client that may ask is answered with a page for the person.",
        "RFC 6749 section 3.1; mcp clients (they open it in a browser)";
}
