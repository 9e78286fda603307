//! The figures on top, the main graph, consent over time, and what must be known of the numbers.

use jiff::civil::Date;
use serde_json::Value;

use super::super::graph::{Graph, Point};
use super::super::view::{Period, View};
use super::super::words;
use super::{Choice, Consent, Main, Tile, controls::day, range_text};
use crate::stats::Answer;
use crate::stats::metric::Metric;
use crate::stats::rollup::Lost;

/// The figures on top.
pub(in super::super) fn tiles(view: &View, answer: &Answer) -> Vec<Tile> {
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
        let was = compared.and_then(|compared| compared.metrics[i]);
        // Nothing that became nothing has not changed by a percentage.
        let change = compared
            .and_then(|compared| compared.change[i])
            .filter(|_| was != Some(0.0));
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
pub(in super::super) fn main_graph(
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
            clock: words::clock(label, step, language),
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
            is_under_way: words::is_under_way(label, step, now_label),
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

/// Consent coverage over time.
pub(in super::super) fn consent(
    view: &View,
    step: &str,
    answer: &Answer,
    about: &Answer,
    csv: String,
    now_label: &str,
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
            clock: words::clock(label, step, language),
            text: words::figure(Metric::ConsentRate, value, "", language),
            value,
            is_under_way: words::is_under_way(label, step, now_label),
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
    let n_chosen = grants + denials;
    let share = words::number(100.0 * grants / n_chosen, 1, language);
    Consent {
        graph: Graph::new(answer.labels.iter().map(point).collect()),
        text: match n_chosen > 0.0 {
            false => view
                .say(
                    "Nobody has chosen in this period. The share of those who say yes stands here, from the first answer \
                     to the question of consent on.",
                    "Ingen har valgt i denne periode. Her kommer andelen, der siger ja, til at stå, fra det første svar på \
                     spørgsmålet om samtykke.",
                )
                .to_owned(),
            true => language.pick(
            format!(
                "{share} % said yes: {} of {} who chose.",
                number(grants),
                number(n_chosen)
            ),
            format!(
                "{share} % sagde ja: {} af {}, der valgte.",
                number(grants),
                number(n_chosen)
            ),
            ),
        },
        csv,
    }
}

/// What a reader must know where events of the period are gone.
pub(in super::super) fn lost(lost: Lost, view: &View) -> Option<&'static str> {
    match lost {
        Lost::Nothing => None,
        Lost::Details => Some(view.say(
            "Some of these days are past their retention: they are counted from final daily numbers, in which small rows stand under (other).",
            "Nogle af disse dage er ældre end opbevaringstiden: de er talt fra endelige dagstal, hvor små rækker står under (øvrige).",
        )),
        Lost::Days => Some(view.say(
            "Some of these days are past their retention, and are not counted here.",
            "Nogle af disse dage er ældre end opbevaringstiden og er ikke talt med her.",
        )),
    }
}

/// What must be known of the numbers: consent coverage, age of the newest event, salts.
pub(in super::super) fn notes(view: &View, answer: &Answer) -> Vec<String> {
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
    if let Some(lost) = lost(answer.lost, view) {
        notes.push(lost.into());
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
