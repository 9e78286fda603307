-- What the query API needs of visits and daily to answer from them exactly what it would count from events: how deep pages
-- were scrolled, page views as goals, and who is in a small row, so that small rows folded together are counted and not
-- added up. Days that were counted without it are counted anew.
ALTER TABLE visits ADD COLUMN IF NOT EXISTS scroll UInt8 DEFAULT 255 COMMENT 'Deepest scroll position of the visit, percent; 255: not told.' CODEC(ZSTD(1));

ALTER TABLE visits_next ADD COLUMN IF NOT EXISTS scroll UInt8 DEFAULT 255 COMMENT 'Deepest scroll position of the visit, percent; 255: not told.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS scroll UInt64 COMMENT 'Deepest scroll positions of the visits that told one, added up, percent; 0 in rows of event: dimensions.' CODEC(ZSTD(1));

ALTER TABLE daily_next ADD COLUMN IF NOT EXISTS scroll UInt64 COMMENT 'Deepest scroll positions of the visits that told one, added up, percent; 0 in rows of event: dimensions.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS scroll_visits UInt64 COMMENT 'Visits that told one.' CODEC(ZSTD(1));

ALTER TABLE daily_next ADD COLUMN IF NOT EXISTS scroll_visits UInt64 COMMENT 'Visits that told one.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS scroll_visitors UInt64 COMMENT 'Their visitors. Of final days fewer than query.k are 0, and so is what they scrolled.' CODEC(ZSTD(1));

ALTER TABLE daily_next ADD COLUMN IF NOT EXISTS scroll_visitors UInt64 COMMENT 'Their visitors. Of final days fewer than query.k are 0, and so is what they scrolled.' CODEC(ZSTD(1));

ALTER TABLE daily ADD COLUMN IF NOT EXISTS few Array(UInt32) COMMENT 'Of a row about fewer than 50 visitors, which they are: numbers within site and day, as in visits. No pseudonyms. Empty in larger rows, and in all once the day''s events are going.' CODEC(ZSTD(1));

ALTER TABLE daily_next ADD COLUMN IF NOT EXISTS few Array(UInt32) COMMENT 'Of a row about fewer than 50 visitors, which they are: numbers within site and day, as in visits. No pseudonyms. Empty in larger rows, and in all once the day''s events are going.' CODEC(ZSTD(1));

ALTER TABLE daily MODIFY COLUMN dimension COMMENT 'Empty: the whole site. Otherwise as in the query API: event:page, event:name, event:hostname, event:currency, visit:source, visit:entry_page, ... event:goal: page views alone, as Visit /path; goals that are events stand under event:name.';

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS form UInt8 COMMENT 'What was counted: 1: with the columns of this file, 0: without.';
