//! What answers say, whatever was asked: what was brought, what it opens, and what nobody can link any more.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::rows::ConsentStep;
use super::subject::{Asked, Means};
use crate::collector::Collector;
use crate::consent::standing;
use crate::outcome::Outcome;
use crate::salts::period::{date_of, local_day, next_period, period_of, start_of};

/// An answer, and whether all of it is done.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Answer {
    pub body: Value,
    pub is_done: bool,
}

impl Answer {
    pub(super) fn done(body: Value) -> Answer {
        Answer {
            body,
            is_done: true,
        }
    }

    /// Promised, and not done yet.
    pub(super) fn later(mut body: Value, note: &str) -> Answer {
        body["done"] = false.into();
        body["note"] = note.into();
        Answer {
            body,
            is_done: false,
        }
    }
}

/// What every answer says.
pub(super) fn frame(collector: &Collector, asked: &Asked, request: u64) -> Value {
    let refused: Vec<Value> = asked
        .refused
        .iter()
        .map(|(place, fault)| json!({ "place": place, "reason": fault.code() }))
        .collect();
    let periods: Vec<Value> = asked
        .keys
        .iter()
        .map(|key| {
            json!({
                "site": key.site.id.as_str(),
                "from": date_of(key.days.start).to_string(),
                "to": date_of(key.days.end.saturating_sub(1)).to_string(),
                "by": match key.means { Means::Receipt => "receipt", Means::Token => "token" },
            })
        })
        .collect();
    json!({
        "action": asked.action.name(),
        "site": asked.site.scope.as_str(),
        "request": format!("{request:016x}"),
        "done": true,
        "receipts": { "brought": asked.n_receipts, "refused": refused },
        "periods": periods,
        "unlinkable": unlinkable(collector, asked),
    })
}

/// From which day back the token opens nothing, and when it stops opening today.
fn unlinkable(collector: &Collector, asked: &Asked) -> Value {
    let living = collector.salts.living();
    let live = collector.live.load();
    let now = collector.clock.now();
    let mut before: Option<u16> = None;
    let mut from: Option<Timestamp> = None;
    for site in live.sites.iter() {
        let today = period_of(local_day(now, &site.time_zone), site.rotation);
        let Some(salts) = living
            .get(&site.id)
            .filter(|_| site.scope == asked.site.scope)
        else {
            continue;
        };
        // A salt is made some minutes before its period: nothing was hashed with it yet.
        for (period, _) in salts.iter().filter(|(period, _)| *period <= today) {
            before = Some(before.map_or(period, |day| day.min(period)));
            let end = start_of(next_period(period, site.rotation), &site.time_zone);
            from = from.max(end.checked_add(site.salt_grace).ok());
        }
    }
    json!({
        "before": before.map(|day| date_of(day).to_string()),
        "from": from.map(|at| at.to_string()),
        "note": "Events from before this day can be found by their receipts alone. The salts of those days are \
                 destroyed: without a receipt nobody, we included, can tell which of them were yours (GDPR \
                 Art. 11). Those of today can be found by the consent, too, until the instant named.",
    })
}

/// How the consent stands that came along, and its history.
pub(super) fn consent(collector: &Collector, asked: &Asked, history: &[ConsentStep]) -> Value {
    let Some(token) = &asked.token else {
        return Value::Null;
    };
    let now = collector.clock.now();
    let standing = standing(token, &asked.site, &collector.revocations, now);
    json!({
        "valid": standing.is_ok(),
        "reason": standing.err().map(Outcome::code),
        "policy": token.policy_version,
        "purposes": token.purposes.names(),
        "given": date_of(token.issued_day).to_string(),
        "last_day": date_of(token.last_day).to_string(),
        "history": history,
    })
}
