-- Through which client a policy was saved over the admin API: a machine that saves has no person. Nothing for a command, and in
-- revisions of before.
ALTER TABLE policy_revision ADD COLUMN client_id TEXT;
