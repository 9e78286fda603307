//! The step: [`Filtered`] → [`Enriched`]. The address and the user agent end here.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use compact_str::{CompactString, ToCompactString};
use jiff::Timestamp;

use super::action::{event_name, is_interactive, props};
use super::agent::Agents;
use super::agent::names::Browser;
use super::data_file::{DataFileError, Stamp, stamp};
use super::geo::{Geo, GeoFile};
use super::language::language;
use super::referrer::{Arrival, Referrers};
use super::screen::ScreenClass;
use crate::config::Site;
use crate::config::settings::{self, GeoDetail, SiteKind};
use crate::event::Draft;
use crate::filter::bots::Bots;
use crate::filter::referrer_spam::SpamReferrers;
use crate::filter::step::Filtered;
use crate::pseudonym::{Identity, visitor_of_client, visitor_of_id, visitor_of_token};

/// What is read from, shared by all requests.
#[allow(missing_docs)]
pub struct Enrichers {
    pub agents: Agents,
    pub geo: Geo,
    pub referrers: ArcSwap<Referrers>,
    pub spam: ArcSwap<SpamReferrers>,
    files: settings::Enrich,
    spam_stamp: ArcSwap<Option<Stamp>>,
}

impl std::fmt::Debug for Enrichers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enrichers")
    }
}

impl Enrichers {
    /// Opens the data files of the configuration; built-in rules serve where none is named.
    ///
    /// # Errors
    /// Which file is missing or broken: at start that is for the operator to mend.
    pub fn open(files: &settings::Enrich) -> Result<Enrichers, DataFileError> {
        let bots = Bots::new(files.crawler_patterns.as_deref())?;
        let spam_file = files.referrer_spam.as_deref();
        Ok(Enrichers {
            agents: Agents::new(files.agent_patterns.as_deref(), bots)?,
            geo: Geo::open(files.geo_country.clone(), files.geo_city.clone())?,
            referrers: ArcSwap::from_pointee(Referrers::new(files.referrer_sources.as_deref())?),
            spam_stamp: ArcSwap::from_pointee(spam_file.map(stamp).transpose()?),
            spam: ArcSwap::from_pointee(SpamReferrers::new(spam_file)?),
            files: files.clone(),
        })
    }

    /// Reads geo databases and the spam list anew where the files changed; says for each what came of
    /// it. Agent, crawler and source patterns are read at start only. Blocking.
    pub fn reload_if_changed(&self) -> Vec<(&'static str, Result<bool, String>)> {
        let mut results: Vec<_> = self
            .geo
            .files()
            .map(|file| {
                (
                    self.geo_name(file),
                    file.reload_if_changed().map_err(|e| e.to_string()),
                )
            })
            .collect();
        if let Some(path) = self.files.referrer_spam.as_deref() {
            results.push((
                "referrer_spam",
                self.reload_spam(path).map_err(|e| e.to_string()),
            ));
        }
        results
    }

    /// Returns when each geo database was built: its name and seconds since 1970 UTC.
    pub fn geo_built(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        self.geo
            .files()
            .map(|file| (self.geo_name(file), file.build_epoch_s()))
    }

    fn geo_name(&self, file: &GeoFile) -> &'static str {
        if self.files.geo_city.as_deref() == Some(file.path()) {
            "geo_city"
        } else {
            "geo_country"
        }
    }

    fn reload_spam(&self, path: &Path) -> Result<bool, DataFileError> {
        let now = Some(stamp(path)?);
        if now == **self.spam_stamp.load() {
            return Ok(false);
        }
        self.spam.store(Arc::new(SpamReferrers::new(Some(path))?));
        self.spam_stamp.store(Arc::new(now));
        Ok(true)
    }
}

/// An event without its sender: what identifies is apart, to be hashed in the next step.
pub struct Enriched {
    pub(crate) event: Box<Draft>,
    pub(crate) identity: Identity,
    pub(crate) site: Arc<Site>,
    pub(crate) received: Timestamp,
    pub(crate) happened: Timestamp,
}

impl std::fmt::Debug for Enriched {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Enriched(hidden)")
    }
}

