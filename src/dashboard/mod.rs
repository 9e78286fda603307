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
mod outcomes;
mod overview;
mod page;
mod panels;
mod places;
mod props;
mod reply;
mod site;
mod view;
mod words;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use hyper::http::request::Parts;
use hyper::{Request, StatusCode};
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

use self::ask::{Asker, PARALLEL};
pub use self::marks::Planned;
use self::page::{Choice, Frame};
use self::view::View;
use crate::collector::Collector;
use crate::config::{Site, Sites};
use crate::policy::language::Language;
use crate::route::{Reply, problem, wants_page};
use crate::stats::rollup::Memo;
use crate::store::Store;

/// How long a live figure is told before it is counted anew; below the pause between two events.
const FRESH: Duration = Duration::from_secs(4);

/// What a page must know of its reader.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reader {
    /// What their forms carry (field `form`); none: they change nothing, and are shown no forms.
    pub form: Option<String>,
    /// They have an account of their own, and a way to it.
    pub has_account: bool,
    /// They may make links for others.
    pub may_share: bool,
}

/// Returns the address of a site's page with the view of `query`; of that only what the page knows.
pub fn address_of(site: &str, query: &str) -> String {
    let plain = format!("/d/{site}");
    let request = Request::builder().uri(format!("{plain}?{query}")).body(());
    match request {
        Ok(request) => View::read(&request.into_parts().0).address(),
        Err(_) => plain,
    }
}

/// Names a value of a dimension: what the store keeps as a code is said in words.
pub(crate) fn in_words(dimension: &str, value: &str, language: Language) -> String {
    words::value(dimension, value, language)
}

/// Returns the site whose live figure a path is.
pub fn watched(path: &str) -> Option<&str> {
    let (site, page) = site_and_page(path)?;
    (page == "now").then_some(site)
}

/// Returns site and page that a path shows numbers of, for the record of who looked; none for what shows none, and for
/// the live figure of a page.
pub fn looked_at(path: &str) -> Option<(&str, &str)> {
    if path == "/" {
        return Some(("", ""));
    }
    site_and_page(path).filter(|(_, page)| *page != "now")
}

/// Returns the site that a path is about, with or without numbers on it.
pub(crate) fn site_of(path: &str) -> Option<&str> {
    site_and_page(path).map(|(site, _)| site)
}

fn site_and_page(path: &str) -> Option<(&str, &str)> {
    let rest = path.strip_prefix("/d/")?;
    Some(rest.split_once('/').unwrap_or((rest, "")))
}

/// What the pages are made from.
#[derive(Debug)]
pub struct Dashboard {
    collector: Arc<Collector>,
    store: Store,
    turns: Semaphore,
    live: Mutex<HashMap<String, (Instant, site::Present)>>,
}

impl Dashboard {
    /// Makes the pages of a collector and its store.
    pub fn new(collector: Arc<Collector>, store: Store) -> Dashboard {
        Dashboard {
            collector,
            store,
            turns: Semaphore::new(PARALLEL),
            live: Mutex::default(),
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
        let Some(rest) = path.strip_prefix("/d/") else {
            return wants_page(head).then(|| self.lost(sites, &view, head, "no such path"));
        };
        let (name, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let Some(site) = sites.iter().find(|site| site.id.as_str() == name).cloned() else {
            return Some(self.lost(sites, &view, head, "no such site"));
        };
        let asker = self.asker(sites);
        Some(match rest {
            "" => site::one(self, &asker, &site, &view, head).await,
            "now" => site::now(&asker, &site, &view).await,
            _ => match site::panel(self, &asker, &site, &view, rest, head).await {
                Some(reply) => reply,
                None => self.lost(sites, &view, head, "no such page"),
            },
        })
    }

    /// What is not there: in words for a browser, as a problem (RFC 9457) for everything else.
    fn lost(&self, sites: &Sites, view: &View, head: &Parts, reason: &str) -> Reply {
        if !wants_page(head) {
            return problem(StatusCode::NOT_FOUND, None, reason);
        }
        let mut view = view.clone();
        view.leave_site();
        view.tabs.clear();
        // The other language of this page is a page that is there.
        view.path = "/".into();
        let mut frame = self.frame(sites, &view, None);
        frame.title = view.say("Not found", "Ikke fundet").to_owned();
        let page = page::Lost { frame };
        reply::page(StatusCode::NOT_FOUND, &page, view.language, head)
    }

    /// Reads a form: a note or a segment, to be added or removed. None where the path takes none. Whoever sends it has
    /// been let in before, and the form is one of ours: a page elsewhere cannot send it (`Sec-Fetch-Site`, `Origin`).
    ///
    /// # Errors
    /// The reply that refuses it.
    pub fn planned(
        &self,
        sites: &Sites,
        head: &Parts,
        form: &[u8],
    ) -> Option<Result<Planned, Box<Reply>>> {
        let name = head
            .uri
            .path()
            .strip_prefix("/d/")?
            .strip_suffix("/marks")?;
        let site = sites.iter().find(|site| site.id.as_str() == name)?;
        let now = self.collector.clock.now();
        Some(marks::read_form(site, head, form, now))
    }

    /// Makes the change of a form that was read.
    pub async fn make(&self, sites: &Sites, planned: &Planned) -> Reply {
        marks::make(&self.asker(sites), planned).await
    }

    /// Returns the next event of a site's live figure (HTML, "Server-sent events"). All who watch a site are told of the
    /// same counting, so that a hundred of them ask as much as one.
    pub async fn live_event(&self, sites: &Sites, site: &Site, head: &Parts) -> String {
        let view = View::read(head);
        let mut live = self.live.lock().await;
        let known = live.get(site.id.as_str());
        let present = match known.filter(|(at, _)| at.elapsed() < FRESH) {
            Some((_, present)) => *present,
            None => {
                let present = site::present(&self.asker(sites), site).await;
                live.insert(site.id.to_string(), (Instant::now(), present));
                present
            }
        };
        site::live_event(present, view.language)
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
                view.leave_site();
            }),
            is_current: site.is_some_and(|site| site.id == other.id),
            key: "",
        });
        let languages =
            Language::ALL.map(|language| (language, view.href(|view| view.speak(language))));
        Frame {
            language: view.language,
            account: match view.reader.has_account {
                true => view.beside("/account"),
                false => String::new(),
            },
            title: site.map_or_else(
                || view.say("All sites", "Alle websteder").to_owned(),
                |site| site.name.clone(),
            ),
            sites: sites.collect(),
            home: view.href(|view| {
                view.path = "/".into();
                view.leave_site();
                view.tabs.clear();
            }),
            meaning: view.href(|view| {
                view.path = "/meaning".into();
                view.leave_site();
                view.tabs.clear();
            }),
            languages: languages.into(),
            style: assets::style_path(),
            icon: assets::icon_path(),
            script: assets::script_path(),
        }
    }
}
