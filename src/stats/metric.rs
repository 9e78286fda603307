//! Metrics: what is counted, in three steps that can be taken apart and joined.
//!
//! Comes in: a name such as `bounce_rate`. Goes out: its `Part`s and the SQL that joins them. A part is
//! first worked out for a cell (the events that one visit has in one row), then aggregated over the cells
//! of a row as a ClickHouse aggregate state, and states are merged where rows are folded. Thereby a folded
//! row is counted, not added up: a visitor on two folded pages is one visitor.

/// One metric, by its name in the query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Meaning: the module's document.
pub enum Metric {
    AverageRevenue,
    BounceRate,
    Cls,
    ConsentRate,
    ConversionRate,
    Devices,
    EngagementTime,
    Events,
    Fcp,
    GroupConversionRate,
    Inp,
    Lcp,
    Pageviews,
    Percentage,
    ScrollDepth,
    TotalRevenue,
    Ttfb,
    ViewsPerVisit,
    VisitDuration,
    Visitors,
    Visits,
}

/// What a row keeps so that its metrics, and those of rows folded together, can be finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Part {
    Visitors,
    Visits,
    Pageviews,
    Events,
    Engaged,
    Scroll,
    /// Visitors whose events carried a depth.
    ScrollVisitors,
    Began,
    /// Visitors of these visits.
    BeganVisitors,
    Bounces,
    Duration,
    Devices,
    Revenue,
    Sales,
    Currencies,
    Buyers,
    Vital(Vital),
    /// Visitors whose events carried the vital.
    VitalVisitors(Vital),
}

/// A web vital.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Vital {
    Cls,
    Fcp,
    Inp,
    Lcp,
    Ttfb,
}

impl Metric {
    /// All metrics, in the order of their names.
    pub const ALL: [Metric; 21] = [
        Metric::AverageRevenue,
        Metric::BounceRate,
        Metric::Cls,
        Metric::ConsentRate,
        Metric::ConversionRate,
        Metric::Devices,
        Metric::EngagementTime,
        Metric::Events,
        Metric::Fcp,
        Metric::GroupConversionRate,
        Metric::Inp,
        Metric::Lcp,
        Metric::Pageviews,
        Metric::Percentage,
        Metric::ScrollDepth,
        Metric::TotalRevenue,
        Metric::Ttfb,
        Metric::ViewsPerVisit,
        Metric::VisitDuration,
        Metric::Visitors,
        Metric::Visits,
    ];

