//! What there is of a site's days, known by part.
//!
//! Comes in: the parts of a table that are in use. Goes out: by site and day, how many events there are and in which
//! partitions, and which counting `daily` and `visits` are of. A part never changes, and its name and the hash of its files
//! say which it is: it is looked into once, and each question after that asks for no more than which parts there are.
//!
//! Bounded: what is not in use any more is forgotten at the next question.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Row;
use serde::Deserialize;

use crate::retention::derived::sums::MONTH;
use crate::stats::literal::{list, literal};
use crate::stats::{Asker, QueryError};

/// How often the parts are asked for anew that were merged away while they were looked into.
const ATTEMPTS: usize = 4;

/// Parts that one statement looks into: it is held to the limits of a query.
const AT_ONCE: usize = 100;

/// Partitions that a condition names; of more days every part is looked at anyway.
const MOST_PARTITIONS: usize = 100;

/// A table that is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Table {
    Events,
    Daily,
    Visits,
}

impl Table {
    fn name(self) -> &'static str {
        match self {
            Table::Events => "events",
            Table::Daily => "daily",
            Table::Visits => "visits",
        }
    }

    /// What is known of a site's day in a part.
    fn figure(self) -> &'static str {
        match self {
            Table::Events => "count()",
            // 0: the whole site has no row.
            Table::Daily => "minIf(counting, dimension = '')",
            Table::Visits => "min(counting)",
        }
    }

    /// Whether the part has the sums of the month that begins on the day.
    fn sums(self) -> String {
        match self {
            Table::Daily => format!("countIf(dimension = '{MONTH}') > 0"),
            Table::Events | Table::Visits => "0".into(),
        }
    }
}

/// A site's day, and what is known of it.
#[derive(Debug)]
struct Day {
    site: String,
    day: u16,
    known: u64,
    has_sums: bool,
}

/// Of a part its partition, and of each site's day in it what is known.
type Looked = (Arc<str>, Arc<[Day]>);

/// By name and hash, so that it may be one for all tables of a kind that this process sees.
type Known = HashMap<String, Looked>;

static KNOWN: [Mutex<Option<Known>>; 3] = [Mutex::new(None), Mutex::new(None), Mutex::new(None)];

#[derive(Debug, Row, Deserialize)]
struct Part {
    name: String,
    hash: String,
    partition: String,
    n_rows: u64,
}

#[derive(Debug, Row, Deserialize)]
struct PartDay {
    part: String,
    of_site: String,
    of_day: u16,
    known: u64,
    has_sums: u8,
    n: u64,
}

/// The events of a site, by day: how many, those of restricted visitors with them, and in which partitions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::stats) struct Stored {
    days: BTreeMap<u16, (u64, BTreeSet<Arc<str>>)>,
    /// Visitors of the site are restricted, or were.
    pub(in crate::stats) has_restrictions: bool,
}

impl Stored {
    /// How many events a day has.
    pub(super) fn n_events(&self, day: u16) -> u64 {
        self.days.get(&day).map_or(0, |(n, _)| *n)
    }

    /// The first and the last day that has any.
    pub(in crate::stats) fn ends(&self) -> Option<(u16, u16)> {
        let (first, _) = self.days.first_key_value()?;
        let (last, _) = self.days.last_key_value()?;
        Some((*first, *last))
    }

    /// The condition for the partitions that have events of these days (first and last included), with ` AND ` before it;
    /// empty where they are many. ClickHouse finds them by their names, and else by looking at every part.
    pub(in crate::stats) fn sql(&self, spans: &[(u16, u16)]) -> String {
        let mut ids: BTreeSet<&str> = BTreeSet::new();
        for (first, last) in spans.iter().filter(|(first, last)| first <= last) {
            let days = self.days.range(first..=last);
            ids.extend(days.flat_map(|(_, (_, ids))| ids.iter().map(|id| &**id)));
        }
        if ids.len() > MOST_PARTITIONS {
            return String::new();
        }
        // No partition has an empty name.
        let ids: Vec<&str> = ids.into_iter().chain([""]).collect();
        format!(" AND _partition_id IN {}", list(&ids))
    }
}

