//! Dimensions: what numbers can be divided by, and what filters can ask about.
//!
//! Comes in: a name such as `visit:source`. Goes out: a [`Dimension`] that knows what it is a property of
//! (an event, or the visit as a whole) and its SQL. An event's own property is a column of its row; a
//! visit's is that of its first event (entry page: of its first pageview; exit page: of its last), worked
//! out over the whole visit and named `v_…` in SQL.

use std::collections::BTreeSet;
use std::fmt;

use super::literal::literal;
use super::period::Step;

/// Shown for an empty value, and understood in filters as such.
pub const NOT_SET: &str = "(not set)";

/// Longest name of a property (bytes): as in the beacon.
const MAX_PROP_NAME: usize = 300;

/// Orders the events of one visit: by time, and within a millisecond by arrival. One number, because
/// `argMin` over a tuple takes several times as long.
pub(super) const AT: &str =
    "(bitShiftLeft(toUInt64(toUnixTimestamp64Milli(ts)), 20) + seq % 1048576)";

/// One dimension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// A property of the single event.
    Event(EventField),
    /// A property of the visit.
    Visit(VisitField),
    /// When the event happened; days, weeks and months: when the visit began.
    Time(Step),
}

/// Properties of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Named as in the query.
pub enum EventField {
    Currency,
    /// A custom event by name; in filters also `Visit /path`.
    Goal,
    Hostname,
    Name,
    Page,
    Prop(String),
    /// Names of its properties: an event is counted under each that it carries, and nowhere if it carries none.
    Props,
}

/// Properties of a visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VisitField {
    /// Path of its first pageview.
    EntryPage,
    /// Host of its first pageview.
    EntryHostname,
    /// Path of its last pageview.
    ExitPage,
    /// Host of its last pageview.
    ExitHostname,
    /// Hour of the site's clock at which it began, `00` to `23`.
    Hour,
    /// Weekday on which it began, `1` (Monday) to `7` (ISO 8601).
    Weekday,
    /// A column, as its first event has it.
    First(&'static str),
}

/// Columns that are asked for as `visit:` and their own name.
const FIRST: [&str; 20] = [
    "app_version",
    "browser",
    "browser_version",
    "channel",
    "city",
    "country",
    "days_since_last",
    "device",
    "language",
    "os",
    "os_version",
    "platform",
    "referrer",
    "region",
    "screen",
    "source",
    "utm_campaign",
    "utm_content",
    "utm_medium",
    "utm_source",
];

/// Names of all dimensions but those of properties.
pub(super) fn names() -> impl Iterator<Item = String> {
    let event = ["name", "page", "hostname", "goal", "currency", "props"];
    let visit = [
        "entry_page",
        "entry_page_hostname",
        "exit_page",
        "exit_page_hostname",
        "hour",
        "weekday",
        "utm_term",
    ];
    let time = ["minute", "hour", "day", "week", "month"];
    let event = event.into_iter().map(|name| format!("event:{name}"));
    let visit = visit
        .into_iter()
        .chain(FIRST)
        .map(|name| format!("visit:{name}"));
    let time = time.into_iter().map(|name| format!("time:{name}"));
    event.chain(visit).chain(time)
}

