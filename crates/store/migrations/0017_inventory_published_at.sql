-- When a look at the upstream changed the policy last, only to take what was listed then.
ALTER TABLE mcp_server ADD COLUMN inventory_published_at BIGINT;
