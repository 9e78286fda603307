-- Funnels of closed days stand in daily, a row for each step that somebody reached: dimension 'funnel ' and the number of the
-- funnel's steps, value the step (1 to 8), visitors who reached it; every other count is 0. They go when the day becomes
-- final. Which funnels a day was counted for stands in derived_days; days without are answered from events until the job
-- has counted them anew.
ALTER TABLE derived_days ADD COLUMN IF NOT EXISTS funnels Array(UInt64) COMMENT 'Funnels whose steps daily has of the day, each by a hash of its steps.';
