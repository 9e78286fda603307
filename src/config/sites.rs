//! The sites, and which beacon belongs to which.

use std::fmt;
use std::sync::Arc;

use ipnet::IpNet;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use rustc_hash::FxHashMap;
use subtle::{Choice, ConstantTimeEq};

use super::Faults;
use super::retention::{self, Keep};
use super::settings::{self, GeoDetail, Rotation, Settings, SiteKind};

/// A site's id: 1 to 32 lower-case letters, digits, `-` or `_`. Safe in paths, labels and SQL.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SiteId(Arc<str>);

impl SiteId {
    /// Checks and takes an id.
    pub fn new(id: &str) -> Option<SiteId> {
        let plain = |c: u8| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'-' || c == b'_';
        let good = (1..=32).contains(&id.len()) && id.bytes().all(plain);
        good.then(|| SiteId(id.into()))
    }

    /// Returns the id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for SiteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One site or app, checked.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Site {
    pub id: SiteId,
    /// What the public knows it by; its id where nothing else is configured.
    pub name: String,
    /// Position in [`Sites`]; indexes tables of counters and limits until the next reload.
    pub index: usize,
    pub kind: SiteKind,
    pub domains: Vec<String>,
    pub sub_domains: bool,
    /// Sites of one scope share a consent: the group's name, or the site's id.
    pub scope: String,
    /// The version of the policy that consents must name. The configured floor, until [`Sites::at_versions`] puts
    /// the published one in its place.
    pub policy_version: u16,
    /// Since when that version is in force: a page that was loaded before has shown another one.
    pub policy_since: Timestamp,
    pub time_zone: TimeZone,
    pub honour_gpc: bool,
    pub honour_dnt: bool,
    pub rotation: Rotation,
    pub salt_grace: jiff::SignedDuration,
    /// Days that events are kept: `keep.events`.
    pub retention_days: u16,
    pub keep: Keep,
    /// Why nothing of this site may be purged; none: it may.
    pub legal_hold: Option<String>,
    pub geo: GeoDetail,
    pub query_allow: Vec<String>,
    pub hash_routing: bool,
    pub allow_http_libraries: bool,
    /// BLAKE3 of the keys by which servers may report for their visitors.
    pub server_keys: Vec<[u8; 32]>,
    /// What its clients call it in Matomo's wire; empty: it takes none of that.
    pub matomo_id: String,
    pub matomo_currency: String,
    /// Likewise in Umami's.
    pub umami_id: String,
    pub trust_sender_consent: bool,
    pub goals: Vec<String>,
    pub funnels: Vec<settings::Funnel>,
    pub rules: settings::SiteRules,
}

impl Site {
    /// Tells whether a page of `host` is one of this site's own (RFC 9110 host, lower case, no port).
    pub fn owns_host(&self, host: &str) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        let bare = host.strip_prefix("www.").unwrap_or(host);
        self.domains.iter().any(|domain| {
            bare == domain
                || (self.sub_domains
                    && host
                        .strip_suffix(domain.as_str())
                        .is_some_and(|front| front.len() > 1 && front.ends_with('.')))
        })
    }

    /// Tells whether `key` is one of the site's. In constant time: how far a wrong one is right shows nowhere.
    pub fn has_key(&self, key: &str) -> bool {
        let hash = blake3::hash(key.as_bytes());
        let equal = |known: &[u8; 32]| known.ct_eq(hash.as_bytes());
        let found = self.server_keys.iter().map(equal);
        found.fold(Choice::from(0), |any, one| any | one).into()
    }

    /// Tells whether `network` rules of the site exclude `address`.
    pub fn excludes(&self, address: std::net::IpAddr) -> bool {
        self.rules
            .exclude_networks
            .iter()
            .any(|network: &IpNet| network.contains(&address))
    }
}

/// All sites, found by id or by domain.
#[derive(Clone, Debug, Default)]
pub struct Sites {
    list: Vec<Arc<Site>>,
    by_name: FxHashMap<String, usize>,
}

