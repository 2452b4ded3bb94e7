-- What was decided of a call, why, by which rule of which revision of the policy and how fast; and of its arguments a digest, and those
-- that the policy declares safe. Nothing of it is in calls that a release before this one recorded.
ALTER TABLE call_record ADD COLUMN decision TEXT;
ALTER TABLE call_record ADD COLUMN cause TEXT;
ALTER TABLE call_record ADD COLUMN rule TEXT;
ALTER TABLE call_record ADD COLUMN policy_revision BIGINT;
ALTER TABLE call_record ADD COLUMN judged_us BIGINT;
ALTER TABLE call_record ADD COLUMN arguments_digest TEXT;
ALTER TABLE call_record ADD COLUMN arguments TEXT;
