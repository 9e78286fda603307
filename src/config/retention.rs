//! How long what is kept: days by site and table, inherited site → group → `[retention.days]` → built-in.
//!
//! Comes in: what was written. Goes out: a [`Keep`] for each site in which every number is known, and when the job
//! runs. Promises that nothing outlives what could erase it: kinds of events and visits are kept no longer than events.

use jiff::civil::Time;

use super::Faults;
use super::settings::{self, KeepDays, Settings};

/// The longest that can be asked for: a hundred years.
const MOST_DAYS: u16 = 36_500;

/// Names of events that may be kept for a shorter time than the others.
pub const SHORT_KINDS: [&str; 2] = ["engagement", "web_vitals"];

/// When the job runs, and how patient it is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Retention {
    /// Time of day, UTC.
    pub run_at: Time,
    pub removed_site_grace_days: u16,
    pub late_hours: u32,
    /// Days of `access_log`, which is about no site's visitors.
    pub access_log: u16,
}

/// Days of one site, by table and kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Keep {
    pub events: u16,
    pub engagement: u16,
    pub web_vitals: u16,
    pub visits: u16,
    pub daily: u16,
    pub consents: u16,
    pub requests: u16,
}

impl Keep {
    /// Returns the days that an event of this name is kept.
    pub fn of_event(&self, name: &str) -> u16 {
        match name {
            "engagement" => self.engagement,
            "web_vitals" => self.web_vitals,
            _ => self.events,
        }
    }
}

pub(super) fn check(settings: &Settings, faults: &mut Faults) -> Retention {
    let written = &settings.retention;
    for (name, days) in &written.group {
        let key = |table: &str| format!("retention.group.{name}.{table}");
        in_range(days, &key, faults);
        let is_used = settings
            .sites
            .iter()
            .any(|s| s.group.as_ref() == Some(name));
        if !is_used {
            faults.add(
                format!("retention.group.{name}"),
                name,
                "is the group of no site",
            );
        }
    }
    in_range(
        &written.days,
        &|table| format!("retention.days.{table}"),
        faults,
    );
    let days = &written.days;
    for (table, shorter) in [
        ("engagement", days.engagement),
        ("web_vitals", days.web_vitals),
        ("visits", days.visits),
    ] {
        if days.events.is_some_and(|events| shorter > Some(events)) {
            let key = format!("retention.days.{table}");
            faults.add(key, shorter, "is longer than events are kept");
        }
    }
    let run_at = written.run_at.parse().unwrap_or_else(|_| {
        faults.add(
            "retention.run_at",
            &written.run_at,
            "is no time of day; write \"00:20\" (UTC)",
        );
        Time::midnight()
    });
    Retention {
        run_at,
        removed_site_grace_days: faults.range(
            "retention.removed_site_grace_days",
            written.removed_site_grace_days,
            1,
            3_650,
        ),
        late_hours: faults.range("retention.late_hours", written.late_hours, 1, 24 * 365),
        access_log: settings.access.log_days,
    }
}

fn in_range(days: &KeepDays, key: &dyn Fn(&str) -> String, faults: &mut Faults) {
    let KeepDays {
        events,
        engagement,
        web_vitals,
        visits,
        daily,
        consents,
        requests,
    } = days;
    for (table, days) in [
        ("events", events),
        ("engagement", engagement),
        ("web_vitals", web_vitals),
        ("visits", visits),
        ("daily", daily),
        ("consents", consents),
        ("requests", requests),
    ] {
        if let Some(days) = days {
            faults.range(&key(table), *days, 1, MOST_DAYS);
        }
    }
}

