//! The six sites of the reference deployment: their pages, who comes, from where, and what is done there.
//!
//! Shares and weights are made up to look like those of small business sites; nothing is taken from a real one.

mod apps;
mod web;

use super::devices::Device;

/// One site's traffic.
#[derive(Debug)]
pub(super) struct Profile {
    /// Its id in the configuration.
    pub(super) site: &'static str,
    /// An app's visits have screens, and people who bring their own id.
    pub(super) is_app: bool,
    /// Visits on an ordinary Monday, of people who said yes.
    pub(super) visits: f64,
    /// Monday to Sunday, against an ordinary Monday.
    pub(super) week: [f64; 7],
    /// Midnight to 23 o'clock.
    pub(super) hours: [u32; 24],
    /// Share of those asked who say yes.
    pub(super) yes: f64,
    /// Share of visits by somebody who was there before.
    pub(super) returning: f64,
    /// Share of visits that end with their first page.
    pub(super) bounce: f64,
    /// Share of pages, from the second on, that lead to a further one.
    pub(super) onwards: f64,
    /// Half of the pages are looked at for less, in seconds.
    pub(super) pace_s: f64,
    /// Half of the pages of a near desk show their largest part sooner, in milliseconds.
    pub(super) lcp_ms: f64,
    pub(super) pages: &'static [Page],
    pub(super) arrivals: &'static [(Arrival, u32)],
    /// Codes of [`super::countries::COUNTRIES`].
    pub(super) countries: &'static [(&'static str, u32)],
    pub(super) devices: &'static [(Device, u32)],
    pub(super) acts: &'static [Act],
}

/// A page or a screen.
#[derive(Debug)]
pub(super) struct Page {
    pub(super) host: &'static str,
    pub(super) path: &'static str,
    /// Weight as the first page of a visit, and as any later one.
    pub(super) entry: u32,
    pub(super) later: u32,
    /// Where it leads, and how often; otherwise anywhere.
    pub(super) leads: &'static [(&'static str, f64)],
}

/// How a visit comes about.
#[derive(Debug)]
pub(super) enum Arrival {
    /// Typed, kept as a bookmark, or not told.
    Direct,
    /// A link on this page.
    Link(&'static str),
    /// A link that was paid for or sent: referrer, and the query that tags it.
    Tagged(&'static str, &'static str),
}

/// Something visitors do besides looking.
#[derive(Debug)]
pub(super) struct Act {
    pub(super) name: &'static str,
    /// Path of the page it is done on; empty for any.
    pub(super) on: &'static str,
    /// Share of the views of that page with it.
    pub(super) share: f64,
    pub(super) props: &'static [(&'static str, &'static [(&'static str, u32)])],
    /// Median, spread and currency.
    pub(super) revenue: Option<(f64, f64, &'static str)>,
}

const fn page(host: &'static str, path: &'static str, entry: u32, later: u32) -> Page {
    Page {
        host,
        path,
        entry,
        later,
        leads: &[],
    }
}

impl Page {
    const fn leading(mut self, leads: &'static [(&'static str, f64)]) -> Page {
        self.leads = leads;
        self
    }
}

const fn act(name: &'static str, on: &'static str, share: f64) -> Act {
    Act {
        name,
        on,
        share,
        props: &[],
        revenue: None,
    }
}

impl Act {
    const fn with(
        mut self,
        props: &'static [(&'static str, &'static [(&'static str, u32)])],
    ) -> Act {
        self.props = props;
        self
    }

    const fn paying(mut self, median: f64, spread: f64, currency: &'static str) -> Act {
        self.revenue = Some((median, spread, currency));
        self
    }
}

/// Office hours, with lunch.
const OFFICE: [u32; 24] = [
    2, 1, 1, 1, 2, 6, 22, 58, 92, 100, 98, 84, 62, 86, 84, 72, 50, 28, 20, 20, 20, 16, 10, 5,
];
/// A working day's edges and the evening.
const ALL_DAY: [u32; 24] = [
    8, 4, 2, 2, 3, 10, 34, 62, 58, 54, 56, 62, 64, 56, 54, 60, 68, 66, 64, 76, 88, 80, 52, 22,
];
const WORKING_WEEK: [f64; 7] = [1.0, 1.06, 1.03, 0.98, 0.82, 0.24, 0.29];
const WHOLE_WEEK: [f64; 7] = [1.0, 1.02, 1.0, 1.01, 0.93, 0.78, 0.95];

/// All of them, in the order of the configuration.
pub(super) const PROFILES: [&Profile; 6] = [
    &web::PORTAL,
    &web::PERNEXUS,
    &web::VERILOC,
    &apps::IOS,
    &apps::ANDROID,
    &apps::WINDOWS,
];

#[cfg(test)]
mod tests {
    use super::super::countries::COUNTRIES;
    use super::*;
    use crate::config::{Config, REFERENCE};

    #[test]
    fn every_profile_is_a_site_of_the_reference_deployment() {
        let config = Config::check(&toml::from_str(REFERENCE).unwrap()).unwrap();
        let configured: Vec<&str> = config.sites.iter().map(|site| site.id.as_str()).collect();
        assert_eq!(PROFILES.map(|profile| profile.site).to_vec(), configured);
        for profile in PROFILES {
            let site = config.sites.find(profile.site).unwrap();
            for page in profile.pages {
                assert!(profile.is_app || site.owns_host(page.host), "{}", page.host);
                for (lead, _) in page.leads {
                    assert!(
                        profile.pages.iter().any(|page| page.path == *lead),
                        "{lead}"
                    );
                }
            }
            for act in profile.acts {
                let known = profile.pages.iter().any(|page| page.path == act.on);
                assert!(act.on.is_empty() || known, "{} on {}", act.name, act.on);
            }
            for (code, _) in profile.countries {
                assert!(
                    COUNTRIES.iter().any(|country| country.code == *code),
                    "{code}"
                );
            }
        }
        for (id, _, steps) in super::super::FUNNELS {
            let profile = PROFILES.iter().find(|profile| profile.site == id).unwrap();
            for step in steps {
                let is_page = step
                    .strip_prefix("Visit ")
                    .is_some_and(|path| profile.pages.iter().any(|page| page.path == path));
                let is_act = profile.acts.iter().any(|act| act.name == *step);
                assert!(is_page || is_act, "{id}: {step}");
            }
        }
    }
}
