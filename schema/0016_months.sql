-- daily has the rows of a month's days added up, too, from when the month is over until the first of its events go: a
-- breakdown of a year is then a dozen rows a value. They are rows of their own, with 'month ' before the dimension and the
-- month's first day as their day, made anew and put in place together with the days they are of. The whole of a site has
-- one, and funnels have none.
ALTER TABLE daily ADD COLUMN IF NOT EXISTS month_few Array(UInt64) COMMENT 'In rows of a month, as few of its days: which visitors, the day number times 2^32 and the visitor''s number of that day. Empty where the month is about 100 or more, or one of its days about 50 or more. vital_few is then by such numbers, too.' CODEC(ZSTD(1));

ALTER TABLE daily COMMENT COLUMN dimension 'Empty: the whole site. Otherwise as in the query API: event:page, event:name, event:hostname, event:currency, visit:source, visit:entry_page, ... event:goal: page views alone, as Visit /path; goals that are events stand under event:name. funnel and a number: how far visitors came. month before one: the sums of a month, on its first day.';

DROP TABLE IF EXISTS daily_next SYNC;

CREATE TABLE IF NOT EXISTS daily_next AS daily;

-- Under salts that live longer than a day, visitors of several days do not add up; a site may have changed over.
ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS rotation LowCardinality(String) COMMENT 'How long the site''s salts lived when the day was first counted: day, week or month; empty: not noted.';
