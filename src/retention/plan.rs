//! What goes, and when: counted in ClickHouse, by table, site and rule.

use clickhouse::Row;
use serde::{Deserialize, Serialize};

use super::rules::{Kept, Removed, Rule, Rules};
use crate::store::{Store, StoreError, within};

/// Rows that are due.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Due {
    pub kept: Kept,
    pub site: String,
    pub rule: Rule,
    /// The earliest date on which one of them is due: days since 1970-01-01, as below.
    pub due: u16,
    pub first_day: u16,
    pub last_day: u16,
    pub rows: u64,
    /// Their share, by rows, of what their parts take on disk.
    pub bytes: u64,
}

#[derive(Row, Deserialize)]
struct DueRow {
    site: String,
    rule: String,
    due: u16,
    first_day: u16,
    last_day: u16,
    n: u64,
    bytes: u64,
}

#[derive(Row, Serialize, Deserialize)]
struct Noted {
    site: String,
    rule: String,
    day: u16,
}

/// Counts what is due under `rules`, but not yet on the date `after`.
///
/// # Errors
/// What ClickHouse said.
pub async fn due(store: &Store, rules: &Rules, after: u16) -> Result<Vec<Due>, StoreError> {
    let mut all = Vec::new();
    for kept in tables(store).await? {
        let (table, (site, day)) = (kept.name(), Rules::columns(kept));
        let (due, rule) = (rules.due_sql(kept), rules.rule_sql(kept));
        let sql = format!(
            "SELECT site, rule, toUInt16(min(earliest)) AS due, toUInt16(min(first)) AS first_day, \
             toUInt16(max(last)) AS last_day, sum(c) AS n, toUInt64(sum(c * each)) AS bytes FROM \
             (SELECT {site} AS site, {rule} AS rule, min({due}) AS earliest, min({day}) AS first, max({day}) AS last, \
             count() AS c, _part AS part FROM {table} WHERE {due} <= {today} AND {due} > {after} GROUP BY site, rule, part \
             SETTINGS prefer_column_name_to_alias = 1) AS counted LEFT JOIN \
             (SELECT name AS part, bytes_on_disk / rows AS each FROM system.parts WHERE active AND rows > 0 \
             AND database = currentDatabase() AND table = '{table}') AS parts USING (part) \
             GROUP BY site, rule ORDER BY site, rule",
            today = rules.today,
        );
        let rows: Vec<DueRow> = within(store.timeout, store.client.query(&sql).fetch_all()).await?;
        all.extend(rows.into_iter().map(|row| Due {
            kept,
            site: row.site,
            rule: Rule::named(&row.rule).unwrap_or(Rule::Expired),
            due: row.due,
            first_day: row.first_day,
            last_day: row.last_day,
            rows: row.n,
            bytes: row.bytes,
        }));
    }
    Ok(all)
}

/// Returns the tables that are there: `access_log` may not be.
pub(super) async fn tables(store: &Store) -> Result<Vec<Kept>, StoreError> {
    let sql = "SELECT table FROM system.columns WHERE database = currentDatabase() AND name IN ('ts', 'expires') \
               AND table = 'access_log' GROUP BY table HAVING count() = 2";
    let more: Vec<String> = within(store.timeout, store.client.query(sql).fetch_all()).await?;
    let mut tables = Kept::ALL.to_vec();
    tables.retain(|kept| *kept != Kept::AccessLog || !more.is_empty());
    Ok(tables)
}

/// What is there of sites that are not configured.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Strangers {
    /// Their rows go after the grace.
    pub removed: Vec<Removed>,
    /// Not noted yet: the grace begins with the note.
    pub new: Vec<String>,
    /// Noted as missing, and configured again.
    pub back: Vec<String>,
}

/// Finds sites that rows are there of and that are not configured, and how long that has been noted.
///
/// # Errors
/// What ClickHouse said.
pub async fn strangers(store: &Store, rules: &Rules, grace: u16) -> Result<Strangers, StoreError> {
    let sql = "SELECT DISTINCT site FROM (SELECT toString(site) AS site FROM events GROUP BY site \
               UNION ALL SELECT toString(site) AS site FROM visits GROUP BY site \
               UNION ALL SELECT toString(site) AS site FROM daily GROUP BY site \
               UNION ALL SELECT toString(site) AS site FROM derived_days GROUP BY site \
               UNION ALL SELECT toString(site) AS site FROM denials GROUP BY site) ORDER BY site \
               SETTINGS prefer_column_name_to_alias = 1";
    let sites: Vec<String> = within(store.timeout, store.client.query(sql).fetch_all()).await?;
    // A note of a clock that was ahead says nothing yet: it is made again.
    let sql = format!(
        "SELECT toString(site) AS site, argMax(toString(rule), (ts, purge)) AS rule, \
         toUInt16(toDate(max(ts))) AS day FROM purges WHERE rule IN ('missing', 'back') AND toUInt16(toDate(ts)) <= {} \
         GROUP BY site SETTINGS prefer_column_name_to_alias = 1",
        rules.today
    );
    let noted: Vec<Noted> = within(store.timeout, store.client.query(&sql).fetch_all()).await?;
    let mut strangers = Strangers::default();
    for site in sites.into_iter().filter(|site| !rules.knows(site)) {
        let note = noted
            .iter()
            .find(|note| note.site == site && note.rule == "missing");
        match note {
            Some(note) => strangers.removed.push(Removed {
                site,
                due: note.day.saturating_add(grace),
            }),
            None => strangers.new.push(site),
        }
    }
    strangers.back = noted
        .into_iter()
        .filter(|note| note.rule == "missing" && rules.knows(&note.site))
        .map(|note| note.site)
        .collect();
    Ok(strangers)
}
