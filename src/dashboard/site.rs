//! The pages: all sites, one site, one panel; and the live figure.
//!
//! Comes in: who is asked (a site) and a view. Goes out: a reply. All questions of a page run side by side, and each is
//! one statement.

use bytes::Bytes;
use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::civil::Date;
use serde_json::{Value, json};

use super::ask::{self, Asker, MANY};
use super::overview::{Overview, SiteRow};
use super::page::{self, Choice, Live as LiveFigure, Main, PanelPage, SitePage};
use super::panels::Panel;
use super::props::{self, Props};
use super::reply;
use super::view::{Period, View};
use super::{Dashboard, health, marks, words};
use crate::config::{Site, Sites};
use crate::policy::language::Language;
use crate::route::{Reply, typed};
use crate::salts::period::{date_of, local_day};
use crate::stats::metric::Metric;
use crate::stats::rollup::Lost;
use crate::stats::{Answer, Beside, QueryError};

/// One site.
pub(super) async fn one(
    dashboard: &Dashboard,
    asker: &Asker<'_>,
    site: &Site,
    view: &View,
    head: &Parts,
) -> Reply {
    let today = date_of(local_day(asker.now, &site.time_zone));
    let mut view = view.clone();
    if !ask::TOP.contains(&view.metric.as_str()) {
        view.metric = "visitors".into();
    }
    let view = &view;
    let step = step(view, today);
    let props = Props::of(view);
    let names = props.dimensions();
    let narrowed = props.narrowed(view);
    let tabs: Vec<_> = page::panels()
        .map(|panel| match panel.id {
            props::ID => (panel, props.tab(&names), &narrowed),
            id => (
                panel,
                *panel.tab(view.tabs.get(id).map(String::as_str)),
                view,
            ),
        })
        .collect();
    let panels: Vec<Value> = tabs
        .iter()
        .map(|(_, tab, view)| ask::breakdown(site, view, tab, false))
        .collect();
    let steps = match (&view.steps[..], site.funnels.first()) {
        ([], Some(funnel)) => funnel.steps.clone(),
        (steps, _) => steps.to_vec(),
    };
    let coarse = if matches!(step, "minute" | "hour") {
        "day"
    } else {
        step
    };
    let (top, (graph, consent), now, panels, funnel, oldest, marks) = tokio::join!(
        asker.ask(ask::top(site, view), Beside::About),
        graph_and_consent(asker, site, view, step, coarse),
        asker.ask(
            ask::now(site, asker.now, &[], &["visitors"]),
            Beside::Nothing
        ),
        asker.ask_all(&panels),
        asker.funnel(site, view, &steps),
        asker.oldest_day(site),
        marks::read(asker, site),
    );
    // A page without its notes is a page all the same.
    let marks = marks.unwrap_or_default();
    let days: Vec<(String, String)> = marks
        .iter()
        .filter(|mark| mark.kind == "note")
        .map(|mark| (date_of(mark.day).to_string(), mark.name.clone()))
        .collect();
    let base = format!("/d/{}", site.id);
    let fault = match &top {
        Ok(_) => String::new(),
        Err(error) => page::fault(error, view.language),
    };
    let status = top.as_ref().map_or_else(status_of, |_| StatusCode::OK);
    let now_label = words::clock_label(asker.now, &site.time_zone);
    let graph_csv = view.href(|view| {
        view.path = format!("{base}/graph.csv");
        view.tabs.clear();
    });
    let oldest = oldest.unwrap_or_default();
    let first = oldest.map(date_of);
    let main: Option<Main> = graph
        .as_ref()
        .ok()
        .map(|answer| page::main_graph(view, step, answer, &now_label, graph_csv, &days, first));
    let shown = tabs.iter().zip(&panels).map(|((panel, tab, _), counted)| {
        let mut shown = page::shown(view, panel, tab, counted.as_ref(), &base);
        if panel.id == props::ID {
            props.dress(&mut shown, view, counted.as_ref().ok(), &base);
        }
        shown
    });
    let consent_csv = view.href(|view| {
        view.path = format!("{base}/consent.csv");
        view.tabs.clear();
    });
    let consent = match (&consent, &top) {
        (Ok(consent), Ok(top)) => {
            let csv = consent_csv;
            Some(page::consent(view, coarse, consent, top, csv, &now_label))
        }
        _ => None,
    };
    let health = health::lines(&dashboard.collector, site, view, oldest, asker.now);
    let shown = SitePage {
        funnel: fault.is_empty().then(|| {
            let lost = top.as_ref().map_or(Lost::Nothing, |top| top.lost);
            page::funnel(view, site, &steps, funnel.as_ref(), lost)
        }),
        consent,
        has_outcomes: health.iter().any(|line| line.is_outcome),
        health,
        marks: page::marks(view, &base, &marks),
        frame: dashboard.frame(asker.sites, view, Some(site)),
        site,
        controls: page::controls(view, today, top.as_ref().ok()),
        live: live_figure(view, site, now.as_ref().ok()),
        tiles: top
            .as_ref()
            .map_or_else(|_| Vec::new(), |top| page::tiles(view, top, first)),
        graph: main,
        panels: if fault.is_empty() {
            shown.collect()
        } else {
            Vec::new()
        },
        notes: top.as_ref().map_or_else(
            |_| Vec::new(),
            |top| page::notes(view, &site.time_zone, top),
        ),
        fault,
    };
    reply::page(status, &shown, view.language, head)
}

