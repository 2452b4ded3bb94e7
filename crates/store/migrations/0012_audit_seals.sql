-- The audit log, sealed as it grows: each row covers some events and the row before it, under a key from outside the
-- database. An event that is changed, taken out or put in afterwards no longer fits.
CREATE TABLE audit_seal (
    number BIGINT NOT NULL PRIMARY KEY,
    from_id BIGINT NOT NULL,
    to_id BIGINT NOT NULL,
    made_at BIGINT NOT NULL,
    -- Of each event its id and two digests, in base64url.
    entries TEXT NOT NULL,
    -- The head of the row before.
    previous TEXT NOT NULL,
    head TEXT NOT NULL
);
CREATE INDEX audit_seal_to_id ON audit_seal (to_id);
