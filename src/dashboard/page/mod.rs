//! Answers → what the templates show.
//!
//! Comes in: a view and the query API's answers. Goes out: HTML. Every text of a visitor's (path, source, property)
//! is a value of a template, which escapes it; addresses are built by `view.rs` alone.

mod controls;
mod empties;
mod extras;
mod figures;
mod panels;

use askama::Template;

use super::graph::Graph;
use super::places::{COLUMNS, ROWS};
use crate::config::Site;
use crate::policy::language::Language;
use crate::stats::QueryError;

pub(super) use self::controls::controls;
pub(super) use self::extras::{funnel, marks};
pub(super) use self::figures::{consent, main_graph, notes, tiles};
pub(super) use self::panels::{filter_hrefs, panels, shown};

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
    /// Where the reader's account is; empty: they have none.
    pub(super) account: String,
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
    /// Said beside the figure of an interval that is not over.
    fn so_far(&self) -> &'static str {
        self.say("so far", "indtil nu")
    }

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
    /// Beacons of the site are among its lines.
    pub(super) has_outcomes: bool,
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

/// What is not there.
#[derive(Template)]
#[template(path = "lost.html", config = "dashboards/web/askama.toml")]
pub(super) struct Lost {
    pub(super) frame: Frame,
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
    /// It has a page of its own, with more columns than a phone has room for.
    pub(super) is_whole: bool,
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

impl Row {
    /// Where there is little room its text is cut off, and said by the pointer.
    fn is_long(&self) -> bool {
        self.text.chars().count() > 30
    }
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
    /// Where a link to this view can be made; empty: not by this reader.
    pub(super) share: String,
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

    /// The length of the longest figure of the hours, as far as the style tells lengths apart.
    fn hour_characters(&self) -> usize {
        let cells = self.hours.iter().flat_map(|row| &row.cells);
        match cells.map(|(_, text)| text.chars().count()).max() {
            Some(n @ 5..=7) => n,
            Some(8..) => 9,
            _ => 4,
        }
    }
}

/// Why something could not be counted, in words.
pub(super) fn fault(error: &QueryError, language: Language) -> String {
    match error {
        QueryError::BadRequest(refusal) => language.pick(
            format!(
                "This cannot be asked: {refusal}. Remove the filter or the step, or choose other dates."
            ),
            format!(
                "Dette kan ikke spørges: {refusal}. Fjern filteret eller trinnet, eller vælg andre datoer."
            ),
        ),
        QueryError::UnknownSite => language
            .pick(
                "There is no such site; choose one above.",
                "Webstedet findes ikke; vælg et ovenfor.",
            )
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
            .pick(
                "This could not be counted. Try again; if it stays so, tell whoever runs brine: the log says why.",
                "Dette kunne ikke tælles. Prøv igen; bliver det ved, så sig det til den, der driver brine: loggen siger hvorfor.",
            )
            .into(),
    }
}

#[cfg(test)]
mod testing {
    use hyper::Request;

    use super::super::view::View;

    /// The view of an address.
    pub(super) fn view(address: &str) -> View {
        let request = Request::builder().uri(address).body(()).unwrap();
        View::read(&request.into_parts().0)
    }
}
