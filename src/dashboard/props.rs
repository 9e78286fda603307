//! The panel of event properties: which properties a site's events carry, and the values of one of them.
//!
//! Comes in: a view that names an event (`event`), a property (`props`), both or neither. Goes out: what is asked, and
//! where the rows lead: from all pairs of event and property to one event's properties, to one property's values, to
//! the page filtered by one value.

use super::page::{Choice, Shown};
use super::panels::{OF_EVENTS, Tab};
use super::view::{View, leaf_of};
use super::words;
use crate::stats::Answer;

/// The panel, as in addresses.
pub(super) const ID: &str = "props";

/// Events that the panel offers to choose from.
const MOST_EVENTS: usize = 6;

/// What of the properties a view looks at.
pub(super) struct Props {
    event: Option<String>,
    property: Option<String>,
    dimensions: Vec<String>,
    title: (&'static str, &'static str),
}

impl Props {
    pub(super) fn of(view: &View) -> Props {
        let event = view.event.clone();
        let property = view.tabs.get(ID).cloned();
        let (dimensions, title) = match (&event, &property) {
            (_, Some(name)) => (vec![format!("event:props:{name}")], ("Value", "Værdi")),
            (Some(_), None) => (vec!["event:props".into()], ("Property", "Egenskab")),
            (None, None) => (
                vec!["event:name".into(), "event:props".into()],
                ("Event and property", "Hændelse og egenskab"),
            ),
        };
        Props {
            event,
            property,
            dimensions,
            title,
        }
    }

    /// The names of the dimensions, for [`Props::tab`].
    pub(super) fn dimensions(&self) -> Vec<&str> {
        self.dimensions.iter().map(String::as_str).collect()
    }

    /// What is asked, as a tab.
    pub(super) fn tab<'a>(&'a self, dimensions: &'a [&'a str]) -> Tab<'a> {
        Tab {
            id: self.property.as_deref().unwrap_or_default(),
            title: self.title,
            dimensions,
            metrics: OF_EVENTS,
            all_metrics: OF_EVENTS,
            is_filter: true,
        }
    }

    /// The view that is asked about: that of the chosen event.
    pub(super) fn narrowed(&self, view: &View) -> View {
        let mut view = view.clone();
        if let Some(event) = &self.event {
            view.add_filter(leaf_of("is", "event:name", event));
        }
        view
    }

    /// Says in the panel what can be chosen, and where its rows lead; a filter leads to the site's page, at `base`.
    pub(super) fn dress(
        &self,
        shown: &mut Shown,
        view: &View,
        answer: Option<&Answer>,
        base: &str,
    ) {
        let language = view.language;
        let choice = |text: String, event: Option<String>, property: Option<String>| Choice {
            is_current: event == self.event && property == self.property,
            text,
            href: view.href(|view| choose(view, event, property)),
            key: "",
        };
        let all = language.pick("All properties", "Alle egenskaber");
        shown.tabs = vec![choice(all.to_owned(), None, None)];
        let mut events: Vec<&String> = self.event.iter().collect();
        let rows = answer.map_or(&[][..], |answer| &answer.rows);
        if let (None, None) = (&self.event, &self.property) {
            for row in rows.iter().filter(|row| row.dimensions[0] != "(other)") {
                if !events.contains(&&row.dimensions[0]) && events.len() < MOST_EVENTS {
                    events.push(&row.dimensions[0]);
                }
            }
        }
        let events = events.into_iter();
        shown
            .tabs
            .extend(events.map(|event| choice(event.clone(), Some(event.clone()), None)));
        if let Some(name) = &self.property {
            let property = Some(name.clone());
            shown
                .tabs
                .push(choice(name.clone(), self.event.clone(), property));
        }
        for (row, counted) in shown.rows.iter_mut().zip(rows) {
            let is_other = counted.dimensions.iter().any(|value| value == "(other)");
            let names: Vec<String> = self
                .dimensions
                .iter()
                .zip(&counted.dimensions)
                .map(|(dimension, value)| words::value(dimension, value, language))
                .collect();
            row.text = match is_other {
                true => words::value("", "(other)", language),
                false => names.join(" · "),
            };
            row.href = (!is_other).then(|| match (&self.property, &counted.dimensions[..]) {
                (Some(_), [value, ..]) => view.href(|view| {
                    view.path = base.to_owned();
                    if let Some(event) = &self.event {
                        view.add_filter(leaf_of("is", "event:name", event));
                    }
                    view.add_filter(leaf_of("is", &self.dimensions[0], value));
                }),
                (None, [event, property]) => {
                    view.href(|view| choose(view, Some(event.clone()), Some(property.clone())))
                }
                (None, [property]) => {
                    view.href(|view| choose(view, self.event.clone(), Some(property.clone())))
                }
                _ => view.address(),
            });
        }
        let is_plain = view.filters.is_empty() && self.event.is_none() && self.property.is_none();
        if is_plain
            && answer.is_some_and(|answer| answer.rows.is_empty() && answer.n_suppressed == 0)
        {
            shown.tabs.clear();
            shown.empty = language
                .pick(
                    "No event of this period carries properties. They say more about an event, as which plan was \
                     chosen at a signup: brine(\"Signup\", { props: { plan: \"pro\" } }), or data-brine-prop-plan=\"pro\" \
                     beside data-brine-event.",
                    "Ingen hændelse i perioden har egenskaber. De fortæller mere om en hændelse, fx hvilket abonnement der \
                     blev valgt ved en tilmelding: brine(\"Signup\", { props: { plan: \"pro\" } }) eller \
                     data-brine-prop-plan=\"pro\" ved siden af data-brine-event.",
                )
                .to_owned();
        }
    }
}

fn choose(view: &mut View, event: Option<String>, property: Option<String>) {
    view.event = event;
    match property {
        Some(property) => drop(view.tabs.insert(ID, property)),
        None => drop(view.tabs.remove(ID)),
    }
}