impl Sites {
    /// Returns the site whose id or domain is `name`; a leading `www.` does not matter.
    pub fn find(&self, name: &str) -> Option<&Arc<Site>> {
        if let Some(&index) = self.by_name.get(name) {
            return Some(&self.list[index]);
        }
        let lower = name.to_ascii_lowercase();
        let bare = lower.strip_prefix("www.").unwrap_or(&lower);
        match self.by_name.get(bare) {
            Some(&index) => Some(&self.list[index]),
            None => self.list.iter().find(|site| site.owns_host(bare)),
        }
    }

    /// Returns the sites with the policy version, and since when it is in force, that `version_of` tells for each scope.
    #[must_use]
    pub fn at_versions(&self, version_of: impl Fn(&str) -> (u16, Timestamp)) -> Sites {
        let versioned = |site: &Arc<Site>| {
            let (policy_version, policy_since) = version_of(&site.scope);
            Arc::new(Site {
                policy_version,
                policy_since,
                ..Site::clone(site)
            })
        };
        Sites {
            list: self.list.iter().map(versioned).collect(),
            by_name: self.by_name.clone(),
        }
    }

    /// Returns those of the sites that `is_visible` lets through. Whoever is given them finds no other.
    #[must_use]
    pub fn only(&self, is_visible: impl Fn(&SiteId) -> bool) -> Sites {
        let mut sites = Sites::default();
        for (place, site) in self.list.iter().enumerate() {
            if is_visible(&site.id) {
                let names = self.by_name.iter().filter(|(_, at)| **at == place);
                let names = names.map(|(name, _)| (name.clone(), sites.list.len()));
                sites.by_name.extend(names);
                sites.list.push(site.clone());
            }
        }
        sites
    }

    /// Returns the sites in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Site>> {
        self.list.iter()
    }

    /// Returns how many sites there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Tells whether no site is configured.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

pub(super) fn check(settings: &Settings, faults: &mut Faults) -> Sites {
    let mut sites = Sites::default();
    if settings.sites.is_empty() {
        faults.add(
            "site",
            "none",
            "at least one [[site]] is needed; `brine config init` shows how",
        );
    }
    for (index, written) in settings.sites.iter().enumerate() {
        let Some(site) = check_site(index, written, settings, faults) else {
            continue;
        };
        let names =
            std::iter::once(site.id.as_str().to_owned()).chain(site.domains.iter().cloned());
        for name in names {
            if let Some(&other) = sites.by_name.get(&name)
                && other != sites.list.len()
            {
                let other = sites.list[other].id.clone();
                faults.add(
                    format!("site[{}]", site.id),
                    &name,
                    format!("also names site {other}"),
                );
            }
            sites.by_name.insert(name, sites.list.len());
        }
        for (name, id) in [("matomo_id", &site.matomo_id), ("umami_id", &site.umami_id)] {
            let is_same = |other: &Arc<Site>| match name {
                "matomo_id" => other.matomo_id == *id,
                _ => other.umami_id == *id,
            };
            if !id.is_empty() && sites.list.iter().any(is_same) {
                faults.add(
                    format!("site[{}].{name}", site.id),
                    id,
                    "names another site as well",
                );
            }
        }
        sites.list.push(Arc::new(Site {
            index: sites.list.len(),
            ..site
        }));
    }
    sites
}

