//! The days of a month added up, so that a breakdown of a year is a dozen rows a value and not 365.
//!
//! Comes in: a month of `daily_next`, as it is about to be put in place. Goes out: rows of its own beside the days', for
//! each site whose month is over and has all its events. They come and go with the partition that their days are in: an
//! erasure, late events or a day that becomes final make them anew or take them away in the same step. Promises that they are
//! never of other days than those that stand beside them, and none of a month with a final day: what is small in them
//! says who it is about.
//!
//! They lie on the month's first day, and so are purged with it; the rest of the month is then added up by day again.

use std::collections::BTreeSet;

use super::CLOSED_AFTER;
use super::sql::{FEW, VITALS};
use crate::retention::rules::{Kept, Rules, list};
use crate::stats::funnel::NO_FUNNEL;
use crate::store::{Store, StoreError, within};

/// Before the dimension of a row that is of a whole month.
pub(crate) const MONTH: &str = "month ";

/// A row that is about fewer visitors than this over the month says which they are, where each of its days does.
const FEW_A_MONTH: u32 = 100;

/// SQL: a row of a day.
pub(crate) const OF_A_DAY: &str = "NOT startsWith(dimension, 'month ')";

/// SQL: months of sites that are not added up, because a day in them is final.
pub(super) const FINAL: &str = "SELECT site, toYYYYMM(day) FROM derived_days FINAL WHERE k > 0";

/// Which months are added up.
pub(super) struct Sums<'a> {
    pub(super) rules: &'a Rules,
    /// Sites of which days become final with this change.
    pub(super) final_sites: BTreeSet<&'a str>,
}

impl Sums<'_> {
    /// SQL: of rows with a site and a month's first day as `day`, those whose month is added up.
    fn is_summed(&self) -> String {
        let (rules, today) = (self.rules, self.rules.today);
        let finals: Vec<&str> = self.final_sites.iter().copied().collect();
        let becomes_final = match finals.is_empty() {
            true => String::new(),
            false => format!(" AND site NOT IN ({})", list(&finals)),
        };
        format!(
            "toUInt16(toLastDayOfMonth(day)) <= {} AND (site, toYYYYMM(day)) NOT IN ({FINAL}){becomes_final} AND {} > {today}",
            today.saturating_sub(CLOSED_AFTER),
            rules.due_sql(Kept::Daily),
        )
    }

    /// SQL: adds up the days of months (SQL: their partitions) in `daily_next`.
    pub(super) fn sql(&self, ids: &str) -> String {
        let is_listed = format!("sum(visitors) < {FEW_A_MONTH} AND max(visitors) < {FEW}");
        let of_day = "bitShiftLeft(toUInt64(toUInt16(day)), 32)";
        let columns = VITALS.join(", ");
        let vitals: Vec<String> = VITALS
            .iter()
            .map(|name| format!("groupArrayArray({name})"))
            .collect();
        format!(
            "INSERT INTO daily_next (site, day, dimension, value, visitors, visits, pageviews, events, bounces, duration_ms, \
             engagement_ms, revenue, scroll, scroll_visits, scroll_visitors, {columns}, vital_visitors, vital_few, month_few) \
             WITH summed AS (SELECT site, toStartOfMonth(day) AS first, concat('{MONTH}', dimension), value, sum(visitors), \
             sum(visits), sum(pageviews), sum(events), sum(bounces), sum(duration_ms), sum(engagement_ms), sum(revenue), \
             sum(scroll), sum(scroll_visits), sum(scroll_visitors), {}, sumForEach(vital_visitors), \
             if({is_listed}, groupArrayArray(arrayMap(told -> bitShiftLeft({of_day}, 5) + told, vital_few)), []), \
             if({is_listed}, groupArrayArray(arrayMap(who -> {of_day} + who, few)), []) \
             FROM daily_next WHERE _partition_id IN ({ids}) AND {OF_A_DAY} AND {NO_FUNNEL} \
             GROUP BY site, first, dimension, value) \
             SELECT * FROM (SELECT site, first AS day, * EXCEPT (site, first) FROM summed) WHERE {}",
            vitals.join(", "),
            self.is_summed(),
        )
    }

    /// Returns the months, each by its first day, that could be added up, and are not.
    ///
    /// # Errors
    /// What ClickHouse said.
    pub(super) async fn lacking(&self, store: &Store) -> Result<Vec<u16>, StoreError> {
        let sql = format!(
            "WITH months AS (SELECT site, toStartOfMonth(day) AS first, countIf(dimension = '{MONTH}') AS n_sums FROM daily \
             WHERE dimension IN ('', '{MONTH}') GROUP BY site, first) \
             SELECT DISTINCT toUInt16(day) FROM (SELECT site, first AS day, n_sums FROM months) WHERE n_sums = 0 AND {} ORDER BY 1",
            self.is_summed()
        );
        within(store.timeout * 10, store.client.query(&sql).fetch_all()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_a_day_is_one_without_the_prefix_of_a_month() {
        assert_eq!(OF_A_DAY, format!("NOT startsWith(dimension, '{MONTH}')"));
    }
}
