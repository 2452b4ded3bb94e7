-- Every policy that was in force, by its revision: the newest ones. A node of the release before saves policies without a row
-- here; the next save by a newer one keeps what it finds in force.
CREATE TABLE policy_revision (
    server TEXT NOT NULL REFERENCES mcp_server (slug),
    revision BIGINT NOT NULL,
    -- None when nobody wrote down when, or who it was.
    at BIGINT,
    user_id TEXT,
    -- added, change, apply, inventory, decision, roll_back, unknown
    origin TEXT NOT NULL,
    -- What a rollback published again.
    of_revision BIGINT,
    detail TEXT NOT NULL,
    -- How long the policy is, in characters, both parts together.
    size BIGINT NOT NULL,
    -- In two parts, as in mcp_server.
    policy TEXT NOT NULL,
    policy_rest TEXT,
    PRIMARY KEY (server, revision)
);
INSERT INTO policy_revision (server, revision, origin, detail, size, policy, policy_rest)
    SELECT slug, policy_revision, 'unknown', '', LENGTH(policy) + COALESCE(LENGTH(policy_rest), 0), policy, policy_rest
    FROM mcp_server WHERE removed_at IS NULL;
