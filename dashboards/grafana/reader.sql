-- Grafana runs any SQL that whoever may edit a panel writes: its user reads, within limits, and nothing else.
-- Rows of events carry pseudonyms. Give edit rights in Grafana to those alone who may see them; viewers see panels.
CREATE USER IF NOT EXISTS grafana IDENTIFIED WITH sha256_password BY 'change me'
    SETTINGS readonly = 1,
             max_execution_time = 30 CHANGEABLE_IN_READONLY,
             max_memory_usage = 1073741824 CHANGEABLE_IN_READONLY;
GRANT SELECT ON brine.events TO grafana;
GRANT SELECT ON brine.consents TO grafana;
GRANT SELECT ON brine.denials TO grafana;
GRANT SELECT ON brine.restrictions TO grafana;
GRANT SELECT ON brine.salt_events TO grafana;
