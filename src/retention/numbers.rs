//! What the job tells Prometheus. Names are part of the alert rules in `dashboards/prometheus/`.

use clickhouse::Row;
use prometheus::{Gauge, GaugeVec, IntCounterVec, IntGauge, IntGaugeVec, Opts};
use serde::Deserialize;

use super::rules::Rules;
use crate::metrics::Metrics;
use crate::salts::period::local_day;
use crate::store::{Store, StoreError, within};

const DAY_S: i64 = 86_400;

/// The handles.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The help texts below say what each is.
pub struct Numbers {
    pub oldest_event_age_s: IntGaugeVec,
    pub limit_s: IntGaugeVec,
    pub held: IntGaugeVec,
    pub last_verified: Gauge,
    pub late: IntGauge,
    pub findings: IntGauge,
    pub runs: IntCounterVec,
    pub purged_rows: IntCounterVec,
    pub stuck_mutations: IntGauge,
    pub removed_sites: IntGauge,
    pub running: IntGauge,
    pub steps: GaugeVec,
}

impl Numbers {
    /// Registers every metric.
    ///
    /// # Panics
    /// If two metrics had one name, which the first test run would show.
    pub fn new(metrics: &Metrics) -> Numbers {
        let registry = metrics.registry();
        macro_rules! register {
            ($metric:expr) => {{
                let metric = $metric.expect("names and labels are literals");
                let kept = registry.register(Box::new(metric.clone()));
                kept.expect("metric names are unique");
                metric
            }};
        }
        let by_site = |name: &str, help: &str| IntGaugeVec::new(Opts::new(name, help), &["site"]);
        Numbers {
            oldest_event_age_s: register!(by_site(
                "brine_retention_oldest_event_age_seconds",
                "Age of a site's oldest event, whole local days; above its limit and a day of grace for the run is an alarm."
            )),
            limit_s: register!(by_site(
                "brine_retention_limit_seconds",
                "How long a site's events are kept, whole days."
            )),
            held: register!(by_site(
                "brine_retention_legal_hold",
                "1 while nothing of the site is purged."
            )),
            last_verified: register!(Gauge::new(
                "brine_retention_last_verified_seconds",
                "When a run was last verified with nothing left, seconds since 1970; 0: not yet."
            )),
            late: register!(IntGauge::new(
                "brine_retention_late",
                "1 when no run was verified for retention.late_hours."
            )),
            findings: register!(IntGauge::new(
                "brine_retention_findings",
                "What the last check found to be there that must be gone; above 0 is an alarm."
            )),
            runs: register!(IntCounterVec::new(
                Opts::new(
                    "brine_retention_runs_total",
                    "Runs by result: verified, left (the check found something), failed, elsewhere (another collector's)."
                ),
                &["result"]
            )),
            purged_rows: register!(IntCounterVec::new(
                Opts::new(
                    "brine_retention_purged_rows_total",
                    "Rows purged, by table."
                ),
                &["table"]
            )),
            stuck_mutations: register!(IntGauge::new(
                "brine_retention_stuck_mutations",
                "Changes of stored rows that fail or are not done after an hour; above 0 is an alarm."
            )),
            removed_sites: register!(IntGauge::new(
                "brine_retention_removed_sites",
                "Sites that rows are there of and that are not configured: their data goes after the grace."
            )),
            running: register!(IntGauge::new(
                "brine_retention_running",
                "1 while this collector runs the job."
            )),
            steps: register!(GaugeVec::new(
                Opts::new(
                    "brine_retention_steps",
                    "Steps of the run under way: done and of how many."
                ),
                &["step"]
            )),
        }
    }
}

#[derive(Row, Deserialize)]
struct Oldest {
    site: String,
    day: u16,
}

impl Numbers {
    /// Asks how old each site's oldest event is.
    ///
    /// # Errors
    /// What ClickHouse said; the numbers then stay as they were.
    pub async fn look(
        &self,
        store: &Store,
        sites: &crate::config::Sites,
        rules: &Rules,
        now: jiff::Timestamp,
    ) -> Result<(), StoreError> {
        let sql = "SELECT toString(site) AS site, toUInt16(min(day)) AS day FROM events GROUP BY site \
                   SETTINGS prefer_column_name_to_alias = 1";
        let oldest: Vec<Oldest> =
            within(store.timeout, store.client.query(sql).fetch_all()).await?;
        self.oldest_event_age_s.reset();
        self.limit_s.reset();
        self.held.reset();
        for site in sites.iter() {
            let id = site.id.as_str();
            let day = oldest.iter().find(|o| o.site == id).map(|o| o.day);
            let today = local_day(now, &site.time_zone);
            let days = day.map_or(0, |day| i64::from(today) - i64::from(day));
            let age = self.oldest_event_age_s.with_label_values(&[id]);
            age.set(DAY_S * days);
            let limit = self.limit_s.with_label_values(&[id]);
            limit.set(DAY_S * i64::from(site.keep.events));
            let is_held = i64::from(site.legal_hold.is_some());
            self.held.with_label_values(&[id]).set(is_held);
        }
        let strangers = oldest.iter().filter(|o| !rules.knows(&o.site)).count();
        self.removed_sites.set(strangers as i64);
        Ok(())
    }
}
