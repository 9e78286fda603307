//! Answers → what the templates show.
//!
//! Comes in: a view and the query API's answers. Goes out: HTML. Every text of a visitor's (path, source, property)
//! is a value of a template, which escapes it; addresses are built by `view.rs` alone.

use askama::Template;
use jiff::civil::Date;
use serde_json::Value;

use super::graph::{Graph, Point};
use super::panels::{PANELS, Panel, Shape, Tab};
use super::places::{COLUMNS, COUNTRIES, ROWS};
use super::view::{self, Compare, Period, View};
use super::words;
use crate::config::Site;
use crate::policy::language::Language;
use crate::stats::funnel::Funnel;
use crate::stats::metric::Metric;
use crate::stats::{Answer, QueryError};

/// A link of a menu.
#[derive(Clone, Debug)]
pub(super) struct Choice {
    pub(super) text: String,
    pub(super) href: String,
    pub(super) is_current: bool,
    /// Pressed on the keyboard, it is followed; empty: no such key.
    pub(super) key: &'static str,
}

/// What every page has.
#[derive(Debug)]
pub(super) struct Frame {
    pub(super) language: Language,
    pub(super) has_account: bool,
    pub(super) title: String,
    pub(super) sites: Vec<Choice>,
    pub(super) home: String,
    pub(super) meaning: String,
    pub(super) languages: Vec<(Language, String)>,
    pub(super) style: &'static str,
    pub(super) icon: &'static str,
    pub(super) script: &'static str,
}

impl Frame {
    pub(super) fn say(&self, en: &'static str, da: &'static str) -> &'static str {
        self.language.pick(en, da)
    }
}

/// The site's page.
#[derive(Template)]
#[template(path = "site.html", config = "dashboards/web/askama.toml")]
pub(super) struct SitePage<'a> {
    pub(super) frame: Frame,
    pub(super) site: &'a Site,
    pub(super) controls: Controls,
    pub(super) live: Live,
    pub(super) tiles: Vec<Tile>,
    pub(super) graph: Option<Main>,
    pub(super) panels: Vec<Shown>,
    pub(super) funnel: Option<FunnelShown>,
    pub(super) consent: Option<Consent>,
    pub(super) health: Vec<super::health::Line>,
    pub(super) marks: Marks,
    pub(super) notes: Vec<String>,
    /// Why nothing could be counted; empty: it could.
    pub(super) fault: String,
}

/// The page of one panel.
#[derive(Template)]
#[template(path = "panel.html", config = "dashboards/web/askama.toml")]
pub(super) struct PanelPage<'a> {
    pub(super) frame: Frame,
    pub(super) site: &'a Site,
    pub(super) controls: Controls,
    pub(super) panel: Shown,
    pub(super) back: String,
    pub(super) pages: Vec<Choice>,
    pub(super) fault: String,
}

/// The last half hour, and where more of it comes from.
#[derive(Debug, Default)]
pub(super) struct Live {
    pub(super) text: String,
    pub(super) href: String,
}

