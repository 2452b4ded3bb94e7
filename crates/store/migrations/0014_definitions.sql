-- How the elements of MCP servers were defined: what was accepted, what waits for a person, and what one said no to.
CREATE TABLE definition (
    server TEXT NOT NULL,
    -- As the member of a list's answer: tools, resources, resourceTemplates, prompts.
    kind TEXT NOT NULL,
    identity TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    -- accepted, pending, rejected
    state TEXT NOT NULL,
    -- As it was listed; none when it is too large to keep.
    definition TEXT,
    seen_at BIGINT NOT NULL,
    decided_at BIGINT,
    PRIMARY KEY (server, kind, identity, fingerprint)
);
