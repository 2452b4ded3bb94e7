-- A slug is never given again, so a server that was removed stays behind as a name.
ALTER TABLE mcp_server ADD COLUMN removed_at BIGINT;