/// Period, comparison and filters.
#[derive(Debug)]
pub(super) struct Controls {
    pub(super) action: String,
    pub(super) periods: Vec<Choice>,
    pub(super) earlier: Option<String>,
    pub(super) later: Option<String>,
    pub(super) range: String,
    pub(super) from: String,
    pub(super) to: String,
    pub(super) today: String,
    pub(super) comparisons: Vec<Choice>,
    pub(super) compare_from: String,
    pub(super) compare_to: String,
    pub(super) chips: Vec<Chip>,
    pub(super) clear: Option<String>,
    /// State that the forms must keep, as hidden fields: all but the dates, and all but the comparison's.
    pub(super) kept_dates: Vec<(&'static str, String)>,
    pub(super) kept_compare: Vec<(&'static str, String)>,
    pub(super) kept: Vec<(&'static str, String)>,
    pub(super) dimensions: Vec<(String, String)>,
    pub(super) operators: Vec<(String, String)>,
}

/// A filter, and the page without it.
#[derive(Debug)]
pub(super) struct Chip {
    pub(super) text: String,
    pub(super) without: String,
}

/// A figure on top.
#[derive(Debug)]
pub(super) struct Tile {
    pub(super) name: &'static str,
    pub(super) text: String,
    pub(super) change: String,
    /// `good`, `bad` or nothing.
    pub(super) mood: &'static str,
    pub(super) was: String,
    pub(super) href: String,
    pub(super) is_current: bool,
    /// Beside the number: what it means.
    pub(super) note: &'static str,
}

/// The main graph with its choices.
#[derive(Debug)]
pub(super) struct Main {
    pub(super) name: &'static str,
    pub(super) graph: Graph,
    pub(super) top: String,
    pub(super) middle: String,
    pub(super) intervals: Vec<Choice>,
    pub(super) csv: String,
    pub(super) note: String,
    pub(super) table_head: String,
    /// The range it is compared with, in words.
    pub(super) compared: String,
    pub(super) zoom: String,
}

/// A panel as it is shown.
#[derive(Debug)]
pub(super) struct Shown {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
    pub(super) head: &'static str,
    pub(super) tabs: Vec<Choice>,
    pub(super) columns: Vec<&'static str>,
    pub(super) rows: Vec<Row>,
    pub(super) tiles: Vec<MapTile>,
    pub(super) hours: Vec<HourRow>,
    /// Said where there are no rows.
    pub(super) empty: String,
    pub(super) note: String,
    pub(super) csv: String,
    pub(super) more: Option<String>,
}

/// A row of a panel.
#[derive(Debug)]
pub(super) struct Row {
    pub(super) text: String,
    pub(super) href: Option<String>,
    /// Percent of the longest bar.
    pub(super) width: String,
    pub(super) cells: Vec<String>,
}

/// A funnel with its choices.
#[derive(Debug)]
pub(super) struct FunnelShown {
    /// The funnels of the configuration.
    pub(super) tabs: Vec<Choice>,
    pub(super) steps: Vec<Step>,
    /// Steps of the form, with empty ones to add to.
    pub(super) inputs: Vec<String>,
    pub(super) kept: Vec<(&'static str, String)>,
    pub(super) action: String,
    pub(super) note: String,
    pub(super) fault: String,
}

/// A step of a funnel.
#[derive(Debug)]
pub(super) struct Step {
    pub(super) name: String,
    pub(super) text: String,
    /// Of those who began, and of those of the step before.
    pub(super) share: String,
    pub(super) of_last: String,
    pub(super) width: String,
}

/// Consent coverage over time.
#[derive(Debug)]
pub(super) struct Consent {
    pub(super) graph: Graph,
    pub(super) text: String,
    pub(super) csv: String,
}

/// Notes and segments of the site.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// What the forms carry; none: there are none.
    pub(super) form: Option<String>,
    pub(super) action: String,
    pub(super) back: String,
    pub(super) notes: Vec<Kept>,
    pub(super) segments: Vec<Kept>,
    /// The filters in force, to be kept under a name; empty: none are.
    pub(super) filters: String,
}

/// A note or a segment.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) mark: u64,
    pub(super) name: String,
    /// Of a note; empty for a segment.
    pub(super) day: String,
    pub(super) href: String,
}

/// A country on the map.
#[derive(Debug)]
pub(super) struct MapTile {
    pub(super) code: &'static str,
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) shade: usize,
    pub(super) title: String,
}

/// One weekday of the hours.
#[derive(Debug)]
pub(super) struct HourRow {
    pub(super) day: &'static str,
    pub(super) cells: Vec<(usize, String)>,
}

impl Controls {
    /// None of the comparisons of the menu is the one in force.
    pub(super) fn is_custom(&self) -> bool {
        !self.comparisons.iter().any(|choice| choice.is_current)
    }
}

impl Shown {
    fn map_box() -> String {
        format!("0 0 {} {}", COLUMNS * 10, ROWS * 10)
    }
}

/// Period, comparison, filters.
pub(super) fn controls(view: &View, today: Date, top: Option<&Answer>) -> Controls {
    let language = view.language;
    let period = |word: &str, key: &'static str, en: &str, da: &str| Choice {
        text: language.pick(en, da).to_owned(),
        href: view.href(|view| {
            view.period = Period::Keyword(word.into());
            view.interval = None;
        }),
        is_current: view.period == Period::Keyword(word.into()),
        key,
    };
    let periods = vec![
        period("30m", "r", "Realtime", "Realtid"),
        period("day", "d", "Today", "I dag"),
        period("24h", "h", "24 hours", "24 timer"),
        period("7d", "w", "7 days", "7 dage"),
        period("28d", "f", "28 days", "28 dage"),
        period("month", "m", "Month", "Måned"),
        period("12mo", "y", "12 months", "12 måneder"),
        period("all", "a", "All", "Alt"),
    ];
    let comparison = |compare: Compare, key: &'static str, en: &str, da: &str| Choice {
        text: language.pick(en, da).to_owned(),
        is_current: view.compare == compare,
        href: view.href(|view| view.compare = compare),
        key,
    };
    let comparisons = vec![
        comparison(Compare::Previous, "", "Period before", "Perioden før"),
        comparison(
            Compare::Weekday,
            "",
            "Same weekdays before",
            "Samme ugedage før",
        ),
        comparison(Compare::Year, "", "Year before", "Året før"),
        comparison(Compare::Nothing, "", "Nothing", "Ingenting"),
    ];
    let range = top.and_then(|answer| answer.range("date_range"));
    let (from, to) = range.map_or_else(Default::default, |(from, to)| (day(from), day(to)));
    let (compare_from, compare_to) = match &view.compare {
        Compare::Custom(from, to) => (from.clone(), to.clone()),
        _ => top
            .and_then(|answer| answer.range("comparison_date_range"))
            .map_or_else(Default::default, |(from, to)| (day(from), day(to))),
    };
    let (earlier, later) = neighbours(view, &from, &to, today);
    let chips = view.filters.iter().enumerate().map(|(i, filter)| Chip {
        text: filter_text(filter, language),
        without: view.href(|view| drop(view.filters.remove(i))),
    });
    let without = |keys: &[&str]| -> Vec<(&'static str, String)> {
        let mut pairs = view.pairs();
        pairs.retain(|(key, _)| !keys.contains(key) && *key != "offset");
        pairs
    };
    let pick = |(name, en, da): &(&str, &str, &str)| {
        ((*name).to_owned(), language.pick(*en, *da).to_owned())
    };
    Controls {
        action: view.path.clone(),
        periods,
        earlier,
        later,
        range: range_text(&from, &to, language),
        today: today.to_string(),
        from,
        to,
        comparisons,
        compare_from,
        compare_to,
        chips: chips.collect(),
        clear: (view.filters.len() > 1).then(|| view.href(|view| view.filters.clear())),
        kept_dates: without(&["period", "from", "to", "interval"]),
        kept_compare: without(&["compare", "cfrom", "cto"]),
        kept: without(&[]),
        dimensions: words::DIMENSIONS.iter().map(pick).collect(),
        operators: words::OPERATORS.iter().map(pick).collect(),
    }
}

