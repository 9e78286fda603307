-- visits and daily: counted from events for every closed day, a day's partition at a time, and put in place by
-- REPLACE PARTITION: whole or not at all, and the same again when it is done again. Nothing is ever added to them.
-- A day is closed two days after it began (no zone's salt of that day lives any more). For open days ask events.
-- derived_days says which days are there; a site's day that is not in it has no rows here.
--
-- Both leave out the visitors whose events are restricted. Neither holds a pseudonym.

-- visits: one row a visit and local date. Under daily salts (rotation = day) that is one row a visit.
CREATE TABLE IF NOT EXISTS visits
(
    site LowCardinality(String) COMMENT 'Site id. Kept as long as the site''s retention of visits says, at most as long as events.',
    day Date COMMENT 'Local date of the events counted: as in events.' CODEC(Delta, ZSTD(1)),
    visitor UInt32 COMMENT 'Number of the visitor within site and day, from 1, given anew at each counting. No pseudonym: it cannot be linked to another day or to events.' CODEC(ZSTD(1)),
    began DateTime64(3, 'UTC') COMMENT 'First event, UTC, milliseconds.' CODEC(Delta, ZSTD(1)),
    duration_ms UInt64 COMMENT 'From the first to the last event, milliseconds.' CODEC(ZSTD(1)),
    pageviews UInt32 COMMENT 'Events named pageview.' CODEC(ZSTD(1)),
    events UInt32 COMMENT 'Events but engagement and web_vitals.' CODEC(ZSTD(1)),
    all_events UInt32 COMMENT 'Events of every name when it was counted: what verifies the counting.' CODEC(ZSTD(1)),
    is_bounce Bool COMMENT 'One page view and no other interactive event.',
    engagement_ms UInt64 COMMENT 'Time in view, milliseconds; 0 where the day was counted anew after its engagement events were purged.' CODEC(ZSTD(1)),
    entry_page String COMMENT 'Path of the first page view.' CODEC(ZSTD(1)),
    exit_page String COMMENT 'Path of the last page view.' CODEC(ZSTD(1)),
    hostname LowCardinality(String) COMMENT 'Host of the first page view.',
    referrer String COMMENT 'Of the first event, as all below; meanings as in events.' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'As in events.',
    channel LowCardinality(String) COMMENT 'As in events.',
    utm_source LowCardinality(String) COMMENT 'As in events.',
    utm_medium LowCardinality(String) COMMENT 'As in events.',
    utm_campaign LowCardinality(String) COMMENT 'As in events.',
    utm_content LowCardinality(String) COMMENT 'As in events.',
    utm_term LowCardinality(String) COMMENT 'As in events.',
    country LowCardinality(String) COMMENT 'As in events.',
    region LowCardinality(String) COMMENT 'As in events.',
    city LowCardinality(String) COMMENT 'As in events.',
    browser LowCardinality(String) COMMENT 'As in events.',
    browser_version LowCardinality(String) COMMENT 'As in events.',
    os LowCardinality(String) COMMENT 'As in events.',
    os_version LowCardinality(String) COMMENT 'As in events.',
    device LowCardinality(String) COMMENT 'As in events.',
    language LowCardinality(String) COMMENT 'As in events.',
    screen LowCardinality(String) COMMENT 'As in events.',
    platform LowCardinality(String) COMMENT 'As in events.',
    app_version LowCardinality(String) COMMENT 'As in events.',
    days_since_last LowCardinality(String) COMMENT 'As in events.'
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (site, day, began)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- daily: finished counts of a site's day, as a whole (dimension '') and by one dimension at a time.
-- Every count adds up over days; visitors do under daily salts, where each day's visitors are counted by themselves.
-- Counts do not add up over the values of a dimension: a visitor of two pages is in both rows. The whole is its own row.
-- Once a day's events are gone its rows about fewer than query.k visitors are folded into the value (other), counted
-- and not added up; what is then still about fewer is left out, the whole of a small day included.
CREATE TABLE IF NOT EXISTS daily
(
    site LowCardinality(String) COMMENT 'Site id. Kept as long as the site''s retention of daily says.',
    day Date COMMENT 'Local date: as in events.' CODEC(Delta, ZSTD(1)),
    dimension LowCardinality(String) COMMENT 'Empty: the whole site. Otherwise as in the query API: event:page, event:name, event:hostname, event:currency, visit:source, visit:entry_page, ...',
    value String COMMENT 'Value of the dimension; empty: not set; (other): small ones together.' CODEC(ZSTD(1)),
    visitors UInt64 COMMENT 'Visitors.' CODEC(ZSTD(1)),
    visits UInt64 COMMENT 'Visits.' CODEC(ZSTD(1)),
    pageviews UInt64 COMMENT 'Events named pageview.' CODEC(ZSTD(1)),
    events UInt64 COMMENT 'Events but engagement and web_vitals.' CODEC(ZSTD(1)),
    bounces UInt64 COMMENT 'Visits with one page view and no other interactive event; 0 in rows of event: dimensions (for pages see visit:entry_page).' CODEC(ZSTD(1)),
    duration_ms UInt64 COMMENT 'From the first to the last event, added up over visits, milliseconds; 0 in rows of event: dimensions.' CODEC(ZSTD(1)),
    engagement_ms UInt64 COMMENT 'Time in view, milliseconds.' CODEC(ZSTD(1)),
    revenue Float64 COMMENT 'Amounts added up, in rows of event:currency alone; there visitors are buyers and events are sales.' CODEC(ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY day
ORDER BY (site, day, dimension, value)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;

-- What is being counted, before it is put in place.
CREATE TABLE IF NOT EXISTS visits_next AS visits;

CREATE TABLE IF NOT EXISTS daily_next AS daily;

-- derived_days: which days were counted, and from what. The newest row of a site's day holds.
CREATE TABLE IF NOT EXISTS derived_days
(
    site LowCardinality(String) COMMENT 'Site id. Kept as long as daily.',
    day Date COMMENT 'Local date.',
    counting UInt64 COMMENT 'Grows with each counting.',
    n_events UInt64 COMMENT 'Events that were counted, but engagement and web_vitals.',
    checksum UInt64 COMMENT 'Of these events'' visit and time, order left aside: a day whose events have another one is counted anew.',
    n_beside UInt64 COMMENT 'Events named engagement or web_vitals.',
    k UInt32 COMMENT '0: every value has its row. Otherwise the day is final: its events are going or gone, and rows about fewer than so many visitors are folded.'
)
ENGINE = ReplacingMergeTree(counting)
PARTITION BY toYYYYMM(day)
ORDER BY (site, day)
SETTINGS
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
