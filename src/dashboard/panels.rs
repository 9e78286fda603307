//! The panels of a site's page: what each of them asks.
//!
//! Comes in: nothing. Goes out: [`PANELS`], the one list that the page, the page of one panel, CSV and the tests read.

use super::props;
use crate::policy::language::Language;

/// One panel.
#[derive(Debug)]
pub(super) struct Panel {
    /// As in addresses.
    pub(super) id: &'static str,
    title: (&'static str, &'static str),
    pub(super) tabs: &'static [Tab<'static>],
    pub(super) shape: Shape,
}

/// How a panel shows its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// A list with bars.
    Bars,
    /// The same under a map of tiles, where the tab is about countries.
    Places,
    /// Hours by weekdays.
    Hours,
}

/// One breakdown of a panel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tab<'a> {
    /// As in addresses.
    pub(super) id: &'a str,
    pub(super) title: (&'static str, &'static str),
    /// Of the query API; the first is what rows are named by.
    pub(super) dimensions: &'a [&'a str],
    /// Shown on the site's page. The first orders the rows and draws the bars.
    pub(super) metrics: &'static [&'static str],
    /// Shown on the panel's own page and in CSV.
    pub(super) all_metrics: &'static [&'static str],
    /// A click on a row filters by it.
    pub(super) is_filter: bool,
}

impl Panel {
    pub(super) fn title(&self, language: Language) -> &'static str {
        language.pick(self.title.0, self.title.1)
    }

    /// The tab of that name, or the first.
    pub(super) fn tab(&self, id: Option<&str>) -> &'static Tab<'static> {
        let named = id.and_then(|id| self.tabs.iter().find(|tab| tab.id == id));
        named.unwrap_or(&self.tabs[0])
    }

    pub(super) fn find(id: &str) -> Option<&'static Panel> {
        PANELS.iter().find(|panel| panel.id == id)
    }
}

impl Tab<'_> {
    pub(super) fn title(&self, language: Language) -> &'static str {
        language.pick(self.title.0, self.title.1)
    }
}

const VISITORS: &[&str] = &["visitors"];
const VIEWS: &[&str] = &["visitors", "pageviews"];
const VISITS: &[&str] = &["visitors", "visits"];
const OF_VISITS: &[&str] = &[
    "visitors",
    "visits",
    "pageviews",
    "views_per_visit",
    "bounce_rate",
    "visit_duration",
    "engagement_time",
];
const OF_PAGES: &[&str] = &[
    "visitors",
    "visits",
    "pageviews",
    "bounce_rate",
    "engagement_time",
    "scroll_depth",
];
pub(super) const OF_EVENTS: &[&str] = &["visitors", "events"];
const OF_GOALS: &[&str] = &["visitors", "events", "conversion_rate"];
const MONEY: &[&str] = &["total_revenue", "average_revenue", "visitors"];
const VITALS: &[&str] = &["lcp", "inp", "cls", "fcp", "ttfb", "visitors"];

const fn tab(
    id: &'static str,
    title: (&'static str, &'static str),
    dimensions: &'static [&'static str],
    metrics: &'static [&'static str],
    all_metrics: &'static [&'static str],
) -> Tab<'static> {
    Tab {
        id,
        title,
        dimensions,
        metrics,
        all_metrics,
        is_filter: true,
    }
}

