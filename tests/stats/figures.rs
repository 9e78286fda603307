//! The figures of one row, counted by hand.

use std::collections::{BTreeMap, BTreeSet};

use brine::event::Event;

use super::model::{Question, World};

/// A row of the answer by hand, as the groups of events it was folded from.
pub(crate) struct Row<'a> {
    pub(crate) groups: &'a [Vec<usize>],
    pub(crate) question: &'a Question,
    pub(crate) world: &'a World<'a>,
    pub(crate) least: usize,
    pub(crate) matched: usize,
}

impl Row<'_> {
    pub(crate) fn figure(&self, metric: &str) -> Option<f64> {
        let events = self.world.events;
        let all: Vec<usize> = self.groups.concat();
        let count = |test: &dyn Fn(&Event) -> bool| {
            all.iter().filter(|i| test(&events[**i])).count() as f64
        };
        let distinct = |of: &dyn Fn(&Event) -> u64| {
            all.iter()
                .map(|i| of(&events[*i]))
                .filter(|id| *id != 0)
                .collect::<BTreeSet<_>>()
                .len()
        };
        let pageviews = count(&|event| event.name == "pageview");
        let visits = distinct(&|event| event.visit) as f64;
        let n_visitors = distinct(&|event| event.visitor) as f64;
        let ratio = |part: f64, whole: f64| (whole > 0.0).then(|| part / whole);
        let value = match metric {
            "visitors" => Some(n_visitors),
            "visits" => Some(visits),
            "devices" => Some(distinct(&|event| event.device_id) as f64),
            "pageviews" => Some(pageviews),
            "events" => Some(count(&|event| {
                !["engagement", "web_vitals"].contains(&event.name.as_str())
            })),
            "views_per_visit" => ratio(pageviews, visits),
            "percentage" => ratio(100.0 * n_visitors, self.matched as f64),
            "engagement_time" => {
                let ms: f64 = all
                    .iter()
                    .map(|i| f64::from(events[*i].engagement_ms))
                    .sum();
                ratio(0.001 * ms, visits)
            }
            "bounce_rate" | "visit_duration" if self.have_few_begun(n_visitors) => None,
            "bounce_rate" => {
                let begun = self.begun();
                let bounced = begun.iter().filter(|visit| self.is_bounce(**visit)).count();
                ratio(100.0 * bounced as f64, begun.len() as f64)
            }
            "visit_duration" => {
                let begun = self.begun();
                let ms: f64 = begun
                    .iter()
                    .map(|visit| self.duration_ms(*visit) as f64)
                    .sum();
                ratio(0.001 * ms, begun.len() as f64)
            }
            "scroll_depth" => self.scroll(),
            "total_revenue" | "average_revenue" => self.money(metric, &all),
            "lcp" => self.vital(&all, &|event| event.lcp_ms),
            "inp" => self.vital(&all, &|event| event.inp_ms),
            "cls" => self.vital(&all, &|event| event.cls),
            "ttfb" => self.vital(&all, &|event| event.ttfb_ms),
            "fcp" => self.vital(&all, &|event| event.fcp_ms),
            other => panic!("metric {other}"),
        };
        let decimals = match metric {
            "cls" => 3,
            "views_per_visit" | "percentage" | "total_revenue" | "average_revenue" => 2,
            "bounce_rate" | "scroll_depth" => 1,
            _ => 0,
        };
        let scale = 10_f64.powi(decimals);
        value.map(|value| (value * scale).round() / scale)
    }

    /// The row's visits that began in it.
    fn begun(&self) -> Vec<u64> {
        let events = self.world.events;
        let mut begun = BTreeSet::new();
        for i in self.groups.concat() {
            let visit = events[i].visit;
            let of_visit = &self.world.visits[&visit];
            let first_page = of_visit.iter().find(|i| events[**i].name == "pageview");
            let is_begun = self
                .question
                .dimensions
                .iter()
                .all(|dimension| match *dimension {
                    "event:page" | "event:hostname" => first_page.is_some_and(|page| {
                        self.world.value(dimension, i) == self.world.value(dimension, *page)
                    }),
                    time if time.starts_with("time:") => {
                        self.world.value(time, i) == self.world.value(time, of_visit[0])
                    }
                    _ => true,
                });
            if is_begun {
                begun.insert(visit);
            }
        }
        begun.into_iter().collect()
    }

    /// Tells whether of the row's visitors only few began a visit in it.
    fn have_few_begun(&self, n_visitors: f64) -> bool {
        let visitor = |visit: u64| self.world.events[self.world.visits[&visit][0]].visitor;
        let begun: BTreeSet<u64> = self.begun().into_iter().map(visitor).collect();
        begun.len() < self.least && (begun.len() as f64) < n_visitors
    }

    fn is_bounce(&self, visit: u64) -> bool {
        let of_visit = self.world.visits[&visit]
            .iter()
            .map(|i| &self.world.events[*i]);
        let (mut pageviews, mut interactions) = (0, 0);
        for event in of_visit {
            match event.name.as_str() {
                "pageview" => pageviews += 1,
                "engagement" | "web_vitals" => {}
                _ => interactions += usize::from(event.is_interactive),
            }
        }
        pageviews == 1 && interactions == 0
    }

    fn duration_ms(&self, visit: u64) -> i64 {
        let times = self.world.visits[&visit]
            .iter()
            .map(|i| self.world.events[*i].ts_ms);
        times.clone().max().unwrap() - times.min().unwrap()
    }

    fn scroll(&self) -> Option<f64> {
        let events = self.world.events;
        let mut depths = Vec::new();
        let mut carriers = BTreeSet::new();
        for group in self.groups {
            let mut deepest: BTreeMap<u64, u8> = BTreeMap::new();
            for i in group {
                let event = &events[*i];
                if event.scroll_depth <= 100 {
                    carriers.insert(event.visitor);
                    let depth = deepest.entry(event.visit).or_default();
                    *depth = event.scroll_depth.max(*depth);
                }
            }
            depths.extend(deepest.into_values().map(f64::from));
        }
        let is_shown = !depths.is_empty() && carriers.len() >= self.least;
        is_shown.then(|| depths.iter().sum::<f64>() / depths.len() as f64)
    }

    fn money(&self, metric: &str, all: &[usize]) -> Option<f64> {
        let sales: Vec<&Event> = all
            .iter()
            .map(|i| &self.world.events[*i])
            .filter(|event| !event.currency.is_empty())
            .collect();
        let currencies: BTreeSet<&str> =
            sales.iter().map(|event| event.currency.as_str()).collect();
        let buyers: BTreeSet<u64> = sales.iter().map(|event| event.visitor).collect();
        if currencies.len() != 1 || buyers.len() < self.least {
            return None;
        }
        let sum: f64 = sales.iter().map(|event| event.revenue).sum();
        Some(if metric == "total_revenue" {
            sum
        } else {
            sum / sales.len() as f64
        })
    }

    fn vital(&self, all: &[usize], of: &dyn Fn(&Event) -> Option<f32>) -> Option<f64> {
        let events = self.world.events;
        let carriers: BTreeSet<u64> = all
            .iter()
            .filter(|i| of(&events[**i]).is_some())
            .map(|i| events[*i].visitor)
            .collect();
        let mut values: Vec<f32> = all.iter().filter_map(|i| of(&events[*i])).collect();
        if values.is_empty() || carriers.len() < self.least {
            return None;
        }
        values.sort_by(f32::total_cmp);
        let rank = (values.len() as f64 * 0.75) as usize;
        Some(f64::from(values[rank.min(values.len() - 1)]))
    }
}
