//! `POST /api/v1/retention` on the admin listener: what `brine retention` asks.
//!
//! Comes in: `{"action": …}`. Goes out: JSON. `run` answers when the run is over; `status` says meanwhile how far it is.

use std::collections::BTreeMap;

use bytes::Bytes;
use clickhouse::Row;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, HeaderValue};
use jiff::Timestamp;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::certificate::Statement;
use super::job::StartedBy;
use super::plan::Due;
use super::{Retention, RunError};
use crate::config::Site;
use crate::retention::rules::literal;
use crate::route::{self, Reply, problem};
use crate::salts::period::date_of;
use crate::store::{StoreError, within};

#[derive(Debug, Deserialize)]
#[serde(tag = "action", rename_all = "snake_case", deny_unknown_fields)]
enum Ask {
    Plan {
        #[serde(default)]
        days: u16,
    },
    Run,
    Status,
    Verify,
    History {
        site: Option<String>,
        #[serde(default = "fifty")]
        limit: u32,
    },
    Certificate {
        site: String,
        month: String,
    },
    Key,
}

fn fifty() -> u32 {
    50
}

#[derive(Row, Serialize, Deserialize)]
struct RunRow {
    run: String,
    collector: String,
    began: String,
    ended: String,
    started_by: String,
    purges: u32,
    rows: u64,
    bytes: u64,
    days_counted: u32,
    findings: Vec<String>,
    held: Vec<String>,
    version: String,
}

#[derive(Row, Serialize, Deserialize)]
struct PurgeRow {
    run: String,
    ts: String,
    site: String,
    table: String,
    rule: String,
    first_day: String,
    last_day: String,
    rows: u64,
    bytes: u64,
    verified: String,
}

/// Tells whether a request changes what is stored.
pub fn changes(body: &Bytes) -> bool {
    matches!(serde_json::from_slice(body), Ok(Ask::Run))
}

/// Answers one request.
pub async fn answer(retention: &Retention, body: &Bytes) -> Reply {
    let ask: Ask = match serde_json::from_slice(body) {
        Ok(ask) => ask,
        Err(error) => {
            let detail = format!(
                "{error}; actions are plan, run, status, verify, history, certificate, key"
            );
            return problem(StatusCode::BAD_REQUEST, None, &detail);
        }
    };
    let job = &retention.job;
    let answered = match ask {
        Ask::Plan { days } => plan(retention, days).await,
        Ask::Run => run(retention).await,
        Ask::Status => {
            let progress = job.progress();
            Ok(json!({
                "running": progress.is_running, "done": progress.done, "of": progress.of, "what": progress.what,
            }))
        }
        Ask::Verify => verify(retention).await,
        Ask::History { site, limit } => history(retention, site.as_deref(), limit).await,
        Ask::Certificate { site, month } => {
            let sites = job.collector.live.load_full().sites.clone();
            let found = sites.find(&site).cloned();
            let first: Option<Date> = format!("{month}-01")
                .parse()
                .ok()
                .filter(|_| month.len() == 7);
            match (found, first) {
                (None, _) => return problem(StatusCode::NOT_FOUND, None, "no such site"),
                (_, None) => {
                    return problem(StatusCode::BAD_REQUEST, None, "a month is written YYYY-MM");
                }
                (Some(site), Some(first)) => certificate(retention, &site, first).await,
            }
        }
        Ask::Key => Ok(json!({ "public_key": retention.seal.public_key() })),
    };
    match answered {
        Ok(answer) => {
            let mut reply = route::json(StatusCode::OK, &answer);
            let no_store = HeaderValue::from_static("no-store");
            reply.headers_mut().insert(CACHE_CONTROL, no_store);
            reply
        }
        Err(error @ RunError::Elsewhere(_)) => {
            problem(StatusCode::CONFLICT, None, &error.to_string())
        }
        Err(error) => {
            tracing::warn!(%error, "retention");
            problem(StatusCode::SERVICE_UNAVAILABLE, None, &error.to_string())
        }
    }
}

fn lines(due: &[Due]) -> Vec<Value> {
    let line = |due: &Due| {
        json!({
            "table": due.kept.name(), "site": due.site, "rule": due.rule.name(), "due": date_of(due.due).to_string(),
            "first_day": date_of(due.first_day).to_string(), "last_day": date_of(due.last_day).to_string(),
            "rows": due.rows, "bytes": due.bytes,
        })
    };
    due.iter().map(line).collect()
}

async fn plan(retention: &Retention, days: u16) -> Result<Value, RunError> {
    let (rules, now, soon) = retention.job.plan(days).await?;
    Ok(json!({
        "today": date_of(rules.today).to_string(), "now": lines(&now), "days": days, "soon": lines(&soon),
        "held": rules.held(), "removed": removed(&rules),
    }))
}

fn removed(rules: &super::rules::Rules) -> Vec<Value> {
    let line = |removed: &super::rules::Removed| json!({ "site": removed.site, "due": date_of(removed.due).to_string() });
    rules.removed().iter().map(line).collect()
}

async fn run(retention: &Retention) -> Result<Value, RunError> {
    let record = retention.job.run(StartedBy::Operator).await?;
    Ok(json!({
        "run": format!("{:016x}", record.run), "purges": record.purges, "rows": record.rows, "bytes": record.bytes,
        "days_counted": record.days, "findings": record.findings, "held": record.held,
    }))
}