/// The same number of days before and after, where those are not ahead.
fn neighbours(view: &View, from: &str, to: &str, today: Date) -> (Option<String>, Option<String>) {
    let (Ok(first), Ok(last)) = (from.parse::<Date>(), to.parse::<Date>()) else {
        return (None, None);
    };
    let is_day_range = !matches!(&view.period, Period::Keyword(word) if matches!(word.as_str(), "30m" | "24h" | "all"));
    let Ok(span) = first.until(last) else {
        return (None, None);
    };
    let days = jiff::Span::new().days(i64::from(span.get_days()) + 1);
    let moved = |first: Date, last: Date| {
        view.href(|view| view.period = Period::Dates(first.to_string(), last.to_string()))
    };
    let earlier = match (first.checked_sub(days), last.checked_sub(days)) {
        (Ok(first), Ok(last)) if is_day_range => Some(moved(first, last)),
        _ => None,
    };
    let later = match (first.checked_add(days), last.checked_add(days)) {
        (Ok(first), Ok(last)) if is_day_range && first <= today => {
            Some(moved(first, last.min(today)))
        }
        _ => None,
    };
    (earlier, later)
}

/// The local date of an instant as the query API writes it.
fn day(instant: &str) -> String {
    instant.get(..10).unwrap_or_default().to_owned()
}