    /// Returns its name in the query.
    pub fn name(self) -> &'static str {
        match self {
            Metric::AverageRevenue => "average_revenue",
            Metric::BounceRate => "bounce_rate",
            Metric::Cls => "cls",
            Metric::ConsentRate => "consent_rate",
            Metric::ConversionRate => "conversion_rate",
            Metric::Devices => "devices",
            Metric::EngagementTime => "engagement_time",
            Metric::Events => "events",
            Metric::Fcp => "fcp",
            Metric::GroupConversionRate => "group_conversion_rate",
            Metric::Inp => "inp",
            Metric::Lcp => "lcp",
            Metric::Pageviews => "pageviews",
            Metric::Percentage => "percentage",
            Metric::ScrollDepth => "scroll_depth",
            Metric::TotalRevenue => "total_revenue",
            Metric::Ttfb => "ttfb",
            Metric::ViewsPerVisit => "views_per_visit",
            Metric::VisitDuration => "visit_duration",
            Metric::Visitors => "visitors",
            Metric::Visits => "visits",
        }
    }

    /// Reads a name.
    pub fn parse(name: &str) -> Option<Metric> {
        Metric::ALL.into_iter().find(|metric| metric.name() == name)
    }

    /// Returns how many decimals are shown.
    pub fn decimals(self) -> i32 {
        match self {
            Metric::Cls => 3,
            Metric::AverageRevenue
            | Metric::ConversionRate
            | Metric::GroupConversionRate
            | Metric::Percentage
            | Metric::TotalRevenue
            | Metric::ViewsPerVisit => 2,
            Metric::BounceRate | Metric::ConsentRate | Metric::ScrollDepth => 1,
            Metric::Devices
            | Metric::EngagementTime
            | Metric::Events
            | Metric::Fcp
            | Metric::Inp
            | Metric::Lcp
            | Metric::Pageviews
            | Metric::Ttfb
            | Metric::VisitDuration
            | Metric::Visitors
            | Metric::Visits => 0,
        }
    }

    /// Tells whether it describes visits, and so belongs to the row in which a visit began.
    pub(super) fn is_of_visit(self) -> bool {
        matches!(self, Metric::BounceRate | Metric::VisitDuration)
    }

    /// Tells whether it is an amount of money.
    pub fn is_money(self) -> bool {
        matches!(self, Metric::AverageRevenue | Metric::TotalRevenue)
    }

    /// Returns what it is made of; visitors are always counted, for the protection of small rows.
    pub(super) fn parts(self) -> &'static [Part] {
        match self {
            Metric::AverageRevenue => &[Part::Revenue, Part::Sales, Part::Currencies, Part::Buyers],
            Metric::BounceRate => &[Part::Began, Part::BeganVisitors, Part::Bounces],
            Metric::Cls => &[Part::Vital(Vital::Cls), Part::VitalVisitors(Vital::Cls)],
            // Counted from choices, not from events: put in when the answer is made.
            Metric::ConsentRate => &[],
            Metric::ConversionRate
            | Metric::GroupConversionRate
            | Metric::Percentage
            | Metric::Visitors => &[Part::Visitors],
            Metric::Devices => &[Part::Devices],
            Metric::EngagementTime => &[Part::Engaged, Part::Visits],
            Metric::Events => &[Part::Events],
            Metric::Fcp => &[Part::Vital(Vital::Fcp), Part::VitalVisitors(Vital::Fcp)],
            Metric::Inp => &[Part::Vital(Vital::Inp), Part::VitalVisitors(Vital::Inp)],
            Metric::Lcp => &[Part::Vital(Vital::Lcp), Part::VitalVisitors(Vital::Lcp)],
            Metric::Pageviews => &[Part::Pageviews],
            Metric::ScrollDepth => &[Part::Scroll, Part::ScrollVisitors],
            Metric::TotalRevenue => &[Part::Revenue, Part::Currencies, Part::Buyers],
            Metric::Ttfb => &[Part::Vital(Vital::Ttfb), Part::VitalVisitors(Vital::Ttfb)],
            Metric::ViewsPerVisit => &[Part::Pageviews, Part::Visits],
            Metric::VisitDuration => &[Part::Began, Part::BeganVisitors, Part::Duration],
            Metric::Visits => &[Part::Visits],
        }
    }

    /// Returns the finished figure over merged parts (`p_…`), without a value where there is none.
    /// `least` visitors must stand behind a vital, a depth or an amount, which few of a row's may have; `total` is the expression for the
    /// visitors that a percentage or conversion rate is of.
    pub(super) fn sql(self, least: u32, total: &str) -> String {
        let share = |part: &str, whole: &str, factor: &str| {
            format!("if({whole} = 0, NULL, {factor}{part} / {whole})")
        };
        let vital = |vital: Vital| {
            let name = vital.name();
            format!("if(p_{name}_visitors < {least}, NULL, p_{name})")
        };
        // One currency is an amount; none is nothing; several cannot be added.
        let money = |value: &str| {
            format!(
                "if(length(p_currencies) != 1 OR p_buyers < {least} OR is_withheld, NULL, {value})"
            )
        };
        // A page may be seen by many, of whom few began their visit there.
        let of_began = |figure: String| {
            format!(
                "if(p_began_visitors < {least} AND p_began_visitors < p_visitors, NULL, {figure})"
            )
        };
        match self {
            Metric::AverageRevenue => money("p_revenue / p_sales"),
            Metric::BounceRate => of_began(share("p_bounces", "p_began", "100 * ")),
            Metric::Cls => vital(Vital::Cls),
            Metric::ConsentRate => "NULL".into(),
            Metric::ConversionRate | Metric::Percentage => share("p_visitors", total, "100 * "),
            Metric::Devices => "p_devices".into(),
            Metric::EngagementTime => share("p_engaged", "p_visits", "0.001 * "),
            Metric::Events => "p_events".into(),
            Metric::Fcp => vital(Vital::Fcp),
            // Visitors of the row without the goal filter: `sql.rs` joins them to the rows.
            Metric::GroupConversionRate => share("p_visitors", "p_base", "100 * "),
            Metric::Inp => vital(Vital::Inp),
            Metric::Lcp => vital(Vital::Lcp),
            Metric::Pageviews => "p_pageviews".into(),
            Metric::ScrollDepth => format!("if(p_scroll_visitors < {least}, NULL, p_scroll)"),
            Metric::TotalRevenue => money("p_revenue"),
            Metric::Ttfb => vital(Vital::Ttfb),
            Metric::ViewsPerVisit => share("p_pageviews", "p_visits", ""),
            Metric::VisitDuration => of_began(share("p_duration", "p_began", "0.001 * ")),
            Metric::Visitors => "p_visitors".into(),
            Metric::Visits => "p_visits".into(),
        }
    }
}

