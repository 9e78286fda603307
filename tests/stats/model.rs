//! The same numbers, counted by hand: plain loops over events, written from the meaning in `brine::stats` and
//! from nothing else.

use std::collections::{BTreeMap, BTreeSet};

use brine::event::Event;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use serde_json::{Value, json};

use super::figures::Row;

/// A question, of which both the JSON and the answer by hand can be had.
#[derive(Clone, Debug)]
pub(crate) struct Question {
    pub(crate) metrics: Vec<&'static str>,
    pub(crate) dimensions: Vec<&'static str>,
    pub(crate) filter: Option<Filter>,
    pub(crate) range: Range,
    pub(crate) k: usize,
}

#[derive(Clone, Debug)]
pub(crate) enum Filter {
    Leaf(&'static str, &'static str, Vec<&'static str>),
    And(Vec<Filter>),
    Or(Vec<Filter>),
    Not(Box<Filter>),
    Done(bool, Box<Filter>),
}

#[derive(Clone, Debug)]
pub(crate) enum Range {
    /// Day numbers, both included.
    Days(u16, u16),
    /// Milliseconds, the last whole second included.
    Instants(i64, i64),
}

pub(crate) type Rows = BTreeMap<Vec<String>, Vec<Option<f64>>>;

impl Question {
    pub(crate) fn json(&self, site: &str) -> Value {
        let range = match self.range {
            Range::Days(first, last) => json!([date(first), date(last)]),
            Range::Instants(from, to) => {
                let text = |ms| Timestamp::from_millisecond(ms).unwrap().to_string();
                json!([text(from), text(to)])
            }
        };
        let filters: Vec<Value> = self.filter.iter().map(Filter::json).collect();
        json!({
            "site_id": site,
            "metrics": self.metrics,
            "dimensions": self.dimensions,
            "date_range": range,
            "filters": filters,
        })
    }

    /// Answers it; none: withheld as a whole.
    pub(crate) fn count(&self, events: &[Event], zone: &TimeZone) -> Option<Rows> {
        let visits = visits(events);
        let in_range: Vec<usize> = (0..events.len())
            .filter(|i| self.range.contains(&events[*i]))
            .collect();
        let world = World {
            events,
            visits: &visits,
            zone,
            range: &self.range,
        };
        let fits = |i: &usize| {
            let filter = self.filter.as_ref();
            filter.is_none_or(|filter| filter.holds(*i, &world))
        };
        let fitting: Vec<usize> = in_range.iter().copied().filter(fits).collect();
        let is_counted = |i: &usize| {
            let mut dimensions = self.dimensions.iter();
            dimensions.all(|dimension| is_about(dimension, &events[*i]))
        };
        let selected: Vec<usize> = fitting.iter().copied().filter(is_counted).collect();

        let n_fitting = visitors(&fitting, events);
        let is_few = |n: usize| n > 0 && n < self.k;
        let spares_few = |all: &[usize], fitting: usize| is_few(visitors(all, events) - fitting);
        if self.filter.is_some() && (is_few(n_fitting) || spares_few(&in_range, n_fitting)) {
            return None;
        }
        let matched = visitors(&selected, events);
        // Points of time of which the filter spares few.
        let mut spared = BTreeSet::new();
        let time = self.dimensions.iter().find(|d| d.starts_with("time:"));
        if let (Some(time), true) = (time, self.filter.is_some()) {
            let at = |point: &str, of: &[usize]| -> Vec<usize> {
                let of = of.iter().copied();
                of.filter(|i| world.value(time, *i) == point).collect()
            };
            let points: BTreeSet<String> = in_range.iter().map(|i| world.value(time, *i)).collect();
            let is_spared = |point: &String| {
                let fitting = visitors(&at(point, &fitting), events);
                spares_few(&at(point, &in_range), fitting)
            };
            spared.extend(points.into_iter().filter(is_spared));
        }
        let mut rows: BTreeMap<Vec<String>, Vec<usize>> = BTreeMap::new();
        if self.dimensions.is_empty() {
            rows.insert(Vec::new(), Vec::new());
        }
        for i in selected {
            for key in world.keys(&self.dimensions, i) {
                rows.entry(key).or_default().push(i);
            }
        }
        let folded = self.fold(rows, events);
        let is_narrow = self.filter.is_some()
            || matches!(self.range, Range::Instants(..))
            || self
                .dimensions
                .iter()
                .any(|d| matches!(*d, "time:hour" | "time:minute"));
        let hidden = if is_narrow {
            self.hidden(&folded, &spared, events)
        } else {
            BTreeSet::new()
        };
        let least = if is_narrow || !self.dimensions.is_empty() {
            self.k
        } else {
            1
        };
        let withheld = self.withheld(&folded, events);
        let counted = folded.iter().map(|(key, groups)| {
            let row = Row {
                groups,
                question: self,
                world: &world,
                least,
                matched,
            };
            let figures = self.metrics.iter().map(|metric| {
                match hidden.contains(key)
                    || (withheld.contains(key) && metric.ends_with("_revenue"))
                {
                    true => None,
                    false => row.figure(metric),
                }
            });
            (key.clone(), figures.collect())
        });
        Some(counted.collect())
    }

