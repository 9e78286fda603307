//! The state of a page: everything that is looked at stands in its address.
//!
//! Comes in: the query of a URL. Goes out: a [`View`], and the addresses of other views. What the query API would
//! refuse (a period, a filter) is kept as written and refused there, so that page and API read alike.
//!
//! | key | |
//! |---|---|
//! | `period` | a keyword of the query API (`28d`), or `from` and `to` |
//! | `compare` | `previous`, `weekday`, `year`, `custom` with `cfrom` and `cto`, or `none` |
//! | `interval`, `metric` | of the main graph |
//! | `f` | a filter, any number of them: `is,visit:source,Google`, or JSON as the query API takes it |
//! | `event` | the event whose properties are shown |
//! | `step` | a step of the funnel, 2 to 8 of them |
//! | `lang` | `en` or `da` |
//! | a panel's name | which of its tabs is shown |

use std::collections::BTreeMap;

use hyper::header::ACCEPT_LANGUAGE;
use hyper::http::request::Parts;
use serde_json::{Value, json};
use url::form_urlencoded;

use super::Reader;
use super::panels::PANELS;
use crate::policy::language::Language;
use crate::route::cookie;

/// The period of a page that names none.
pub(super) const PERIOD: &str = "28d";

/// Further filters would be refused by the query API, too.
const MAX_FILTERS: usize = 50;

/// Most steps of a funnel.
pub(super) const MAX_STEPS: usize = 8;

/// What is looked at.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct View {
    /// Path of the page, without query.
    pub(super) path: String,
    pub(super) language: Language,
    /// The language is part of the address; otherwise the one chosen before, or the browser's, is taken.
    is_language_named: bool,
    pub(super) period: Period,
    pub(super) compare: Compare,
    pub(super) interval: Option<String>,
    pub(super) metric: String,
    pub(super) filters: Vec<Value>,
    pub(super) steps: Vec<String>,
    /// Panel → tab.
    pub(super) tabs: BTreeMap<&'static str, String>,
    /// The event whose properties are shown; none: those of all.
    pub(super) event: Option<String>,
    /// Who reads; not part of the address.
    pub(super) reader: Reader,
    /// Rows to leave out, on the page of one panel.
    pub(super) offset: u64,
}

/// Over which time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Period {
    Keyword(String),
    Dates(String, String),
}

/// With what it is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    Nothing,
    Previous,
    Weekday,
    Year,
    Custom(String, String),
}

impl View {
    /// Reads the state from a request's address.
    pub(super) fn read(head: &Parts) -> View {
        let accepted = head.headers.get(ACCEPT_LANGUAGE);
        let accepted = accepted.and_then(|value| value.to_str().ok());
        let mut view = View {
            path: head.uri.path().to_owned(),
            // The cookie is that of the pages of who may look, where a language was chosen by name.
            language: cookie(&head.headers, "brine_lang")
                .and_then(Language::named)
                .or_else(|| accepted.and_then(Language::accepted))
                .unwrap_or_default(),
            is_language_named: false,
            period: Period::Keyword(PERIOD.into()),
            compare: Compare::Previous,
            interval: None,
            metric: "visitors".into(),
            filters: Vec::new(),
            steps: Vec::new(),
            tabs: BTreeMap::new(),
            event: None,
            reader: Reader::default(),
            offset: 0,
        };
        let mut dates: BTreeMap<&str, String> = BTreeMap::new();
        let mut leaf: BTreeMap<&str, String> = BTreeMap::new();
        let mut compare = String::new();
        let query = head.uri.query().unwrap_or_default();
        for (key, value) in form_urlencoded::parse(query.as_bytes()) {
            let text = || value.trim().to_owned();
            match &*key {
                "lang" => {
                    if let Some(language) = Language::named(&value) {
                        view.language = language;
                        view.is_language_named = true;
                    }
                }
                "period" if !value.is_empty() => view.period = Period::Keyword(text()),
                "from" => drop(dates.insert("from", text())),
                "to" => drop(dates.insert("to", text())),
                "cfrom" => drop(dates.insert("cfrom", text())),
                "cto" => drop(dates.insert("cto", text())),
                "compare" => compare = text(),
                "interval" if !value.is_empty() => view.interval = Some(text()),
                "metric" if !value.is_empty() => view.metric = text(),
                "f" if view.filters.len() < MAX_FILTERS && !value.is_empty() => {
                    view.filters.push(read_filter(&value));
                }
                // The three fields of the form that adds a filter.
                "fo" => drop(leaf.insert("fo", text())),
                "fd" => drop(leaf.insert("fd", text())),
                "fv" => drop(leaf.insert("fv", value.into_owned())),
                "step" if view.steps.len() < MAX_STEPS && !value.trim().is_empty() => {
                    view.steps.push(text());
                }
                "event" if !value.is_empty() => view.event = Some(value.into_owned()),
                "offset" => view.offset = value.parse().unwrap_or(0),
                panel => {
                    if let Some(panel) = PANELS.iter().find(|known| known.id == panel)
                        && !value.is_empty()
                    {
                        view.tabs.insert(panel.id, value.into_owned());
                    }
                }
            }
        }
        let mut pair = |from: &str, to: &str| {
            let both = (dates.remove(from), dates.remove(to));
            match both {
                (Some(from), Some(to)) if !from.is_empty() && !to.is_empty() => Some((from, to)),
                _ => None,
            }
        };
        if let Some((from, to)) = pair("from", "to") {
            view.period = Period::Dates(from, to);
        }
        let custom = pair("cfrom", "cto");
        view.compare = match (compare.as_str(), custom) {
            ("none", _) => Compare::Nothing,
            ("weekday", _) => Compare::Weekday,
            ("year", _) => Compare::Year,
            ("custom", Some((from, to))) => Compare::Custom(from, to),
            _ => Compare::Previous,
        };
        if let (Some(operator), Some(dimension), Some(value)) =
            (leaf.get("fo"), leaf.get("fd"), leaf.get("fv"))
            && !value.is_empty()
        {
            view.add_filter(leaf_of(operator, dimension, value));
        }
        view
    }

