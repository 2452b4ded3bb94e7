-- A key is published before it signs, and may be withdrawn at once.
ALTER TABLE signing_key ADD COLUMN signs_from BIGINT NOT NULL DEFAULT 0;
UPDATE signing_key SET signs_from = created_at;
-- The longest life of a token it signed. What the first release let its tokens live was not written down: a day covers it.
ALTER TABLE signing_key ADD COLUMN token_seconds_max BIGINT NOT NULL DEFAULT 86400;
ALTER TABLE signing_key ADD COLUMN withdrawn_at BIGINT;