impl Part {
    /// Returns its name, to be put behind `s_` (state) or `p_` (merged).
    pub(super) fn name(self) -> String {
        match self {
            Part::Visitors => "visitors".into(),
            Part::Visits => "visits".into(),
            Part::Pageviews => "pageviews".into(),
            Part::Events => "events".into(),
            Part::Engaged => "engaged".into(),
            Part::Scroll => "scroll".into(),
            Part::ScrollVisitors => "scroll_visitors".into(),
            Part::Began => "began".into(),
            Part::BeganVisitors => "began_visitors".into(),
            Part::Bounces => "bounces".into(),
            Part::Duration => "duration".into(),
            Part::Devices => "devices".into(),
            Part::Revenue => "revenue".into(),
            Part::Sales => "sales".into(),
            Part::Currencies => "currencies".into(),
            Part::Buyers => "buyers".into(),
            Part::Vital(vital) => vital.name().into(),
            Part::VitalVisitors(vital) => format!("{}_visitors", vital.name()),
        }
    }

    /// Returns the columns of a cell it needs, worked out from the cell's events. What describes the visit
    /// as a whole (`c_began`, `c_bounce`, `c_duration`) is not here: it comes from the visit.
    pub(super) fn cell(self) -> Vec<(String, String)> {
        let column = |name: &str, sql: &str| (format!("c_{name}"), sql.to_owned());
        match self {
            Part::Visitors => vec![column("visitor", "any(visitor)")],
            Part::Visits | Part::Began | Part::BeganVisitors | Part::Bounces | Part::Duration => {
                Vec::new()
            }
            Part::Pageviews => vec![column("pageviews", "countIf(name = 'pageview')")],
            Part::Events => vec![column(
                "events",
                "countIf(name NOT IN ('engagement', 'web_vitals'))",
            )],
            Part::Engaged => vec![column("engaged", "sum(engagement_ms)")],
            Part::Scroll | Part::ScrollVisitors => {
                // 255 is "unknown"; nothing is deeper than the whole page.
                vec![column(
                    "scroll",
                    "maxOrNullIf(scroll_depth, scroll_depth <= 100)",
                )]
            }
            Part::Devices => {
                vec![column(
                    "devices",
                    "groupUniqArrayIf(device_id, device_id != 0)",
                )]
            }
            Part::Revenue => vec![column("revenue", "sum(revenue)")],
            Part::Sales | Part::Buyers => vec![column("sales", "countIf(currency != '')")],
            Part::Currencies => {
                vec![column(
                    "currencies",
                    "groupUniqArrayIf(toString(currency), currency != '')",
                )]
            }
            Part::Vital(vital) | Part::VitalVisitors(vital) => {
                vec![column(
                    vital.name(),
                    &format!("groupArray({})", vital.column()),
                )]
            }
        }
    }

    /// Returns the same columns for a cell that is a single event: where nothing is asked about what a visit
    /// did as a whole, events need not be grouped by visit first. `None` where it must know.
    pub(super) fn event(self) -> Option<Vec<(String, String)>> {
        let column = |name: &str, sql: &str| Some(vec![(format!("c_{name}"), sql.to_owned())]);
        match self {
            Part::Visitors => column("visitor", "visitor"),
            Part::Visits | Part::Began | Part::BeganVisitors | Part::Bounces => Some(Vec::new()),
            Part::Pageviews => column("pageviews", "toUInt64(name = 'pageview')"),
            Part::Events => column(
                "events",
                "toUInt64(name NOT IN ('engagement', 'web_vitals'))",
            ),
            Part::Engaged => column("engaged", "engagement_ms"),
            Part::Devices => column("devices", "arrayFilter(device -> device != 0, [device_id])"),
            Part::Revenue => column("revenue", "revenue"),
            Part::Sales | Part::Buyers => column("sales", "toUInt64(currency != '')"),
            Part::Currencies => column(
                "currencies",
                "arrayFilter(code -> code != '', [toString(currency)])",
            ),
            Part::Vital(vital) | Part::VitalVisitors(vital) => {
                let value = vital.column();
                let sql = format!("if(isNull({value}), [], [assumeNotNull({value})])");
                column(vital.name(), &sql)
            }
            Part::Scroll | Part::ScrollVisitors | Part::Duration => None,
        }
    }

