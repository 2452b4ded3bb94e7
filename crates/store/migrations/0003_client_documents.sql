-- What other hosts say about clients, as it was when it was last good: metadata documents, key sets, logos.
CREATE TABLE client_document (
    kind TEXT NOT NULL,
    url TEXT NOT NULL,
    body TEXT NOT NULL,
    digest TEXT NOT NULL,
    fetched_at BIGINT NOT NULL,
    fresh_until BIGINT NOT NULL,
    -- Since when it says what matters in it.
    changed_at BIGINT NOT NULL,
    PRIMARY KEY (kind, url)
);
CREATE INDEX client_document_digest ON client_document (digest);
CREATE INDEX client_document_fetched_at ON client_document (fetched_at);

-- What an admin decided about a client with a metadata document, at one MCP server; or that nobody has yet.
CREATE TABLE client_trust (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    client_id TEXT NOT NULL,
    decision TEXT NOT NULL,
    at BIGINT NOT NULL,
    -- Who decided, or asked.
    user_id TEXT,
    PRIMARY KEY (server, client_id)
);

-- Consents again, without a key on a table that does not have every client any more, and apart for each server.
CREATE TABLE client_consent (
    user_id TEXT NOT NULL REFERENCES app_user (id),
    server TEXT NOT NULL,
    client_id TEXT NOT NULL,
    redirect_uri TEXT NOT NULL,
    scopes TEXT NOT NULL,
    approved_at BIGINT NOT NULL,
    PRIMARY KEY (user_id, server, client_id, redirect_uri)
);
CREATE INDEX client_consent_client_id ON client_consent (client_id);
INSERT INTO client_consent (user_id, server, client_id, redirect_uri, scopes, approved_at)
SELECT user_id, server, client_id, redirect_uri, scopes, approved_at FROM consent;
DROP TABLE consent;
