//! Closed days from `visits`: a row a visit, in the place of what is worked out from its events.

use super::{Form, daily_column};
use crate::stats::dimension::{Dimension, VisitField};
use crate::stats::literal::literal;
use crate::stats::metric::Part;
use crate::stats::sql::events::zone;
use crate::stats::sql::{Cell, Counting, Way};

/// A visitor of `visits` as a number that no other day has.
pub(super) fn numbered(number: &str) -> String {
    format!("bitShiftLeft(toUInt64(toUInt16(day)), 32) + {number}")
}

impl Counting<'_> {
    /// Tells whether closed days can be read from `visits`.
    pub(super) fn is_of_visits(&self, way: &Way, parts: &[Part]) -> bool {
        let mut fields = Vec::new();
        self.query.filter.visit_fields(&mut fields);
        way.cell == Cell::Visit
            && parts.iter().all(|part| daily_column(*part).is_some())
            && !self.query.filter.has_done()
            && !way.fields.contains(&VisitField::ExitHostname)
            && !self.query.dimensions.iter().any(Dimension::is_of_event)
    }

    /// The closed days' rows, with the same columns in the same order; none where there are none.
    pub(in crate::stats) fn closed_visits(&self, columns: &[String]) -> Option<String> {
        if self.plan.form != Form::Visits || self.plan.counted.is_empty() {
            return None;
        }
        let zone = zone(&self.query.site);
        let select: Vec<String> = columns
            .iter()
            .filter_map(|column| column.rsplit_once(" AS "))
            .map(|(_, name)| format!("{} AS {name}", column(name, &zone)))
            .collect();
        Some(format!(
            "SELECT {} FROM visits WHERE site = {} AND {}",
            select.join(", "),
            literal(self.query.site.id.as_str()),
            self.plan.counted.sql(),
        ))
    }
}

/// What `visits` has in the place of a column of the counting.
fn column(name: &str, zone: &str) -> String {
    match name {
        "c_visitor" => numbered("visitor"),
        "c_pageviews" | "v_pageviews" => "toUInt64(pageviews)".into(),
        "c_events" => "toUInt64(events)".into(),
        "c_engaged" => "engagement_ms".into(),
        "c_scroll" => "if(scroll > 100, NULL, scroll)".into(),
        "v_bounce" | "c_bounce" => "toUInt8(is_bounce)".into(),
        "v_duration" | "c_duration" => "toInt64(duration_ms)".into(),
        "c_began" => "1".into(),
        "v_day" => "day".into(),
        "v_began" => "began".into(),
        "v_entry_hostname" => "hostname".into(),
        "v_hour" => format!("leftPad(toString(toHour(began, {zone})), 2, '0')"),
        "v_weekday" => format!("toString(toDayOfWeek(began, 0, {zone}))"),
        name => name.strip_prefix("v_").unwrap_or(name).to_owned(),
    }
}
