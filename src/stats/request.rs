//! What a client wrote → a checked [`Query`].
//!
//! Comes in: a JSON object in the shape of Plausible's Stats API v2. Goes out: a query in which every name
//! resolves and every bound holds, or a [`Refusal`] that names key, value and reason. Unknown keys are
//! refused: a misspelt filter must not give an unfiltered answer.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Map, Value};
use thiserror::Error;

use super::dimension::{Dimension, EventField};
use super::filter::{self, Filter};
use super::metric::Metric;
use super::period::{self, Asked, Range, Step};
use crate::config::{Site, Sites};

/// Largest body (bytes).
pub const MAX_BODY: usize = 64 << 10;

/// Rows of an answer that says nothing of it, and most of one that is held in memory.
pub const MAX_ROWS: u64 = 10_000;

/// Most rows of one export, which is written while it is read ([`super::export`]); further ones are behind `offset`.
pub const MAX_EXPORT: u64 = 1_000_000;

/// More would only be mistakes.
const MAX_DIMENSIONS: usize = 4;

/// Why a query is not answered: the client mends it.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{key} = {value}: {reason}")]
pub struct Refusal {
    /// Where, as a path into the body.
    pub key: String,
    /// The value as written, cut to 200 bytes.
    pub value: String,
    /// Why it will not do, and what would.
    pub reason: String,
}

impl Refusal {
    pub(super) fn new(
        key: impl Into<String>,
        value: impl fmt::Display,
        reason: impl Into<String>,
    ) -> Refusal {
        let mut value = value.to_string();
        if value.len() > 200 {
            value.truncate(value.floor_char_boundary(200));
            value.push('…');
        }
        Refusal {
            key: key.into(),
            value,
            reason: reason.into(),
        }
    }
}

/// Why a body is no query.
#[derive(Debug, Error)]
pub(super) enum Unread {
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("no such site")]
    UnknownSite,
}

/// A checked query.
#[derive(Clone, Debug)]
pub struct Query {
    /// The site it is about.
    pub site: Arc<Site>,
    /// At least one.
    pub metrics: Vec<Metric>,
    /// Over which time; `all` is not resolved yet.
    pub asked: Asked,
    /// At most four.
    pub dimensions: Vec<Dimension>,
    /// Which events.
    pub filter: Filter,
    /// Columns to order by, most important first.
    pub order: Vec<Order>,
    /// Most rows.
    pub limit: u64,
    /// Rows to leave out first.
    pub offset: u64,
    /// Answer the labels of all points, empty ones included.
    pub is_labelled: bool,
    /// Answer how many rows there are in all.
    pub is_totalled: bool,
    /// With what the numbers are compared.
    pub comparison: Option<Comparison>,
    /// What the client wrote, to be repeated in the answer.
    pub written: Map<String, Value>,
}

/// One column to order by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Order {
    /// Which.
    pub column: Column,
    /// Largest first.
    pub is_descending: bool,
}

/// A column of the answer, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Column {
    /// A dimension.
    Dimension(usize),
    /// A metric.
    Metric(usize),
}

/// What numbers are compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// A range that the client names.
    Custom(Range),
    /// The range before, of the same length.
    Previous {
        /// Moved by whole weeks.
        match_weekday: bool,
    },
    /// The same dates of the year before.
    YearBefore {
        /// Moved by whole weeks.
        match_weekday: bool,
    },
}

impl Query {
    /// Returns where a metric stands among those asked for.
    pub(super) fn place_of(&self, metric: Metric) -> Option<usize> {
        self.metrics.iter().position(|known| *known == metric)
    }
}

