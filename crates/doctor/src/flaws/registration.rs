//! What the registration endpoint does with what clients send.

flaws! { Registration:
    REGISTER_REFUSED = "register-refused", High,
        "The registration endpoint registers a client with one https return address.",
        "RFC 7591 section 3.1; MCP authorization, Dynamic Client Registration";
    REGISTER_RATE_LIMIT = "register-rate-limit", Medium,
        "A dozen registrations from one address are served: hosted clients share few addresses.",
        "seen with real clients";
    REGISTER_REFUSES_LOOPBACK = "register-refuses-loopback", High,
        "Return addresses on the person's machine are taken with http.",
        "RFC 8252 section 7.3; contextstream#57";
    REGISTER_REFUSES_MIXED = "register-refuses-mixed", High,
        "One registration may list a private scheme, an https and a loopback address.",
        "RFC 7591 section 2; bytebase#20510, accounted#2225, plane-mcp-server#159";
    REGISTER_REFUSES_UNKNOWN_MEMBER = "register-refuses-unknown-member", High,
        "Members that the server does not know are ignored.",
        "RFC 7591 section 2; codex#24103, modelcontextprotocol#653";
    REGISTER_NO_REDIRECT_URIS = "register-no-redirect-uris", High,
        "The answer repeats redirect_uris and has a client_id.",
        "RFC 7591 section 3.2.1; typescript-sdk schema";
    REGISTER_NULL_MEMBERS = "register-null-members", High,
        "Members without a value are left out of the answer, neither null nor an empty URL.",
        "RFC 7591 section 3.2.1; claude-code#38102";
    REGISTER_SECRET_FOR_NONE = "register-secret-for-none", Medium,
        "A client that asked for the method none gets no client_secret.",
        "RFC 7591 section 3.2.1; rmcp (switches to Basic), claude-ai-mcp#247";
    REGISTER_ACCEPTS_JAVASCRIPT = "register-accepts-javascript", Critical,
        "Return addresses with javascript:, data: and their like are refused.",
        "RFC 7591 section 5; RFC 9700 section 4.1";
    REGISTER_ACCEPTS_HTTP = "register-accepts-http", Medium,
        "Return addresses with http are refused unless they are on the person's machine.",
        "MCP authorization, Open Redirection and Communication Security; OAuth 2.1 section 8.4.2";
    REGISTER_WRONG_STATUS = "register-wrong-status", Low,
        "A registration is answered 201.",
        "RFC 7591 section 3.2.1";
}
