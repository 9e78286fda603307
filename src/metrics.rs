//! Names and labels of every metric, all in one place.
//!
//! No label holds anything a client wrote: sites come from the configuration, outcomes, choices and
//! classes from enums. Handles are looked up once (a cached counter costs 4 ns, a look-up by label 34).

use prometheus::{
    Encoder, Gauge, GaugeVec, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec,
    IntGauge, Opts, Registry, TextEncoder, exponential_buckets,
};

use crate::outcome::Outcome;

/// Label of beacons whose site is not known.
pub const NO_SITE: &str = "-";

/// All metrics of one brine.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The help texts below say what each is.
pub struct Metrics {
    registry: Registry,
    beacons: IntCounterVec,
    pub app_batches: IntCounterVec,
    pub devices: IntCounterVec,
    pub event_ids: IntGauge,
    pub event_ids_forgotten: IntCounter,
    pub consents: IntCounterVec,
    pub rights: IntCounterVec,
    pub erasures_pending: IntGauge,
    pub sign_ins: IntCounterVec,
    pub sessions: IntGauge,
    pub access_unrecorded: IntCounter,
    pub connections: IntGauge,
    pub connections_refused: IntCounter,
    pub requests_seconds: Histogram,
    pub limiter_keys: IntGauge,
    pub limiter_keys_limit: IntGauge,
    pub clock_seconds: Gauge,
    pub open_visits: IntGauge,
    pub revocations: IntGauge,
    pub revocations_learned: IntCounter,
    pub salts_living: IntGauge,
    pub salt_oldest_seconds: Gauge,
    pub salt_overdue_seconds: Gauge,
    pub salt_failures: IntCounter,
    pub salt_steps: IntCounterVec,
    pub salts_off_chain: IntGauge,
    pub secrets_unlocked: IntGauge,
    pub geo_age_seconds: GaugeVec,
    pub reloads: IntCounterVec,
    pub spool_bytes: IntGauge,
    pub spool_limit_bytes: IntGauge,
    pub spool_segments: IntGauge,
    pub spool_oldest_seconds: Gauge,
    pub spool_quarantined: IntGauge,
    pub spool_fsync_seconds: Histogram,
    pub spool_group_records: Histogram,
    pub spool_failures: IntCounter,
    pub batch_rows: HistogramVec,
    pub batch_seconds: Histogram,
    pub batches: IntCounterVec,
    pub batch_errors: IntCounterVec,
    pub rows_stored: IntCounterVec,
    pub rows_expired: IntCounter,
    pub rows_quarantined: IntCounter,
    pub quarantine_removed: IntCounterVec,
    pub engine_restarts: IntGauge,
    pub engine_up: IntGauge,
    pub store_stopped: IntGauge,
}

/// The outcome counters of one site.
#[derive(Clone, Debug)]
pub struct SiteCounters {
    by_outcome: Vec<IntCounter>,
}

impl SiteCounters {
    /// Counts one beacon's end.
    pub fn count(&self, outcome: Outcome) {
        self.by_outcome[outcome.index()].inc();
    }

