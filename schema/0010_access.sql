-- access_log: who looked at or exported what, and when. About those who use brine, never about visitors.
CREATE TABLE IF NOT EXISTS access_log
(
    ts DateTime64(3, 'UTC') COMMENT 'When, UTC.' CODEC(Delta, ZSTD(1)),
    who LowCardinality(String) COMMENT 'Name of the user, API key or shared link; empty where nobody was asked for one.',
    via LowCardinality(String) COMMENT 'session, proxy, key, link, operator (a command beside brine) or open.',
    action LowCardinality(String) COMMENT 'query, export, dashboard, realtime, rights; sign_in, sign_out, refused; or what was changed about who may look.',
    site LowCardinality(String) COMMENT 'Site looked at; empty where it was none, or several.',
    detail String COMMENT 'Metrics, dimensions and range, or what was changed. No filter, and nothing of an answer.' CODEC(ZSTD(1)),
    expires Date COMMENT 'First date on which this row must be gone.',
    batch_id UInt128 COMMENT 'As in events.' CODEC(ZSTD(1)),
    seq UInt32 COMMENT 'As in events.'
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(expires)
ORDER BY (ts, who)
TTL expires
SETTINGS
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
