-- One text for SQLite and PostgreSQL: TEXT and BIGINT columns only, times in Unix milliseconds, JSON as TEXT.
-- Tables that grow with each token carry no foreign keys: their parents are never deleted before them (purge.rs),
-- and each key would cost every token request a lookup.

CREATE TABLE setting (
    name TEXT NOT NULL PRIMARY KEY,
    value TEXT NOT NULL
);

-- One row. Counted up by each write that a policy feed carries.
CREATE TABLE change (
    id BIGINT NOT NULL PRIMARY KEY,
    counter BIGINT NOT NULL
);
INSERT INTO change (id, counter) VALUES (1, 0);

CREATE TABLE app_user (
    id TEXT NOT NULL PRIMARY KEY,
    email TEXT NOT NULL,
    email_key TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    password_hash TEXT,
    role TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE TABLE setup_token (
    digest TEXT NOT NULL PRIMARY KEY,
    expires_at BIGINT NOT NULL,
    spent_at BIGINT
);

CREATE TABLE login_session (
    id TEXT NOT NULL PRIMARY KEY,
    cookie_digest TEXT NOT NULL UNIQUE,
    user_id TEXT NOT NULL REFERENCES app_user (id),
    authenticated_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT
);
CREATE INDEX login_session_expires_at ON login_session (expires_at);

CREATE TABLE mcp_server (
    slug TEXT NOT NULL PRIMARY KEY,
    name TEXT NOT NULL,
    resource TEXT NOT NULL UNIQUE,
    upstream TEXT NOT NULL,
    settings TEXT NOT NULL,
    policy TEXT NOT NULL,
    policy_revision BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE client (
    id TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    name TEXT NOT NULL,
    redirect_uris TEXT NOT NULL,
    registration TEXT NOT NULL,
    -- The digest of what a dynamic registration asked for: the same request gets the same client.
    fingerprint TEXT,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);
CREATE UNIQUE INDEX client_fingerprint ON client (fingerprint, server) WHERE fingerprint IS NOT NULL;

CREATE TABLE consent (
    user_id TEXT NOT NULL REFERENCES app_user (id),
    client_id TEXT NOT NULL REFERENCES client (id),
    redirect_uri TEXT NOT NULL,
    server TEXT NOT NULL,
    scopes TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, client_id, redirect_uri)
);
CREATE INDEX consent_client_id ON consent (client_id);

-- A code is spent when the token family it begins exists.
CREATE TABLE authorization_code (
    digest TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    code_challenge TEXT NOT NULL,
    scopes TEXT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    grant_id TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX authorization_code_expires_at ON authorization_code (expires_at);

CREATE TABLE token_family (
    id TEXT NOT NULL PRIMARY KEY,
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    user_id TEXT NOT NULL,
    scopes TEXT NOT NULL,
    authenticated_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    ended_at BIGINT,
    end_reason TEXT,
    -- When the last access token of an ended family has expired, and the feed may forget it.
    revocation_until BIGINT
);
CREATE INDEX token_family_expires_at ON token_family (expires_at);
CREATE INDEX token_family_revocation_until ON token_family (revocation_until) WHERE revocation_until IS NOT NULL;

CREATE TABLE refresh_token (
    digest TEXT NOT NULL PRIMARY KEY,
    family_id TEXT NOT NULL,
    generation BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    spent_at BIGINT,
    salt TEXT,
    -- The digest of the token it was exchanged for.
    successor TEXT
);
CREATE INDEX refresh_token_expires_at ON refresh_token (expires_at);

CREATE TABLE signing_key (
    id TEXT NOT NULL PRIMARY KEY,
    purpose TEXT NOT NULL,
    algorithm TEXT NOT NULL,
    sealed_private_key TEXT NOT NULL,
    public_jwk TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    retired_at BIGINT
);

-- The id is made from the time (event_id.rs), so that it orders events without a sequence.
CREATE TABLE audit_event (
    id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    kind TEXT NOT NULL,
    server TEXT,
    user_id TEXT,
    client_id TEXT,
    grant_id TEXT,
    detail TEXT NOT NULL
);
CREATE INDEX audit_event_id ON audit_event (id);
