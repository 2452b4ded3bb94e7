-- The lowest schema version that a binary must know to work with the tables as they are after a step.
ALTER TABLE schema_version ADD COLUMN usable_from BIGINT;
