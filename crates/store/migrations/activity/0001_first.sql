-- The activity log, in a file or schema of its own: it may lose its last second, the authority's database may not.
CREATE TABLE call_record (
    id BIGINT NOT NULL,
    at BIGINT NOT NULL,
    server TEXT NOT NULL,
    subject TEXT,
    client_id TEXT,
    grant_id TEXT,
    method TEXT NOT NULL,
    name TEXT,
    outcome TEXT NOT NULL,
    reason TEXT NOT NULL,
    status BIGINT NOT NULL,
    duration_us BIGINT NOT NULL,
    correlation_id TEXT
);
CREATE INDEX call_record_id ON call_record (id);