/// Counts the main graph, and consent coverage over the same time: by one statement where they fit.
async fn graph_and_consent(
    asker: &Asker<'_>,
    site: &Site,
    view: &View,
    step: &str,
    coarse: &str,
) -> (Result<Answer, QueryError>, Result<Answer, QueryError>) {
    if let Some(query) = ask::graph_with_consent(site, view, step)
        && let Ok(both) = asker.ask(query, Beside::Nothing).await
        && let (Some(graph), Some(consent)) = (both.only(0), both.only(1))
    {
        return (Ok(graph), Ok(consent));
    }
    tokio::join!(
        asker.ask(ask::graph(site, view, step), Beside::Nothing),
        asker.ask(ask::consent(site, view, coarse), Beside::Nothing),
    )
}

/// One panel in full, or as CSV; none where there is no such panel.
pub(super) async fn panel(
    dashboard: &Dashboard,
    asker: &Asker<'_>,
    site: &Site,
    view: &View,
    name: &str,
    head: &Parts,
) -> Option<Reply> {
    let today = date_of(local_day(asker.now, &site.time_zone));
    if let "graph.csv" | "consent.csv" = name {
        let step = step(view, today);
        let coarse = if matches!(step, "minute" | "hour") {
            "day"
        } else {
            step
        };
        let query = match name {
            "graph.csv" => ask::graph(site, view, step),
            _ => ask::consent(site, view, coarse),
        };
        return Some(csv(asker, site, query, name.trim_end_matches(".csv"), head).await);
    }
    let (id, is_csv) = match name.strip_suffix(".csv") {
        Some(id) => (id, true),
        None => (name, false),
    };
    let panel = Panel::find(id)?;
    let props = Props::of(view);
    let names = props.dimensions();
    let (tab, asked) = match panel.id {
        props::ID => (props.tab(&names), props.narrowed(view)),
        id => (
            *panel.tab(view.tabs.get(id).map(String::as_str)),
            view.clone(),
        ),
    };
    let tab = &tab;
    let query = ask::breakdown(site, &asked, tab, true);
    let what = if tab.id.is_empty() { panel.id } else { tab.id };
    if is_csv {
        return Some(csv(asker, site, query, what, head).await);
    }
    let base = format!("/d/{}", site.id);
    let counted = asker.ask(query, Beside::About).await;
    let fault = match &counted {
        Err(error) => page::fault(error, view.language),
        Ok(_) => String::new(),
    };
    let status = counted.as_ref().map_or_else(status_of, |_| StatusCode::OK);
    let mut shown = page::shown(view, panel, tab, counted.as_ref(), &base);
    shown.more = None;
    shown.is_whole = true;
    for (row, href) in
        shown
            .rows
            .iter_mut()
            .zip(page::filter_hrefs(view, tab, counted.as_ref().ok(), &base))
    {
        row.href = href;
    }
    if panel.id == props::ID {
        props.dress(&mut shown, view, counted.as_ref().ok(), &base);
    }
    let n_rows = counted.as_ref().map_or(0, |answer| answer.n_rows);
    let at = |offset: u64, en, da| Choice {
        text: view.say(en, da).to_owned(),
        href: view.href(|view| view.offset = offset),
        is_current: false,
        key: "",
    };
    let mut pages = Vec::new();
    if view.offset > 0 {
        pages.push(at(
            view.offset.saturating_sub(MANY),
            "Rows before",
            "Rækkerne før",
        ));
    }
    // The hours of the week come all at once.
    if tab.is_filter && view.offset + MANY < n_rows {
        pages.push(at(view.offset + MANY, "Further rows", "Flere rækker"));
    }
    let page = PanelPage {
        frame: dashboard.frame(asker.sites, view, Some(site)),
        site,
        controls: page::controls(view, today, counted.as_ref().ok()),
        panel: shown,
        back: view.href(|view| view.path = base.clone()),
        pages,
        fault,
    };
    Some(reply::page(status, &page, view.language, head))
}