    /// Counts `n` ends of one kind.
    pub fn count_many(&self, outcome: Outcome, n: u64) {
        self.by_outcome[outcome.index()].inc_by(n);
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// Registers every metric.
    ///
    /// # Panics
    /// If two metrics had one name, which the first test run would show.
    #[allow(clippy::too_many_lines)] // A list reads best as one.
    pub fn new() -> Metrics {
        let r = Registry::new();
        let seconds =
            || exponential_buckets(0.000_1, 2.0, 18).expect("positive start, factor above 1");
        let counts = || exponential_buckets(1.0, 4.0, 10).expect("positive start, factor above 1");
        let gauge = |name: &str, help: &str| register(&r, IntGauge::new(name, help));
        let real = |name: &str, help: &str| register(&r, Gauge::new(name, help));
        let counter = |name: &str, help: &str| register(&r, IntCounter::new(name, help));
        let counters = |name: &str, help: &str, labels: &[&str]| {
            register(&r, IntCounterVec::new(Opts::new(name, help), labels))
        };
        let histogram = |name: &str, help: &str, buckets: Vec<f64>| {
            register(
                &r,
                Histogram::with_opts(HistogramOpts::new(name, help).buckets(buckets)),
            )
        };
        let metrics = Metrics {
            beacons: counters(
                "brine_beacons_total",
                "Beacons by site and the one end each has.",
                &["site", "outcome"],
            ),
            app_batches: counters(
                "brine_app_batches_total",
                "Requests that may hold several events, by site and the one end each has.",
                &["site", "outcome"],
            ),
            devices: counters(
                "brine_devices_total",
                "Devices of batches by site: counted or hashed, none told, or why the address told is no device's.",
                &["site", "result"],
            ),
            event_ids: gauge(
                "brine_event_ids",
                "Ids of accepted events that are remembered, so that none counts twice.",
            ),
            event_ids_forgotten: counter(
                "brine_event_ids_forgotten_total",
                "Ids of events forgotten before their time, for want of room (limits.event_ids).",
            ),
            consents: counters(
                "brine_consent_choices_total",
                "Consent choices by site, choice and outcome.",
                &["site", "choice", "outcome"],
            ),
            rights: counters(
                "brine_rights_requests_total",
                "Visitors' requests by site, action and outcome.",
                &["site", "action", "outcome"],
            ),
            erasures_pending: gauge(
                "brine_erasures_pending",
                "Erasures that are promised and not verified yet.",
            ),
            sign_ins: counters(
                "brine_sign_ins_total",
                "Tries to sign in by outcome: in, refused, throttled, failed (the OpenID provider is away).",
                &["outcome"],
            ),
            sessions: gauge("brine_sessions", "Sessions of people who look."),
            access_unrecorded: counter(
                "brine_access_unrecorded_total",
                "Looks and changes that access_log lacks because the spool did not take them; looks were refused.",
            ),
            connections: gauge(
                "brine_connections",
                "Open connections of the public listener.",
            ),
            connections_refused: counter(
                "brine_connection_errors_total",
                "Connections that ended in an error: time-outs, TLS faults, broken requests.",
            ),
            requests_seconds: histogram(
                "brine_beacon_seconds",
                "Time from a beacon's head to its answer.",
                seconds(),
            ),
            limiter_keys: gauge(
                "brine_limiter_keys",
                "Addresses (as keyed hashes) the rate limiter remembers.",
            ),
            limiter_keys_limit: gauge(
                "brine_limiter_keys_limit",
                "limits.max_addresses: above it, new addresses share one bucket.",
            ),
            clock_seconds: real(
                "brine_clock_seconds",
                "The clock that brine lives by, in seconds since 1970 UTC; renewed once a second.",
            ),
            open_visits: gauge(
                "brine_open_visits",
                "Visits under way of senders that do not name theirs.",
            ),
            revocations: gauge(
                "brine_revocations",
                "Withdrawn consents held until their token would have expired.",
            ),
            revocations_learned: counter(
                "brine_revocations_learned_total",
                "Withdrawals that were made at another collector and learned from ClickHouse.",
            ),
            salts_living: gauge("brine_salts", "Salts that live now."),
            salt_oldest_seconds: real(
                "brine_salt_age_seconds",
                "Time since the oldest living salt's period began.",
            ),
            salt_overdue_seconds: real(
                "brine_salt_overdue_seconds",
                "Time by which a salt has outlived its grace; above 0 is an alarm.",
            ),
            salt_failures: counter(
                "brine_salt_failures_total",
                "Failed attempts to make or destroy a salt.",
            ),
            salt_steps: counters(
                "brine_salt_steps_total",
                "Salts made and destroyed, by reason.",
                &["step", "reason"],
            ),
            salts_off_chain: gauge(
                "brine_salts_off_chain",
                "Living salts that other collectors of the chain do not have; above 0 is an alarm.",
            ),
            secrets_unlocked: gauge(
                "brine_secrets_unlocked",
                "Keys and salts whose memory could not be locked; above 0 is an alarm.",
            ),
            geo_age_seconds: register(
                &r,
                GaugeVec::new(
                    Opts::new(
                        "brine_geo_age_seconds",
                        "Age of the geo database by its own build time.",
                    ),
                    &["file"],
                ),
            ),
            reloads: counters(
                "brine_reloads_total",
                "Re-read files by kind and result.",
                &["file", "result"],
            ),
            spool_bytes: gauge(
                "brine_spool_bytes",
                "Bytes of events on disk that ClickHouse does not have yet.",
            ),
            spool_limit_bytes: gauge(
                "brine_spool_limit_bytes",
                "spool.max_mib in bytes: above it beacons are refused.",
            ),
            spool_segments: gauge("brine_spool_segments", "Spool segments on disk."),
            spool_oldest_seconds: real(
                "brine_spool_oldest_seconds",
                "Age of the oldest record in the spool.",
            ),
            spool_quarantined: gauge(
                "brine_spool_quarantine_bytes",
                "Bytes in the spool's quarantine, waiting for the operator.",
            ),
            spool_fsync_seconds: histogram(
                "brine_spool_fsync_seconds",
                "Duration of one group commit's write and fsync.",
                seconds(),
            ),
            spool_group_records: histogram(
                "brine_spool_group_records",
                "Records made durable by one fsync.",
                counts(),
            ),
            spool_failures: counter(
                "brine_spool_failures_total",
                "Failed writes or fsyncs of the spool.",
            ),
            batch_rows: register(
                &r,
                HistogramVec::new(
                    HistogramOpts::new("brine_batch_rows", "Rows of one batch.").buckets(counts()),
                    &["table"],
                ),
            ),
            batch_seconds: histogram(
                "brine_batch_insert_seconds",
                "Duration of one insert into ClickHouse.",
                seconds(),
            ),
            batches: counters(
                "brine_batches_total",
                "Batches by result: stored, found_present, resent, quarantined.",
                &["result"],
            ),
            batch_errors: counters(
                "brine_batch_errors_total",
                "Failed inserts by class of error.",
                &["class"],
            ),
            rows_stored: counters(
                "brine_rows_stored_total",
                "Rows that ClickHouse has acknowledged.",
                &["table"],
            ),
            rows_expired: counter(
                "brine_rows_expired_total",
                "Spooled rows dropped because their retention ran out before ClickHouse came back.",
            ),
            rows_quarantined: counter(
                "brine_rows_quarantined_total",
                "Rows that ClickHouse refused, kept in quarantine.",
            ),
            quarantine_removed: counters(
                "brine_quarantine_removed_records_total",
                "Records taken out of the quarantine for good: on their visitor's request, or because their retention is over.",
                &["reason"],
            ),
            engine_restarts: gauge(
                "brine_engine_restarts",
                "Restarts of the embedded engine since brine started.",
            ),
            engine_up: gauge(
                "brine_engine_up",
                "1 while the embedded engine answers, 0 while it does not, -1 where ClickHouse is a server.",
            ),
            store_stopped: gauge(
                "brine_store_stopped",
                "1 while rows wait for the operator: missing table, database or rights.",
            ),
            registry: r,
        };
        // Made at 0, so that a rate sees the first of them.
        for class in ["data", "pressure", "rights", "spool"] {
            metrics.batch_errors.with_label_values(&[class]);
        }
        for result in ["done", "refused"] {
            metrics.reloads.with_label_values(&["sites", result]);
        }
        metrics
    }

    /// Returns the outcome counters of `site`, made at 0 so that rates start right.
    pub fn site_counters(&self, site: &str) -> SiteCounters {
        SiteCounters {
            by_outcome: Outcome::ALL
                .iter()
                .map(|outcome| self.beacons.with_label_values(&[site, outcome.code()]))
                .collect(),
        }
    }

    /// Registers further metrics, for the parts that bring their own.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Returns the Prometheus text exposition.
    pub fn expose(&self) -> Vec<u8> {
        let mut text = Vec::with_capacity(16 * 1024);
        // Writing to memory cannot fail, and every family was gathered from a valid registry.
        TextEncoder::new()
            .encode(&self.registry.gather(), &mut text)
            .expect("encodes to memory");
        text
    }
}

fn register<M: prometheus::core::Collector + Clone + 'static>(
    registry: &Registry,
    metric: prometheus::Result<M>,
) -> M {
    let metric = metric.expect("metric names and labels are literals");
    registry
        .register(Box::new(metric.clone()))
        .expect("metric names are unique");
    metric
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_outcome_of_a_site_is_exposed_from_the_start() {
        let metrics = Metrics::new();
        let counters = metrics.site_counters("portal");
        counters.count(Outcome::Accepted);
        let text = String::from_utf8(metrics.expose()).unwrap();
        assert!(
            text.contains("brine_beacons_total{outcome=\"accepted\",site=\"portal\"} 1"),
            "{text}"
        );
        for outcome in Outcome::ALL {
            assert!(text.contains(outcome.code()));
        }
    }
}
