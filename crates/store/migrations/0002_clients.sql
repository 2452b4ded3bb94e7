-- Clients that authenticate, act for themselves, or wait for an admin.
ALTER TABLE client ADD COLUMN authentication TEXT NOT NULL DEFAULT '{"methods":["none"]}';
ALTER TABLE client ADD COLUMN service_scopes TEXT;
ALTER TABLE client ADD COLUMN waiting_since BIGINT;

-- The secrets of a client: the newest, and for a while the one before.
CREATE TABLE client_secret (
    digest TEXT NOT NULL PRIMARY KEY,
    client_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX client_secret_client_id ON client_secret (client_id);

-- The `jti` of each client assertion that was accepted, until it has expired: the digest of client and id.
CREATE TABLE client_assertion_id (
    digest TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX client_assertion_id_expires_at ON client_assertion_id (expires_at);

-- What was asked for and not granted, with reasons, as JSON; nothing when all was granted.
ALTER TABLE authorization_code ADD COLUMN withheld TEXT;
ALTER TABLE token_family ADD COLUMN withheld TEXT;

-- With what an MCP server itself asks about its tokens. Its id is no secret.
CREATE TABLE resource_server_credential (
    id TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    digest TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT
);
CREATE INDEX resource_server_credential_server ON resource_server_credential (server);

-- Static tokens for machines that cannot do OAuth. Each has a token family, so that its end is in the feed.
CREATE TABLE service_token (
    id TEXT NOT NULL PRIMARY KEY,
    digest TEXT NOT NULL UNIQUE,
    server TEXT NOT NULL,
    -- Whose rights it has; none when it stands for itself.
    user_id TEXT,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    grant_id TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    revoked_at BIGINT
);
CREATE INDEX service_token_user_id ON service_token (user_id);
CREATE INDEX service_token_server ON service_token (server);
CREATE INDEX service_token_expires_at ON service_token (expires_at);