/// All sites together and one by one, apps and web side by side.
pub(super) async fn all(dashboard: &Dashboard, sites: &Sites, view: &View, head: &Parts) -> Reply {
    let asker = dashboard.asker(sites);
    let mut view = view.clone();
    view.filters.clear();
    let view = &view;
    let sites: Vec<_> = sites.iter().collect();
    let questions = sites.iter().map(|site| {
        let today = date_of(local_day(asker.now, &site.time_zone));
        let (top, graph) = (
            ask::top(site, view),
            ask::graph(site, view, step(view, today)),
        );
        let asker = &asker;
        async move {
            tokio::join!(
                asker.ask(top, Beside::About),
                asker.ask(graph, Beside::Nothing)
            )
        }
    });
    let answers = ask::all(questions.collect()).await;
    let first = sites.first().map_or(Date::ZERO, |site| {
        date_of(local_day(asker.now, &site.time_zone))
    });
    let reference = answers.iter().find_map(|(top, _)| top.as_ref().ok());
    let fault = match (&reference, answers.first()) {
        (None, Some((Err(error), _))) => page::fault(error, view.language),
        _ => String::new(),
    };
    let status = match (&reference, answers.first()) {
        (None, Some((Err(error), _))) => status_of(error),
        _ => StatusCode::OK,
    };
    let rows = sites.iter().zip(&answers).map(|(site, (top, graph))| {
        let today = date_of(local_day(asker.now, &site.time_zone));
        let now_label = words::clock_label(asker.now, &site.time_zone);
        let at = (step(view, today), now_label.as_str());
        SiteRow::new(view, site, top.as_ref(), graph.as_ref().ok(), at)
    });
    let page = Overview {
        frame: dashboard.frame(asker.sites, view, None),
        controls: page::controls(view, first, reference),
        groups: super::overview::groups(view, rows.collect()),
        fault,
    };
    reply::page(status, &page, view.language, head)
}

/// Visitors of the last half hour and `k`; none: not counted.
pub(super) type Present = Option<(Option<f64>, u32)>;

/// Counts the last half hour.
pub(super) async fn present(asker: &Asker<'_>, site: &Site) -> Present {
    let query = ask::now(site, asker.now, &[], &["visitors"]);
    present_of(asker.ask(query, Beside::Nothing).await.as_ref().ok())
}

fn present_of(counted: Option<&Answer>) -> Present {
    counted.and_then(|answer| Some((answer.rows.first()?.metrics[0], answer.k)))
}

/// The last half hour, as one event. Whoever is told so and no more comes back after `retry`.
pub(super) fn live_event(present: Present, language: Language) -> String {
    let text = json!({ "text": live_text(present, language) });
    format!("retry: 10000\ndata: {text}\n\n")
}

/// The last half hour as a reply that ends, for those who hold enough connections.
pub(super) async fn now(asker: &Asker<'_>, site: &Site, view: &View) -> Reply {
    let event = live_event(present(asker, site).await, view.language);
    let mut reply = typed(StatusCode::OK, "text/event-stream", Bytes::from(event));
    reply::guarded(&mut reply);
    reply
}

fn live_text(present: Present, language: Language) -> String {
    match present {
        Some((Some(n), _)) => words::figure(Metric::Visitors, Some(n), "", language),
        Some((None, k)) => language.pick(format!("fewer than {k}"), format!("færre end {k}")),
        None => words::NONE.to_owned(),
    }
}

fn live_figure(view: &View, site: &Site, counted: Option<&Answer>) -> LiveFigure {
    LiveFigure {
        text: live_text(present_of(counted), view.language),
        href: view.href(|view| view.path = format!("/d/{}/now", site.id)),
    }
}

/// A table to be saved, written while it is read.
async fn csv(asker: &Asker<'_>, site: &Site, query: Value, what: &str, head: &Parts) -> Reply {
    match asker.export(query).await {
        Ok(export) => {
            let (from, to) = export.range();
            let day = |instant: &str| instant.get(..10).unwrap_or_default().to_owned();
            let name = format!("{}-{what}-{}-{}.csv", site.id, day(&from), day(&to));
            reply::download(export, &name, head)
        }
        Err(error) => crate::admin::query_problem(&error),
    }
}

pub(super) fn status_of(error: &QueryError) -> StatusCode {
    crate::admin::status_of(error)
}

/// How finely the graph divides time: as asked, where that gives a graph.
pub(super) fn step(view: &View, today: Date) -> &'static str {
    let n_days = match &view.period {
        Period::Keyword(word) => match word.as_str() {
            "30m" => 0,
            "day" | "24h" => 1,
            "month" => i64::from(today.day()),
            "year" => i64::from(today.day_of_year()),
            "all" => 400,
            word => {
                let number =
                    |unit: &str| word.strip_suffix(unit).and_then(|n| n.parse::<i64>().ok());
                number("d")
                    .or_else(|| number("mo").map(|n| n * 31))
                    .unwrap_or(28)
            }
        },
        Period::Dates(from, to) => {
            let date = |text: &str| text.get(..10).and_then(|day| day.parse::<Date>().ok());
            match (date(from), date(to)) {
                (Some(from), Some(to)) => from
                    .until(to)
                    .map_or(28, |span| i64::from(span.get_days()) + 1),
                _ => 28,
            }
        }
    };
    let fits = |step: &str| match step {
        "minute" => n_days <= 2,
        "hour" => n_days <= 31,
        _ => true,
    };
    let known = ["minute", "hour", "day", "week", "month"];
    let asked = view.interval.as_deref();
    match known
        .into_iter()
        .find(|step| Some(*step) == asked && fits(step))
    {
        Some(step) => step,
        None => match n_days {
            0 => "minute",
            ..=2 => "hour",
            3..=92 => "day",
            93..=200 => "week",
            _ => "month",
        },
    }
}
