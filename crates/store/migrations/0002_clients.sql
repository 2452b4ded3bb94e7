-- Clients that authenticate, act for themselves, or wait for an admin.
ALTER TABLE client ADD COLUMN authentication TEXT NOT NULL DEFAULT '{"methods":["none"]}';
ALTER TABLE client ADD COLUMN service_scopes TEXT;
ALTER TABLE client ADD COLUMN waiting_since BIGINT;
