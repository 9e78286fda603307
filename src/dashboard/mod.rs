//! The dashboard: pages of the admin listener, rendered on the server.
//!
//! Comes in: a request's head (and the form of a change). Goes out: HTML with SVG, CSV, or the events of a live
//! figure. Promises: every number is the query API's own answer, small ones hidden alike; every state stands in the
//! address; nothing is loaded from elsewhere, no inline script or style is allowed (Content-Security-Policy), and
//! everything but the live figure works without script. Loses nothing: it keeps no state but segments and notes.
//!
//! | path | |
//! |---|---|
//! | `/` | all sites together and one by one |
//! | `/d/<site>` | one site; its state is the query (`view.rs`) |
//! | `/d/<site>/<panel>`, `….csv` | one panel in full |
//! | `/d/<site>/now` | the last half hour, as server-sent events |
//! | `/meaning` | what the numbers mean |
//! | `/static/…` | style and script |

mod ask;
mod assets;
mod graph;
mod health;
mod marks;
mod meaning;
mod overview;
mod page;
mod panels;
mod places;
mod reply;
mod site;
mod view;
mod words;

use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;
use tokio::sync::Semaphore;

use self::ask::{Asker, PARALLEL};
use self::page::{Choice, Frame};
use self::view::View;
use crate::collector::Collector;
use crate::config::{Site, Sites};
use crate::policy::language::Language;
use crate::route::{Reply, problem};
use crate::stats::rollup::Memo;
use crate::store::Store;

/// What a page must know of its reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// What their forms carry (field `form`); none: they change nothing, and are shown no forms.
    pub form: Option<String>,
    /// They have an account of their own, and a way to it.
    pub has_account: bool,
}

/// Returns site and page that a path shows numbers of, for the record of who looked; none for what shows none, and for
/// the live figure of a page.
pub fn looked_at(path: &str) -> Option<(&str, &str)> {
    if path == "/" {
        return Some(("", ""));
    }
    let rest = path.strip_prefix("/d/")?;
    let (site, page) = rest.split_once('/').unwrap_or((rest, ""));
    (page != "now").then_some((site, page))
}

/// What the pages are made from.
#[derive(Debug)]
pub struct Dashboard {
    collector: Arc<Collector>,
    store: Store,
    turns: Semaphore,
}

impl Dashboard {
    /// Makes the pages of a collector and its store.
    pub fn new(collector: Arc<Collector>, store: Store) -> Dashboard {
        Dashboard {
            collector,
            store,
            turns: Semaphore::new(PARALLEL),
        }
    }

    /// Answers a `GET` of one of its pages, or none where the path is not one of them. Whoever asks has been let in
    /// before; of who it is only `sites` is left: the sites they may see. Another site does not exist.
    pub async fn answer(&self, sites: &Sites, reader: Reader, head: &Parts) -> Option<Reply> {
        let path = head.uri.path();
        if let Some(name) = path.strip_prefix("/static/") {
            return Some(assets::answer(name, head));
        }
        let mut view = View::read(head);
        view.reader = reader;
        if path == "/meaning" {
            return Some(meaning::answer(self, sites, &view, head));
        }
        if path == "/" {
            return Some(site::all(self, sites, &view, head).await);
        }
        let rest = path.strip_prefix("/d/")?;
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(site) = sites.iter().find(|site| site.id.as_str() == name).cloned() else {
            return Some(problem(StatusCode::NOT_FOUND, None, "no such site"));
        };
        let asker = self.asker(sites);
        Some(match rest {
            "" => site::one(self, &asker, &site, &view, head).await,
            "now" => site::now(&asker, &site, &view).await,
            _ => match site::panel(self, &asker, &site, &view, rest, head).await {
                Some(reply) => reply,
                None => problem(StatusCode::NOT_FOUND, None, "no such page"),
            },
        })
    }

    /// Answers a form: a note or a segment, added or removed. None where the path takes none. Whoever sends it has been
    /// let in before, and the form is one of ours: a page elsewhere cannot send it (`Sec-Fetch-Site`, `Origin`).
    pub async fn change(&self, sites: &Sites, head: &Parts, form: &[u8]) -> Option<Reply> {
        let name = head
            .uri
            .path()
            .strip_prefix("/d/")?
            .strip_suffix("/marks")?;
        let site = sites.iter().find(|site| site.id.as_str() == name)?;
        Some(marks::change(&self.asker(sites), site, head, form).await)
    }

    fn asker<'a>(&'a self, sites: &'a Sites) -> Asker<'a> {
        Asker {
            client: &self.store.client,
            sites,
            limits: &self.collector.config.query,
            turns: &self.turns,
            now: self.collector.clock.now(),
            memo: Memo::default(),
        }
    }

    fn frame(&self, known: &Sites, view: &View, site: Option<&Site>) -> Frame {
        let sites = known.iter().map(|other| Choice {
            text: other.name.clone(),
            href: view.href(|view| {
                view.path = format!("/d/{}", other.id);
                // Filters and funnels are of one site.
                view.filters.clear();
                view.steps.clear();
            }),
            is_current: site.is_some_and(|site| site.id == other.id),
            key: "",
        });
        let languages =
            Language::ALL.map(|language| (language, view.href(|view| view.speak(language))));
        Frame {
            language: view.language,
            has_account: view.reader.has_account,
            title: site.map_or_else(
                || view.say("All sites", "Alle websteder").to_owned(),
                |site| site.name.clone(),
            ),
            sites: sites.collect(),
            home: view.href(|view| {
                view.path = "/".into();
                view.filters.clear();
                view.steps.clear();
                view.tabs.clear();
            }),
            meaning: view.href(|view| {
                view.path = "/meaning".into();
                view.filters.clear();
                view.steps.clear();
                view.tabs.clear();
            }),
            languages: languages.into(),
            style: assets::style_path(),
            icon: assets::icon_path(),
            script: assets::script_path(),
        }
    }
}
