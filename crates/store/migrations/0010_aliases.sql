-- Other addresses of an MCP server. One that was declared answers once a nonce fetched through it came back to us.
CREATE TABLE server_alias (
    url TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    created_at BIGINT NOT NULL,
    ends_at BIGINT,
    proven_at BIGINT,
    -- Moved on by the one node that makes the next try, before it does.
    next_check_at BIGINT NOT NULL,
    failure TEXT,
    nonce_digest TEXT UNIQUE,
    nonce_expires_at BIGINT
);
CREATE INDEX server_alias_server ON server_alias (server);

-- What a server was called before it moved: the aud of tokens that may still live.
CREATE TABLE former_resource (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    resource TEXT NOT NULL,
    accepted_until BIGINT NOT NULL,
    PRIMARY KEY (server, resource)
);
