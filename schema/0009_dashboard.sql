-- dashboard_marks: what readers of the dashboard keep: notes on a day, and filters by a name. Nothing of a visitor.
-- The newest row of a mark is what it is now; a removed one is no longer shown.
CREATE TABLE IF NOT EXISTS dashboard_marks
(
    site LowCardinality(String) COMMENT 'Site it belongs to.',
    mark UInt64 COMMENT 'Random number of the mark.',
    kind LowCardinality(String) COMMENT 'note or segment.',
    day Date COMMENT 'Day of a note.',
    name String COMMENT 'Text of a note, name of a segment.',
    filters String COMMENT 'Filters of a segment, as the query API takes them.',
    is_removed Bool COMMENT 'true: it is gone.',
    changed DateTime64(3, 'UTC') COMMENT 'When this row was written, UTC.',
    expires Date COMMENT 'First date on which this row must be gone: five years after it was written.'
)
ENGINE = MergeTree
ORDER BY (site, kind, mark, changed)
TTL expires
SETTINGS
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
