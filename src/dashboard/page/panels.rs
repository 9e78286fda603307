//! Panels: rows, map, hours of the week, and where their rows lead.

use super::super::panels::{PANELS, Panel, Shape, Tab};
use super::super::places::{self, COUNTRIES};
use super::super::view::{self, View};
use super::super::words;
use super::{Choice, HourRow, MapTile, Row, Shown, empties, fault};
use crate::policy::language::Language;
use crate::stats::rollup::Lost;
use crate::stats::{Answer, QueryError};

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
    if answer.rows.is_empty() {
        shown.empty = match answer.n_suppressed {
            0 => empties::words(view, panel.id, tab.id).to_owned(),
            _ => language.pick(
                format!("Not shown: fewer than {} visitors.", answer.k),
                format!("Vises ikke: færre end {} besøgende.", answer.k),
            ),
        };
        return shown;
    }
    if answer.n_suppressed > 0 {
        let folded = language.pick(
            format!(
                "Rows with fewer than {} visitors are one row, (other).",
                answer.k
            ),
            format!(
                "Rækker med færre end {} besøgende er én række, (øvrige).",
                answer.k
            ),
        );
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

/// The panels in order, for the ones that a view shows.
pub(in super::super) fn panels() -> impl Iterator<Item = &'static Panel> {
    PANELS.iter()
}
