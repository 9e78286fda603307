//! Whom a filter matches and spares: where these are few, the difference between two answers would be about them.
//!
//! Comes in: a counting with a filter. Goes out: the statements that tell how many visitors it matches, whatever the rows
//! are about, and how many there are at each point of time.

use super::events::{Events, join, visits};
use super::{Counting, protect};
use crate::stats::dimension::Dimension;
use crate::stats::filter::Filter;
use crate::stats::literal::literal;

impl Counting<'_> {
    /// Tells whether a dimension is about some events alone, like goals.
    pub(super) fn is_of_some(&self) -> bool {
        let goals = &self.query.site.goals;
        self.query
            .dimensions
            .iter()
            .any(|dimension| match dimension {
                Dimension::Event(field) => field.only(goals).is_some(),
                Dimension::Visit(_) | Dimension::Time(_) => false,
            })
    }

    /// A statement: how many visitors a filter matches, whatever the dimensions are about; with a key, for each of it.
    pub(super) fn matching(
        &self,
        filter: &Filter,
        key: Option<(&str, &str)>,
        events: &Events<'_>,
    ) -> String {
        let mut fields = Vec::new();
        filter.visit_fields(&mut fields);
        let join = join(&fields, |fields| {
            format!("({})", visits(events, fields, false))
        });
        let (keys, group) = match key {
            None => (String::new(), String::new()),
            Some((sql, name)) => (format!("{sql} AS {name}, "), format!(" GROUP BY {name}")),
        };
        format!(
            "SELECT {keys}uniqExact(visitor) AS n FROM events{join} WHERE {} AND {}{group}",
            events.selected(),
            filter.sql(&events.whole())
        )
    }

    /// What tells whom a filter spares at each point of time.
    pub(super) fn spared(&self, events: &Events<'_>) -> Option<protect::Spared> {
        let query = self.query;
        let mut times = query.dimensions.iter().enumerate();
        let (i, step) = times.find_map(|(i, d)| d.step().map(|step| (i, step)))?;
        if query.filter.is_empty() {
            return None;
        }
        let name = format!("d{i}");
        let key = |day: &str, ts: &str| format!("{} AS {name}", self.clock(step, day, ts));
        let plan = self.plan;
        let mut sources = Vec::new();
        if !events.are_none() {
            sources.push(format!(
                "SELECT {}, uniqExact(visitor) AS n FROM events WHERE {} GROUP BY d{i}",
                key("day", "ts"),
                events.selected()
            ));
        }
        if plan.is_used() {
            sources.push(format!(
                "SELECT {}, sum(visitors) AS n FROM daily WHERE site = {} AND dimension = '' AND {} GROUP BY d{i}",
                key("day", ""),
                literal(query.site.id.as_str()),
                plan.counted.and(&plan.gone).sql(),
            ));
        }
        let everyone = format!(
            "SELECT d{i}, toInt64(sum(n)) AS n_everyone FROM ({}) GROUP BY d{i}",
            sources.join(" UNION ALL ")
        );
        Some(match self.is_of_some() {
            false => protect::Spared {
                link: format!("everyone AS ({everyone})"),
                matched: Some(format!(
                    "toInt64(uniqExactMerge(s_visitors) OVER (PARTITION BY k{i}))"
                )),
            },
            true => {
                let clock = self.clock(step, "day", "ts");
                let matching = self.matching(&query.filter, Some((&clock, &name)), events);
                protect::Spared {
                    link: format!(
                        "everyone AS (SELECT d{i}, n_everyone, toInt64(n) AS n_matching FROM ({everyone}) AS everybody \
                         LEFT JOIN ({matching}) AS matching USING (d{i}))"
                    ),
                    matched: None,
                }
            }
        })
    }
}
