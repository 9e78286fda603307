-- visits and daily, so that the query API can answer from them exactly what it would count from events: how deep pages
-- were scrolled, page views as goals, who is in a small row (small rows folded together are counted and not added up), and
-- which counting a row is of. Days that were counted without it are counted anew.
ALTER TABLE visits ADD COLUMN IF NOT EXISTS scroll UInt8 DEFAULT 255 COMMENT 'Deepest scroll position of the visit, percent; 255: not told.' CODEC(ZSTD(1));

ALTER TABLE visits ADD COLUMN IF NOT EXISTS counting UInt64 COMMENT 'As in derived_days. A day''s rows of another counting are not answered from.' CODEC(ZSTD(1));

DROP TABLE IF EXISTS visits_next SYNC;

CREATE TABLE IF NOT EXISTS visits_next AS visits;

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS form UInt8 COMMENT 'What was counted. 0: without the columns of this file.';

-- daily by month: a year was 365 parts, and each costs half a millisecond a question. A month's partition is replaced as
-- a day's was before: whole or not at all, with the rows of its other days as they are. Ordered by dimension before day,
-- because a question is about one dimension and many days.
CREATE TABLE IF NOT EXISTS daily_by_month
(
    site LowCardinality(String) COMMENT 'Site id. Kept as long as the site''s retention of daily says.',
    day Date COMMENT 'Local date: as in events.' CODEC(Delta, ZSTD(1)),
    dimension LowCardinality(String) COMMENT 'Empty: the whole site. Otherwise as in the query API: event:page, event:name, event:hostname, event:currency, visit:source, visit:entry_page, ... event:goal: page views alone, as Visit /path; goals that are events stand under event:name.',
    value String COMMENT 'Value of the dimension; empty: not set; (other): small ones together.' CODEC(ZSTD(1)),
    visitors UInt64 COMMENT 'Visitors.' CODEC(ZSTD(1)),
    visits UInt64 COMMENT 'Visits.' CODEC(ZSTD(1)),
    pageviews UInt64 COMMENT 'Events named pageview.' CODEC(ZSTD(1)),
    events UInt64 COMMENT 'Events but engagement and web_vitals.' CODEC(ZSTD(1)),
    bounces UInt64 COMMENT 'Visits with one page view and no other interactive event; 0 in rows of event: dimensions (for pages see visit:entry_page).' CODEC(ZSTD(1)),
    duration_ms UInt64 COMMENT 'From the first to the last event, added up over visits, milliseconds; 0 in rows of event: dimensions.' CODEC(ZSTD(1)),
    engagement_ms UInt64 COMMENT 'Time in view, milliseconds.' CODEC(ZSTD(1)),
    revenue Float64 COMMENT 'Amounts added up, in rows of event:currency alone; there visitors are buyers and events are sales.' CODEC(ZSTD(1)),
    scroll UInt64 COMMENT 'Deepest scroll positions of the visits that told one, added up, percent; in rows of the whole site alone.' CODEC(ZSTD(1)),
    scroll_visits UInt64 COMMENT 'Visits that told one; as scroll.' CODEC(ZSTD(1)),
    scroll_visitors UInt64 COMMENT 'Their visitors; as scroll. Of final days fewer than query.k are 0, and so is what they scrolled.' CODEC(ZSTD(1)),
    few Array(UInt32) COMMENT 'Of a row about fewer than 50 visitors, which they are: numbers within site and day, as in visits. No pseudonyms. Empty in larger rows, and in all once the day''s events are going.' CODEC(ZSTD(1)),
    counting UInt64 COMMENT 'As in derived_days. A day''s rows of another counting are not answered from; 0: from before this column.' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(day)
ORDER BY (site, dimension, day, value)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- Final rows cannot be counted again: they move. Only as long as daily is the table by day; done twice, it begins anew.
-- only if: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'daily' AND partition_key = 'day'
TRUNCATE TABLE daily_by_month;

-- only if: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'daily' AND partition_key = 'day'
INSERT INTO daily_by_month (site, day, dimension, value, visitors, visits, pageviews, events, bounces, duration_ms, engagement_ms, revenue)
SELECT site, day, dimension, value, visitors, visits, pageviews, events, bounces, duration_ms, engagement_ms, revenue FROM daily;

-- only if: SELECT count() FROM system.tables WHERE database = currentDatabase() AND name = 'daily' AND partition_key = 'day'
EXCHANGE TABLES daily AND daily_by_month;

DROP TABLE IF EXISTS daily_by_month SYNC;

DROP TABLE IF EXISTS daily_next SYNC;

CREATE TABLE IF NOT EXISTS daily_next AS daily;
