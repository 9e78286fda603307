-- events: the only truth. One row an event; everything shown is counted from here.
--
-- Partition: the date on which rows must be gone. A site's retention (and a shorter one of an event
-- kind) is thereby built into the layout: ordinary purging drops whole partitions, without a merge, and
-- proving that nothing expired is left is a look at system.parts. A batch is cut at partition edges, so
-- that it is one part: whole or not at all.
-- Order: a site's day lies together; behind it the visitor and the visit, so that their ids, and the
-- columns that stay the same within a visit, compress to almost nothing.
-- Durability: fsync settings as measured necessary on a plain MergeTree; the server's defaults lose
-- acknowledged inserts at a power cut.
CREATE TABLE IF NOT EXISTS events
(
    site LowCardinality(String) COMMENT 'Site id from the configuration. Kept until expires.',
    day Date COMMENT 'Local date, in the site''s time zone, on which the visit began. Kept until expires.' CODEC(Delta, ZSTD(1)),
    ts DateTime64(3, 'UTC') COMMENT 'When the beacon arrived (batches: when the event happened), UTC, milliseconds. Kept until expires.' CODEC(Delta, ZSTD(1)),
    name LowCardinality(String) COMMENT 'Event name, at most 120 bytes; pageview, engagement or the site''s own. Kept until expires.',
    visitor UInt64 COMMENT 'Pseudonym: keyed hash under the site''s salt of the period, which is destroyed. Linkable within one period only. Kept until expires.' CODEC(ZSTD(1)),
    visit UInt64 COMMENT 'Pseudonym of the visit, own hash domain. Kept until expires.' CODEC(ZSTD(1)),
    device_id UInt64 COMMENT 'Pseudonym of an app''s device, own hash domain; 0: none. Kept until expires.' CODEC(ZSTD(1)),
    interactive Bool COMMENT 'Whether the event ends a bounce. Kept until expires.' CODEC(ZSTD(1)),
    hostname LowCardinality(String) COMMENT 'Host of the page, without www. Kept until expires.',
    path String COMMENT 'Path of the page or screen; e-mail addresses, numbers and tokens masked, query dropped but for the site''s allow-list. Kept until expires.' CODEC(ZSTD(1)),
    referrer String COMMENT 'Host and masked path of the referring page, without query; empty: none or own. Kept until expires.' CODEC(ZSTD(1)),
    source LowCardinality(String) COMMENT 'Where the visitor came from, by name. Kept until expires.',
    channel LowCardinality(String) COMMENT 'Kind of source. Kept until expires.',
    utm_source LowCardinality(String) COMMENT 'Campaign tag. Kept until expires.',
    utm_medium LowCardinality(String) COMMENT 'Campaign tag. Kept until expires.',
    utm_campaign LowCardinality(String) COMMENT 'Campaign tag. Kept until expires.',
    utm_content LowCardinality(String) COMMENT 'Campaign tag. Kept until expires.',
    utm_term LowCardinality(String) COMMENT 'Campaign tag. Kept until expires.',
    country LowCardinality(String) COMMENT 'ISO 3166-1 alpha-2 by address; empty: unknown. The address is not kept. Kept until expires.',
    region LowCardinality(String) COMMENT 'ISO 3166-2 subdivision, only where the site asks for it. Kept until expires.',
    city LowCardinality(String) COMMENT 'City name, only where the site asks for it. Kept until expires.',
    browser LowCardinality(String) COMMENT 'Browser family. The user agent is not kept. Kept until expires.',
    browser_version LowCardinality(String) COMMENT 'Major version. Kept until expires.',
    os LowCardinality(String) COMMENT 'Operating system family. Kept until expires.',
    os_version LowCardinality(String) COMMENT 'Major version. Kept until expires.',
    device LowCardinality(String) COMMENT 'Device class: desktop, mobile, tablet, ... Kept until expires.',
    language LowCardinality(String) COMMENT 'Primary language subtag (BCP 47). Kept until expires.',
    screen LowCardinality(String) COMMENT 'Width class of the viewport. Kept until expires.',
    platform LowCardinality(String) COMMENT 'web, or the app''s platform. Kept until expires.',
    app_version LowCardinality(String) COMMENT 'Version of the app; empty on the web. Kept until expires.',
    days_since_last LowCardinality(String) COMMENT 'Coarse bucket told by the visitor''s own device: new, 0, 1, 2-7, 8-30, 31+; empty: not told. Kept until expires.',
    props Map(LowCardinality(String), String) COMMENT 'Properties of custom events, masked like paths. Kept until expires.' CODEC(ZSTD(1)),
    revenue Float64 COMMENT 'Amount in currency; 0 where currency is empty. Kept until expires.' CODEC(ZSTD(1)),
    currency LowCardinality(String) COMMENT 'ISO 4217; empty: no revenue. Kept until expires.',
    engagement_ms UInt32 COMMENT 'Time the page was in view since the last report, milliseconds. Kept until expires.' CODEC(ZSTD(1)),
    scroll_depth UInt8 COMMENT 'Deepest scroll position, percent; 255: unknown. Kept until expires.' CODEC(ZSTD(1)),
    lcp_ms Nullable(Float32) COMMENT 'Largest Contentful Paint, milliseconds. Kept until expires.' CODEC(ZSTD(1)),
    inp_ms Nullable(Float32) COMMENT 'Interaction to Next Paint, milliseconds. Kept until expires.' CODEC(ZSTD(1)),
    cls Nullable(Float32) COMMENT 'Cumulative Layout Shift, no unit. Kept until expires.' CODEC(ZSTD(1)),
    ttfb_ms Nullable(Float32) COMMENT 'Time to First Byte, milliseconds. Kept until expires.' CODEC(ZSTD(1)),
    fcp_ms Nullable(Float32) COMMENT 'First Contentful Paint, milliseconds. Kept until expires.' CODEC(ZSTD(1)),
    expires Date COMMENT 'First date on which this row must be gone, set at arrival from the site''s retention.' CODEC(Delta, ZSTD(1)),
    batch_id UInt128 COMMENT 'Spool incarnation, segment and group that brought the row: counted before anything is sent twice.' CODEC(ZSTD(1)),
    seq UInt32 COMMENT 'Position of the record in its spool segment; (batch_id, seq) is unique.' CODEC(Delta, ZSTD(1))
)
ENGINE = MergeTree
PARTITION BY expires
ORDER BY (site, day, visitor, visit, ts)
TTL expires
SETTINGS
    ttl_only_drop_parts = 1,
    merge_with_ttl_timeout = 3600,
    fsync_after_insert = 1,
    fsync_part_directory = 1,
    min_rows_to_fsync_after_merge = 1,
    min_compressed_bytes_to_fsync_after_merge = 1,
    max_suspicious_broken_parts = 1000;