/// All breakdowns, in the order of the page.
pub(super) const PANELS: &[Panel] = &[
    Panel {
        id: "sources",
        title: ("Sources", "Kilder"),
        shape: Shape::Bars,
        tabs: &[
            tab(
                "source",
                ("Source", "Kilde"),
                &["visit:source"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "channel",
                ("Channel", "Kanal"),
                &["visit:channel"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "referrer",
                ("Referrer", "Henvisning"),
                &["visit:referrer"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "campaign",
                ("Campaign", "Kampagne"),
                &["visit:utm_campaign"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "utm_source",
                ("UTM source", "UTM-kilde"),
                &["visit:utm_source"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "utm_medium",
                ("UTM medium", "UTM-medie"),
                &["visit:utm_medium"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "utm_content",
                ("UTM content", "UTM-indhold"),
                &["visit:utm_content"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "utm_term",
                ("UTM term", "UTM-søgeord"),
                &["visit:utm_term"],
                VISITORS,
                OF_VISITS,
            ),
        ],
    },
    Panel {
        id: "pages",
        title: ("Pages", "Sider"),
        shape: Shape::Bars,
        tabs: &[
            tab("page", ("Page", "Side"), &["event:page"], VIEWS, OF_PAGES),
            tab(
                "entry",
                ("Entry page", "Indgangsside"),
                &["visit:entry_page"],
                VISITS,
                OF_VISITS,
            ),
            tab(
                "exit",
                ("Exit page", "Udgangsside"),
                &["visit:exit_page"],
                VISITS,
                OF_VISITS,
            ),
            tab(
                "host",
                ("Host", "Værtsnavn"),
                &["event:hostname"],
                VIEWS,
                OF_PAGES,
            ),
        ],
    },
    Panel {
        id: "places",
        title: ("Countries", "Lande"),
        shape: Shape::Places,
        tabs: &[
            tab(
                "country",
                ("Country", "Land"),
                &["visit:country"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "region",
                ("Region", "Region"),
                &["visit:region"],
                VISITORS,
                OF_VISITS,
            ),
            tab("city", ("City", "By"), &["visit:city"], VISITORS, OF_VISITS),
            tab(
                "language",
                ("Language", "Sprog"),
                &["visit:language"],
                VISITORS,
                OF_VISITS,
            ),
        ],
    },
    Panel {
        id: "devices",
        title: ("Devices", "Enheder"),
        shape: Shape::Bars,
        tabs: &[
            tab(
                "device",
                ("Device", "Enhed"),
                &["visit:device"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "browser",
                ("Browser", "Browser"),
                &["visit:browser"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "browser_version",
                ("Browser version", "Browserversion"),
                &["visit:browser", "visit:browser_version"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "os",
                ("System", "System"),
                &["visit:os"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "os_version",
                ("System version", "Systemversion"),
                &["visit:os", "visit:os_version"],
                VISITORS,
                OF_VISITS,
            ),
            tab(
                "screen",
                ("Screen", "Skærm"),
                &["visit:screen"],
                VISITORS,
                OF_VISITS,
            ),
        ],
    },
    Panel {
        id: "apps",
        title: ("Platforms and versions", "Platforme og versioner"),
        shape: Shape::Bars,
        tabs: &[
            tab(
                "platform",
                ("Platform", "Platform"),
                &["visit:platform"],
                VISITS,
                OF_VISITS,
            ),
            tab(
                "version",
                ("App version", "App-version"),
                &["visit:platform", "visit:app_version"],
                VISITS,
                OF_VISITS,
            ),
        ],
    },
    Panel {
        id: "events",
        title: ("Goals and events", "Mål og hændelser"),
        shape: Shape::Bars,
        tabs: &[
            tab("goal", ("Goal", "Mål"), &["event:goal"], OF_GOALS, OF_GOALS),
            tab(
                "name",
                ("Event", "Hændelse"),
                &["event:name"],
                OF_EVENTS,
                OF_EVENTS,
            ),
            tab(
                "revenue",
                ("Revenue", "Omsætning"),
                &["event:currency"],
                MONEY,
                MONEY,
            ),
        ],
    },
    // What it asks is chosen in it: `props.rs`.
    Panel {
        id: props::ID,
        title: ("Properties of events", "Hændelsers egenskaber"),
        shape: Shape::Bars,
        tabs: &[tab(
            "",
            ("Event and property", "Hændelse og egenskab"),
            &["event:name", "event:props"],
            OF_EVENTS,
            OF_EVENTS,
        )],
    },
    Panel {
        id: "returning",
        title: ("Returning visitors", "Tilbagevendende besøgende"),
        shape: Shape::Bars,
        tabs: &[tab(
            "days",
            ("Days since the last visit", "Dage siden sidste besøg"),
            &["visit:days_since_last"],
            VISITORS,
            OF_VISITS,
        )],
    },
    Panel {
        id: "vitals",
        title: ("Speed", "Hastighed"),
        shape: Shape::Bars,
        tabs: &[
            tab(
                "page",
                ("Page", "Side"),
                &["event:page"],
                &["lcp", "inp", "cls"],
                VITALS,
            ),
            tab(
                "device",
                ("Device", "Enhed"),
                &["visit:device"],
                &["lcp", "inp", "cls"],
                VITALS,
            ),
            tab(
                "country",
                ("Country", "Land"),
                &["visit:country"],
                &["lcp", "inp", "cls"],
                VITALS,
            ),
        ],
    },
    Panel {
        id: "hours",
        title: ("Hours of the week", "Ugens timer"),
        shape: Shape::Hours,
        tabs: &[Tab {
            id: "hours",
            title: ("Hour", "Time"),
            dimensions: &["visit:weekday", "visit:hour"],
            metrics: VISITS,
            all_metrics: VISITS,
            is_filter: false,
        }],
    },
];
