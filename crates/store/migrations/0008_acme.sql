-- Who does a chore that one node at a time does, and until when it is theirs.
CREATE TABLE lease (
    name TEXT NOT NULL PRIMARY KEY,
    holder TEXT NOT NULL,
    held_until BIGINT NOT NULL
);

-- Certificates that an ACME server (RFC 8555) issues, and what it takes to get one.
CREATE TABLE acme_account (
    directory TEXT NOT NULL PRIMARY KEY,
    sealed_credentials TEXT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE TABLE acme_certificate (
    domain TEXT NOT NULL PRIMARY KEY,
    directory TEXT NOT NULL,
    chain TEXT NOT NULL,
    sealed_private_key TEXT NOT NULL,
    issued_at BIGINT NOT NULL,
    renew_at BIGINT NOT NULL,
    -- When the ACME server is asked again when it wants the certificate renewed (RFC 9773).
    ask_at BIGINT NOT NULL
);
-- An order that goes on, so that another node can finish it; and when the next one may begin after failures.
CREATE TABLE acme_order (
    domain TEXT NOT NULL PRIMARY KEY,
    directory TEXT NOT NULL,
    order_url TEXT,
    sealed_private_key TEXT,
    failures BIGINT NOT NULL,
    next_try_at BIGINT NOT NULL
);
-- What proves that a name is ours (RFC 8555 section 8.1); the ACME server asks any node.
CREATE TABLE acme_challenge (
    domain TEXT NOT NULL,
    token TEXT NOT NULL,
    key_authorization TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (domain, token)
);