/// Reads a body.
pub(super) fn parse(body: &[u8], sites: &Sites, now: Timestamp) -> Result<Query, Unread> {
    if body.len() > MAX_BODY {
        let reason = format!("is longer than {MAX_BODY} bytes");
        return Err(Refusal::new("body", body.len(), reason).into());
    }
    let written: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::new("body", "…", format!("is not JSON: {error}")))?;
    let Value::Object(written) = written else {
        return Err(Refusal::new("body", written, "must be a JSON object").into());
    };
    known(
        &written,
        "",
        &[
            "site_id",
            "metrics",
            "date_range",
            "dimensions",
            "filters",
            "order_by",
            "include",
            "pagination",
        ],
    )?;
    let site = match written.get("site_id").and_then(Value::as_str) {
        Some(name) => sites.find(name).ok_or(Unread::UnknownSite)?.clone(),
        None => return Err(missing(&written, "site_id", "must be a site's id or domain").into()),
    };
    let zone = &site.time_zone;
    let metrics = parse_metrics(&written)?;
    let asked = match written.get("date_range") {
        Some(range) => parse_range(range, "date_range", now, zone)?,
        None => return Err(missing(&written, "date_range", "must be given").into()),
    };
    // A bare `time` over all time is divided by months, the one step that always gives a graph.
    let natural = match asked {
        Asked::All => Step::Month,
        Asked::Known(range) => range.natural_step(zone),
    };
    let dimensions = parse_dimensions(&written, natural)?;
    let filter = match written.get("filters") {
        Some(filters) => filter::parse(filters)?,
        None => Filter::And(Vec::new()),
    };
    let order = parse_order(&written, &metrics, &dimensions)?;
    let (limit, offset) = parse_pagination(&written)?;
    let mut query = Query {
        site: site.clone(),
        metrics,
        asked,
        dimensions,
        filter,
        order,
        limit,
        offset,
        is_labelled: false,
        is_totalled: false,
        comparison: None,
        written: written.clone(),
    };
    if let Some(include) = written.get("include") {
        parse_include(include, &mut query, now)?;
    }
    fits_together(&query)?;
    Ok(query)
}

/// Refuses combinations that have no meaning.
fn fits_together(query: &Query) -> Result<(), Refusal> {
    let position = |metric| query.metrics.iter().position(|m| *m == metric);
    if let Some(index) = query.metrics.iter().position(|metric| metric.is_of_visit())
        && let Some(dimension) = query.dimensions.iter().find(|dimension| {
            use EventField::{Currency, Goal, Name, Prop, Props};
            matches!(
                dimension,
                Dimension::Event(Currency | Goal | Name | Prop(_) | Props)
            )
        })
    {
        let reason = format!(
            "describes visits, and a visit does not begin at {dimension}; filter by it instead"
        );
        return Err(Refusal::new(
            format!("metrics[{index}]"),
            query.metrics[index].name(),
            reason,
        ));
    }
    if let Some(index) = position(Metric::ConsentRate) {
        let is_by_day = |d: &Dimension| d.step().is_some_and(|step| step >= Step::Day);
        let reason = if !query.filter.is_empty() {
            "is of everybody who chose; nothing is known of those who said no, so it cannot be filtered"
        } else if !query.dimensions.iter().all(is_by_day) {
            "can be divided by time:day, time:week and time:month only"
        } else if query
            .order
            .iter()
            .any(|o| o.column == Column::Metric(index))
            && !query.dimensions.is_empty()
        {
            "cannot be ordered by"
        } else {
            ""
        };
        if !reason.is_empty() {
            return Err(Refusal::new(
                format!("metrics[{index}]"),
                "consent_rate",
                reason,
            ));
        }
    }
    if let Some(index) = position(Metric::GroupConversionRate) {
        let by_goal = query
            .dimensions
            .contains(&Dimension::Event(EventField::Goal));
        let reason = match query.filter.without_goals() {
            None => "a goal must stand alone or under and, so that the rate is of something",
            Some(_) if by_goal => "is of each row without its goal; divide by something else",
            Some(_) if !query.filter.has_goal() => "needs a filter event:goal",
            Some(_) => "",
        };
        if !reason.is_empty() {
            let key = format!("metrics[{index}]");
            return Err(Refusal::new(key, "group_conversion_rate", reason));
        }
    }
    if let Some(index) = position(Metric::ConversionRate) {
        let by_goal = query
            .dimensions
            .contains(&Dimension::Event(EventField::Goal));
        let reason = match query.filter.without_goals() {
            None => "a goal must stand alone or under and, so that the rate is of something",
            Some(_) if !by_goal && !query.filter.has_goal() => {
                "needs a filter or a dimension event:goal"
            }
            Some(_) => return Ok(()),
        };
        return Err(Refusal::new(
            format!("metrics[{index}]"),
            "conversion_rate",
            reason,
        ));
    }
    Ok(())
}