pub(super) fn range_text(from: &str, to: &str, language: Language) -> String {
    match (from.parse::<Date>(), to.parse::<Date>()) {
        (Ok(from), Ok(to)) if from == to => words::date(from, language),
        (Ok(from), Ok(to)) => {
            format!(
                "{} – {}",
                words::date(from, language),
                words::date(to, language)
            )
        }
        _ => String::new(),
    }
}

/// A filter in words; what is more than one question is shown as it is written.
fn filter_text(filter: &Value, language: Language) -> String {
    match view::parts_of(filter) {
        Some((operator, dimension, values)) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| words::value(dimension, value, language))
                .collect();
            format!(
                "{} {} {}",
                words::dimension(dimension, language),
                words::operator(operator, language),
                values.join(language.pick(" or ", " eller "))
            )
        }
        None => filter.to_string(),
    }
}

/// The figures on top.
pub(super) fn tiles(view: &View, answer: &Answer) -> Vec<Tile> {
    let language = view.language;
    let Some(row) = answer.rows.first() else {
        return Vec::new();
    };
    let n_salts = answer
        .meta
        .get("salts")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    let tile = |(i, metric): (usize, &Metric)| {
        let compared = row.comparison.as_ref();
        let change = compared.and_then(|compared| compared.change[i]);
        let was = compared.and_then(|compared| compared.metrics[i]);
        Tile {
            name: words::metric(*metric, language),
            text: words::figure(*metric, row.metrics[i], &row.currency, language),
            change: change.map_or_else(String::new, |c| words::change(*metric, c, language)),
            mood: match change.and_then(|change| words::is_good(*metric, change)) {
                Some(true) => "good",
                Some(false) => "bad",
                None => "",
            },
            was: was.map_or_else(String::new, |was| {
                words::figure(*metric, Some(was), &row.currency, language)
            }),
            href: view.href(|view| view.metric = metric.name().into()),
            is_current: view.metric == metric.name(),
            note: match metric {
                Metric::Visitors if n_salts > 1 => {
                    language.pick("sum of daily visitors", "summen af daglige besøgende")
                }
                _ => "",
            },
        }
    };
    answer.metrics.iter().enumerate().map(tile).collect()
}