/// Works out a site's days, and says what contradicts itself.
pub(super) fn check_site(site: &settings::Site, settings: &Settings, faults: &mut Faults) -> Keep {
    let key = |table: &str| format!("site[{}].retention.{table}", site.id);
    in_range(&site.retention, &key, faults);
    if let Some(days) = site.retention_days {
        let key = format!("site[{}].retention_days", site.id);
        faults.range(&key, days, 1, MOST_DAYS);
        if site.retention.events.is_some_and(|other| other != days) {
            faults.add(key, days, "says otherwise than retention.events");
        }
    }
    if site
        .legal_hold
        .as_ref()
        .is_some_and(|why| why.trim().is_empty())
    {
        faults.add(
            format!("site[{}].legal_hold", site.id),
            &site.legal_hold,
            "must say why, if only by a case number; leave it out to end the hold",
        );
    }
    let group = site
        .group
        .as_ref()
        .and_then(|name| settings.retention.group.get(name));
    let sources = [Some(&site.retention), group, Some(&settings.retention.days)];
    let said =
        |of: fn(&KeepDays) -> Option<u16>| sources.iter().flatten().find_map(|days| of(days));
    let events = site
        .retention_days
        .or_else(|| said(|days| days.events))
        .unwrap_or(395);
    let ledger = settings.consent.ledger_days;
    // What was not said by the site itself follows what bounds it, rather than to be a fault.
    let mut bounded = |table: &str, days: Option<u16>, own: Option<u16>, most: u16, why: &str| {
        if own.is_some_and(|own| own > most) {
            faults.add(key(table), own, format!("is longer than {why}"));
        }
        days.unwrap_or(most).min(most)
    };
    let (own, of_events) = (&site.retention, "events are kept");
    let proof = "consent.ledger_days";
    Keep {
        events,
        engagement: bounded(
            "engagement",
            said(|d| d.engagement),
            own.engagement,
            events,
            of_events,
        ),
        web_vitals: bounded(
            "web_vitals",
            said(|d| d.web_vitals),
            own.web_vitals,
            events,
            of_events,
        ),
        visits: bounded("visits", said(|d| d.visits), own.visits, events, of_events),
        consents: bounded(
            "consents",
            said(|d| d.consents),
            own.consents,
            ledger,
            proof,
        ),
        requests: bounded(
            "requests",
            said(|d| d.requests),
            own.requests,
            ledger,
            proof,
        ),
        daily: said(|days| days.daily).unwrap_or(1_825),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::load::from_text;
    use crate::config::{Config, REFERENCE};

    fn config(text: &str) -> Result<Config, String> {
        let of = from_text(text, "test", &Default::default());
        of.map(|(_, config)| config).map_err(|e| e.to_string())
    }

    fn site(config: &Config, id: &str) -> super::Keep {
        config.sites.find(id).expect("a site").keep
    }

    #[test]
    fn days_are_inherited_from_the_group_and_then_from_all() {
        let text = format!(
            "{REFERENCE}\nretention = {{ visits = 20 }}\ngroup = \"apps\"\n\
             [retention.group.apps]\nevents = 100\ndaily = 700\n"
        );
        let config = config(&text).unwrap();
        let windows = site(&config, "windows");
        assert_eq!(
            (windows.events, windows.visits, windows.daily),
            (100, 20, 700)
        );
        // Longer than events would be kept by nobody's wish: it follows them.
        assert_eq!((windows.engagement, windows.web_vitals), (100, 100));
        let ios = site(&config, "ios");
        assert_eq!((ios.events, ios.visits, ios.daily), (395, 395, 1_825));
        assert_eq!(ios.of_event("web_vitals"), 395);
        assert_eq!(ios.of_event("pageview"), 395);
    }

    #[test]
    fn contradictions_are_named() {
        for (more, word) in [
            (
                "retention = { visits = 500 }",
                "site[windows].retention.visits",
            ),
            (
                "retention = { events = 0 }",
                "site[windows].retention.events",
            ),
            ("retention = { consents = 9999 }", "consent.ledger_days"),
            ("retention_days = 0", "site[windows].retention_days"),
            ("legal_hold = \" \"", "must say why"),
            (
                "[retention.group.nobody]\nevents = 5",
                "is the group of no site",
            ),
        ] {
            let error = config(&format!("{REFERENCE}\n{more}\n")).unwrap_err();
            assert!(error.contains(word), "{more}: {error}");
        }
        let error = config(&REFERENCE.replace("\"00:20\"", "\"noon\"")).unwrap_err();
        assert!(error.contains("no time of day"), "{error}");
    }
}