fn parse_metrics(written: &Map<String, Value>) -> Result<Vec<Metric>, Refusal> {
    let names: Vec<&str> = Metric::ALL.iter().map(|metric| metric.name()).collect();
    let list = match written.get("metrics") {
        Some(Value::Array(list)) if !list.is_empty() => list,
        Some(other) => {
            return Err(Refusal::new(
                "metrics",
                other.clone(),
                "must be a list of names",
            ));
        }
        None => return Err(missing(written, "metrics", "must be given")),
    };
    let mut metrics = Vec::new();
    for (index, value) in list.iter().enumerate() {
        let key = format!("metrics[{index}]");
        let metric = value.as_str().and_then(Metric::parse).ok_or_else(|| {
            Refusal::new(
                &key,
                value.clone(),
                format!("is no metric; there are {}", names.join(", ")),
            )
        })?;
        if metrics.contains(&metric) {
            return Err(Refusal::new(key, value.clone(), "is asked for twice"));
        }
        metrics.push(metric);
    }
    Ok(metrics)
}

fn parse_range(
    range: &Value,
    key: &str,
    now: Timestamp,
    zone: &TimeZone,
) -> Result<Asked, Refusal> {
    let refused = |reason: String| Refusal::new(key, range.clone(), reason);
    match range {
        Value::String(word) => period::keyword(word, now, zone).map_err(refused),
        Value::Array(ends) => match &ends[..] {
            [Value::String(from), Value::String(to)] => period::pair(from, to, zone)
                .map(Asked::Known)
                .map_err(refused),
            _ => Err(refused("must be two texts".into())),
        },
        _ => Err(refused("must be a keyword or two dates or instants".into())),
    }
}

fn parse_dimensions(
    written: &Map<String, Value>,
    natural: Step,
) -> Result<Vec<Dimension>, Refusal> {
    let mut dimensions: Vec<Dimension> = Vec::new();
    for (index, value) in list(written, "dimensions")?.iter().enumerate() {
        let key = format!("dimensions[{index}]");
        let refused = |reason: String| Refusal::new(&key, value.clone(), reason);
        let name = value
            .as_str()
            .ok_or_else(|| refused("must be text".into()))?;
        let dimension = Dimension::parse(name, natural).map_err(refused)?;
        if dimensions.contains(&dimension) {
            return Err(refused("is asked for twice".into()));
        }
        if dimension.step().is_some() && dimensions.iter().any(|d| d.step().is_some()) {
            return Err(refused("is a second division of time".into()));
        }
        if dimensions.len() == MAX_DIMENSIONS {
            return Err(refused(format!("is more than {MAX_DIMENSIONS} dimensions")));
        }
        dimensions.push(dimension);
    }
    Ok(dimensions)
}

fn parse_order(
    written: &Map<String, Value>,
    metrics: &[Metric],
    dimensions: &[Dimension],
) -> Result<Vec<Order>, Refusal> {
    let mut order = Vec::new();
    for (index, value) in list(written, "order_by")?.iter().enumerate() {
        let refused =
            |reason: &str| Refusal::new(format!("order_by[{index}]"), value.clone(), reason);
        let pair = value.as_array().map(Vec::as_slice);
        let Some([Value::String(name), Value::String(direction)]) = pair else {
            return Err(refused("must be [name, \"asc\" or \"desc\"]"));
        };
        let is_descending = match direction.as_str() {
            "asc" => false,
            "desc" => true,
            _ => return Err(refused("must be \"asc\" or \"desc\"")),
        };
        let asked = list(written, "dimensions")?;
        let column = if let Some(i) = metrics.iter().position(|metric| metric.name() == name) {
            Column::Metric(i)
        } else if let Some(i) = dimensions.iter().position(|d| d.to_string() == *name) {
            Column::Dimension(i)
        } else if let Some(i) = asked.iter().position(|d| d.as_str() == Some(name)) {
            Column::Dimension(i)
        } else {
            return Err(refused("is neither a metric nor a dimension of this query"));
        };
        order.push(Order {
            column,
            is_descending,
        });
    }
    if order.is_empty() {
        order = natural_order(dimensions);
    }
    Ok(order)
}

/// Time runs forward; without it, the largest first metric is on top.
fn natural_order(dimensions: &[Dimension]) -> Vec<Order> {
    let time = dimensions
        .iter()
        .position(|dimension| dimension.step().is_some());
    let time = time.map(|i| Order {
        column: Column::Dimension(i),
        is_descending: false,
    });
    let first = Order {
        column: Column::Metric(0),
        is_descending: true,
    };
    if time.is_some() && dimensions.len() == 1 {
        return time.into_iter().collect();
    }
    time.into_iter().chain([first]).collect()
}