/// Reads everything that may be stored out of a beacon, coarsely, and drops the rest.
pub fn enrich(filtered: Filtered, enrichers: &Enrichers) -> Enriched {
    let Filtered {
        consented,
        agent,
        scrubbed,
        place,
        language: preferred,
    } = filtered;
    let (beacon, proof) = consented.into_parts();
    let app = beacon.app.as_deref();
    let site = beacon.site;
    let agent = agent.with_viewport(beacon.viewport_width);
    let arrival = Arrival {
        hostname: &scrubbed.page.hostname,
        utm: &scrubbed.utm,
        click: scrubbed.click,
    };
    let referrer = beacon.referrer.as_deref();
    let source = enrichers
        .referrers
        .load()
        .classify(referrer, arrival, |host| site.owns_host(host));
    let is_placed = site.geo != GeoDetail::None;
    let mut path = scrubbed.page.path;
    if !scrubbed.page.query.is_empty() {
        path.push('?');
        path.push_str(&scrubbed.page.query);
    }
    let props = props(&beacon.name, &path, &beacon.props);
    let (revenue, currency) = beacon
        .revenue
        .map_or((0.0, String::new()), |r| (r.amount, r.currency));
    // An app's network library is no browser, whatever it calls itself.
    let (browser, browser_version) = match app {
        Some(_) => (Browser::App, 0),
        None => (agent.browser, agent.browser_version),
    };
    let (os, os_version) = app
        .and_then(|app| app.os)
        .unwrap_or((agent.os, agent.os_version));
    let event = Box::new(Draft {
        site: CompactString::from(site.id.as_str()),
        ts_ms: beacon.happened.as_millisecond(),
        name: event_name(&beacon.name),
        is_interactive: beacon.is_interactive && is_interactive(&beacon.name),
        hostname: scrubbed.page.hostname,
        path,
        referrer: source.referrer,
        source: source.name,
        channel: named(source.channel.name()),
        utm_source: scrubbed.utm.source,
        utm_medium: scrubbed.utm.medium,
        utm_campaign: scrubbed.utm.campaign,
        utm_content: scrubbed.utm.content,
        utm_term: scrubbed.utm.term,
        country: match is_placed {
            true => place.country.as_str().into(),
            false => CompactString::default(),
        },
        region: place.region.into(),
        city: place.city.into(),
        browser: named(browser.name()),
        browser_version: version(browser_version),
        os: named(os.name()),
        os_version: version(os_version),
        device: named(app.and_then(|app| app.class).unwrap_or(agent.device).name()),
        language: language(app.map(|app| app.locale.as_str()), None)
            .or(preferred)
            .map(|language| language.as_str().into())
            .unwrap_or_default(),
        screen: beacon
            .viewport_width
            .and_then(ScreenClass::of)
            .map(|class| named(class.name()))
            .unwrap_or_default(),
        platform: named(match (app.and_then(|app| app.platform), site.kind) {
            (Some(platform), _) => platform,
            (None, SiteKind::Web) => "web",
            (None, SiteKind::App) => "app",
        }),
        app_version: app
            .map(|app| app.version.as_str().into())
            .unwrap_or_default(),
        days_since_last: named(beacon.days_since_last),
        props,
        revenue,
        currency: currency.into(),
        engagement_ms: beacon.engagement_ms,
        scroll_depth: beacon.scroll_depth,
        lcp_ms: beacon.vitals.lcp_ms,
        inp_ms: beacon.vitals.inp_ms,
        cls: beacon.vitals.cls,
        ttfb_ms: beacon.vitals.ttfb_ms,
        fcp_ms: beacon.vitals.fcp_ms,
        // Of the next step. Named, because a default of all fields would be made and dropped for them.
        visitor: 0,
        visit: 0,
        device_id: 0,
        day: 0,
        expires: 0,
    });
    let identity = Identity {
        visitor: match (beacon.visitor_id, proof.token()) {
            (Some(id), _) => visitor_of_id(&id),
            (None, Some(token)) => visitor_of_token(token),
            (None, None) => visitor_of_client(&beacon.client),
        },
        visit: beacon.visit,
        event: beacon.event_id,
        app: beacon.app,
    };
    Enriched {
        event,
        identity,
        site,
        received: beacon.received,
        happened: beacon.happened,
    }
}

/// A name from a closed set; not copied.
fn named(name: &'static str) -> CompactString {
    CompactString::const_new(name)
}

fn version(major: u16) -> CompactString {
    match major {
        0 => CompactString::default(),
        _ => major.to_compact_string(),
    }
}