async fn verify(retention: &Retention) -> Result<Value, RunError> {
    let rules = retention.job.rules().await?;
    let verified = retention.job.verify(&rules).await?;
    Ok(json!({
        "today": date_of(rules.today).to_string(), "findings": verified.findings, "notes": verified.notes,
        "removed": removed(&rules),
    }))
}

async fn history(retention: &Retention, site: Option<&str>, limit: u32) -> Result<Value, RunError> {
    let store = &retention.job.store;
    let of_site = site.map_or("1".to_owned(), |site| {
        format!("site IN ({}, '')", literal(site))
    });
    let sql = format!(
        "{} WHERE {of_site} ORDER BY purges.ts DESC, purge LIMIT {limit}",
        PURGES
    );
    let purges: Vec<PurgeRow> = within(store.timeout, store.client.query(&sql).fetch_all())
        .await
        .map_err(RunError::Store)?;
    let sql = format!("{RUNS} ORDER BY retention_runs.ts DESC, retention_runs.run LIMIT {limit}");
    let runs: Vec<RunRow> = within(store.timeout, store.client.query(&sql).fetch_all())
        .await
        .map_err(RunError::Store)?;
    Ok(json!({ "runs": runs, "purges": purges }))
}

const PURGES: &str = "SELECT lower(hex(run)) AS run, formatDateTime(ts, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS ts, \
     toString(site) AS site, toString(table_name) AS table, toString(rule) AS rule, toString(first_day) AS first_day, \
     toString(last_day) AS last_day, n_rows AS rows, n_bytes AS bytes, verified FROM purges";

const RUNS: &str = "SELECT lower(hex(run)) AS run, toString(collector) AS collector, formatDateTime(ts, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS began, \
     formatDateTime(ended, '%Y-%m-%dT%H:%i:%SZ', 'UTC') AS ended, toString(started_by) AS started_by, \
     n_purges AS purges, n_rows AS rows, n_bytes AS bytes, n_days AS days_counted, findings, \
     arrayMap(site -> toString(site), held) AS held, toString(version) AS version FROM retention_runs";

async fn certificate(retention: &Retention, site: &Site, first: Date) -> Result<Value, RunError> {
    let store = &retention.job.store;
    let next = first.last_of_month().tomorrow().unwrap_or(Date::MAX);
    let in_month = |table: &str| {
        format!(
            "{table}.ts >= toDateTime('{first} 00:00:00', 'UTC') AND {table}.ts < toDateTime('{next} 00:00:00', 'UTC')"
        )
    };
    let error = |e: StoreError| RunError::Store(e);
    let sql = format!(
        // Requests go by the scope, what is of no site by none.
        "{PURGES} WHERE {} AND purges.site IN ({}, {}, '') ORDER BY purges.ts, table_name, purge",
        in_month("purges"),
        literal(site.id.as_str()),
        literal(&site.scope)
    );
    let purges: Vec<PurgeRow> = within(store.timeout, store.client.query(&sql).fetch_all())
        .await
        .map_err(error)?;
    let sql = format!(
        "{RUNS} WHERE {} ORDER BY retention_runs.ts, retention_runs.run",
        in_month("retention_runs")
    );
    let runs: Vec<RunRow> = within(store.timeout, store.client.query(&sql).fetch_all())
        .await
        .map_err(error)?;
    let keep = site.keep;
    // Whoever the policy names now: a reload may have changed it.
    let live = retention.job.collector.live.load_full();
    let policy = live.policy.scopes.get(&site.scope);
    let controller = policy.map(|policy| policy.latest.statement.controller.name.clone());
    let now = retention.job.collector.clock.now();
    let over = next
        .to_zoned(jiff::tz::TimeZone::UTC)
        .map(|at| at.timestamp());
    let mut last = BTreeMap::new();
    for run in &runs {
        let collector = run.collector.clone();
        last.insert(
            collector.clone(),
            (collector, run.ended.clone(), run.findings.clone()),
        );
    }
    let statement = Statement {
        site: site.id.to_string(),
        month: first.strftime("%Y-%m").to_string(),
        issued: Timestamp::from_second(now.as_second())
            .unwrap_or(now)
            .to_string(),
        is_over: over.is_ok_and(|over| over <= now),
        controller: controller.unwrap_or_default(),
        days: format!(
            "events {} (engagement {}, web vitals {}), visits {}, daily {}, consents {} after their last day, requests {}",
            keep.events,
            keep.engagement,
            keep.web_vitals,
            keep.visits,
            keep.daily,
            keep.consents,
            keep.requests
        ),
        hold: site.legal_hold.clone(),
        purges: purges
            .iter()
            .filter(|purge| purge.rows > 0)
            .map(|purge| {
                format!(
                    "{} {} {}: {} rows about {} to {}, {} bytes; {}",
                    purge.ts,
                    purge.table,
                    purge.rule,
                    purge.rows,
                    purge.first_day,
                    purge.last_day,
                    purge.bytes,
                    purge.verified
                )
            })
            .collect(),
        rows: purges.iter().map(|purge| purge.rows).sum(),
        runs: runs.len() as u64,
        clean_runs: runs.iter().filter(|run| run.findings.is_empty()).count() as u64,
        last: last.into_values().collect(),
    };
    Ok(json!({ "certificate": statement.certify(&retention.seal) }))
}