/// The main graph.
pub(super) fn main_graph(
    view: &View,
    step: &'static str,
    answer: &Answer,
    now_label: &str,
    csv: String,
    notes: &[(String, String)],
) -> Main {
    let language = view.language;
    let metric = answer.metrics[0];
    let is_sum = !matches!(
        metric,
        Metric::BounceRate
            | Metric::VisitDuration
            | Metric::ViewsPerVisit
            | Metric::EngagementTime
            | Metric::ScrollDepth
    );
    // A point without a row had nobody: that is a zero for counts, and nothing for averages.
    let none = is_sum.then_some(0.0);
    let is_withheld = answer.n_rows == 0 && answer.n_suppressed > 0;
    let value_at = |rows: &[crate::stats::answer::AnswerRow], label: &str| {
        let row = rows
            .iter()
            .find(|row| row.dimensions.first().is_some_and(|d| d == label));
        match row {
            Some(row) => row.metrics[0],
            None if is_withheld => None,
            None => none,
        }
    };
    let has_earlier = !answer.earlier_labels.is_empty();
    let points = answer.labels.iter().enumerate().map(|(i, label)| {
        let is_ahead = label.as_str() > now_label;
        let value = if is_ahead {
            None
        } else {
            value_at(&answer.rows, label)
        };
        let earlier_label = answer.earlier_labels.get(i).filter(|_| has_earlier);
        let earlier_value = earlier_label.and_then(|label| value_at(&answer.earlier, label));
        let dates = dates_of(label, step);
        let of_day = |(date, _): &&(String, String)| {
            dates
                .as_ref()
                .is_some_and(|(first, last)| date >= first && date <= last)
                && matches!(step, "day" | "week" | "month")
        };
        Point {
            name: words::point(label, step, language),
            text: words::figure(metric, value, "", language),
            earlier: earlier_label.map(|label| {
                (
                    words::point(label, step, language),
                    words::figure(metric, earlier_value, "", language),
                )
            }),
            href: dates
                .as_ref()
                .filter(|_| step != "hour" && step != "minute")
                .map(|(first, last)| {
                    view.href(|view| {
                        view.period = Period::Dates(first.clone(), last.clone());
                        view.interval = None;
                    })
                }),
            notes: notes
                .iter()
                .filter(of_day)
                .map(|(_, text)| text.clone())
                .collect(),
            dates,
            value,
            earlier_value,
            is_ahead,
            x: 0.0,
            width: 0.0,
        }
    });
    let graph = Graph::new(points.collect());
    let n_hidden = graph
        .points
        .iter()
        .filter(|p| p.value.is_none() && !p.is_ahead)
        .count();
    let interval = |name: &'static str, en: &str, da: &str| Choice {
        text: language.pick(en, da).to_owned(),
        href: view.href(|view| view.interval = Some(name.into())),
        is_current: step == name,
        key: "",
    };
    let text = |value| words::figure(metric, Some(value), "", language);
    Main {
        name: words::metric(metric, language),
        top: text(graph.top),
        middle: text(graph.top / 2.0),
        intervals: vec![
            interval("minute", "Minutes", "Minutter"),
            interval("hour", "Hours", "Timer"),
            interval("day", "Days", "Dage"),
            interval("week", "Weeks", "Uger"),
            interval("month", "Months", "Måneder"),
        ],
        csv,
        note: match n_hidden {
            0 => String::new(),
            n if is_sum => language.pick(
                format!("{n} points are not shown: fewer than {} visitors", answer.k),
                format!("{n} punkter vises ikke: færre end {} besøgende", answer.k),
            ),
            _ => String::new(),
        },
        table_head: language.pick("Time", "Tid").to_owned(),
        compared: answer
            .range("comparison_date_range")
            .map_or_else(String::new, |(from, to)| {
                range_text(&day(from), &day(to), language)
            }),
        zoom: view.href(|view| {
            view.period = Period::Keyword("ZOOM".into());
            view.interval = None;
        }),
        graph,
    }
}

/// First and last date of a point.
fn dates_of(label: &str, step: &str) -> Option<(String, String)> {
    let first: Date = label.get(..10)?.parse().ok()?;
    let last = match step {
        "week" => first.checked_add(jiff::Span::new().days(6)).ok()?,
        "month" => first.last_of_month(),
        _ => first,
    };
    Some((first.to_string(), last.to_string()))
}