fn check_site(
    index: usize,
    written: &settings::Site,
    settings: &Settings,
    faults: &mut Faults,
) -> Option<Site> {
    let key = |name: &str| format!("site[{}].{name}", written.id);
    let Some(id) = SiteId::new(&written.id) else {
        faults.add(
            format!("site[#{}].id", index + 1),
            &written.id,
            "must be 1 to 32 lower-case letters, digits, '-' or '_'",
        );
        return None;
    };
    let scope = match &written.group {
        None => written.id.clone(),
        Some(group) if SiteId::new(group).is_some() => format!("group:{group}"),
        Some(group) => {
            faults.add(key("group"), group, "must be spelt like a site id");
            return None;
        }
    };
    let time_zone = TimeZone::get(&written.time_zone).unwrap_or_else(|_| {
        faults.add(
            key("time_zone"),
            &written.time_zone,
            "is not an IANA time zone name",
        );
        TimeZone::UTC
    });
    if written.kind == SiteKind::Web && written.domains.is_empty() {
        faults.add(
            key("domains"),
            &written.domains,
            "a web site needs at least one domain",
        );
    }
    let mut domains = Vec::new();
    for domain in &written.domains {
        match url::Host::parse(domain) {
            Ok(host) if !domain.contains('*') && !domain.is_empty() => {
                let host = host.to_string();
                // The root's dot may stand behind a name, and is no part of it.
                let host = host.trim_end_matches('.');
                domains.push(host.strip_prefix("www.").unwrap_or(host).to_owned());
            }
            _ => faults.add(
                key("domains"),
                domain,
                "is not a host name; for sub-domains set sub_domains",
            ),
        }
    }
    if !(1..=1_440).contains(&written.salt_grace_minutes) {
        // A day at most: a longer grace would have two old salts alive at once.
        faults.add(
            key("salt_grace_minutes"),
            written.salt_grace_minutes,
            "must be from 1 to 1440",
        );
    }
    let keep = retention::check_site(written, settings, faults);
    let currency = &written.matomo_currency;
    if !currency.is_empty()
        && (currency.len() != 3 || !currency.bytes().all(|c| c.is_ascii_uppercase()))
    {
        faults.add(
            key("matomo_currency"),
            currency,
            "must be three capital letters (ISO 4217)",
        );
    }
    let mut server_keys = Vec::new();
    for written in &written.server_keys {
        match blake3::Hash::from_hex(written) {
            Ok(hash) => server_keys.push(*hash.as_bytes()),
            // Not the value: it may be the key itself.
            Err(_) => faults.add(
                key("server_keys"),
                "(hidden)",
                "is not the hash of a key; `brine site-key` makes both",
            ),
        }
    }
    for goal in &written.goals {
        check_goal(&key("goals"), goal, faults);
    }
    for funnel in &written.funnels {
        if !(2..=8).contains(&funnel.steps.len()) {
            let key = key("funnel.steps");
            faults.add(key, funnel.steps.len(), "a funnel has 2 to 8 steps");
        }
        for step in &funnel.steps {
            check_goal(&key("funnel.steps"), step, faults);
        }
    }
    Some(Site {
        name: written.name.clone().unwrap_or_else(|| written.id.clone()),
        id,
        index,
        kind: written.kind,
        domains,
        sub_domains: written.sub_domains,
        scope,
        policy_version: settings.policy.version,
        policy_since: Timestamp::UNIX_EPOCH,
        time_zone,
        honour_gpc: written.honour_gpc,
        honour_dnt: written.honour_dnt,
        rotation: written.rotation,
        salt_grace: jiff::SignedDuration::from_mins(i64::from(written.salt_grace_minutes)),
        retention_days: keep.events,
        keep,
        legal_hold: written.legal_hold.clone(),
        geo: written.geo,
        query_allow: written.query_allow.clone(),
        hash_routing: written.hash_routing,
        allow_http_libraries: written.allow_http_libraries,
        server_keys,
        matomo_id: written.matomo_id.clone(),
        matomo_currency: written.matomo_currency.clone(),
        umami_id: written.umami_id.clone(),
        trust_sender_consent: written.trust_sender_consent,
        goals: written.goals.clone(),
        funnels: written.funnels.clone(),
        rules: written.rules.clone(),
    })
}

/// A goal is a custom event by its name, or a pageview as `Visit /path`.
fn check_goal(key: &str, goal: &str, faults: &mut Faults) {
    let is_path = goal
        .strip_prefix("Visit ")
        .is_none_or(|path| path.starts_with('/'));
    let is_own = !["pageview", "engagement", "web_vitals"].contains(&goal);
    if goal.is_empty() || goal.len() > 2_000 || !is_path || !is_own {
        faults.add(
            key,
            goal,
            "must be the name of an event of the site's own, or \"Visit /path\"",
        );
    }
}
