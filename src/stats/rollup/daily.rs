//! Closed days from `daily`: finished counts, added up, with what is counted from the events of open days.
//!
//! Rows that are folded are counted, not added up, as everywhere: `daily` says of its small rows which visitors they are
//! (`few`). Where a larger one has to be folded, who they are is not known: the answer says `is_inexact`, and the query is
//! asked again of `events`.

use super::visits::numbered;
use super::{Form, adds_up, daily_column};
use crate::retention::derived::sql::FEW;
use crate::stats::dimension::{Dimension, EventField, NOT_SET};
use crate::stats::literal::{list, literal};
use crate::stats::metric::{Metric, Part};
use crate::stats::period::Step;
use crate::stats::request::Query;
use crate::stats::sql::Counting;
use crate::stats::sql::events::Events;
use crate::stats::sql::together::{named, parted};

/// What `daily` is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::stats) enum Dimensioned {
    Whole,
    By(Dimension),
    /// Several breakdowns in one statement; the first key is their place.
    Each(Vec<Dimension>),
}

/// What is counted of the cells of open days, as `o_…`.
fn opened(parts: &[Part], is_split: bool, is_parted: bool) -> Vec<String> {
    let mut figures = Vec::new();
    for part in parts {
        let (function, arguments) = part.aggregate(is_split);
        let name = part.name();
        match part {
            Part::Scroll => {
                figures.push(format!("toUInt64(ifNull(sum({arguments}), 0)) AS o_{name}"));
                figures.push(format!("toUInt64(count({arguments})) AS o_{name}_visits"));
            }
            _ => figures.push(format!("toUInt64({function}({arguments})) AS o_{name}")),
        }
    }
    if is_parted {
        figures.push("uniqExactArrayState([c_visitor]) AS o_who, toUInt64(0) AS o_final, toUInt8(0) AS o_cut".into());
    }
    figures
}

