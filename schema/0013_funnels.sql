-- Funnels of closed days stand in daily, a row for each step that somebody reached: dimension 'funnel ' and the number of the
-- funnel's steps, value the step (1 to 8), visitors who reached it; every other count is 0. They go when the day becomes
-- final. Which funnels a day was counted for stands in derived_days; days without are answered from events until the job
-- has counted them anew.
ALTER TABLE daily COMMENT COLUMN dimension 'Empty: the whole site. Otherwise as in the query API: event:page, event:name, event:hostname, event:currency, visit:source, visit:entry_page, ... event:goal: page views alone, as Visit /path; goals that are events stand under event:name. funnel and a number: how far visitors came.';

ALTER TABLE daily COMMENT COLUMN value 'Value of the dimension; empty: not set; (other): small ones together; of a funnel the step.';

ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS funnels Array(UInt64) COMMENT 'Funnels whose steps daily has of the day, each by a hash of its steps.';
