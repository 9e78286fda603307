//! Which events a counting reads, what their visits were, and two questions about a site beside.

use jiff::Timestamp;

use crate::config::Site;
use crate::config::settings::Rotation;
use crate::rights::rows::restricted;
use crate::salts::period::date_of;
use crate::stats::dimension::{AT, VisitField};
use crate::stats::literal::literal;
use crate::stats::period::{Range, Step};
use crate::stats::rollup::{Spans, Stored};

/// The events a counting is about.
pub(in crate::stats) struct Events<'a> {
    pub(in crate::stats) site: &'a Site,
    pub(in crate::stats) range: Range,
    /// Days of it, where not all are asked for.
    pub(in crate::stats) only: Option<&'a Spans>,
    /// Where the site's days lie.
    pub(in crate::stats) stored: Option<&'a Stored>,
}

impl Events<'_> {
    /// The condition for the events of the range.
    pub(in crate::stats) fn selected(&self) -> String {
        let (first, last) = self.range.days(&self.site.time_zone);
        match self.range {
            Range::Days { .. } => self.on_days(first, last),
            Range::Instants { from, until } => {
                // An event after midnight may belong to a visit of the day before.
                let days = self.on_days(first.saturating_sub(1), last.saturating_add(1));
                format!("{days} AND {}", between(from, until))
            }
        }
    }

    /// The condition for all events of the visits that have one in the range.
    pub(in crate::stats) fn whole(&self) -> String {
        let (first, last) = self.range.days(&self.site.time_zone);
        if self.range_is_of_whole_visits() {
            return self.on_days(first, last);
        }
        self.on_days(first.saturating_sub(2), last.saturating_add(2))
    }

    /// Under daily salts a visit has one day. Under longer-lived ones a visit over midnight has events on
    /// two.
    pub(super) fn range_is_of_whole_visits(&self) -> bool {
        matches!(self.range, Range::Days { .. }) && self.site.rotation == Rotation::Day
    }

    /// Tells whether no day is asked for.
    pub(in crate::stats) fn are_none(&self) -> bool {
        self.only.is_some_and(Spans::is_empty)
    }

    fn on_days(&self, first: u16, last: u16) -> String {
        let id = literal(self.site.id.as_str());
        let days = match self.only {
            Some(spans) => spans.sql(),
            None => format!("day BETWEEN '{}' AND '{}'", date_of(first), date_of(last)),
        };
        // Those whose visitors had them restricted are kept, but not counted.
        let partitions = match (self.stored, self.only) {
            (None, _) => String::new(),
            (Some(stored), Some(spans)) => stored.sql(spans.all()),
            (Some(stored), None) => stored.sql(&[(first, last)]),
        };
        format!(
            "site = {id} AND {days}{partitions}{}",
            unrestricted(&id, self.stored)
        )
    }
}

/// The condition for visitors who are not restricted, with ` AND ` before it; empty where none is.
fn unrestricted(id: &str, stored: Option<&Stored>) -> String {
    match stored {
        Some(stored) if !stored.has_restrictions => String::new(),
        Some(_) | None => format!(" AND visitor NOT IN ({})", restricted(id)),
    }
}

fn between(from: Timestamp, until: Timestamp) -> String {
    let instant = |at: Timestamp| {
        format!(
            "fromUnixTimestamp64Milli(toInt64({}), 'UTC')",
            at.as_millisecond()
        )
    };
    format!("ts >= {} AND ts < {}", instant(from), instant(until))
}

pub(in crate::stats) fn join(
    fields: &[VisitField],
    visits: impl FnOnce(&[VisitField]) -> String,
) -> String {
    if fields.is_empty() {
        return String::new();
    }
    format!(" INNER JOIN {} AS visits USING (visit)", visits(fields))
}

pub(in crate::stats) fn visits(
    events: &Events<'_>,
    fields: &[VisitField],
    is_described: bool,
) -> String {
    format!(
        "SELECT visit, {} FROM events WHERE {} GROUP BY visit",
        visits_columns(events.site, fields, is_described).join(", "),
        events.whole()
    )
}

/// What a visit was: what is asked for, and (`is_described`) when it began, how long it took, whether it
/// bounced, and where it was entered.
pub(super) fn visits_columns(
    site: &Site,
    fields: &[VisitField],
    is_described: bool,
) -> Vec<String> {
    let zone = zone(site);
    let mut columns: Vec<String> = fields
        .iter()
        .map(|field| format!("{} AS {}", field.sql(&zone), field.alias()))
        .collect();
    if is_described {
        for field in [VisitField::EntryPage, VisitField::EntryHostname] {
            columns.push(format!("{} AS {}", field.sql(&zone), field.alias()));
        }
        columns.extend([
            format!("argMin(day, {AT}) AS v_day"),
            "min(ts) AS v_began".into(),
            "toUnixTimestamp64Milli(max(ts)) - toUnixTimestamp64Milli(min(ts)) AS v_duration"
                .into(),
            "countIf(name = 'pageview') AS v_pageviews".into(),
            "countIf(name = 'pageview') = 1 AND \
                 countIf(interactive AND name NOT IN ('pageview', 'engagement', 'web_vitals')) = 0 AS v_bounce"
                .into(),
        ]);
    }
    columns.sort();
    columns.dedup();
    columns
}