    /// Rows whose amounts would tell, from a total, the amount of few buyers.
    fn withheld(
        &self,
        rows: &BTreeMap<Vec<String>, Vec<Vec<usize>>>,
        events: &[Event],
    ) -> BTreeSet<Vec<String>> {
        let is_time = |dimension: &str| dimension.starts_with("time:");
        let is_by_point = self.dimensions.iter().any(|d| is_time(d))
            && !self.dimensions.iter().all(|dimension| is_time(dimension));
        let time = self.dimensions.iter().position(|d| is_time(d));
        let mut points: BTreeMap<&str, Vec<(usize, &Vec<String>)>> = BTreeMap::new();
        for (key, groups) in rows {
            let sales = groups.concat().into_iter();
            let sales: Vec<usize> = sales.filter(|i| !events[*i].currency.is_empty()).collect();
            let point = time.filter(|_| is_by_point).map_or("", |i| &key[i]);
            let of_point = points.entry(point).or_default();
            of_point.push((visitors(&sales, events), key));
        }
        let next = points.into_values().filter_map(|rows| {
            let is_few = |n: usize| n > 0 && n < self.k;
            let is_asked = !self.dimensions.is_empty() && rows.iter().any(|(n, _)| is_few(*n));
            let many = rows.iter().filter(|(n, _)| is_asked && *n >= self.k);
            many.min().map(|(_, key)| (*key).clone())
        });
        next.collect()
    }

    /// Rows by key, each as the groups of events it was folded from.
    fn fold(
        &self,
        rows: BTreeMap<Vec<String>, Vec<usize>>,
        events: &[Event],
    ) -> BTreeMap<Vec<String>, Vec<Vec<usize>>> {
        let is_time: Vec<bool> = self
            .dimensions
            .iter()
            .map(|d| d.starts_with("time:"))
            .collect();
        if is_time.iter().all(|t| *t) {
            return rows
                .into_iter()
                .map(|(key, row)| (key, vec![row]))
                .collect();
        }
        type Rows = Vec<(Vec<String>, Vec<usize>)>;
        let mut by_time: BTreeMap<Vec<String>, Rows> = BTreeMap::new();
        for (key, row) in rows {
            let time = key
                .iter()
                .zip(&is_time)
                .filter(|(_, t)| **t)
                .map(|(v, _)| v.clone())
                .collect();
            by_time.entry(time).or_default().push((key, row));
        }
        let mut out = BTreeMap::new();
        for (_, rows) in by_time {
            let (mut small, mut kept): (Vec<_>, Vec<_>) =
                rows.into_iter().partition(|(key, row)| {
                    let reads_other = key.iter().zip(&is_time).any(|(v, t)| !t && v == "(other)");
                    visitors(row, events) < self.k || reads_other
                });
            kept.sort_by_key(|(key, row)| (visitors(row, events), key.clone()));
            let together: Vec<usize> = small.iter().flat_map(|(_, row)| row.clone()).collect();
            let is_thin = small.len() == 1 || visitors(&together, events) < self.k;
            if !small.is_empty() && is_thin && !kept.is_empty() {
                small.push(kept.remove(0));
            }
            for (key, row) in kept {
                out.insert(key, vec![row]);
            }
            if let Some((key, _)) = small.first() {
                let other = key
                    .iter()
                    .zip(&is_time)
                    .map(|(value, is_time)| match is_time {
                        true => value.clone(),
                        false => "(other)".to_owned(),
                    });
                out.insert(
                    other.collect(),
                    small.iter().map(|(_, row)| row.clone()).collect(),
                );
            }
        }
        out
    }

