-- Which change ended the family, so that a node reads only what is new to it; the counter is locked until its commit.
-- A release before this one leaves it empty, and such families are few.
ALTER TABLE token_family ADD COLUMN revoked_change BIGINT;
UPDATE token_family SET revoked_change = 0 WHERE revocation_until IS NOT NULL;
CREATE INDEX token_family_revoked_change ON token_family (revoked_change, id) WHERE revoked_change IS NOT NULL;
CREATE INDEX token_family_revoked_before ON token_family (id) WHERE revocation_until IS NOT NULL AND revoked_change IS NULL;
