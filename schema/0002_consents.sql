-- consents: the ledger (GDPR Art. 7(1)). Its key is a hash that no event carries, so that it cannot be
-- joined to events. denials: how many said no, by site and day, and nothing else.
CREATE TABLE IF NOT EXISTS consents
(
    scope LowCardinality(String) COMMENT 'Site or group of sites that the consent holds for.',
    site LowCardinality(String) COMMENT 'Site on which the choice was made.',
    ts DateTime64(3, 'UTC') COMMENT 'When the choice was made, UTC.' CODEC(Delta, ZSTD(1)),
    choice LowCardinality(String) COMMENT 'grant or withdraw.',
    policy_version UInt16 COMMENT 'Policy the visitor was shown.',
    purposes Array(LowCardinality(String)) COMMENT 'What was consented to.',
    source LowCardinality(String) COMMENT 'How the choice was made: banner, api, ...',
    ledger UInt128 COMMENT 'Keyed hash of the token''s random bits; no event carries it.' CODEC(ZSTD(1)),
    last_day Date COMMENT 'Last day on which the token is valid.',
    expires Date COMMENT 'First date on which this row must be gone: proof is owed until then.',
    batch_id UInt128 COMMENT 'As in events.' CODEC(ZSTD(1)),
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(expires)
ORDER BY (scope, ts, ledger)
TTL expires
SETTINGS
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

CREATE TABLE IF NOT EXISTS denials
(
    site LowCardinality(String) COMMENT 'Site on which visitors said no.',
    day Date COMMENT 'Local date.',
    denials UInt32 COMMENT 'How many, in this batch.',
    batch_id UInt128 COMMENT 'As in events.',
    seq UInt32 COMMENT 'Position of the first of them in its spool segment.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, day)
TTL day + INTERVAL 1825 DAY
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
