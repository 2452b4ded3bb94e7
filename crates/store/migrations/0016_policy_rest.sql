-- What the release before cannot read of a policy, with which it would refuse the list of all servers. It selects the
-- column `policy` alone, and writes it without this one.
ALTER TABLE mcp_server ADD COLUMN policy_rest TEXT;
