//! The figures on top, the main graph, consent over time, and what must be known of the numbers.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::Value;

use super::super::graph::{Graph, Point};
use super::super::view::{Period, View};
use super::super::words;
use super::controls::{day, range_text};
use super::{Choice, Consent, Main, Tile};
use crate::stats::Answer;
use crate::stats::metric::Metric;
use crate::stats::rollup::Lost;

/// The figures on top. `oldest` is the first date of which the site has events, where it is known.
pub(in super::super) fn tiles(view: &View, answer: &Answer, oldest: Option<Date>) -> Vec<Tile> {
    let language = view.language;
    let compared = answer.range("comparison_date_range");
    let is_before = compared.is_some_and(|(_, last)| is_before(last, oldest));
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
        // Before the first event there was nothing, not a count of nothing.
        let was = compared
            .and_then(|compared| compared.metrics[i])
            .filter(|was| *was != 0.0 || !is_before);
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

/// Tells whether a date, or an instant's, lies before the first event.
fn is_before(date: &str, oldest: Option<Date>) -> bool {
    let date = day(date).parse::<Date>().ok();
    date.zip(oldest).is_some_and(|(date, oldest)| date < oldest)
}

/// The main graph. Before `oldest`, the first date of which the site has events, there is nothing to draw.
pub(in super::super) fn main_graph(
    view: &View,
    step: &'static str,
    answer: &Answer,
    now_label: &str,
    csv: String,
    notes: &[(String, String)],
    oldest: Option<Date>,
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
    // Days whose events are gone have rows all the same.
    let first_row = answer.rows.iter().chain(&answer.earlier);
    let first_row = first_row
        .filter_map(|row| day(row.dimensions.first()?).parse::<Date>().ok())
        .min();
    let oldest = oldest.map(|oldest| first_row.map_or(oldest, |first| first.min(oldest)));
    let is_unknown =
        |label: &str| dates_of(label, step).is_some_and(|(_, last)| is_before(&last, oldest));
    let value_at = |rows: &[crate::stats::answer::AnswerRow], label: &str| {
        let row = rows
            .iter()
            .find(|row| row.dimensions.first().is_some_and(|d| d == label));
        match row {
            Some(row) => row.metrics[0],
            None if is_withheld || is_unknown(label) => None,
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
            earlier: earlier_label
                .filter(|label| !is_unknown(label))
                .map(|label| {
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
        .zip(&answer.labels)
        .filter(|(p, label)| p.value.is_none() && !p.is_ahead && !is_unknown(label))
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
            .map_or_else(String::new, |range| range_text(view, range)),
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
            true => {
                let (grants, n_chosen) = (number(grants), number(n_chosen));
                let said = match view.is_of_instants() {
                    false => language.pick(
                        format!("{share} % said yes: {grants} of {n_chosen} who chose."),
                        format!("{share} % sagde ja: {grants} af {n_chosen}, der valgte."),
                    ),
                    true => language.pick(
                        format!("{share} % said yes: {grants} of {n_chosen} who chose on these days, each counted whole."),
                        format!("{share} % sagde ja: {grants} af {n_chosen}, der valgte disse dage, talt som hele dage."),
                    ),
                };
                let beside = match view.filters.is_empty() {
                    true => "",
                    false => view.say(
                        " The filters do not apply here.",
                        " Filtrene gælder ikke her.",
                    ),
                };
                said + beside
            }
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
pub(in super::super) fn notes(view: &View, zone: &TimeZone, answer: &Answer) -> Vec<String> {
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
        let who = match view.is_of_instants() {
            false => view.say("who chose in this period", "der valgte i perioden"),
            true => view.say("who chose on these days", "der valgte disse dage"),
        };
        let whom = match view.filters.is_empty() {
            true => "",
            false => view.say(", whatever the filters", ", uanset filtrene"),
        };
        notes.push(language.pick(
            format!("{share} % of those {who} said yes{whom}; only they are counted."),
            format!("{share} % af dem, {who}, sagde ja{whom}; kun de tælles."),
        ));
    }
    let newest = answer.meta.get("newest_event").and_then(Value::as_str);
    if let Some(newest) = newest.and_then(|newest| newest.parse::<Timestamp>().ok()) {
        let newest = words::moment(newest, zone, language);
        notes.push(language.pick(
            format!("Newest event {newest}."),
            format!("Nyeste hændelse {newest}."),
        ));
    }
    notes.push(language.pick(
        format!("Numbers of fewer than {} visitors are not shown.", answer.k),
        format!("Tal for færre end {} besøgende vises ikke.", answer.k),
    ));
    notes
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;
    use crate::stats::answer::AnswerRow;

    /// A site that is a day old has had no zeros before.
    #[test]
    fn before_the_first_event_there_is_nothing_to_draw() {
        let row = |label: &str, n| AnswerRow::new(vec![label.into()], vec![Some(n)]);
        let mut answer = Answer::new(
            vec!["time:day".into()],
            vec![Metric::Visitors],
            vec![row("2026-11-24", 6.0)],
        );
        let labels = |days: std::ops::RangeInclusive<u8>| -> Vec<String> {
            days.map(|day| format!("2026-11-{day:02}")).collect()
        };
        (answer.labels, answer.earlier_labels) = (labels(22..=25), labels(18..=21));
        let drawn = |oldest: i8| {
            let view = view("/d/portal");
            let oldest = Some(jiff::civil::date(2026, 11, oldest));
            let now = "2026-11-25 12:00:00";
            main_graph(&view, "day", &answer, now, String::new(), &[], oldest)
        };
        let main = drawn(24);
        let values: Vec<_> = main.graph.points.iter().map(|p| p.value).collect();
        assert_eq!(values, [None, None, Some(6.0), Some(0.0)]);
        assert!(!main.graph.has_earlier() && main.note.is_empty());
        // Older events stand elsewhere than in this range.
        let main = drawn(1);
        assert!(main.graph.points.iter().all(|p| p.value.is_some()));
        assert!(main.graph.has_earlier());
    }

    #[test]
    fn choices_of_consent_are_of_whole_days_and_of_no_filter() {
        let mut about = Answer::new(Vec::new(), Vec::new(), Vec::new());
        let choices = serde_json::json!({ "grants": 3, "denials": 1, "coverage": 0.75 });
        about.meta.insert("consent".into(), choices);
        let said = |address: &str| {
            let (view, zone) = (view(address), TimeZone::UTC);
            let panel = consent(&view, "day", &about, &about, String::new(), "");
            (panel.text, notes(&view, &zone, &about).remove(0))
        };
        let (panel, note) = said("/d/portal?period=7d");
        assert_eq!(panel, "75.0 % said yes: 3 of 4 who chose.");
        assert!(
            note.contains("who chose in this period said yes;"),
            "{note}"
        );
        for period in ["30m", "24h"] {
            let (panel, note) = said(&format!("/d/portal?period={period}"));
            assert!(panel.contains("who chose on these days"), "{panel}");
            assert!(note.contains("who chose on these days"), "{note}");
        }
        let (panel, note) = said("/d/portal?lang=da&period=24h&f=is,event:page,/a");
        assert!(
            panel.ends_with("talt som hele dage. Filtrene gælder ikke her."),
            "{panel}"
        );
        assert!(
            note.contains("der valgte disse dage, sagde ja, uanset filtrene;"),
            "{note}"
        );
    }
}
