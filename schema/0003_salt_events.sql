-- salt_events: that each salt was made and destroyed, and when. Neither a salt nor a hash of one.
CREATE TABLE IF NOT EXISTS salt_events
(
    site LowCardinality(String) COMMENT 'Site the salt belonged to.',
    period Date COMMENT 'First local date of its period.',
    ts DateTime64(3, 'UTC') COMMENT 'When the step was taken, UTC.',
    step LowCardinality(String) COMMENT 'created or destroyed.',
    reason LowCardinality(String) COMMENT 'rotation, first_start, grace_over, found_late.',
    batch_id UInt128 COMMENT 'As in events.',
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
ORDER BY (site, period, ts)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