/// One panel.
pub(super) fn shown(
    view: &View,
    panel: &'static Panel,
    tab: &'static Tab,
    counted: Result<&Answer, &QueryError>,
    base: &str,
) -> Shown {
    let language = view.language;
    let tabs = panel.tabs.iter().map(|tab| Choice {
        text: tab.title(language).to_owned(),
        href: view.href(|view| drop(view.tabs.insert(panel.id, tab.id.into()))),
        is_current: false,
        key: "",
    });
    let mut tabs: Vec<Choice> = tabs.collect();
    for (choice, known) in tabs.iter_mut().zip(panel.tabs) {
        choice.is_current = known.id == tab.id;
    }
    if tabs.len() == 1 {
        tabs.clear();
    }
    let of_panel = |path: String| {
        view.href(|view| {
            view.path = path;
            view.tabs = std::iter::once((panel.id, tab.id.to_owned())).collect();
        })
    };
    let mut shown = Shown {
        id: panel.id,
        title: panel.title(language),
        head: tab.title(language),
        tabs,
        columns: Vec::new(),
        rows: Vec::new(),
        tiles: Vec::new(),
        hours: Vec::new(),
        empty: String::new(),
        note: String::new(),
        csv: of_panel(format!("{base}/{}.csv", panel.id)),
        more: None,
    };
    let answer = match counted {
        Ok(answer) => answer,
        Err(error) => {
            shown.empty = fault(error, language);
            return shown;
        }
    };
    if answer.n_rows > answer.rows.len() as u64 && panel.shape != Shape::Hours {
        shown.more = Some(of_panel(format!("{base}/{}", panel.id)));
    }
    shown.columns = answer
        .metrics
        .iter()
        .map(|m| words::metric(*m, language))
        .collect();
    if answer.rows.is_empty() {
        shown.empty = match answer.n_suppressed {
            0 => language
                .pick("Nothing in this period.", "Intet i denne periode.")
                .to_owned(),
            _ => language.pick(
                format!("Not shown: fewer than {} visitors.", answer.k),
                format!("Vises ikke: færre end {} besøgende.", answer.k),
            ),
        };
        return shown;
    }
    if answer.n_suppressed > 0 {
        shown.note = language.pick(
            format!(
                "Rows with fewer than {} visitors are one row, (other).",
                answer.k
            ),
            format!(
                "Rækker med færre end {} besøgende er én række, (øvrige).",
                answer.k
            ),
        );
    }
    if panel.shape == Shape::Hours {
        shown.hours = hours(answer, language);
        return shown;
    }
    let most = answer
        .rows
        .iter()
        .filter_map(|row| row.metrics[0])
        .fold(0.0, f64::max);
    for row in &answer.rows {
        let names: Vec<String> = tab
            .dimensions
            .iter()
            .zip(&row.dimensions)
            .map(|(dimension, value)| words::value(dimension, value, language))
            .collect();
        let is_other = row.dimensions.iter().any(|value| value == "(other)");
        let href = (tab.is_filter && !is_other).then(|| {
            view.href(|view| {
                for (dimension, value) in tab.dimensions.iter().zip(&row.dimensions) {
                    view.add_filter(view::leaf_of("is", dimension, value));
                }
            })
        });
        let metrics = answer.metrics.iter().zip(&row.metrics);
        shown.rows.push(Row {
            text: names.join(" "),
            href,
            width: match row.metrics[0] {
                Some(value) if most > 0.0 => format!("{:.1}%", 100.0 * value / most),
                _ => "0".into(),
            },
            cells: metrics
                .map(|(metric, value)| words::figure(*metric, *value, &row.currency, language))
                .collect(),
        });
    }
    if panel.shape == Shape::Places && tab.dimensions == ["visit:country"] {
        shown.tiles = tiles_of(answer, most, language);
    }
    shown
}

/// A funnel, counted or with the reason why not.
pub(super) fn funnel(
    view: &View,
    site: &Site,
    steps: &[String],
    counted: Option<&Result<Funnel, QueryError>>,
) -> FunnelShown {
    let language = view.language;
    let tabs = site.funnels.iter().map(|known| Choice {
        text: known.name.clone(),
        href: view.href(|view| view.steps.clone_from(&known.steps)),
        is_current: known.steps == steps,
        key: "",
    });
    let mut inputs = steps.to_vec();
    let n_inputs = (steps.len() + 1).clamp(2, view::MAX_STEPS);
    inputs.resize(n_inputs, String::new());
    let mut kept = view.pairs();
    kept.retain(|(key, _)| *key != "step");
    let mut shown = FunnelShown {
        tabs: tabs.collect(),
        steps: Vec::new(),
        inputs,
        kept,
        action: view.path.clone(),
        note: String::new(),
        fault: String::new(),
    };
    let funnel = match counted {
        None => return shown,
        Some(Err(error)) => {
            shown.fault = fault(error, language);
            return shown;
        }
        Some(Ok(funnel)) => funnel,
    };
    if funnel.steps.contains(&None) {
        shown.note = language.pick(
            format!(
                "Steps that would tell of fewer than {} visitors have no number.",
                funnel.k
            ),
            format!(
                "Trin, der ville røbe færre end {} besøgende, har intet tal.",
                funnel.k
            ),
        );
    }
    let percent = |part: Option<u64>, whole: Option<u64>| match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => {
            format!(
                "{} %",
                words::number(100.0 * part as f64 / whole as f64, 1, language)
            )
        }
        _ => words::NONE.to_owned(),
    };
    let mut before = funnel.everyone;
    let everyone = [(
        view.say("All visitors", "Alle besøgende").to_owned(),
        funnel.everyone,
    )];
    let all = everyone
        .into_iter()
        .chain(steps.iter().cloned().zip(funnel.steps.iter().copied()));
    for (name, n) in all {
        shown.steps.push(Step {
            name,
            text: words::figure(Metric::Visitors, n.map(|n| n as f64), "", language),
            share: percent(n, funnel.everyone),
            of_last: percent(n, before),
            width: match (n, funnel.everyone) {
                (Some(n), Some(all)) if all > 0 => format!("{:.1}%", 100.0 * n as f64 / all as f64),
                _ => "0".into(),
            },
        });
        before = n;
    }
    shown
}

