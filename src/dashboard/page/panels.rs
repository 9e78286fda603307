//! Panels: rows, map, hours of the week, and where their rows lead.

use super::super::panels::{PANELS, Panel, Shape, Tab};
use super::super::places::{self, COUNTRIES};
use super::super::view::{self, View};
use super::super::words;
use super::{Choice, HourRow, MapTile, Row, Shown, empties, fault};
use crate::policy::language::Language;
use crate::stats::answer::AnswerRow;
use crate::stats::metric::Metric;
use crate::stats::rollup::Lost;
use crate::stats::{Answer, QueryError};

const CURRENCY: &[&str] = &["event:currency"];

/// One panel.
pub(in super::super) fn shown(
    view: &View,
    panel: &'static Panel,
    tab: &Tab<'_>,
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
            view.tabs.clear();
            if !tab.id.is_empty() {
                view.tabs.insert(panel.id, tab.id.to_owned());
            }
        })
    };
    let mut shown = Shown {
        id: panel.id,
        title: panel.title(language),
        head: match tab.dimensions {
            CURRENCY => language.pick("Currency", "Valuta"),
            _ => tab.title(language),
        },
        tabs,
        columns: Vec::new(),
        rows: Vec::new(),
        tiles: Vec::new(),
        hours: Vec::new(),
        empty: String::new(),
        note: String::new(),
        csv: of_panel(format!("{base}/{}.csv", panel.id)),
        more: None,
        is_whole: false,
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
    let lost = super::figures::lost(answer.lost, view);
    if let Some(lost) = lost.filter(|_| answer.lost == Lost::Days) {
        shown.note = lost.into();
    }
    if !answer.rows.iter().any(|row| is_meant(tab, row)) {
        shown.empty = match answer.n_suppressed {
            0 => empties::words(view, panel.id, tab.id).to_owned(),
            _ => language.pick(
                format!("Not shown: fewer than {} visitors.", answer.k),
                format!("Vises ikke: færre end {} besøgende.", answer.k),
            ),
        };
        return shown;
    }
    if panel.id == "vitals" && is_unmeasured(answer) {
        shown.empty = empties::unmeasured(answer.k, language);
        return shown;
    }
    if panel.id == "vitals" {
        let means = view.say(
            "Figures are the 75th percentile (p75): three of four measurements are as good or better.",
            "Tallene er 75-percentilen (p75): tre af fire målinger er lige så gode eller bedre.",
        );
        shown.note = [means, shown.note.as_str()].join(" ").trim_end().to_owned();
    }
    if answer.n_suppressed > 0 {
        let k = answer.k;
        let folded = match panel.shape {
            Shape::Hours => language.pick(
                format!("Hours with fewer than {k} visitors are shown as “–”."),
                format!("Timer med færre end {k} besøgende vises som »–«."),
            ),
            _ => language.pick(
                format!("Rows with fewer than {k} visitors are one row, (other)."),
                format!("Rækker med færre end {k} besøgende er én række, (øvrige)."),
            ),
        };
        shown.note = [folded.as_str(), shown.note.as_str()]
            .join(" ")
            .trim_end()
            .to_owned();
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
    for row in answer.rows.iter().filter(|row| is_meant(tab, row)) {
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
            text: match row.dimensions.iter().all(|value| value == "(other)") {
                true => words::value("", "(other)", language),
                false => names.join(" "),
            },
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

/// Tells whether a row is one of the panel: events without a currency are not about money.
fn is_meant(tab: &Tab<'_>, row: &AnswerRow) -> bool {
    tab.dimensions != CURRENCY || row.dimensions[0] != "(not set)"
}

/// Tells whether no row has a figure but that of its visitors, as on sites of apps, which measure no page.
fn is_unmeasured(answer: &Answer) -> bool {
    let is_none =
        |(metric, value): (&Metric, &Option<f64>)| *metric == Metric::Visitors || value.is_none();
    let mut rows = answer.rows.iter();
    rows.all(|row| answer.metrics.iter().zip(&row.metrics).all(is_none))
}

fn tiles_of(answer: &Answer, most: f64, language: Language) -> Vec<MapTile> {
    let tile = |country: &places::Country| {
        let row = answer
            .rows
            .iter()
            .find(|row| row.dimensions[0] == country.code);
        let value = row.and_then(|row| row.metrics[0]);
        let name = places::name(country.code, language);
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

/// Where the rows of a panel's own page lead: to the site's page, filtered.
pub(in super::super) fn filter_hrefs(
    view: &View,
    tab: &Tab<'_>,
    answer: Option<&Answer>,
    base: &str,
) -> Vec<Option<String>> {
    let Some(answer) = answer.filter(|_| tab.is_filter) else {
        return Vec::new();
    };
    let href = |row: &AnswerRow| {
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
    let rows = answer.rows.iter().filter(|row| is_meant(tab, row));
    rows.map(href).collect()
}

/// The panels in order, for the ones that a view shows.
pub(in super::super) fn panels() -> impl Iterator<Item = &'static Panel> {
    PANELS.iter()
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;

    /// The panel's tab over rows of these dimensions and figures.
    fn panel(id: &str, tab: &str, rows: &[(&[&str], &[Option<f64>])]) -> Shown {
        let panel = Panel::find(id).expect("a panel");
        let tab = panel.tab(Some(tab));
        let metrics = tab
            .metrics
            .iter()
            .map(|name| Metric::parse(name).expect("a metric"));
        let rows = rows.iter().map(|(dimensions, metrics)| {
            let dimensions = dimensions.iter().map(|&value| value.into()).collect();
            AnswerRow::new(dimensions, metrics.to_vec())
        });
        let mut answer = Answer::new(Vec::new(), metrics.collect(), rows.collect());
        (answer.k, answer.n_suppressed) = (5, 1);
        let view = view("/d/portal");
        let shown = shown(&view, panel, tab, Ok(&answer), "/d/portal");
        let hrefs = filter_hrefs(&view, tab, Some(&answer), "/d/portal");
        assert!(!tab.is_filter || !shown.empty.is_empty() || hrefs.len() == shown.rows.len());
        shown
    }

    #[test]
    fn hours_that_are_not_shown_are_no_row() {
        let shown = panel(
            "hours",
            "hours",
            &[(&["1", "09"], &[Some(12_345.0), Some(1.0)])],
        );
        assert_eq!(
            shown.note,
            "Hours with fewer than 5 visitors are shown as “–”."
        );
        assert_eq!(shown.hours[0].cells[9].1, "12,345");
        assert_eq!(shown.hour_characters(), 6);
    }

    #[test]
    fn revenue_is_told_by_currency_and_not_of_events_without() {
        let none: &[Option<f64>] = &[None, None, Some(9.0)];
        let euros: &[Option<f64>] = &[Some(49.8), Some(24.9), Some(2.0)];
        let shown = panel(
            "events",
            "revenue",
            &[(&["(not set)"], none), (&["EUR"], euros)],
        );
        assert_eq!((shown.head, shown.rows.len()), ("Currency", 1));
        assert_eq!(shown.rows[0].text, "EUR");
        let shown = panel("events", "revenue", &[(&["(not set)"], none)]);
        assert!(shown.rows.is_empty() && !shown.empty.is_empty());
    }

    #[test]
    fn speed_says_what_it_is_and_where_nothing_measures_it() {
        let shown = panel("vitals", "page", &[(&["/a"], &[Some(900.0), None, None])]);
        assert!(
            shown.note.contains("75th percentile (p75)"),
            "{}",
            shown.note
        );
        let shown = panel(
            "vitals",
            "page",
            &[(&["/a"], &[None; 3]), (&["/b"], &[None; 3])],
        );
        assert!(shown.rows.is_empty() && shown.empty.contains("apps do not"));
    }

    #[test]
    fn what_is_folded_is_one_word_whatever_the_dimensions() {
        let counts: &[Option<f64>] = &[Some(5.0), Some(5.0)];
        let rows: [(&[&str], _); 2] =
            [(&["ios", "4.2"], counts), (&["(other)", "(other)"], counts)];
        let shown = panel("apps", "version", &rows);
        let texts: Vec<&str> = shown.rows.iter().map(|row| row.text.as_str()).collect();
        assert_eq!(texts, ["iOS 4.2", "(other)"]);
    }
}
