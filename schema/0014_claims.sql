-- derived_claims: which collector changes visits and daily at this moment, by counting days or by purging. All of them write
-- into the same visits_next and daily_next. In memory, as retention_claims.
CREATE TABLE IF NOT EXISTS derived_claims
(
    collector String COMMENT 'Name of the process.',
    run UInt64 COMMENT 'Which of its countings.',
    until DateTime COMMENT 'When the claim lapses if it is not renewed, by this ClickHouse''s clock.'
)
ENGINE = Memory;