fn parse_pagination(written: &Map<String, Value>) -> Result<(u64, u64), Refusal> {
    let Some(value) = written.get("pagination") else {
        return Ok((MAX_ROWS, 0));
    };
    let Value::Object(pagination) = value else {
        return Err(Refusal::new(
            "pagination",
            value.clone(),
            "must be an object",
        ));
    };
    known(pagination, "pagination.", &["limit", "offset"])?;
    let number = |key: &str, default: u64, most: u64| match pagination.get(key) {
        None => Ok(default),
        Some(value) => value.as_u64().filter(|n| *n <= most).ok_or_else(|| {
            let reason = format!("must be a whole number from 0 to {most}");
            Refusal::new(format!("pagination.{key}"), value.clone(), reason)
        }),
    };
    Ok((
        number("limit", MAX_ROWS, MAX_EXPORT)?,
        number("offset", 0, 1 << 40)?,
    ))
}

fn parse_include(include: &Value, query: &mut Query, now: Timestamp) -> Result<(), Refusal> {
    let Value::Object(include) = include else {
        return Err(Refusal::new(
            "include",
            include.clone(),
            "must be an object",
        ));
    };
    known(
        include,
        "include.",
        &["time_labels", "total_rows", "comparisons"],
    )?;
    let flag = |key: &str| match include.get(key) {
        None => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(value) => Err(Refusal::new(
            format!("include.{key}"),
            value.clone(),
            "must be true or false",
        )),
    };
    query.is_labelled = flag("time_labels")?;
    query.is_totalled = flag("total_rows")?;
    if query.is_labelled && query.dimensions.iter().all(|d| d.step().is_none()) {
        return Err(Refusal::new(
            "include.time_labels",
            true,
            "needs a time dimension",
        ));
    }
    if let Some(comparisons) = include.get("comparisons") {
        query.comparison = Some(parse_comparison(comparisons, query, now)?);
    }
    Ok(())
}

fn parse_comparison(
    comparisons: &Value,
    query: &Query,
    now: Timestamp,
) -> Result<Comparison, Refusal> {
    const KEY: &str = "include.comparisons";
    let Value::Object(object) = comparisons else {
        return Err(Refusal::new(KEY, comparisons.clone(), "must be an object"));
    };
    known(
        object,
        "include.comparisons.",
        &["mode", "date_range", "match_day_of_week"],
    )?;
    if query.asked == Asked::All {
        return Err(Refusal::new(
            KEY,
            comparisons.clone(),
            "there is nothing before all time",
        ));
    }
    let match_weekday = match object.get("match_day_of_week") {
        None => false,
        Some(Value::Bool(flag)) => *flag,
        Some(value) => {
            let key = format!("{KEY}.match_day_of_week");
            return Err(Refusal::new(key, value.clone(), "must be true or false"));
        }
    };
    let mode = object.get("mode").unwrap_or(&Value::Null);
    match (mode.as_str(), object.get("date_range")) {
        (Some("previous_period"), None) => Ok(Comparison::Previous { match_weekday }),
        (Some("year_over_year"), None) => Ok(Comparison::YearBefore { match_weekday }),
        (Some("custom"), Some(range)) => {
            let key = format!("{KEY}.date_range");
            match parse_range(range, &key, now, &query.site.time_zone)? {
                Asked::Known(range) => Ok(Comparison::Custom(range)),
                Asked::All => Err(Refusal::new(key, range.clone(), "must have a beginning")),
            }
        }
        _ => {
            let reason = "must be previous_period, year_over_year, or custom with date_range";
            Err(Refusal::new(format!("{KEY}.mode"), mode.clone(), reason))
        }
    }
}

fn list<'a>(written: &'a Map<String, Value>, key: &str) -> Result<&'a [Value], Refusal> {
    match written.get(key) {
        None => Ok(&[]),
        Some(Value::Array(list)) => Ok(list),
        Some(value) => Err(Refusal::new(key, value.clone(), "must be a list")),
    }
}

fn known(object: &Map<String, Value>, prefix: &str, keys: &[&str]) -> Result<(), Refusal> {
    match object.iter().find(|(key, _)| !keys.contains(&key.as_str())) {
        None => Ok(()),
        Some((key, value)) => {
            let reason = format!("is no key of a query; there are {}", keys.join(", "));
            Err(Refusal::new(
                format!("{prefix}{key}"),
                value.clone(),
                reason,
            ))
        }
    }
}

fn missing(written: &Map<String, Value>, key: &str, reason: &str) -> Refusal {
    Refusal::new(
        key,
        written.get(key).cloned().unwrap_or(Value::Null),
        reason,
    )
}
