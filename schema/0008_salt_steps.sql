-- salt_events: how a salt was made or destroyed, beside that it was.
ALTER TABLE salt_events ADD COLUMN IF NOT EXISTS how LowCardinality(String) COMMENT 'random or chain when made, overwritten, unlinked and wiped when destroyed. Empty: from before this column.' AFTER reason;

ALTER TABLE salt_events MODIFY COLUMN reason COMMENT 'Made: rotation, first_start, key_lost, off_chain, operator. Destroyed: grace_over, found_late, rotation_changed, site_gone, far_ahead, key_lost, operator.';
