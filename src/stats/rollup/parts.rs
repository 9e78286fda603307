//! How many events there are of a site's day: known by part.
//!
//! Comes in: the parts of `events` that are in use. Goes out: the number of their rows by day. A part never changes, and its
//! name and the hash of its files say which it is: it is counted once, and each question after that asks for no more than
//! which parts there are.
//!
//! Bounded: what is not in use any more is forgotten at the next question.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use clickhouse::Row;
use serde::Deserialize;

use super::counts;
use crate::salts::period::date_of;
use crate::stats::literal::{list, literal};
use crate::stats::{Asker, QueryError};

/// How often the parts are asked for anew that were merged away while they were counted.
const ATTEMPTS: usize = 4;

/// Of each part the rows of a site's day.
type Known = HashMap<String, Arc<[(String, u16, u64)]>>;

/// By name and hash, so that it may be one for all tables of events that this process sees.
static KNOWN: Mutex<Option<Known>> = Mutex::new(None);

#[derive(Debug, Row, Deserialize)]
struct Part {
    name: String,
    hash: String,
    n_rows: u64,
}

#[derive(Debug, Row, Deserialize)]
struct PartDay {
    part: String,
    of_site: String,
    of_day: u16,
    n: u64,
}

/// Returns how many events of each day there are, those of restricted visitors with them.
///
/// # Errors
/// As the query API.
pub(super) async fn events_by_day(
    asker: &Asker<'_>,
    site: &str,
    first: u16,
    last: u16,
) -> Result<BTreeMap<u16, u64>, QueryError> {
    for _ in 0..ATTEMPTS {
        if let Some(known) = in_use(asker).await? {
            let mut days = BTreeMap::new();
            for (_, day, n) in known
                .iter()
                .flat_map(|part| part.iter())
                .filter(|of| of.0 == site && (first..=last).contains(&of.1))
            {
                *days.entry(*day).or_default() += n;
            }
            return Ok(days);
        }
    }
    // Parts come and go quicker than they can be counted one by one.
    counts(
        asker,
        &format!(
            "site = {} AND day BETWEEN '{}' AND '{}'",
            literal(site),
            date_of(first),
            date_of(last)
        ),
    )
    .await
}

/// The rows of all parts that are in use; none where one of them has gone meanwhile.
async fn in_use(asker: &Asker<'_>) -> Result<Option<Vec<Arc<[(String, u16, u64)]>>>, QueryError> {
    let parts: Vec<Part> = asker
        .ask(
            "SELECT name, hash_of_all_files AS hash, rows AS n_rows FROM system.parts \
             WHERE database = currentDatabase() AND table = 'events' AND active"
                .into(),
        )
        .await?;
    let key = |part: &Part| format!("{} {}", part.name, part.hash);
    let mut known = {
        let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        known.clone().unwrap_or_default()
    };
    let new: Vec<&Part> = parts
        .iter()
        .filter(|part| !known.contains_key(&key(part)))
        .collect();
    if !new.is_empty() {
        let names: Vec<String> = new.iter().map(|part| part.name.clone()).collect();
        let sql = format!(
            "SELECT _part AS part, toString(site) AS of_site, toUInt16(day) AS of_day, count() AS n FROM events \
             WHERE _part IN {} GROUP BY part, of_site, of_day",
            list(&names)
        );
        let mut counted: HashMap<String, Vec<(String, u16, u64)>> = HashMap::new();
        for row in asker.ask::<PartDay>(sql).await? {
            let days = counted.entry(row.part).or_default();
            days.push((row.of_site, row.of_day, row.n));
        }
        for part in new {
            let days = counted.remove(&part.name).unwrap_or_default();
            if days.iter().map(|(.., n)| n).sum::<u64>() != part.n_rows {
                return Ok(None);
            }
            known.insert(key(part), days.into());
        }
    }
    let in_use: Known = parts
        .iter()
        .map(key)
        .filter_map(|key| known.remove_entry(&key))
        .collect();
    let rows = in_use.values().cloned().collect();
    *KNOWN.lock().unwrap_or_else(PoisonError::into_inner) = Some(in_use);
    Ok(Some(rows))
}