    fn hidden(
        &self,
        rows: &BTreeMap<Vec<String>, Vec<Vec<usize>>>,
        spared: &BTreeSet<String>,
        events: &[Event],
    ) -> BTreeSet<Vec<String>> {
        let size = |groups: &Vec<Vec<usize>>| visitors(&groups.concat(), events);
        let mut hidden: BTreeSet<Vec<String>> = rows
            .iter()
            .filter(|(key, groups)| {
                let is_spared = key.iter().any(|value| spared.contains(value));
                size(groups) > 0 && (size(groups) < self.k || is_spared)
            })
            .map(|(key, _)| key.clone())
            .collect();
        let together: Vec<usize> = rows
            .iter()
            .filter(|(key, _)| hidden.contains(*key))
            .flat_map(|(_, groups)| groups.concat())
            .collect();
        if hidden.len() == 1 || (!hidden.is_empty() && visitors(&together, events) < self.k) {
            let next = rows
                .iter()
                .filter(|(key, _)| !hidden.contains(*key))
                .min_by_key(|(key, groups)| (size(groups) == 0, size(groups), (*key).clone()));
            hidden.extend(next.map(|(key, _)| key.clone()));
        }
        hidden
    }
}

impl Filter {
    fn json(&self) -> Value {
        match self {
            Filter::Leaf(operator, dimension, values) => json!([operator, dimension, values]),
            Filter::And(list) => json!(["and", list.iter().map(Filter::json).collect::<Vec<_>>()]),
            Filter::Or(list) => json!(["or", list.iter().map(Filter::json).collect::<Vec<_>>()]),
            Filter::Not(filter) => json!(["not", filter.json()]),
            Filter::Done(true, filter) => json!(["has_done", filter.json()]),
            Filter::Done(false, filter) => json!(["has_not_done", filter.json()]),
        }
    }

    fn holds(&self, i: usize, world: &World<'_>) -> bool {
        match self {
            Filter::And(list) => list.iter().all(|filter| filter.holds(i, world)),
            Filter::Or(list) => list.iter().any(|filter| filter.holds(i, world)),
            Filter::Not(filter) => !filter.holds(i, world),
            Filter::Done(is_done, filter) => {
                let visit = world.events[i].visit;
                let of_visit = (0..world.events.len()).filter(|j| world.events[*j].visit == visit);
                *is_done == of_visit.into_iter().any(|j| filter.holds(j, world))
            }
            Filter::Leaf(operator, "event:goal", values) => {
                let event = &world.events[i];
                let is_goal = values.iter().any(|goal| match goal.strip_prefix("Visit ") {
                    Some(path) => event.name == "pageview" && event.path == path,
                    None => {
                        event.name == *goal
                            && !["pageview", "engagement", "web_vitals"].contains(goal)
                    }
                });
                is_goal == (*operator == "is")
            }
            Filter::Leaf(operator, dimension, values) => {
                let value = world.value(dimension, i);
                let bare = if value == "(not set)" {
                    ""
                } else {
                    value.as_str()
                };
                match *operator {
                    "is" => values.contains(&value.as_str()),
                    "is_not" => !values.contains(&value.as_str()),
                    "contains" => values.iter().any(|v| bare.contains(v)),
                    "contains_not" => !values.iter().any(|v| bare.contains(v)),
                    "matches" => values
                        .iter()
                        .any(|v| regex::Regex::new(v).unwrap().is_match(bare)),
                    other => panic!("operator {other}"),
                }
            }
        }
    }
}

impl Range {
    fn contains(&self, event: &Event) -> bool {
        match self {
            Range::Days(first, last) => (*first..=*last).contains(&event.day),
            Range::Instants(from, to) => (*from..*to + 1_000).contains(&event.ts_ms),
        }
    }
}

pub(crate) struct World<'a> {
    pub(crate) events: &'a [Event],
    pub(crate) visits: &'a BTreeMap<u64, Vec<usize>>,
    zone: &'a TimeZone,
    range: &'a Range,
}