/// Returns what events there are of a site; none where parts come and go quicker than they can be looked into.
///
/// # Errors
/// As the query API.
pub(super) async fn stored(asker: &Asker<'_>, site: &str) -> Result<Option<Stored>, QueryError> {
    let restrictions = format!(
        "SELECT count() FROM restrictions WHERE site = {}",
        literal(site)
    );
    let (parts, n_restrictions) =
        tokio::try_join!(in_use(asker, Table::Events), asker.ask::<u64>(restrictions),)?;
    let Some(parts) = parts else {
        return Ok(None);
    };
    let mut stored = Stored {
        days: BTreeMap::new(),
        has_restrictions: n_restrictions != [0],
    };
    for (partition, days) in parts {
        for of in days.iter().filter(|of| of.site == site) {
            let (sum, ids) = stored.days.entry(of.day).or_default();
            *sum += of.known;
            ids.insert(partition.clone());
        }
    }
    Ok(Some(stored))
}

/// What there is of a site in a derived table.
#[derive(Debug, Default)]
pub(super) struct Derived {
    /// Which counting each day is of; the least, where there are several.
    pub(super) countings: BTreeMap<u16, u64>,
    /// The first days of months that are added up.
    pub(super) months: BTreeSet<u16>,
}

/// Returns what there is of a site in a derived table; none where its parts come and go quicker than they can be looked
/// into.
///
/// # Errors
/// As the query API.
pub(super) async fn derived(
    asker: &Asker<'_>,
    table: Table,
    site: &str,
) -> Result<Option<Derived>, QueryError> {
    let Some(parts) = in_use(asker, table).await? else {
        return Ok(None);
    };
    let mut found = Derived::default();
    for (_, days) in parts {
        for of in days.iter().filter(|of| of.site == site) {
            if of.known > 0 {
                let least = found.countings.entry(of.day).or_insert(of.known);
                *least = (*least).min(of.known);
            }
            if of.has_sums {
                found.months.insert(of.day);
            }
        }
    }
    Ok(Some(found))
}

async fn in_use(asker: &Asker<'_>, table: Table) -> Result<Option<Vec<Looked>>, QueryError> {
    for _ in 0..ATTEMPTS {
        if let Some(parts) = look(asker, table).await? {
            return Ok(Some(parts));
        }
    }
    Ok(None)
}

/// All parts that are in use; none where one of them has gone meanwhile.
async fn look(asker: &Asker<'_>, table: Table) -> Result<Option<Vec<Looked>>, QueryError> {
    let name = table.name();
    let parts: Vec<Part> = asker
        .ask(format!(
            "SELECT name, hash_of_all_files AS hash, partition_id AS partition, rows AS n_rows FROM system.parts \
             WHERE database = currentDatabase() AND table = '{name}' AND active"
        ))
        .await?;
    let key = |part: &Part| format!("{} {}", part.name, part.hash);
    let all = &KNOWN[table as usize];
    let mut known = {
        let known = all.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().unwrap_or_default()
    };
    let new: Vec<&Part> = parts
        .iter()
        .filter(|part| !known.contains_key(&key(part)))
        .collect();
    for new in new.chunks(AT_ONCE) {
        let names: Vec<String> = new.iter().map(|part| part.name.clone()).collect();
        let sql = format!(
            "SELECT _part AS part, toString(site) AS of_site, toUInt16(day) AS of_day, toUInt64({}) AS known, \
             toUInt8({}) AS has_sums, count() AS n FROM {name} WHERE _part IN {} GROUP BY part, of_site, of_day",
            table.figure(),
            table.sums(),
            list(&names)
        );
        let mut looked: HashMap<String, (u64, Vec<Day>)> = HashMap::new();
        let rows: Vec<PartDay> = match asker.ask(sql).await {
            Ok(rows) => rows,
            // What is known so far stays: the next question goes on.
            Err(error) => {
                *all.lock().unwrap_or_else(PoisonError::into_inner) = Some(known);
                return Err(error);
            }
        };
        for row in rows {
            let (n_rows, days) = looked.entry(row.part).or_default();
            *n_rows += row.n;
            if row.known > 0 || row.has_sums > 0 {
                days.push(Day {
                    site: row.of_site,
                    day: row.of_day,
                    known: row.known,
                    has_sums: row.has_sums > 0,
                });
            }
        }
        for part in new {
            let (n_rows, days) = looked.remove(&part.name).unwrap_or_default();
            if n_rows != part.n_rows {
                return Ok(None);
            }
            let partition = part.partition.as_str().into();
            known.insert(key(part), (partition, days.into()));
        }
    }
    let in_use: Known = parts
        .iter()
        .map(key)
        .filter_map(|key| known.remove_entry(&key))
        .collect();
    let looked = in_use.values().cloned().collect();
    *all.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_use);
    Ok(Some(looked))
}
