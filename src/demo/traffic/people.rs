//! Who visits: people who keep their device, come back, and sometimes take their consent back.

use std::net::IpAddr;

use super::body::{AppHead, Head};
use super::chance::Chance;
use super::countries::{COUNTRIES, address};
use super::devices::{Device, app_version};
use super::sites::{Arrival, Profile};

/// A consent is asked for anew shortly before its life of 180 days (`consent.life_days`) ends.
const ASKED_AGAIN_AFTER_DAYS: u16 = 178;

/// Somebody who said yes.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) device: Device,
    /// Versions behind the newest.
    lag: u16,
    pub(super) country: usize,
    languages: &'static str,
    household: u64,
    pub(super) width: u32,
    /// An app's installation; web sites have none.
    install: Option<String>,
    asked_on: u16,
    last_day: Option<u16>,
    /// Took the consent back, and is not met again.
    pub(super) is_gone: bool,
}

impl Person {
    /// Somebody new on `day`.
    pub(super) fn new(profile: &Profile, day: u16, chance: &mut Chance) -> Person {
        let code = *chance.pick(profile.countries);
        let country = COUNTRIES
            .iter()
            .position(|country| country.code == code)
            .unwrap_or(0);
        let device = *chance.pick(profile.devices);
        let lag = *chance.pick(&[(0, 70), (1, 20), (2, 6), (4, 3), (9, 1)]);
        let &languages = chance.pick(COUNTRIES[country].languages);
        Person {
            device,
            lag,
            country,
            languages,
            household: chance.number(),
            width: device.width(chance),
            install: profile
                .is_app
                .then(|| format!("install-{:016x}", chance.number())),
            asked_on: day,
            last_day: None,
            is_gone: false,
        }
    }

    /// Notes a visit; says by the tracker's own number how long ago the last one was, and whether the consent
    /// has to be asked for again.
    pub(super) fn comes(&mut self, day: u16) -> (&'static str, bool) {
        let since = match self.last_day.map(|last| day.saturating_sub(last)) {
            None => "new",
            Some(0) => "0",
            Some(1) => "1",
            Some(2..=7) => "2",
            Some(8..=30) => "8",
            Some(_) => "31",
        };
        self.last_day = Some(day);
        let is_asked = day.saturating_sub(self.asked_on) >= ASKED_AGAIN_AFTER_DAYS;
        if is_asked {
            self.asked_on = day;
        }
        (since, is_asked)
    }

    /// Returns what this person's requests say on `day`.
    pub(super) fn head(&self, day: u16, origin: Option<String>) -> Head {
        Head {
            user_agent: self.device.user_agent(day, self.lag),
            languages: self.languages,
            address: self.address(),
            is_private: false,
            origin,
            app: self.install.as_ref().map(|install| AppHead {
                install_id: install.clone(),
                platform: self.device.platform(),
                app_version: app_version(day, self.lag),
                locale: self.languages.split(',').next().unwrap_or_default(),
            }),
        }
    }

    /// Tells whether the consent was asked for before `day`.
    pub(super) fn was_asked_before(&self, day: u16) -> bool {
        self.asked_on < day
    }

    fn address(&self) -> IpAddr {
        address(self.country, self.household)
    }

    /// How much longer this person waits for a page than somebody at a desk beside the server.
    pub(super) fn slowness(&self) -> f64 {
        self.device.slowness() * COUNTRIES[self.country].distance
    }
}

/// People known so far, by site.
#[derive(Debug, Default)]
pub(super) struct People {
    pub(super) list: Vec<Person>,
}

impl People {
    /// Picks somebody who was there before, sooner one who is new than one of long ago.
    pub(super) fn known(&self, chance: &mut Chance) -> Option<usize> {
        for _ in 0..8 {
            let back = chance.unit().powi(2);
            let n = self.list.len();
            let index = n.checked_sub(1 + (back * n as f64) as usize)?;
            if !self.list[index].is_gone {
                return Some(index);
            }
        }
        None
    }
}

/// Where a visit comes from: referrer and query of its first page.
pub(super) fn arrive(
    profile: &Profile,
    since: &str,
    chance: &mut Chance,
) -> (&'static str, &'static str) {
    // Whoever has been there this week mostly knows the way.
    if matches!(since, "0" | "1" | "2") && chance.is(0.5) {
        return ("", "");
    }
    match chance.pick(profile.arrivals) {
        Arrival::Direct => ("", ""),
        Arrival::Link(referrer) => (referrer, ""),
        Arrival::Tagged(referrer, query) => (referrer, query),
    }
}
