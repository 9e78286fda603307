//! The step: [`Consented`] → [`Filtered`], or the end with a reason.
//!
//! Reads what the rules ask about (agent, address scrubbed, country) and hands it on, so that nothing is
//! read twice.

use crate::beacon::Refused;
use crate::client::Client;
use crate::config::settings::{GeoDetail, SiteKind};
use crate::config::{Fault, Site, Sites};
use crate::consent::Consented;
use crate::enrich::agent::Agent;
use crate::enrich::agent::hints::Hints;
use crate::enrich::geo;
use crate::enrich::language::{Language, language};
use crate::enrich::step::Enrichers;
use crate::enrich::url::{QueryAllowList, Scrubbed, UrlRules, scrub};
use crate::filter::bots::BotReason;
use crate::filter::rules::{Candidate, RuleTexts, Rules};
use crate::outcome::Outcome;

/// A beacon that counts, with what was read out of it on the way.
pub struct Filtered {
    pub(crate) consented: Consented,
    pub(crate) agent: Agent,
    pub(crate) scrubbed: Scrubbed,
    pub(crate) place: geo::Place,
    /// Which the browser says its user likes best.
    pub(crate) language: Option<Language>,
}

impl std::fmt::Debug for Filtered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Filtered(hidden)")
    }
}

/// The rules of every site, compiled.
#[derive(Debug)]
pub struct SiteFilters {
    by_site: Vec<SiteFilter>,
}

#[derive(Debug)]
struct SiteFilter {
    rules: Rules,
    url: UrlRules,
}

impl SiteFilters {
    /// Compiles the rules of `sites`.
    ///
    /// # Errors
    /// Every rule that cannot work.
    pub fn new(sites: &Sites) -> Result<SiteFilters, Vec<Fault>> {
        let mut faults = Vec::new();
        let mut by_site = Vec::with_capacity(sites.len());
        for site in sites.iter() {
            let texts = RuleTexts {
                paths: site.rules.exclude_paths.clone(),
                hostnames: site.rules.exclude_hostnames.clone(),
                networks: site
                    .rules
                    .exclude_networks
                    .iter()
                    .map(ToString::to_string)
                    .collect(),
                countries: site.rules.exclude_countries.clone(),
            };
            let rules = Rules::new(&texts);
            let query = QueryAllowList::new(site.query_allow.clone());
            match (rules, query) {
                (Ok(rules), Ok(query)) => {
                    let url = UrlRules {
                        query,
                        hash_routing: site.hash_routing,
                    };
                    by_site.push(SiteFilter { rules, url });
                }
                (rules, query) => {
                    let fault = |key: &str, value: &str, reason: String| Fault {
                        key: format!("site[{}].{key}", site.id),
                        value: format!("{value:?}"),
                        reason,
                    };
                    let rules = rules.err().into_iter().flatten();
                    faults.extend(rules.map(|e| fault("rules", e.rule(), e.to_string())));
                    let query = query.err();
                    faults.extend(query.map(|e| fault("query_allow", e.name(), e.to_string())));
                }
            }
        }
        if faults.is_empty() {
            Ok(SiteFilters { by_site })
        } else {
            Err(faults)
        }
    }
}

/// What is read out of a sender, the same for all its beacons.
#[derive(Clone, Debug)]
pub struct Sender {
    agent: Agent,
    place: geo::Place,
    language: Option<Language>,
}

impl Sender {
    /// Reads agent, language and place, as closely as `site` wants them.
    pub fn read(client: &Client, site: &Site, enrichers: &Enrichers) -> Sender {
        let place = match site.geo {
            GeoDetail::None if site.rules.exclude_countries.is_empty() => geo::Place::default(),
            GeoDetail::None | GeoDetail::Country => enrichers
                .geo
                .lookup(client.address, geo::GeoDetail::CountryOnly),
            GeoDetail::City => enrichers
                .geo
                .lookup(client.address, geo::GeoDetail::WithCity),
        };
        let hints = Hints {
            brands: &client.hints.brands,
            mobile: &client.hints.mobile,
            platform: client.hints.platform.trim_matches('"'),
        };
        Sender {
            agent: enrichers.agents.parse(&client.user_agent, hints),
            place,
            language: language(None, Some(&client.accept_language)),
        }
    }
}

/// Lets through what is to be counted.
///
/// # Errors
/// [`Refused`] with `beacon.url` or `filter.*`.
pub fn filter(
    consented: Consented,
    filters: &SiteFilters,
    enrichers: &Enrichers,
) -> Result<Filtered, Refused> {
    let beacon = consented.beacon();
    let sender = Sender::read(&beacon.client, &beacon.site, enrichers);
    filter_from(consented, &sender, filters, enrichers)
}

/// The same for one of several beacons of a sender.
///
/// # Errors
/// As [`filter`].
pub fn filter_from(
    consented: Consented,
    sender: &Sender,
    filters: &SiteFilters,
    enrichers: &Enrichers,
) -> Result<Filtered, Refused> {
    let beacon = consented.beacon();
    let site = &beacon.site;
    let refuse = |outcome, detail: &str| Err(Refused::because(outcome, Some(site), detail));
    let client = &beacon.client;
    let Sender {
        agent,
        place,
        language,
    } = sender.clone();
    if let Some(reason) = agent.bot
        && !is_welcome(reason, site, client.is_server)
    {
        return refuse(Outcome::FilterBot, reason.name());
    }
    let SiteFilter { rules, url } = &filters.by_site[site.index];
    let mut scrubbed = match scrub(&beacon.url, url) {
        Ok(scrubbed) => scrubbed,
        Err(error) => return refuse(Outcome::BeaconUrl, &format!("u: {error}")),
    };
    let hostname = &scrubbed.page.hostname;
    let is_own = site.owns_host(hostname);
    if site.kind == SiteKind::Web && !is_own {
        return refuse(
            Outcome::FilterHostname,
            "u: the host is not one of the site's own",
        );
    }
    let referrer_host = beacon.referrer.as_deref().and_then(host_of);
    if referrer_host.is_some_and(|host| enrichers.spam.load().contains(host)) {
        return refuse(Outcome::FilterReferrerSpam, "");
    }
    let candidate = Candidate {
        path: &scrubbed.page.path,
        hostname: &scrubbed.page.hostname,
        address: client.address,
        country: place.country.as_str(),
    };
    if let Some(rule) = rules.check(&candidate) {
        return refuse(Outcome::FilterRule, rule.name());
    }
    // An app's screens have its id in the place of a host.
    if !is_own && scrubbed.page.hostname != site.id.as_str() {
        scrubbed.page.mask_host();
    }
    Ok(Filtered {
        agent,
        scrubbed,
        place,
        language,
        consented,
    })
}

/// Apps speak through their platform's network library; servers that report for their users through others.
fn is_welcome(reason: BotReason, site: &Site, is_server: bool) -> bool {
    match reason {
        BotReason::AppLibrary | BotReason::Library => site.allow_http_libraries || is_server,
        BotReason::Empty => is_server,
        _ => false,
    }
}

/// Finds the host in a referrer without parsing it as a whole: spam hosts are plain names, and a referrer that
/// is none is refused or dropped where it is read.
fn host_of(referrer: &str) -> Option<&str> {
    let rest = referrer.split_once("://")?.1;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit('@').next()?;
    host.split(':').next()
}