/// Consent coverage over time.
pub(super) fn consent(
    view: &View,
    step: &str,
    answer: &Answer,
    about: &Answer,
    csv: String,
) -> Consent {
    let language = view.language;
    let point = |label: &String| {
        let row = answer
            .rows
            .iter()
            .find(|row| row.dimensions.first() == Some(label));
        let value = row.and_then(|row| row.metrics[0]);
        Point {
            name: words::point(label, step, language),
            text: words::figure(Metric::ConsentRate, value, "", language),
            value,
            ..Point::empty()
        }
    };
    let consent = about.meta.get("consent");
    let count = |key: &str| {
        consent
            .and_then(|consent| consent[key].as_f64())
            .unwrap_or(0.0)
    };
    let (grants, denials) = (count("grants"), count("denials"));
    let number = |n| words::number(n, 0, language);
    let share = match grants + denials {
        0.0 => words::NONE.to_owned(),
        all => words::number(100.0 * grants / all, 1, language),
    };
    Consent {
        graph: Graph::new(answer.labels.iter().map(point).collect()),
        text: language.pick(
            format!(
                "{share} % said yes: {} of {} who chose.",
                number(grants),
                number(grants + denials)
            ),
            format!(
                "{share} % sagde ja: {} af {}, der valgte.",
                number(grants),
                number(grants + denials)
            ),
        ),
        csv,
    }
}

/// Notes and segments.
pub(super) fn marks(view: &View, base: &str, marks: &[super::marks::Mark]) -> Marks {
    let kept = |kind: &str| -> Vec<Kept> {
        marks
            .iter()
            .filter(|mark| mark.kind == kind)
            .map(|mark| {
                let day = crate::salts::period::date_of(mark.day);
                Kept {
                    mark: mark.mark,
                    name: mark.name.clone(),
                    day: match kind {
                        "note" => words::date(day, view.language),
                        _ => String::new(),
                    },
                    href: match kind {
                        "segment" => view.href(|view| view.filters = mark.filters()),
                        _ => view.href(|view| {
                            view.period = Period::Dates(day.to_string(), day.to_string());
                        }),
                    },
                }
            })
            .collect()
    };
    Marks {
        form: view.reader.form.clone(),
        action: format!("{base}/marks"),
        back: view.address(),
        notes: kept("note"),
        segments: kept("segment"),
        filters: match view.filters.is_empty() {
            true => String::new(),
            false => Value::from(view.filters.clone()).to_string(),
        },
    }
}

fn tiles_of(answer: &Answer, most: f64, language: Language) -> Vec<MapTile> {
    let tile = |country: &super::places::Country| {
        let row = answer
            .rows
            .iter()
            .find(|row| row.dimensions[0] == country.code);
        let value = row.and_then(|row| row.metrics[0]);
        let name = super::places::name(country.code, language);
        MapTile {
            code: country.code,
            x: country.column * 10,
            y: country.row * 10,
            // By orders of magnitude: one country usually has most of them.
            shade: match value {
                Some(value) if value > 0.0 => {
                    let steps = (most / value).log10() * 2.0;
                    5_usize.saturating_sub(steps.round() as usize).max(1)
                }
                _ => 0,
            },
            title: match value {
                Some(value) => format!("{name}: {}", words::number(value, 0, language)),
                None => name.to_owned(),
            },
        }
    };
    COUNTRIES.iter().map(tile).collect()
}

