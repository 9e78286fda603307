//! What no site wants to count, and every site gets: beacons that must end as something else than accepted.

use std::sync::Arc;

use super::body::{Body, Head};
use super::chance::Chance;
use super::countries::{COUNTRIES, address};
use super::sites::Profile;
use super::{Action, Step};
use crate::outcome::Outcome;

/// A kind of it, and how many there are for a thousand visits. With `true` it comes with a consent.
const KINDS: [(Outcome, f64, bool); 8] = [
    (Outcome::ConsentMissing, 34.0, false),
    (Outcome::SignalGpc, 21.0, false),
    (Outcome::FilterBot, 6.0, true),
    (Outcome::FilterHostname, 3.0, true),
    (Outcome::FilterReferrerSpam, 2.0, true),
    (Outcome::SiteOrigin, 1.5, true),
    (Outcome::BeaconMalformed, 1.0, false),
    (Outcome::FilterRule, 4.0, true),
];

const PLAIN: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:140.0) Gecko/20100101 Firefox/140.0";

/// Who sends them, of one site on one day.
pub(super) struct Sender<'a> {
    pub(super) profile: &'a Profile,
    pub(super) site: usize,
    /// Somebody with a consent, where there is one already.
    pub(super) person: Option<usize>,
}

impl Sender<'_> {
    /// Adds to `actions` what comes in beside `n_visits` visits; `moment` finds a time of the day.
    pub(super) fn add(
        &self,
        n_visits: f64,
        moment: impl Fn(&mut Chance) -> i64,
        chance: &mut Chance,
        actions: &mut Vec<Action>,
    ) {
        for (outcome, per_thousand, has_consent) in KINDS {
            let is_web_only = matches!(
                outcome,
                Outcome::FilterBot
                    | Outcome::FilterHostname
                    | Outcome::SiteOrigin
                    | Outcome::SignalGpc
            );
            // Only the portal has a rule, and only its people work under /admin.
            let is_elsewhere = outcome == Outcome::FilterRule && self.profile.site != "portal";
            if (is_web_only && self.profile.is_app)
                || is_elsewhere
                || (has_consent && self.person.is_none())
            {
                continue;
            }
            for _ in 0..chance.about(n_visits * per_thousand / 1_000.0) {
                let at_ms = moment(chance);
                actions.push(Action {
                    at_ms,
                    site: self.site,
                    step: self.step(outcome, has_consent, chance),
                });
            }
        }
    }

    fn step(&self, outcome: Outcome, has_consent: bool, chance: &mut Chance) -> Step {
        let page = &self.profile.pages[0];
        let host = page.host;
        let scheme = if self.profile.is_app { "app" } else { "https" };
        let (path, referrer) = match outcome {
            Outcome::FilterRule => ("/admin/brugere", None),
            Outcome::FilterReferrerSpam => (page.path, Some("https://semalt.com/crawl".to_owned())),
            _ => (page.path, None),
        };
        let url = match outcome {
            Outcome::FilterHostname => format!("https://kopi.{host}.invalid{path}"),
            _ => format!("{scheme}://{host}{path}"),
        };
        let user_agent = match outcome {
            Outcome::FilterBot => *chance.pick(&[
                ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) HeadlessChrome/140.0.0.0 Safari/537.36", 6),
                ("Mozilla/5.0 (compatible; UptimeRobot/2.0; http://www.uptimerobot.com/)", 4),
            ]),
            _ => PLAIN,
        };
        let origin = match outcome {
            _ if self.profile.is_app => None,
            // A page that was copied with its script, and one that a server sends for.
            Outcome::SiteOrigin => Some("https://kopi.invalid".to_owned()),
            Outcome::FilterHostname => None,
            _ => Some(format!("https://{host}")),
        };
        let head = Head {
            user_agent: user_agent.to_owned(),
            languages: "da-DK,da;q=0.9",
            address: address(chance.below(COUNTRIES.len()), chance.number()),
            is_private: outcome == Outcome::SignalGpc,
            origin,
            app: None,
        };
        let body = Body {
            n: if outcome == Outcome::BeaconMalformed {
                // The one thing that is wrong with it.
                "".into()
            } else {
                "pageview".into()
            },
            u: url,
            d: self.profile.site,
            r: referrer,
            id: format!("{:016x}", chance.number()),
            ..Body::default()
        };
        Step::Send {
            person: self.person.filter(|_| has_consent),
            head: Arc::new(head),
            body: Box::new(body),
            expected: outcome,
        }
    }
}