/// The literal of a site's time zone.
pub(in crate::stats) fn zone(site: &Site) -> String {
    literal(site.time_zone.iana_name().unwrap_or("UTC"))
}

/// Asks how many said yes and no, and how new the newest event is; 0: there is none. Where `stored` is given, that is looked
/// for on the last day that has events.
pub(in crate::stats) fn about(site: &Site, range: Range, stored: Option<&Stored>) -> String {
    let id = literal(site.id.as_str());
    let (first, last) = range.days(&site.time_zone);
    let (from, until) = Range::Days { first, last }.instants(&site.time_zone);
    let newest = match stored.map(|stored| (stored, stored.ends())) {
        None => format!("day = {}", edge_day(&id, "1", "DESC")),
        Some((_, None)) => "0".into(),
        Some((stored, Some((_, last)))) => {
            format!("day = '{}'{}", date_of(last), stored.sql(&[(last, last)]))
        }
    };
    format!(
        "SELECT \
         assumeNotNull((SELECT count() FROM consents WHERE site = {id} AND choice = 'grant' AND {})) AS grants, \
         toUInt64(ifNull((SELECT sum(denials) FROM denials WHERE site = {id} AND day BETWEEN '{}' AND '{}'), 0)) \
         AS denials, \
         toInt64(ifNull((SELECT max(toUnixTimestamp64Milli(ts)) FROM events WHERE site = {id} AND {newest}{}), 0)) \
         AS newest_ms",
        between(from, until),
        date_of(first),
        date_of(last),
        unrestricted(&id, stored),
    )
}

/// Asks which salts the site had, and when they were made: once a period, and again where one was replaced within it.
/// Several collectors of one chain each say so; the first of them counts.
pub(in crate::stats) fn salts(site: &Site, range: Range) -> String {
    let id = literal(site.id.as_str());
    let (_, last) = range.days(&site.time_zone);
    format!(
        "SELECT toUInt16(period) AS of_day, toUnixTimestamp64Milli(min(ts)) AS at_ms, \
         countIf(reason = 'first_start') > 0 AS is_first FROM salt_events \
         WHERE site = {id} AND step = 'created' AND period <= '{}' \
         GROUP BY period, if(reason IN ('operator', 'key_lost', 'off_chain'), toInt64(toUnixTimestamp64Milli(ts)), 0) \
         ORDER BY of_day, at_ms",
        date_of(last),
    )
}

/// Asks how many said yes and no at each point of time.
pub(in crate::stats) fn choices(site: &Site, range: Range, step: Option<Step>) -> String {
    let (id, zone) = (literal(site.id.as_str()), zone(site));
    let (first, last) = range.days(&site.time_zone);
    let (from, until) = Range::Days { first, last }.instants(&site.time_zone);
    let label = match step {
        None => "''",
        Some(Step::Week) => "toString(toMonday(date))",
        Some(Step::Month) => "toString(toStartOfMonth(date))",
        Some(Step::Day | Step::Hour | Step::Minute) => "toString(date)",
    };
    format!(
        "SELECT {label} AS label, sum(g) AS grants, sum(d) AS denials FROM (\
         SELECT toDate(ts, {zone}) AS date, toUInt64(1) AS g, toUInt64(0) AS d FROM consents \
         WHERE site = {id} AND choice = 'grant' AND {} \
         UNION ALL SELECT day AS date, toUInt64(0) AS g, toUInt64(denials) AS d FROM denials \
         WHERE site = {id} AND day BETWEEN '{}' AND '{}') GROUP BY label ORDER BY label",
        between(from, until),
        date_of(first),
        date_of(last),
    )
}

/// Asks for the first local date up to `until` that has an event, as days since 1970-01-01; 0: none.
pub(in crate::stats) fn first_day(site: &Site, until: u16) -> String {
    let id = literal(site.id.as_str());
    format!(
        "SELECT toUInt16(ifNull({}, toDate(0))) AS day",
        edge_day(&id, &format!("day <= '{}'", date_of(until)), "ASC")
    )
}

/// Asks for the first date that has only roll-ups; 0: none.
pub(in crate::stats) fn first_final_day(site: &Site) -> String {
    format!(
        "SELECT toUInt16(ifNull(minOrNull(day), toDate(0))) AS day FROM derived_days \
         WHERE site = {} AND k > 0 AND n_events > 0",
        literal(site.id.as_str())
    )
}

/// A site's days lie in order: the first or last is found without reading the others. Each part is opened all the same,
/// and there are as many as days: `within` spares those that cannot have it (10 M events in 395 parts: 240 ms).
fn edge_day(id: &str, within: &str, direction: &str) -> String {
    format!(
        "(SELECT day FROM events WHERE site = {id} AND {within} AND visitor NOT IN ({}) ORDER BY site {direction}, day {direction} LIMIT 1)",
        restricted(id),
    )
}
