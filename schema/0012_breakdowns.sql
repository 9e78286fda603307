-- daily, so that a page about a year need not read its events: how quick pages were (web vitals), in which hours of the week
-- visits began (visit:weekday visit:hour), and which properties events carry (event:name event:props). Days that were
-- counted without it are counted anew; final ones stay as they are, and answers say that they lack it.
ALTER TABLE daily ADD COLUMN IF NOT EXISTS lcp_ms Array(Float32) COMMENT 'Largest Contentful Paint of the events that told one, milliseconds; in rows of the whole site and of event:page. Kept as long as all events that told them.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS inp_ms Array(Float32) COMMENT 'Interaction to Next Paint, milliseconds; as lcp_ms.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS cls Array(Float32) COMMENT 'Cumulative Layout Shift, no unit; as lcp_ms.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS fcp_ms Array(Float32) COMMENT 'First Contentful Paint, milliseconds; as lcp_ms.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS ttfb_ms Array(Float32) COMMENT 'Time To First Byte, milliseconds; as lcp_ms.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS vital_visitors Array(UInt32) COMMENT 'How many visitors told lcp_ms, inp_ms, cls, fcp_ms, ttfb_ms; empty: none.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS vital_few Array(UInt64) COMMENT 'As few: who told them, times 32, and which: bit 0 is lcp_ms, bit 4 ttfb_ms.' CODEC(ZSTD(1));

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS time_zone LowCardinality(String) COMMENT 'Of the site, when it was counted: hours are by it.';

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS has_vitals UInt8 COMMENT 'daily has the web vitals of the day.';

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS n_vitals UInt64 COMMENT 'Events that told them.';

DROP TABLE IF EXISTS daily_next SYNC;

CREATE TABLE IF NOT EXISTS daily_next AS daily;