impl World<'_> {
    /// The rows an event is counted in: one, but for each property that it carries where names are divided by.
    fn keys(&self, dimensions: &[&str], i: usize) -> Vec<Vec<String>> {
        let mut keys = vec![Vec::new()];
        for dimension in dimensions {
            let values: Vec<String> = match *dimension {
                "event:props" => {
                    let props = self.events[i].props.iter();
                    props.map(|(name, _)| name.clone()).collect()
                }
                _ => vec![self.value(dimension, i)],
            };
            let longer = keys.iter().flat_map(|key: &Vec<String>| {
                let with = |value: &String| [key.as_slice(), std::slice::from_ref(value)].concat();
                values.iter().map(with)
            });
            keys = longer.collect();
        }
        keys
    }

    pub(crate) fn value(&self, dimension: &str, i: usize) -> String {
        let event = &self.events[i];
        let visit = &self.visits[&event.visit];
        let first = &self.events[visit[0]];
        let mut pages = visit
            .iter()
            .map(|i| &self.events[*i])
            .filter(|event| event.name == "pageview");
        let value = match dimension {
            "event:page" => event.path.clone(),
            "event:hostname" => event.hostname.clone(),
            "event:name" | "event:goal" => event.name.clone(),
            "event:currency" => event.currency.clone(),
            "visit:source" => first.source.clone(),
            "visit:country" => first.country.clone(),
            "visit:device" => first.device.clone(),
            "visit:utm_term" => first.utm_term.clone(),
            "visit:days_since_last" => first.days_since_last.clone(),
            "visit:hour" | "visit:weekday" => {
                let first = Timestamp::from_millisecond(first.ts_ms).unwrap();
                let first = first.to_zoned(self.zone.clone());
                match dimension {
                    "visit:hour" => format!("{:02}", first.hour()),
                    _ => first.weekday().to_monday_one_offset().to_string(),
                }
            }
            "visit:entry_page" => pages.next().map_or(String::new(), |page| page.path.clone()),
            "visit:exit_page" => pages
                .next_back()
                .map_or(String::new(), |page| page.path.clone()),
            "time:month" | "time:week" | "time:day" | "time:hour" | "time:minute" => {
                return self.time(dimension, event);
            }
            _ => {
                let prop = dimension.strip_prefix("event:props:").expect(dimension);
                let found = event.props.iter().find(|(name, _)| name == prop);
                found.map_or(String::new(), |(_, value)| value.clone())
            }
        };
        if value.is_empty() {
            "(not set)".into()
        } else {
            value
        }
    }

    fn time(&self, dimension: &str, event: &Event) -> String {
        let at: Zoned = Timestamp::from_millisecond(event.ts_ms)
            .unwrap()
            .to_zoned(self.zone.clone());
        let is_instants = matches!(self.range, Range::Instants(..));
        let day: jiff::civil::Date = if is_instants {
            at.date()
        } else {
            date(event.day).parse().unwrap()
        };
        let clock = |format: &str, last: &str| {
            if at.date() > day {
                format!("{day} {last}")
            } else {
                at.strftime(format).to_string()
            }
        };
        match dimension {
            "time:month" => day.first_of_month().to_string(),
            "time:week" => {
                let mut monday = day;
                while monday.weekday() != jiff::civil::Weekday::Monday {
                    monday = monday.yesterday().unwrap();
                }
                monday.to_string()
            }
            "time:day" => day.to_string(),
            "time:hour" => clock("%Y-%m-%d %H:00:00", "23:00:00"),
            _ => clock("%Y-%m-%d %H:%M:00", "23:59:00"),
        }
    }
}

/// The events of each visit, by time and then arrival.
fn visits(events: &[Event]) -> BTreeMap<u64, Vec<usize>> {
    let mut visits: BTreeMap<u64, Vec<usize>> = BTreeMap::new();
    for (i, event) in events.iter().enumerate() {
        visits.entry(event.visit).or_default().push(i);
    }
    for of_visit in visits.values_mut() {
        of_visit.sort_by_key(|i| (events[*i].ts_ms, *i));
    }
    visits
}

fn visitors(rows: &[usize], events: &[Event]) -> usize {
    rows.iter()
        .map(|i| events[*i].visitor)
        .collect::<BTreeSet<_>>()
        .len()
}

/// Which events a breakdown is about.
fn is_about(dimension: &str, event: &Event) -> bool {
    match dimension {
        "event:goal" => !["pageview", "engagement", "web_vitals"].contains(&event.name.as_str()),
        "event:page" | "event:hostname" => true,
        "event:props" => {
            !event.props.is_empty() && !["engagement", "web_vitals"].contains(&event.name.as_str())
        }
        dimension if dimension.starts_with("event:") => {
            !["engagement", "web_vitals"].contains(&event.name.as_str())
        }
        _ => true,
    }
}

fn date(day: u16) -> String {
    brine::salts::period::date_of(day).to_string()
}