    /// Returns `date_range` of the query API.
    pub(super) fn date_range(&self) -> Value {
        match &self.period {
            Period::Keyword(word) => json!(word),
            Period::Dates(from, to) => json!([from, to]),
        }
    }

    /// Tells whether the period begins and ends at instants, not with days.
    pub(super) fn is_of_instants(&self) -> bool {
        match &self.period {
            Period::Keyword(word) => matches!(word.as_str(), "24h" | "30m"),
            Period::Dates(from, _) => from.len() > "2026-11-01".len(),
        }
    }

    /// Returns `include.comparisons` of the query API.
    pub(super) fn comparisons(&self) -> Option<Value> {
        if self.period == Period::Keyword("all".into()) {
            return None;
        }
        Some(match &self.compare {
            Compare::Nothing => return None,
            Compare::Previous => json!({ "mode": "previous_period" }),
            Compare::Weekday => json!({ "mode": "previous_period", "match_day_of_week": true }),
            Compare::Year => json!({ "mode": "year_over_year" }),
            Compare::Custom(from, to) => json!({ "mode": "custom", "date_range": [from, to] }),
        })
    }

    /// Adds a filter, in the place of an equal one.
    pub(super) fn add_filter(&mut self, filter: Value) {
        if !self.filters.contains(&filter) {
            self.filters.push(filter);
        }
    }

    /// Drops what is of one site: filters, funnel, and the property that is looked at.
    pub(super) fn leave_site(&mut self) {
        self.filters.clear();
        self.steps.clear();
        self.event = None;
        self.tabs.remove(super::props::ID);
    }

    /// Returns the address of this view with something changed.
    pub(super) fn href(&self, change: impl FnOnce(&mut View)) -> String {
        let mut view = self.clone();
        view.offset = 0;
        change(&mut view);
        view.address()
    }

    /// Returns the address of this view.
    pub(super) fn address(&self) -> String {
        let mut query = form_urlencoded::Serializer::new(String::new());
        for (key, value) in self.pairs() {
            query.append_pair(key, &value);
        }
        match query.finish() {
            query if query.is_empty() => self.path.clone(),
            query => format!("{}?{query}", self.path),
        }
    }

    /// Returns what differs from a page that is opened plainly, as keys and values of an address.
    pub(super) fn pairs(&self) -> Vec<(&'static str, String)> {
        let mut pairs = Vec::new();
        match &self.period {
            Period::Keyword(word) if word == PERIOD => {}
            Period::Keyword(word) => pairs.push(("period", word.clone())),
            Period::Dates(from, to) => {
                pairs.push(("from", from.clone()));
                pairs.push(("to", to.clone()));
            }
        }
        match &self.compare {
            Compare::Previous => {}
            Compare::Nothing => pairs.push(("compare", "none".into())),
            Compare::Weekday => pairs.push(("compare", "weekday".into())),
            Compare::Year => pairs.push(("compare", "year".into())),
            Compare::Custom(from, to) => {
                pairs.push(("compare", "custom".into()));
                pairs.push(("cfrom", from.clone()));
                pairs.push(("cto", to.clone()));
            }
        }
        pairs.extend(
            self.filters
                .iter()
                .map(|filter| ("f", write_filter(filter))),
        );
        if let Some(interval) = &self.interval {
            pairs.push(("interval", interval.clone()));
        }
        if self.metric != "visitors" {
            pairs.push(("metric", self.metric.clone()));
        }
        pairs.extend(self.steps.iter().map(|step| ("step", step.clone())));
        pairs.extend(self.tabs.iter().map(|(panel, tab)| (*panel, tab.clone())));
        if let Some(event) = &self.event {
            pairs.push(("event", event.clone()));
        }
        if self.offset > 0 {
            pairs.push(("offset", self.offset.to_string()));
        }
        if self.is_language_named {
            pairs.push(("lang", self.language.tag().into()));
        }
        pairs
    }

