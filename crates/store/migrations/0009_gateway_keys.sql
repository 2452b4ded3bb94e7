-- Public keys with which gateways apart from the authority sign Portcullis-Identity, each for as long as its gateway says so.
CREATE TABLE gateway_key (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    id TEXT NOT NULL,
    jwk TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (server, id)
);