    /// Returns the aggregate function over cells, and its arguments. `is_split` says that a visit may have
    /// several cells.
    pub(super) fn aggregate(self, is_split: bool) -> (&'static str, String) {
        let of = |function, arguments: &str| (function, arguments.to_owned());
        match self {
            Part::Visitors => of("uniqExact", "c_visitor"),
            Part::Visits if is_split => of("uniqExact", "visit"),
            Part::Visits => of("count", ""),
            Part::Pageviews => of("sum", "c_pageviews"),
            Part::Events => of("sum", "c_events"),
            Part::Engaged => of("sum", "c_engaged"),
            Part::Scroll => of("avg", "c_scroll"),
            Part::ScrollVisitors => of("uniqExactIf", "c_visitor, isNotNull(c_scroll)"),
            Part::Began if is_split => of("uniqExactIf", "visit, c_began"),
            Part::Began => of("countIf", "c_began"),
            Part::BeganVisitors => of("uniqExactIf", "c_visitor, c_began"),
            Part::Bounces if is_split => of("uniqExactIf", "visit, c_began AND c_bounce"),
            Part::Bounces => of("countIf", "c_began AND c_bounce"),
            Part::Duration => of("sumIf", "c_duration, c_began"),
            Part::Devices => of("uniqExactArray", "c_devices"),
            Part::Revenue => of("sum", "c_revenue"),
            Part::Sales => of("sum", "c_sales"),
            Part::Currencies => of("groupUniqArrayArray", "c_currencies"),
            Part::Buyers => of("uniqExactIf", "c_visitor, c_sales > 0"),
            // Exact, so that a number can be checked; four bytes a value under the query's memory limit.
            Part::Vital(vital) => ("quantileExactArray", format!("c_{}", vital.name())),
            Part::VitalVisitors(vital) => (
                "uniqExactIf",
                format!("c_visitor, notEmpty(c_{})", vital.name()),
            ),
        }
    }

    /// Returns the aggregate function's parameters.
    pub(super) fn parameters(self) -> &'static str {
        match self {
            Part::Vital(_) => "(0.75)",
            _ => "",
        }
    }

    /// Tells whether it needs to know what the visit was as a whole.
    pub(super) fn is_of_visit(self) -> bool {
        matches!(
            self,
            Part::Began | Part::BeganVisitors | Part::Bounces | Part::Duration
        )
    }
}

impl Vital {
    pub(super) fn name(self) -> &'static str {
        match self {
            Vital::Cls => "cls",
            Vital::Fcp => "fcp",
            Vital::Inp => "inp",
            Vital::Lcp => "lcp",
            Vital::Ttfb => "ttfb",
        }
    }

    /// Returns its column in `events`, and in `daily`.
    pub(super) fn column(self) -> &'static str {
        match self {
            Vital::Cls => "cls",
            Vital::Fcp => "fcp_ms",
            Vital::Inp => "inp_ms",
            Vital::Lcp => "lcp_ms",
            Vital::Ttfb => "ttfb_ms",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_read_by_its_name() {
        for metric in Metric::ALL {
            assert_eq!(Metric::parse(metric.name()), Some(metric));
        }
        assert_eq!(Metric::parse("visitor"), None);
    }

    #[test]
    fn every_figure_is_made_of_its_own_parts() {
        for metric in Metric::ALL {
            let sql = metric.sql(1, "p_visitors");
            let used: Vec<&str> = sql
                .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
                .filter(|word| word.starts_with("p_"))
                .collect();
            let parts = metric.parts().iter().map(|part| part.name());
            // The group's visitors without the goal: a statement beside the parts (sql.rs).
            let beside = (metric == Metric::GroupConversionRate).then(|| "base".to_owned());
            let beside = beside.into_iter().chain(["visitors".to_owned()]);
            let made_of: Vec<String> = parts
                .chain(beside)
                .map(|name| format!("p_{name}"))
                .collect();
            for part in used {
                assert!(
                    made_of.iter().any(|name| name == part),
                    "{part} in {}",
                    metric.name()
                );
            }
        }
    }
}
