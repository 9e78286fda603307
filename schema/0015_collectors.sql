-- collectors: who stores here. What a visitor asks of one of them holds for all: an erasure is done when each has said that
-- nothing older is left in its spool and its quarantine. Known from its first start with this ClickHouse until an operator
-- says that its disk is gone (brine collectors forget).
CREATE TABLE IF NOT EXISTS collectors
(
    incarnation UInt64 COMMENT 'Random number of its spool, which is in its batch ids.',
    host String COMMENT 'Name of its machine, for the operator.',
    started DateTime('UTC') COMMENT 'When it last started.',
    settled UInt64 COMMENT 'Everything up to this segment of its spool has been stored, or set aside: as it said last, at its start and hourly.',
    said DateTime('UTC') COMMENT 'When it said so.'
)
ENGINE = ReplacingMergeTree(said)
ORDER BY incarnation
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1;

-- settle_calls: a collector is about to change or show stored rows, and asks the others to bring what they hold. In memory:
-- whoever asks asks again.
CREATE TABLE IF NOT EXISTS settle_calls
(
    request UInt64 COMMENT 'The request; its row is deleted when it ends.',
    asker UInt64 COMMENT 'Incarnation of the collector that asks.',
    n_keys UInt32 COMMENT 'Rows of subject_keys that are to leave the quarantine, too; 0: none.',
    until DateTime COMMENT 'When it lapses if it is not called again, by this ClickHouse''s clock.'
)
ENGINE = Memory;

-- settle_answers: what the others answered.
CREATE TABLE IF NOT EXISTS settle_answers
(
    request UInt64 COMMENT 'The request.',
    incarnation UInt64 COMMENT 'Who answers.',
    segment UInt64 COMMENT 'Everything up to this segment of its spool has been stored, or set aside.',
    quarantined UInt64 COMMENT 'Records that it took out of its quarantine.',
    damaged_files UInt64 COMMENT 'Damaged files that it deleted there, since they held one of the pseudonyms.'
)
ENGINE = Memory;
