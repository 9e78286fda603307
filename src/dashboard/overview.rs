//! All sites on one page: each with its figures and a small line, web and apps side by side.

use askama::Template;

use super::graph::{Graph, Point};
use super::page::{self, Controls, Frame, Tile};
use super::view::View;
use super::words;
use crate::config::Site;
use crate::config::settings::SiteKind;
use crate::stats::metric::Metric;
use crate::stats::{Answer, QueryError};

/// The page of all sites.
#[derive(Template)]
#[template(path = "overview.html", config = "dashboards/web/askama.toml")]
pub(super) struct Overview {
    pub(super) frame: Frame,
    pub(super) controls: Controls,
    pub(super) groups: Vec<Group>,
    pub(super) fault: String,
}

/// Web sites, or apps; or both together.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) title: &'static str,
    pub(super) rows: Vec<SiteRow>,
    /// Sums of what can be added.
    pub(super) sums: Vec<String>,
}

/// One site.
#[derive(Debug)]
pub(super) struct SiteRow {
    pub(super) name: String,
    pub(super) href: String,
    kind: SiteKind,
    pub(super) tiles: Vec<Tile>,
    pub(super) line: Option<Graph>,
    pub(super) fault: String,
    /// Visitors, visits, pageviews; none: withheld.
    counts: Vec<Option<f64>>,
}

/// Metrics shown of each site, by their position in `ask::TOP`.
const SHOWN: usize = 6;

impl SiteRow {
    pub(super) fn new(
        view: &View,
        site: &Site,
        top: Result<&Answer, &QueryError>,
        graph: Option<&Answer>,
        (step, now_label): (&str, &str),
    ) -> SiteRow {
        let mut tiles = top.map_or_else(|_| Vec::new(), |top| page::tiles(view, top, None));
        tiles.truncate(SHOWN);
        let line = graph.map(|answer| {
            let point = |label: &String| {
                let row = answer
                    .rows
                    .iter()
                    .find(|row| row.dimensions.first() == Some(label));
                Point {
                    value: row.map_or(Some(0.0), |row| row.metrics[0]),
                    is_ahead: label.as_str() > now_label,
                    is_under_way: words::is_under_way(label, step, now_label),
                    ..Point::empty()
                }
            };
            Graph::new(answer.labels.iter().map(point).collect())
        });
        SiteRow {
            name: site.name.clone(),
            href: view.href(|view| view.path = format!("/d/{}", site.id)),
            kind: site.kind,
            tiles,
            line: line.filter(|line| !line.is_empty()),
            fault: top
                .err()
                .map_or_else(String::new, |error| page::fault(error, view.language)),
            counts: top
                .ok()
                .and_then(|top| top.rows.first())
                .map_or_else(|| vec![None; 3], |row| row.metrics[..3].to_vec()),
        }
    }
}

/// Puts the sites into groups: all together, then each kind.
pub(super) fn groups(view: &View, rows: Vec<SiteRow>) -> Vec<Group> {
    let sums = |rows: &[&SiteRow]| -> Vec<String> {
        (0..3)
            .map(|i| {
                let sum = rows.iter().filter_map(|row| row.counts[i]).sum();
                words::figure(Metric::Visits, Some(sum), "", view.language)
            })
            .collect()
    };
    if rows.is_empty() {
        return Vec::new();
    }
    let together = Group {
        title: view.say("All together", "Alle sammen"),
        sums: sums(&rows.iter().collect::<Vec<_>>()),
        rows: Vec::new(),
    };
    let (apps, web): (Vec<_>, Vec<_>) = rows.into_iter().partition(|row| row.kind == SiteKind::App);
    let group = |title, rows: Vec<SiteRow>| Group {
        title,
        sums: sums(&rows.iter().collect::<Vec<_>>()),
        rows,
    };
    let mut groups = vec![together];
    groups.push(group(view.say("Web", "Web"), web));
    groups.push(group(view.say("Apps", "Apps"), apps));
    groups.retain(|group| {
        !group.rows.is_empty() || group.title == view.say("All together", "Alle sammen")
    });
    groups
}
