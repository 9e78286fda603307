//! One visit: pages one after another, what is done on them, and what the browser reports of its own accord.

use std::sync::Arc;

use super::body::{Body, Head, Props, Revenue, Vitals};
use super::chance::Chance;
use super::people::{Person, arrive};
use super::sites::{Act, Page, Profile};
use super::{Action, Step};
use crate::outcome::Outcome;

/// Nobody looks at one page for longer: half an hour ends a visit.
const LONGEST_LOOK_MS: f64 = 1_500_000.0;

/// Most pages of one visit.
const MOST_PAGES: usize = 25;

/// Whose visit, when, and how it came about.
pub(super) struct Visit<'a> {
    pub(super) profile: &'a Profile,
    pub(super) site: usize,
    pub(super) person: &'a Person,
    pub(super) number: usize,
    pub(super) day: u16,
    pub(super) started_ms: i64,
    pub(super) since: &'static str,
}

impl Visit<'_> {
    /// Lives through it; adds what is sent to `actions`, and returns when it ended.
    pub(super) fn live(&self, chance: &mut Chance, actions: &mut Vec<Action>) -> i64 {
        let profile = self.profile;
        let (referrer, query) = arrive(profile, self.since, chance);
        let mut page = first_page(profile, chance);
        let origin = (!profile.is_app).then(|| format!("https://{}", page.host));
        let head = Arc::new(self.person.head(self.day, origin));
        let mut send = |at: f64, body: Body| actions.push(self.send(at as i64, &head, body));
        let mut link = referrer.to_owned();
        let mut address = address(profile, page, query);
        let mut at = self.started_ms as f64;
        for view in 1.. {
            let look = chance
                .around(profile.pace_s * 1_000.0, 0.95)
                .clamp(900.0, LONGEST_LOOK_MS);
            let leaves = at + look;
            let is_missing = !profile.is_app && view == 1 && chance.is(0.007);
            if is_missing {
                address = format!("https://{}/gammel{}", page.host, page.path);
            }
            send(
                at,
                Body {
                    r: (!link.is_empty()).then_some(link),
                    ..self.body("pageview", &address, chance)
                },
            );
            if is_missing {
                send(at + 300.0, self.body("404", &address, chance));
            } else {
                for act in acts_of(profile, page) {
                    if chance.is(act.share) {
                        let moment = at + look * chance.between(0.2, 0.95);
                        send(moment, self.act(act, &address, chance));
                    }
                }
            }
            if !profile.is_app {
                let vitals = Some(self.vitals(chance));
                send(
                    leaves - 2.0,
                    Body {
                        wv: vitals,
                        ..self.body("web_vitals", &address, chance)
                    },
                );
            }
            let (seen_ms, depth) = (
                look * chance.between(0.45, 1.0),
                chance.between(15.0, 115.0),
            );
            send(
                leaves - 1.0,
                Body {
                    e: Some(seen_ms as u32),
                    sd: Some(depth.min(100.0) as u8),
                    ..self.body("engagement", &address, chance)
                },
            );
            at = leaves + chance.between(200.0, 1_800.0);
            let goes_on = if view == 1 {
                1.0 - profile.bounce
            } else {
                profile.onwards
            };
            if view >= MOST_PAGES || !chance.is(goes_on) {
                break;
            }
            link = address;
            page = next_page(profile, page, chance);
            address = self::address(profile, page, "");
        }
        at as i64
    }

    fn body(&self, name: &'static str, address: &str, chance: &mut Chance) -> Body {
        Body {
            n: name.into(),
            u: address.to_owned(),
            d: self.profile.site,
            s: format!("{}.{}", self.started_ms, self.since),
            id: format!("{:016x}", chance.number()),
            w: Some(self.person.width),
            ..Body::default()
        }
    }

    fn act(&self, act: &Act, address: &str, chance: &mut Chance) -> Body {
        let props = act
            .props
            .iter()
            .map(|(name, values)| (*name, *chance.pick(values)))
            .collect();
        let revenue = act.revenue.map(|(median, spread, currency)| Revenue {
            amount: (chance.around(median, spread) * 100.0).round() / 100.0,
            currency,
        });
        Body {
            props: Props(props),
            revenue,
            ..self.body(act.name, address, chance)
        }
    }

    fn send(&self, at_ms: i64, head: &Arc<Head>, body: Body) -> Action {
        Action {
            at_ms,
            site: self.site,
            step: Step::Send {
                person: Some(self.number),
                head: head.clone(),
                body: Box::new(body),
                expected: Outcome::Accepted,
            },
        }
    }

    fn vitals(&self, chance: &mut Chance) -> Vitals {
        let slow = self.person.slowness();
        let ttfb = chance.around(190.0 * slow, 0.5).min(20_000.0);
        let fcp = ttfb + chance.around(430.0 * slow, 0.45).min(20_000.0);
        let lcp = fcp.max(
            chance
                .around(self.profile.lcp_ms * slow, 0.45)
                .min(60_000.0),
        );
        let acted = chance.is(0.7);
        Vitals {
            lcp: lcp as u32,
            fcp: fcp as u32,
            ttfb: ttfb as u32,
            inp: acted.then(|| chance.around(62.0 * slow, 0.7).min(5_000.0) as u32),
            cls: self
                .person
                .device
                .measures_shifts()
                .then(|| (chance.around(0.022, 1.3).min(2.0) * 10_000.0).round() / 10_000.0),
        }
    }
}

fn first_page(profile: &Profile, chance: &mut Chance) -> &'static Page {
    weighted(profile.pages, |page| page.entry, chance)
}

fn next_page(profile: &Profile, from: &'static Page, chance: &mut Chance) -> &'static Page {
    for (path, share) in from.leads {
        if chance.is(*share)
            && let Some(page) = profile.pages.iter().find(|page| page.path == *path)
        {
            return page;
        }
    }
    weighted(
        profile.pages,
        |page| {
            if page.path == from.path {
                0
            } else {
                page.later
            }
        },
        chance,
    )
}

/// As [`Chance::pick`], with weights out of a table of pages.
fn weighted(
    pages: &'static [Page],
    weight: impl Fn(&Page) -> u32,
    chance: &mut Chance,
) -> &'static Page {
    let total: u32 = pages.iter().map(&weight).sum();
    let mut rest = chance.below(total.max(1) as usize) as u32;
    for page in pages {
        if rest < weight(page) {
            return page;
        }
        rest -= weight(page);
    }
    &pages[0]
}

fn address(profile: &Profile, page: &Page, query: &str) -> String {
    let scheme = if profile.is_app { "app" } else { "https" };
    let mark = if query.is_empty() { "" } else { "?" };
    format!("{scheme}://{}{}{mark}{query}", page.host, page.path)
}

fn acts_of<'a>(profile: &'a Profile, page: &Page) -> impl Iterator<Item = &'a Act> {
    let path = page.path;
    profile
        .acts
        .iter()
        .filter(move |act| act.on.is_empty() || act.on == path)
}