impl Dimension {
    /// Reads a name; `natural` is the step that a bare `time` stands for.
    ///
    /// # Errors
    /// Why it is none.
    pub(super) fn parse(name: &str, natural: Step) -> Result<Dimension, String> {
        let unknown = || {
            Err(format!(
                "is no dimension; there are event:{{name,page,hostname,goal,currency,props,props:NAME}}, \
                 visit:{{entry_page,entry_page_hostname,exit_page,exit_page_hostname,hour,weekday,utm_term,{}}} and \
                 time:{{minute,hour,day,week,month}}",
                FIRST.join(",")
            ))
        };
        let Some((scope, field)) = name.split_once(':') else {
            return match name {
                "time" => Ok(Dimension::Time(natural)),
                _ => unknown(),
            };
        };
        Ok(match (scope, field) {
            ("event", "currency") => Dimension::Event(EventField::Currency),
            ("event", "goal") => Dimension::Event(EventField::Goal),
            ("event", "hostname") => Dimension::Event(EventField::Hostname),
            ("event", "name") => Dimension::Event(EventField::Name),
            ("event", "page") => Dimension::Event(EventField::Page),
            ("event", "props") => Dimension::Event(EventField::Props),
            ("event", field) => match field.strip_prefix("props:") {
                Some(prop) if !prop.is_empty() && prop.len() <= MAX_PROP_NAME => {
                    Dimension::Event(EventField::Prop(prop.to_owned()))
                }
                _ => return unknown(),
            },
            ("visit", "entry_page") => Dimension::Visit(VisitField::EntryPage),
            ("visit", "entry_page_hostname") => Dimension::Visit(VisitField::EntryHostname),
            ("visit", "exit_page") => Dimension::Visit(VisitField::ExitPage),
            ("visit", "exit_page_hostname") => Dimension::Visit(VisitField::ExitHostname),
            ("visit", "hour") => Dimension::Visit(VisitField::Hour),
            ("visit", "weekday") => Dimension::Visit(VisitField::Weekday),
            ("visit", "utm_term") => Dimension::Visit(VisitField::First("utm_term")),
            ("visit", field) => match FIRST.iter().find(|column| **column == field) {
                Some(column) => Dimension::Visit(VisitField::First(column)),
                None => return unknown(),
            },
            ("time", "minute") => Dimension::Time(Step::Minute),
            ("time", "hour") => Dimension::Time(Step::Hour),
            ("time", "day") => Dimension::Time(Step::Day),
            ("time", "week") => Dimension::Time(Step::Week),
            ("time", "month") => Dimension::Time(Step::Month),
            _ => return unknown(),
        })
    }

    /// Returns the step of a time dimension.
    pub fn step(&self) -> Option<Step> {
        match self {
            Dimension::Time(step) => Some(*step),
            Dimension::Event(_) | Dimension::Visit(_) => None,
        }
    }

    /// Tells whether two events of one visit can differ in it.
    pub(super) fn is_of_event(&self) -> bool {
        match self {
            Dimension::Event(_) => true,
            Dimension::Visit(_) => false,
            Dimension::Time(step) => *step < Step::Day,
        }
    }
}

impl EventField {
    /// Returns the column.
    pub(super) fn sql(&self) -> String {
        match self {
            EventField::Currency => "currency".into(),
            EventField::Goal => "if(name = 'pageview', concat('Visit ', path), name)".into(),
            EventField::Name => "name".into(),
            EventField::Hostname => "hostname".into(),
            EventField::Page => "path".into(),
            EventField::Prop(name) => format!("props[{}]", literal(name)),
            EventField::Props => "arrayJoin(mapKeys(props))".into(),
        }
    }

    /// Returns which events a breakdown by it is about; `goals` are the site's, by its configuration. Engagement and web vitals are nothing that a
    /// visitor did; pages and hosts keep them, because what they report belongs there.
    pub(super) fn only(&self, goals: &[String]) -> Option<String> {
        match self {
            EventField::Currency | EventField::Name | EventField::Prop(_) | EventField::Props => {
                Some("name NOT IN ('engagement', 'web_vitals')".into())
            }
            EventField::Goal if goals.is_empty() => {
                Some("name NOT IN ('pageview', 'engagement', 'web_vitals')".into())
            }
            EventField::Goal => Some(goals_sql(goals.iter().map(String::as_str))),
            EventField::Hostname | EventField::Page => None,
        }
    }
}

/// The condition for an event that is one of these goals: a pageview of a path, or an event by its name.
pub(super) fn goals_sql<'a>(goals: impl Iterator<Item = &'a str>) -> String {
    let goals: BTreeSet<String> = goals
        .map(|goal| match goal.strip_prefix("Visit ") {
            Some(path) => format!("(name = 'pageview' AND path = {})", literal(path)),
            None => format!(
                "(name = {} AND name NOT IN ('pageview', 'engagement', 'web_vitals'))",
                literal(goal)
            ),
        })
        .collect();
    format!("({})", goals.into_iter().collect::<Vec<_>>().join(" OR "))
}

impl VisitField {
    /// Returns its name in SQL.
    pub(super) fn alias(self) -> String {
        match self {
            VisitField::EntryPage => "v_entry_page".into(),
            VisitField::EntryHostname => "v_entry_hostname".into(),
            VisitField::ExitPage => "v_exit_page".into(),
            VisitField::ExitHostname => "v_exit_hostname".into(),
            VisitField::Hour => "v_hour".into(),
            VisitField::Weekday => "v_weekday".into(),
            VisitField::First(column) => format!("v_{column}"),
        }
    }

