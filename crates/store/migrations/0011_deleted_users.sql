-- People who were deleted, by the opaque id alone: so that gateways refuse what they held, and a restore of an older
-- backup deletes them again.
CREATE TABLE deleted_user (
    id TEXT NOT NULL PRIMARY KEY,
    deleted_at BIGINT NOT NULL,
    -- When the last access token on their behalf has expired.
    remembered_until BIGINT NOT NULL
);
CREATE INDEX deleted_user_remembered_until ON deleted_user (remembered_until);
