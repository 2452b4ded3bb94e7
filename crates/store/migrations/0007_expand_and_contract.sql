-- The lowest schema version that a binary must know to work with the tables as they are after a step. Nothing in the
-- rows of earlier steps: those asked for their own version.
ALTER TABLE schema_version ADD COLUMN usable_from BIGINT;

-- One row. What was issued before the present epoch began is dead: the database may be an older one than it was.
CREATE TABLE epoch (
    id BIGINT NOT NULL PRIMARY KEY,
    number BIGINT NOT NULL,
    began_at BIGINT NOT NULL,
    reason TEXT NOT NULL,
    -- Which PostgreSQL, and which of its timelines; nothing where the database is a file.
    lineage TEXT
);
INSERT INTO epoch (id, number, began_at, reason) VALUES (1, 1, 0, 'first');