    /// Returns the address at which a link to this view is made.
    pub(super) fn share(&self) -> String {
        let address = self.address();
        let (path, view) = address.split_once('?').unwrap_or((&address, ""));
        let site = path.strip_prefix("/d/").unwrap_or_default();
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("site", site);
        if !view.is_empty() {
            query.append_pair("view", view);
        }
        format!("/links?{}", query.finish())
    }

    /// Names the language in the address from now on.
    pub(super) fn speak(&mut self, language: Language) {
        self.language = language;
        self.is_language_named = true;
    }

    /// The address of a page outside the dashboard, in the language that was asked for by name.
    pub(super) fn beside(&self, path: &str) -> String {
        match self.is_language_named {
            true => format!("{path}?lang={}", self.language.tag()),
            false => path.to_owned(),
        }
    }

    /// Returns the text in the reader's language.
    pub(super) fn say(&self, en: &'static str, da: &'static str) -> &'static str {
        self.language.pick(en, da)
    }
}

/// One question about one dimension, as the query API takes it. What is asked of visits by `has_done` is wrapped.
pub(super) fn leaf_of(operator: &str, dimension: &str, value: &str) -> Value {
    match operator {
        "has_done" | "has_not_done" => json!([operator, ["is", dimension, [value]]]),
        _ => json!([operator, dimension, [value]]),
    }
}

fn read_filter(text: &str) -> Value {
    if text.starts_with('[') {
        // What is no JSON is refused by the query API, by name.
        return serde_json::from_str(text).unwrap_or_else(|_| json!(text));
    }
    let mut parts = text.splitn(3, ',');
    match (parts.next(), parts.next(), parts.next()) {
        (Some(operator), Some(dimension), Some(value)) => leaf_of(operator, dimension, value),
        _ => json!(text),
    }
}

/// The short form where it comes back as the same filter, JSON otherwise.
pub(super) fn write_filter(filter: &Value) -> String {
    if let Some((operator, dimension, values)) = parts_of(filter)
        && let [value] = values[..]
    {
        let short = format!("{operator},{dimension},{value}");
        if read_filter(&short) == *filter {
            return short;
        }
    }
    filter.to_string()
}

/// Operator, dimension and values of a filter that is one question; those within `has_done` included.
pub(super) fn parts_of(filter: &Value) -> Option<(&str, &str, Vec<&str>)> {
    let parts = filter.as_array()?;
    let operator = parts.first()?.as_str()?;
    let question = match operator {
        "has_done" | "has_not_done" => parts.get(1)?.as_array()?,
        _ => parts,
    };
    let dimension = question.get(1)?.as_str()?;
    let values = question.get(2)?.as_array()?;
    let values: Option<Vec<&str>> = values.iter().map(Value::as_str).collect();
    Some((operator, dimension, values?))
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    fn read(address: &str) -> View {
        let (head, ()) = Request::builder()
            .uri(address)
            .body(())
            .unwrap()
            .into_parts();
        View::read(&head)
    }

    #[test]
    fn an_address_is_read_and_written_alike() {
        for address in [
            "/d/portal",
            "/d/portal?period=7d",
            "/d/portal?from=2026-11-01&to=2026-11-09&compare=year",
            "/d/portal?compare=custom&cfrom=2026-01-01&cto=2026-02-01",
            "/d/portal?f=is%2Cvisit%3Asource%2CGoogle&f=has_done%2Cevent%3Agoal%2CBuy%2C+now",
            "/d/portal?props=plan+&event=Buy%2C+now",
            "/d/portal?metric=pageviews&step=Visit+%2Fa&step=Buy&sources=channel&lang=da",
        ] {
            assert_eq!(read(address).address(), address);
        }
    }

    #[test]
    fn any_filter_of_the_query_api_fits_into_an_address() {
        for filter in [
            json!(["is", "event:page", ["/a,b", "/c"]]),
            json!(["is", "event:props:a,b", ["[x"]]),
            json!([
                "or",
                [
                    ["is", "visit:os", ["\"'&#<"]],
                    ["not", ["is", "event:page", ["/"]]]
                ]
            ]),
            json!(["has_not_done", ["is", "event:goal", ["Visit /x"]]]),
            json!(["has_done", ["contains", "event:page", ["x"]]]),
            json!(["contains", "event:page", ["x"], { "case_sensitive": false }]),
        ] {
            assert_eq!(read_filter(&write_filter(&filter)), filter);
        }
    }

    #[test]
    fn a_form_adds_a_filter_and_an_empty_one_adds_none() {
        let view = read("/d/portal?fo=is&fd=visit%3Acountry&fv=DK");
        assert_eq!(view.filters, [json!(["is", "visit:country", ["DK"]])]);
        assert!(
            read("/d/portal?fo=is&fd=visit%3Acountry&fv=")
                .filters
                .is_empty()
        );
        // A filter that is none is kept: the query API says what is wrong with it.
        assert_eq!(read("/d/portal?f=nonsense").filters, [json!("nonsense")]);
    }
}