impl Counting<'_> {
    /// Chooses how closed days can be answered.
    pub(in crate::stats) fn form(&self) -> Form {
        let query = self.query;
        if !adds_up(&query.site, self.range) || self.k > FEW {
            return Form::Events;
        }
        let parts = self.parts();
        if let Some(dimensioned) = self.dimensioned(&parts) {
            return Form::Daily(dimensioned);
        }
        match self.is_of_visits(&self.way(&parts), &parts) {
            true => Form::Visits,
            false => Form::Events,
        }
    }

    fn dimensioned(&self, parts: &[Part]) -> Option<Dimensioned> {
        let query = self.query;
        let mut others = query.dimensions.iter().filter(|d| d.step().is_none());
        let by = others.next();
        let is_coarse = query
            .dimensions
            .iter()
            .filter_map(Dimension::step)
            .all(|step| step >= Step::Day);
        if !query.filter.is_empty() || others.next().is_some() || !is_coarse {
            return None;
        }
        let Some(by) = by else {
            let is_kept = parts.iter().all(|part| daily_column(*part).is_some());
            return is_kept.then_some(Dimensioned::Whole);
        };
        use EventField::{Currency, Goal, Hostname, Name, Page, Prop, Props};
        let is_there = |part: &Part| match by {
            // Whoever scrolled in several folded rows is not known.
            _ if matches!(part, Part::Scroll | Part::ScrollVisitors) => false,
            Dimension::Event(_) => {
                // A visit may have several pages: those of folded rows cannot be added up.
                matches!(part, Part::Visitors | Part::Pageviews | Part::Events)
            }
            Dimension::Visit(_) | Dimension::Time(_) => daily_column(*part).is_some(),
        };
        let is_known = match by {
            Dimension::Event(Page | Hostname) => true,
            // Visitors of all rows together are not the whole.
            Dimension::Event(Name | Goal) => !query.metrics.contains(&Metric::Percentage),
            Dimension::Event(Currency | Prop(_) | Props) => false,
            Dimension::Visit(field) => field.is_daily(),
            Dimension::Time(_) => false,
        };
        (is_known && parts.iter().all(is_there)).then(|| Dimensioned::By(by.clone()))
    }

    /// Visitors of the whole site.
    pub(in crate::stats) fn whole(&self, events: &Events<'_>) -> String {
        let plan = self.plan;
        let open = match plan.open.as_ref().is_some_and(|open| open.is_empty()) {
            true => "toUInt64(0)".to_owned(),
            false => format!(
                "assumeNotNull((SELECT uniqExact(visitor) FROM events WHERE {}))",
                events.selected()
            ),
        };
        let days = match plan.has_final_rows() {
            true => plan.counted.and(&plan.gone),
            false => plan.counted.clone(),
        };
        if days.is_empty() {
            return open;
        }
        format!(
            "({open} + assumeNotNull((SELECT sum(visitors) FROM daily WHERE site = {} AND dimension = '' AND {})))",
            literal(self.query.site.id.as_str()),
            days.sql(),
        )
    }

    /// The link `rows`, of counts, and the links before it.
    pub(in crate::stats) fn daily_rows(
        &self,
        dimensioned: &Dimensioned,
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let plan = self.plan;
        let is_parted = *dimensioned != Dimensioned::Whole;
        let n_keys = match dimensioned {
            Dimensioned::Each(_) => 2,
            Dimensioned::Whole | Dimensioned::By(_) => self.query.dimensions.len(),
        };
        let keys: Vec<String> = (0..n_keys).map(|i| format!("k{i}")).collect();
        let group = match keys.is_empty() {
            true => String::new(),
            false => format!(" GROUP BY {}", keys.join(", ")),
        };
        let mut links = Vec::new();
        let mut sources = vec![self.closed(dimensioned, parts, &group)];
        if plan.open.as_ref().is_none_or(|open| !open.is_empty()) {
            if let Dimensioned::Each(dimensions) = dimensioned {
                sources.extend(self.opened_each(dimensions, parts, events));
            } else {
                let way = self.way(parts);
                links.extend(self.cells(&way, events));
                let mut figures = keys.clone();
                figures.extend(opened(parts, way.is_split(self.query), is_parted));
                sources.push(format!("SELECT {} FROM cells{group}", figures.join(", ")));
            }
        }
        let mut figures = keys;
        for part in parts {
            let name = part.name();
            figures.push(format!("sum(o_{name}) AS n_{name}"));
            if *part == Part::Scroll {
                figures.push(format!("sum(o_{name}_visits) AS n_{name}_visits"));
            }
        }
        if is_parted {
            figures.push("uniqExactArrayMergeState(o_who) AS s_visitors, sum(o_final) AS n_final, max(o_cut) AS is_cut".into());
        }
        links.push(format!(
            "rows AS (SELECT {} FROM ({}){group})",
            figures.join(", "),
            sources.join(" UNION ALL ")
        ));
        links
    }

    /// The counts of open days: one reading for all breakdowns by what visits are, one more for each by what events are.
    fn opened_each(
        &self,
        dimensions: &[Dimension],
        parts: &[Part],
        events: &Events<'_>,
    ) -> Vec<String> {
        let counted = |dimensions: Vec<Dimension>, from: &str| {
            let query = Query {
                dimensions,
                ..self.query.clone()
            };
            let counting = Counting {
                query: &query,
                ..*self
            };
            let way = counting.way(parts);
            let links = counting.cells(&way, events).join(", ");
            let figures = opened(parts, way.is_split(&query), true).join(", ");
            format!(
                "SELECT * FROM (WITH {links} SELECT {}, {figures} FROM {} GROUP BY k0, k1)",
                named("breakdown", 1),
                from
            )
        };
        let is_of_visits = |dimension: &Dimension| !dimension.is_of_event();
        let places: Vec<(usize, usize)> = (0..dimensions.len())
            .filter(|i| is_of_visits(&dimensions[*i]))
            .map(|i| (i, 1))
            .collect();
        let mut sources = Vec::new();
        if !places.is_empty() {
            let of_visits: Vec<Dimension> = dimensions
                .iter()
                .filter(|d| is_of_visits(d))
                .cloned()
                .collect();
            let cells = parted(places.len(), &places, 1);
            let from = format!("({cells}) ARRAY JOIN breakdowns AS breakdown");
            sources.push(counted(of_visits, &from));
        }
        for (place, dimension) in dimensions.iter().enumerate() {
            if !is_of_visits(dimension) {
                let from = format!(
                    "(SELECT * EXCEPT (k0), (toUInt8({place}), toString(k0)) AS breakdown FROM cells)"
                );
                sources.push(counted(vec![dimension.clone()], &from));
            }
        }
        sources
    }

    fn closed(&self, dimensioned: &Dimensioned, parts: &[Part], group: &str) -> String {
        let plan = self.plan;
        let query = self.query;
        let mut figures: Vec<String> = Vec::new();
        if let Dimensioned::Each(dimensions) = dimensioned {
            let places: Vec<String> = (0..)
                .zip(dimensions)
                .map(|(i, dimension): (usize, _)| format!("{}, {i}", self.of_dimension(dimension)))
                .collect();
            figures.push(format!(
                "toUInt8(multiIf({}, 255)) AS k0, if(value = '', '{NOT_SET}', value) AS k1",
                places.join(", ")
            ));
        }
        let own = match dimensioned {
            Dimensioned::Each(_) => &[][..],
            Dimensioned::Whole | Dimensioned::By(_) => &query.dimensions[..],
        };
        for (i, dimension) in own.iter().enumerate() {
            figures.push(match dimension.step() {
                Some(step) => format!("{} AS k{i}", self.clock(step, "day", "")),
                None => format!("if(value = '', '{NOT_SET}', value) AS k{i}"),
            });
        }
        for part in parts {
            // Nothing else is asked for: `dimensioned`.
            let column = daily_column(*part).unwrap_or("0");
            figures.push(format!("sum({column}) AS o_{}", part.name()));
            if *part == Part::Scroll {
                figures.push("sum(scroll_visits) AS o_scroll_visits".into());
            }
        }
        if *dimensioned != Dimensioned::Whole {
            let gone = plan.gone.sql();
            figures.push(format!(
                "uniqExactArrayState(arrayMap(who -> {}, few)) AS o_who, sumIf(visitors, {gone}) AS o_final, \
                 toUInt8(max(visitors >= {FEW} AND NOT {gone})) AS o_cut",
                numbered("who"),
            ));
        }
        format!(
            "SELECT {} FROM daily WHERE site = {} AND {} AND {}{group}",
            figures.join(", "),
            literal(query.site.id.as_str()),
            plan.counted.and(&plan.gone).sql(),
            self.of_daily(dimensioned),
        )
    }

    /// The condition for the rows of a dimension.
    fn of_daily(&self, dimensioned: &Dimensioned) -> String {
        match dimensioned {
            Dimensioned::Whole => "dimension = ''".into(),
            Dimensioned::By(dimension) => self.of_dimension(dimension),
            Dimensioned::Each(dimensions) => {
                let each: Vec<String> = dimensions.iter().map(|d| self.of_dimension(d)).collect();
                format!("({})", each.join(" OR "))
            }
        }
    }

    fn of_dimension(&self, dimension: &Dimension) -> String {
        if *dimension != Dimension::Event(EventField::Goal) {
            return format!("dimension = {}", literal(&dimension.to_string()));
        }
        let goals = &self.query.site.goals;
        if goals.is_empty() {
            return "dimension = 'event:name' AND value NOT IN ('pageview', 'engagement', 'web_vitals')".into();
        }
        let (pages, names): (Vec<&String>, Vec<&String>) =
            goals.iter().partition(|goal| goal.starts_with("Visit "));
        let texts = |goals: Vec<&String>| list(&goals.into_iter().cloned().collect::<Vec<_>>());
        let mut either = vec!["0".to_owned()];
        if !pages.is_empty() {
            either.push(format!(
                "(dimension = 'event:goal' AND value IN {})",
                texts(pages)
            ));
        }
        if !names.is_empty() {
            either.push(format!(
                "(dimension = 'event:name' AND value IN {} AND value NOT IN ('pageview', 'engagement', 'web_vitals'))",
                texts(names)
            ));
        }
        format!("({})", either.join(" OR "))
    }

    /// The parts of rows that were folded together, or stand by themselves.
    pub(in crate::stats) fn daily_merges(dimensioned: &Dimensioned, parts: &[Part]) -> Vec<String> {
        let mut merges: Vec<String> = parts
            .iter()
            .map(|part| match (part, part.name()) {
                (Part::Visitors, name) if *dimensioned != Dimensioned::Whole => format!(
                    "if(is_folded, uniqExactArrayMerge(s_visitors) + sum(n_final), sum(n_{name})) AS p_{name}"
                ),
                (Part::Scroll, name) => format!(
                    "if(sum(n_{name}_visits) = 0, NULL, sum(n_{name}) / sum(n_{name}_visits)) AS p_{name}"
                ),
                (_, name) => format!("sum(n_{name}) AS p_{name}"),
            })
            .collect();
        merges.push(match dimensioned {
            Dimensioned::Whole => "toUInt8(0) AS is_inexact".into(),
            Dimensioned::By(_) | Dimensioned::Each(_) => {
                "toUInt8(max(is_folded AND is_cut)) AS is_inexact".into()
            }
        });
        merges
    }
}
