-- purges: what was purged, by which rule, and what verified it (GDPR Art. 5(2)). Outlives the data; nothing personal.
-- Whoever asks whether old data is gone is answered from here.
CREATE TABLE IF NOT EXISTS purges
(
    purge UInt64 COMMENT 'Random number of this purge. Kept for good.',
    run UInt64 COMMENT 'The run it belongs to, as in retention_runs; 0: a note beside runs.',
    site LowCardinality(String) COMMENT 'Site, or scope of sites, whose rows went; empty: of no site.',
    table_name LowCardinality(String) COMMENT 'Table that held them; spool or quarantine: the collector''s own disk.',
    rule LowCardinality(String) COMMENT 'expired, shortened (retention was), removed (the site was). Notes: missing (a site is not in the configuration any more), back (it is again).',
    ts DateTime64(3, 'UTC') COMMENT 'When it was verified, UTC.',
    first_day Date COMMENT 'First local date that the rows were about.',
    last_day Date COMMENT 'Last local date that the rows were about.',
    n_rows UInt64 COMMENT 'Rows that went.',
    n_bytes UInt64 COMMENT 'Their share, by rows, of the bytes that their parts took on disk.',
    verified String COMMENT 'What showed that they are gone.',
    version LowCardinality(String) COMMENT 'Version of brine that did it.',
    batch_id UInt128 COMMENT 'As in events.',
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
ORDER BY (site, ts, purge)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- retention_runs: that the job ran, and how its check came out.
CREATE TABLE IF NOT EXISTS retention_runs
(
    run UInt64 COMMENT 'Random number of the run. Kept for good.',
    collector LowCardinality(String) COMMENT 'Which collector ran it: its spool''s incarnation.',
    started_by LowCardinality(String) COMMENT 'schedule or operator.',
    ts DateTime64(3, 'UTC') COMMENT 'When it began, UTC.',
    ended DateTime64(3, 'UTC') COMMENT 'When its check was done, UTC.',
    n_purges UInt32 COMMENT 'Purges it made.',
    n_rows UInt64 COMMENT 'Rows that went.',
    n_bytes UInt64 COMMENT 'Bytes on disk that went with them.',
    n_days UInt32 COMMENT 'Days of visits and daily that it counted anew.',
    findings Array(String) COMMENT 'What its check found to be left; empty: nothing expired is on the disk.',
    held Array(LowCardinality(String)) COMMENT 'Sites under legal hold, left as they were.',
    version LowCardinality(String) COMMENT 'Version of brine.',
    batch_id UInt128 COMMENT 'As in events.',
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
ORDER BY (ts, run)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- retention_claims: which collector runs the job at this moment. In memory: a claim is not to outlive its ClickHouse.
CREATE TABLE IF NOT EXISTS retention_claims
(
    collector String COMMENT 'As in retention_runs.',
    run UInt64 COMMENT 'Its run.',
    until DateTime COMMENT 'When the claim lapses if it is not renewed, by this ClickHouse''s clock.'
)
ENGINE = Memory;