    /// Tells whether `daily` has its values.
    pub(super) fn is_daily(self) -> bool {
        !matches!(self, VisitField::Hour | VisitField::Weekday)
    }

    /// Returns how it is worked out from the events of a visit; `zone` is the literal of the site's time zone.
    pub(super) fn sql(self, zone: &str) -> String {
        match self {
            VisitField::Hour => format!("leftPad(toString(toHour(min(ts), {zone})), 2, '0')"),
            VisitField::Weekday => format!("toString(toDayOfWeek(min(ts), 0, {zone}))"),
            VisitField::EntryPage => format!("argMinIf(path, {AT}, name = 'pageview')"),
            VisitField::EntryHostname => format!("argMinIf(hostname, {AT}, name = 'pageview')"),
            VisitField::ExitPage => format!("argMaxIf(path, {AT}, name = 'pageview')"),
            VisitField::ExitHostname => format!("argMaxIf(hostname, {AT}, name = 'pageview')"),
            VisitField::First(column) => format!("argMin({column}, {AT})"),
        }
    }
}

impl fmt::Display for Dimension {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Dimension::Event(EventField::Currency) => f.write_str("event:currency"),
            Dimension::Event(EventField::Goal) => f.write_str("event:goal"),
            Dimension::Event(EventField::Hostname) => f.write_str("event:hostname"),
            Dimension::Event(EventField::Name) => f.write_str("event:name"),
            Dimension::Event(EventField::Page) => f.write_str("event:page"),
            Dimension::Event(EventField::Prop(name)) => write!(f, "event:props:{name}"),
            Dimension::Event(EventField::Props) => f.write_str("event:props"),
            Dimension::Visit(VisitField::EntryPage) => f.write_str("visit:entry_page"),
            Dimension::Visit(VisitField::EntryHostname) => f.write_str("visit:entry_page_hostname"),
            Dimension::Visit(VisitField::ExitPage) => f.write_str("visit:exit_page"),
            Dimension::Visit(VisitField::ExitHostname) => f.write_str("visit:exit_page_hostname"),
            Dimension::Visit(VisitField::Hour) => f.write_str("visit:hour"),
            Dimension::Visit(VisitField::Weekday) => f.write_str("visit:weekday"),
            Dimension::Visit(VisitField::First(column)) => write!(f, "visit:{column}"),
            Dimension::Time(Step::Minute) => f.write_str("time:minute"),
            Dimension::Time(Step::Hour) => f.write_str("time:hour"),
            Dimension::Time(Step::Day) => f.write_str("time:day"),
            Dimension::Time(Step::Week) => f.write_str("time:week"),
            Dimension::Time(Step::Month) => f.write_str("time:month"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_and_written_alike() {
        let mut names: Vec<String> = FIRST
            .iter()
            .map(|column| format!("visit:{column}"))
            .collect();
        for name in [
            "event:name",
            "event:page",
            "event:hostname",
            "event:goal",
            "event:currency",
            "event:props",
            "event:props:a:b",
            "visit:entry_page",
            "visit:entry_page_hostname",
            "visit:exit_page",
            "visit:exit_page_hostname",
            "visit:hour",
            "visit:weekday",
            "visit:utm_term",
            "time:minute",
            "time:hour",
            "time:day",
            "time:week",
            "time:month",
        ] {
            names.push(name.to_owned());
        }
        for name in names {
            let read = Dimension::parse(&name, Step::Day).unwrap();
            assert_eq!(read.to_string(), name);
        }
        assert_eq!(
            Dimension::parse("time", Step::Month),
            Ok(Dimension::Time(Step::Month))
        );
    }

    #[test]
    fn other_columns_cannot_be_asked_for() {
        for name in [
            "",
            "visitor",
            "visit:visitor",
            "event:visit",
            "event:device_id",
            "visit:batch_id",
            "event:props:",
            "time:",
            "time:year",
            "visit:source'",
        ] {
            assert!(Dimension::parse(name, Step::Day).is_err(), "{name}");
        }
    }
}
