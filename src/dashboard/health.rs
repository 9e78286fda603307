//! Data health: whether the numbers of a site can be trusted today.
//!
//! Comes in: the collector's own figures (outcomes since it started, spool, salts) and the oldest event. Goes out: lines
//! of words and figures. It counts no visitor: outcomes are of beacons, and say nothing of who sent them.

use jiff::Timestamp;

use super::view::View;
use super::{outcomes, words};
use crate::collector::Collector;
use crate::config::Site;
use crate::outcome::Outcome;
use crate::salts::period::{date_of, local_day, start_of};

/// One line.
#[derive(Debug)]
pub(super) struct Line {
    pub(super) name: String,
    pub(super) text: String,
    /// It needs a look.
    pub(super) is_warning: bool,
    /// It counts beacons that ended alike.
    pub(super) is_outcome: bool,
}

/// All lines of a site. `oldest` is the first local date that has events, none where there is none.
pub(super) fn lines(
    collector: &Collector,
    site: &Site,
    view: &View,
    oldest: Option<u16>,
    now: Timestamp,
) -> Vec<Line> {
    let language = view.language;
    let number = |n: f64| words::number(n, 0, language);
    let line = |name: &'static str, text: String, is_warning| Line {
        name: name.to_owned(),
        text,
        is_warning,
        is_outcome: false,
    };
    let today = local_day(now, &site.time_zone);
    let mut lines = Vec::new();
    let age = oldest.map(|oldest| today.saturating_sub(oldest) + 1);
    lines.push(line(
        view.say("Oldest data", "Ældste data"),
        match (oldest, age) {
            (Some(oldest), Some(age)) => {
                let (date, limit) = (words::date(date_of(oldest), language), site.retention_days);
                language.pick(
                    format!("{date}: day {age} of {limit} that are kept"),
                    format!("{date}: dag {age} af {limit}, der gemmes"),
                )
            }
            _ => view.say("no events", "ingen hændelser").into(),
        },
        age.is_some_and(|age| age > site.retention_days + 1),
    ));
    let salts = collector.salts.living();
    let oldest_salt = salts.get(&site.id).and_then(|salts| salts.iter().next());
    let salt_age = oldest_salt
        .map(|(period, _)| now.as_second() - start_of(period, &site.time_zone).as_second());
    let n_salts = salts.get(&site.id).map_or(0, |salts| salts.iter().count());
    lines.push(line(
        view.say("Salt", "Salt"),
        match salt_age {
            Some(age) => {
                let age = words::duration(age.max(0) as f64, language);
                language.pick(
                    format!("{n_salts} living, the oldest {age} old"),
                    format!("{n_salts} i live, det ældste {age} gammelt"),
                )
            }
            None => view
                .say("none: beacons are refused", "intet: målinger afvises")
                .into(),
        },
        salt_age.is_none(),
    ));
    let spool = collector.spool.stats();
    let oldest = spool.oldest.map_or(0.0, |age| age.as_secs_f64());
    lines.push(line(
        view.say(
            "Waiting for the store (all sites)",
            "Venter på databasen (alle websteder)",
        ),
        language.pick(
            format!(
                "{} {}, the oldest {}",
                number(spool.records as f64),
                if spool.records == 1 {
                    "record"
                } else {
                    "records"
                },
                words::duration(oldest, language)
            ),
            format!(
                "{} {}, den ældste {}",
                number(spool.records as f64),
                if spool.records == 1 { "post" } else { "poster" },
                words::duration(oldest, language)
            ),
        ),
        spool.failing || spool.full.is_some() || oldest > 300.0,
    ));
    if spool.quarantine_bytes > 0 {
        lines.push(line(
            view.say("Quarantine", "Karantæne"),
            format!("{} bytes", number(spool.quarantine_bytes as f64)),
            true,
        ));
    }
    for (outcome, n) in ends(collector, site) {
        lines.push(Line {
            name: format!(
                "{} ({})",
                outcomes::meaning(outcome, language),
                outcome.code()
            ),
            text: number(n),
            is_warning: false,
            is_outcome: true,
        });
    }
    lines
}

/// Beacons of a site since brine started, by their one end; ends that none has had are left out.
fn ends(collector: &Collector, site: &Site) -> Vec<(Outcome, f64)> {
    let families = collector.metrics.registry().gather();
    let beacons = families
        .iter()
        .find(|family| family.name() == "brine_beacons_total");
    let mut found: Vec<(Outcome, f64)> = Vec::new();
    for metric in beacons.iter().flat_map(|family| family.get_metric()) {
        let label = |name: &str| {
            let pair = metric.get_label().iter().find(|pair| pair.name() == name);
            pair.map_or("", |pair| pair.value())
        };
        let outcome = Outcome::ALL
            .iter()
            .find(|outcome| outcome.code() == label("outcome"));
        let n = metric.get_counter().get_value();
        if let Some(outcome) = outcome.filter(|_| label("site") == site.id.as_str() && n > 0.0) {
            found.push((*outcome, n));
        }
    }
    found.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    found
}
