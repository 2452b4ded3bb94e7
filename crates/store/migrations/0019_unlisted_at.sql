-- Since when a look did not find the server listing this definition; nothing while the last look did.
ALTER TABLE definition ADD COLUMN unlisted_at BIGINT;
