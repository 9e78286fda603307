//! Funnels, notes and segments.

use serde_json::Value;

use super::super::view::{self, Period, View};
use super::super::words;
use super::{Choice, FunnelShown, Kept, Marks, Step, fault};
use crate::config::Site;
use crate::stats::QueryError;
use crate::stats::funnel::Funnel;
use crate::stats::metric::Metric;
use crate::stats::rollup::Lost;

/// A funnel, counted or with the reason why not.
pub(in super::super) fn funnel(
    view: &View,
    site: &Site,
    steps: &[String],
    counted: Option<&Result<Funnel, QueryError>>,
    lost: Lost,
) -> FunnelShown {
    let language = view.language;
    let tabs = site.funnels.iter().map(|known| Choice {
        text: known.name.clone(),
        href: view.href(|view| view.steps.clone_from(&known.steps)),
        is_current: known.steps == steps,
        key: "",
    });
    let mut inputs = steps.to_vec();
    let n_inputs = (steps.len() + 1).clamp(2, view::MAX_STEPS);
    inputs.resize(n_inputs, String::new());
    let mut kept = view.pairs();
    kept.retain(|(key, _)| *key != "step");
    let mut shown = FunnelShown {
        tabs: tabs.collect(),
        steps: Vec::new(),
        inputs,
        kept,
        action: view.path.clone(),
        note: String::new(),
        fault: String::new(),
    };
    let funnel = match counted {
        None => return shown,
        Some(Err(error)) => {
            shown.fault = fault(error, language);
            return shown;
        }
        Some(Ok(funnel)) => funnel,
    };
    let mut notes = Vec::new();
    if funnel.steps.contains(&None) {
        notes.push(language.pick(
            format!(
                "Steps that would tell of fewer than {} visitors have no number.",
                funnel.k
            ),
            format!(
                "Trin, der ville røbe færre end {} besøgende, har intet tal.",
                funnel.k
            ),
        ));
    }
    // Only events know in which order something was done.
    if lost != Lost::Nothing {
        notes.extend(super::figures::lost(Lost::Days, view).map(str::to_owned));
    }
    shown.note = notes.join(" ");
    let percent = |part: Option<u64>, whole: Option<u64>| match (part, whole) {
        (Some(part), Some(whole)) if whole > 0 => {
            format!(
                "{} %",
                words::number(100.0 * part as f64 / whole as f64, 1, language)
            )
        }
        _ => words::NONE.to_owned(),
    };
    let mut before = funnel.everyone;
    let everyone = [(
        view.say("All visitors", "Alle besøgende").to_owned(),
        funnel.everyone,
    )];
    let all = everyone
        .into_iter()
        .chain(steps.iter().cloned().zip(funnel.steps.iter().copied()));
    for (name, n) in all {
        shown.steps.push(Step {
            name,
            text: words::figure(Metric::Visitors, n.map(|n| n as f64), "", language),
            share: percent(n, funnel.everyone),
            of_last: percent(n, before),
            width: match (n, funnel.everyone) {
                (Some(n), Some(all)) if all > 0 => format!("{:.1}%", 100.0 * n as f64 / all as f64),
                _ => "0".into(),
            },
        });
        before = n;
    }
    shown
}

/// Notes and segments.
pub(in super::super) fn marks(
    view: &View,
    base: &str,
    marks: &[super::super::marks::Mark],
) -> Marks {
    let kept = |kind: &str| -> Vec<Kept> {
        marks
            .iter()
            .filter(|mark| mark.kind == kind)
            .map(|mark| {
                let day = crate::salts::period::date_of(mark.day);
                Kept {
                    mark: mark.mark,
                    name: mark.name.clone(),
                    day: match kind {
                        "note" => words::date(day, view.language),
                        _ => String::new(),
                    },
                    href: match kind {
                        "segment" => view.href(|view| view.filters = mark.filters()),
                        _ => view.href(|view| {
                            view.period = Period::Dates(day.to_string(), day.to_string());
                        }),
                    },
                }
            })
            .collect()
    };
    Marks {
        form: view.reader.form.clone(),
        share: match view.reader.may_share {
            true => view.share(),
            false => String::new(),
        },
        action: format!("{base}/marks"),
        back: view.address(),
        notes: kept("note"),
        segments: kept("segment"),
        filters: match view.filters.is_empty() {
            true => String::new(),
            false => Value::from(view.filters.clone()).to_string(),
        },
    }
}