fn hours(answer: &Answer, language: Language) -> Vec<HourRow> {
    let most = answer
        .rows
        .iter()
        .filter(|row| row.dimensions[0] != "(other)")
        .filter_map(|row| row.metrics[0])
        .fold(0.0, f64::max);
    let cell = |day: usize, hour: usize| {
        let key = [day.to_string(), format!("{hour:02}")];
        let row = answer.rows.iter().find(|row| row.dimensions[..] == key[..]);
        match row.and_then(|row| row.metrics[0]) {
            Some(value) => {
                let shade = (5.0 * value / most).ceil().clamp(1.0, 5.0);
                (shade as usize, words::number(value, 0, language))
            }
            None => (0, words::NONE.to_owned()),
        }
    };
    (1..=7)
        .map(|day| HourRow {
            day: words::weekday(day, language),
            cells: (0..24).map(|hour| cell(day, hour)).collect(),
        })
        .collect()
}

/// Why something could not be counted, in words.
pub(super) fn fault(error: &QueryError, language: Language) -> String {
    match error {
        QueryError::BadRequest(refusal) => refusal.to_string(),
        QueryError::UnknownSite => language
            .pick("No such site.", "Webstedet findes ikke.")
            .into(),
        QueryError::TooExpensive { .. } => language
            .pick(
                "This takes longer than a query may. Choose a shorter period.",
                "Dette tager længere tid, end en forespørgsel må. Vælg en kortere periode.",
            )
            .into(),
        QueryError::Unavailable { .. } => language
            .pick(
                "The store does not answer now. Nothing is lost; try again soon.",
                "Databasen svarer ikke nu. Intet er tabt; prøv igen om lidt.",
            )
            .into(),
        QueryError::Failed { .. } => language
            .pick("This could not be counted.", "Dette kunne ikke tælles.")
            .into(),
    }
}

/// Where the rows of a panel's own page lead: to the site's page, filtered.
pub(super) fn filter_hrefs(
    view: &View,
    tab: &Tab,
    answer: Option<&Answer>,
    base: &str,
) -> Vec<Option<String>> {
    let Some(answer) = answer.filter(|_| tab.is_filter) else {
        return Vec::new();
    };
    let href = |row: &crate::stats::answer::AnswerRow| {
        let is_other = row.dimensions.iter().any(|value| value == "(other)");
        (!is_other).then(|| {
            view.href(|view| {
                view.path = base.to_owned();
                for (dimension, value) in tab.dimensions.iter().zip(&row.dimensions) {
                    view.add_filter(view::leaf_of("is", dimension, value));
                }
            })
        })
    };
    answer.rows.iter().map(href).collect()
}

/// What must be known of the numbers: consent coverage, age of the newest event, salts.
pub(super) fn notes(view: &View, answer: &Answer) -> Vec<String> {
    let language = view.language;
    let mut notes = Vec::new();
    let n_salts = answer
        .meta
        .get("salts")
        .and_then(Value::as_u64)
        .unwrap_or(1);
    if n_salts > 1 {
        notes.push(language.pick(
            format!("Visitors are the sum over {n_salts} salts: who came on several days is counted on each."),
            format!("Besøgende er summen over {n_salts} salte: den, der kom flere dage, tælles hver dag."),
        ));
    }
    let coverage = answer
        .meta
        .get("consent")
        .and_then(|consent| consent["coverage"].as_f64());
    if let Some(coverage) = coverage {
        let share = words::number(100.0 * coverage, 1, language);
        notes.push(language.pick(
            format!("{share} % of those who chose in this period said yes; only they are counted."),
            format!("{share} % af dem, der valgte i perioden, sagde ja; kun de tælles."),
        ));
    }
    if let Some(newest) = answer.meta.get("newest_event").and_then(Value::as_str) {
        let newest = newest.get(..16).unwrap_or(newest).replace('T', " ");
        notes.push(language.pick(
            format!("Newest event {newest} UTC."),
            format!("Nyeste hændelse {newest} UTC."),
        ));
    }
    notes.push(language.pick(
        format!("Numbers of fewer than {} visitors are not shown.", answer.k),
        format!("Tal for færre end {} besøgende vises ikke.", answer.k),
    ));
    notes
}

/// The panels in order, for the ones that a view shows.
pub(super) fn panels() -> impl Iterator<Item = &'static Panel> {
    PANELS.iter()
}
