-- requests: what visitors asked for, and what was done (GDPR Art. 12(3), 15 to 21). Nothing of who.
CREATE TABLE IF NOT EXISTS requests
(
    request UInt64 COMMENT 'Random number that ties what was asked to what was done.',
    site LowCardinality(String) COMMENT 'Site or group of sites it was about.',
    ts DateTime64(3, 'UTC') COMMENT 'When this step was taken, UTC.' CODEC(Delta, ZSTD(1)),
    step LowCardinality(String) COMMENT 'asked (of what changes rows, before it begins) or done.',
    action LowCardinality(String) COMMENT 'see, correct, restrict, unrestrict, object, erase, withdraw.',
    channel LowCardinality(String) COMMENT 'visitor: by the page, the tracker or an app; operator: by brine rights.',
    periods UInt32 COMMENT 'How many pairs of site and salt period the visitor could show to be theirs.',
    affected UInt64 COMMENT 'Rows of events shown, corrected, restricted or erased.',
    verified LowCardinality(String) COMMENT 'How that was checked; empty: nothing to check.',
    expires Date COMMENT 'First date on which this row must be gone.',
    batch_id UInt128 COMMENT 'As in events.' CODEC(ZSTD(1)),
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(expires)
ORDER BY (site, ts, request)
TTL expires
SETTINGS
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- restrictions: pseudonyms whose events are kept but not counted (GDPR Art. 18). Every counting leaves out the
-- visitors whose newest row here says so. A set beside events, and not a column in it: it holds for rows that
-- are still in the spool, and it touches no row whose batch may yet have to be counted.
CREATE TABLE IF NOT EXISTS restrictions
(
    site LowCardinality(String) COMMENT 'Site the pseudonym belongs to.',
    day Date COMMENT 'Local date it was used on.',
    visitor UInt64 COMMENT 'The pseudonym, as in events. Kept until expires, or erased with the events.' CODEC(ZSTD(1)),
    is_restricted Bool COMMENT 'true: leave its events out; false: count them again.',
    ts DateTime64(3, 'UTC') COMMENT 'When this was asked for, UTC.',
    expires Date COMMENT 'First date on which the events of that day are gone, and with them this row.',
    batch_id UInt128 COMMENT 'As in events.',
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(expires)
ORDER BY (site, visitor, ts)
TTL expires
SETTINGS
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- subject_keys: which events a request under way is about. In memory, never on disk. A mutation keeps its text in
-- a file for long: naming pseudonyms there would keep them. It names this table instead.
CREATE TABLE IF NOT EXISTS subject_keys
(
    request UInt64 COMMENT 'The request; its rows are deleted when it ends.',
    site String COMMENT 'Site the pseudonym belongs to.',
    day Date COMMENT 'Local date it was used on.',
    visitor UInt64 COMMENT 'The pseudonym, as in events.'
)
ENGINE = Memory;

-- subject_values: the corrected value of a request under way, in memory for the same reason.
CREATE TABLE IF NOT EXISTS subject_values
(
    request UInt64 COMMENT 'The request.',
    property String COMMENT 'Name of the property.',
    old_value String COMMENT 'The value it has.',
    new_value String COMMENT 'The value it should have.'
)
ENGINE = Memory;
