//! The portal and the two company sites.

use super::super::devices::{ANYWHERE, AT_WORK};
use super::Arrival::{Direct, Link, Tagged};
use super::{ALL_DAY, OFFICE, Page, Profile, WORKING_WEEK, act, page};

const PORTAL_HOST: &str = "portal.example.test";
const ACCOUNT: &str = "konto.portal.example.test";
const HELP: &str = "hjaelp.portal.example.test";

pub(super) const PORTAL: Profile = Profile {
    site: "portal",
    is_app: false,
    visits: 1_450.0,
    week: WORKING_WEEK,
    hours: OFFICE,
    yes: 0.71,
    returning: 0.66,
    bounce: 0.24,
    onwards: 0.72,
    pace_s: 38.0,
    lcp_ms: 1_150.0,
    pages: &[
        page(PORTAL_HOST, "/", 46, 12),
        page(PORTAL_HOST, "/overblik", 18, 24),
        page(PORTAL_HOST, "/opgaver", 9, 22).leading(&[("/opgaver/nye", 0.35)]),
        page(PORTAL_HOST, "/opgaver/nye", 2, 9),
        page(PORTAL_HOST, "/rapporter", 5, 14).leading(&[("/rapporter/kvartal", 0.3)]),
        page(PORTAL_HOST, "/rapporter/kvartal", 2, 6),
        page(PORTAL_HOST, "/beskeder", 6, 12),
        page(PORTAL_HOST, "/soeg", 2, 11),
        page(PORTAL_HOST, "/nyheder", 5, 6),
        page(PORTAL_HOST, "/nyheder/ny-version", 4, 3),
        page(PORTAL_HOST, "/indstillinger", 1, 5),
        page(ACCOUNT, "/profil", 2, 5),
        page(ACCOUNT, "/betaling", 2, 4).leading(&[("/betaling/kvittering", 0.55)]),
        page(ACCOUNT, "/betaling/kvittering", 0, 1),
        page(HELP, "/kom-i-gang", 6, 3).leading(&[("/kontakt", 0.08)]),
        page(HELP, "/fejl-og-svar", 7, 4).leading(&[("/kontakt", 0.12)]),
        page(HELP, "/kontakt", 1, 2),
    ],
    arrivals: &[
        (Direct, 58),
        (Link("https://www.google.com/"), 14),
        (Link("https://www.bing.com/"), 5),
        (Link("https://duckduckgo.com/"), 1),
        (Link("https://intranet.saltholm.example/vaerktoejer"), 9),
        (Link("https://www.pernexus.example/loesninger"), 3),
        (Link("https://www.linkedin.com/"), 2),
        (Link("https://chatgpt.com/"), 1),
        (
            Tagged(
                "",
                "utm_source=nyhedsbrev&utm_medium=email&utm_campaign=maanedens-nyt",
            ),
            5,
        ),
        (
            Tagged(
                "",
                "utm_source=ny-version&utm_medium=email&utm_campaign=efteraar",
            ),
            2,
        ),
    ],
    countries: &[
        ("DK", 860),
        ("SE", 40),
        ("NO", 34),
        ("DE", 18),
        ("FO", 12),
        ("GL", 8),
        ("PL", 10),
        ("GB", 8),
        ("NL", 5),
        ("US", 5),
    ],
    devices: AT_WORK,
    acts: &[
        act("Login", "/", 0.34).with(&[("method", &[("mitid", 78), ("password", 22)])]),
        act("Search", "/soeg", 0.82)
            .with(&[("results", &[("none", 12), ("some", 61), ("many", 27)])]),
        act("Task done", "/opgaver/nye", 0.44).with(&[(
            "kind",
            &[("approval", 52), ("document", 31), ("meeting", 17)],
        )]),
        act("File Download", "/rapporter/kvartal", 0.38).with(&[(
            "url",
            &[
                ("https://portal.example.test/filer/kvartal.pdf", 6),
                ("https://portal.example.test/filer/kvartal.xlsx", 4),
            ],
        )]),
        act("Invoice paid", "/betaling/kvittering", 0.9)
            .with(&[(
                "method",
                &[("card", 55), ("mobilepay", 32), ("invoice", 13)],
            )])
            .paying(1_450.0, 0.7, "DKK"),
        act("Outbound Link: Click", "/fejl-og-svar", 0.07).with(&[(
            "url",
            &[
                ("https://status.saltholm.example/", 3),
                ("https://www.datatilsynet.dk/", 1),
            ],
        )]),
        act("Form: Submission", "/kontakt", 0.31),
    ],
};

const PERNEXUS_HOST: &str = "pernexus.example.test";

pub(super) const PERNEXUS: Profile = Profile {
    site: "pernexus",
    is_app: false,
    visits: 620.0,
    week: WORKING_WEEK,
    hours: OFFICE,
    yes: 0.58,
    returning: 0.27,
    bounce: 0.47,
    onwards: 0.6,
    pace_s: 31.0,
    lcp_ms: 1_400.0,
    pages: PERNEXUS_PAGES,
    arrivals: &[
        (Direct, 24),
        (Link("https://www.google.com/"), 34),
        (Link("https://www.bing.com/"), 7),
        (Link("https://www.ecosia.org/"), 2),
        (Link("https://duckduckgo.com/"), 2),
        (Link("https://www.linkedin.com/"), 6),
        (Link("https://www.facebook.com/"), 2),
        (Link("https://www.reddit.com/"), 1),
        (Link("https://chatgpt.com/"), 4),
        (Link("https://www.perplexity.ai/"), 1),
        (Link("https://brancheguide.example/software"), 4),
        (
            Tagged(
                "https://www.google.com/",
                "utm_source=google&utm_medium=cpc&utm_campaign=hr-software&utm_term=hr+system",
            ),
            7,
        ),
        (
            Tagged(
                "https://www.linkedin.com/",
                "utm_source=linkedin&utm_medium=paid-social&utm_campaign=webinar",
            ),
            4,
        ),
        (
            Tagged(
                "",
                "utm_source=nyhedsbrev&utm_medium=email&utm_campaign=kunder",
            ),
            2,
        ),
    ],
    countries: &[
        ("DK", 540),
        ("SE", 110),
        ("NO", 90),
        ("DE", 90),
        ("FI", 40),
        ("GB", 40),
        ("NL", 25),
        ("US", 30),
        ("PL", 15),
        ("FR", 10),
        ("IN", 10),
    ],
    devices: AT_WORK,
    acts: &[
        act("Trial", "/proev-gratis", 0.33)
            .with(&[("plan", &[("team", 58), ("business", 34), ("enterprise", 8)])]),
        act("Webinar signup", "/webinar", 0.24).with(&[("language", &[("da", 7), ("en", 3)])]),
        act("Purchase", "/bestil", 0.41)
            .with(&[
                ("plan", &[("team", 66), ("business", 30), ("enterprise", 4)]),
                ("period", &[("month", 62), ("year", 38)]),
            ])
            .paying(2_990.0, 0.6, "DKK"),
        act("Video shown", "/produkt", 0.22)
            .with(&[("part", &[("start", 60), ("half", 27), ("end", 13)])]),
        act("Form: Submission", "/kontakt", 0.22),
        act("File Download", "/viden/guide", 0.26)
            .with(&[("url", &[("https://pernexus.example.test/guide.pdf", 1)])]),
        act("Outbound Link: Click", "/om", 0.06).with(&[(
            "url",
            &[
                ("https://www.linkedin.com/company/", 2),
                ("https://veriloc.example.test/", 3),
            ],
        )]),
    ],
};

const PERNEXUS_PAGES: &[Page] = &[
    page(PERNEXUS_HOST, "/", 38, 14),
    page(PERNEXUS_HOST, "/produkt", 12, 22).leading(&[("/priser", 0.3)]),
    page(PERNEXUS_HOST, "/priser", 9, 18).leading(&[("/proev-gratis", 0.22), ("/bestil", 0.07)]),
    page(PERNEXUS_HOST, "/proev-gratis", 3, 3).leading(&[("/bestil", 0.1)]),
    page(PERNEXUS_HOST, "/bestil", 1, 1),
    page(PERNEXUS_HOST, "/kunder", 2, 9),
    page(PERNEXUS_HOST, "/viden", 8, 8),
    page(PERNEXUS_HOST, "/viden/onboarding", 11, 4),
    page(PERNEXUS_HOST, "/viden/guide", 7, 4),
    page(PERNEXUS_HOST, "/webinar", 6, 4),
    page(PERNEXUS_HOST, "/om", 2, 6),
    page(PERNEXUS_HOST, "/kontakt", 2, 5),
];

const VERILOC_HOST: &str = "veriloc.example.test";

pub(super) const VERILOC: Profile = Profile {
    site: "veriloc",
    is_app: false,
    visits: 410.0,
    week: [1.0, 1.0, 1.02, 0.97, 0.88, 0.6, 0.7],
    hours: ALL_DAY,
    yes: 0.52,
    returning: 0.21,
    bounce: 0.54,
    onwards: 0.55,
    pace_s: 26.0,
    lcp_ms: 1_750.0,
    pages: &[
        page(VERILOC_HOST, "/", 41, 16),
        page(VERILOC_HOST, "/sporing", 14, 18).leading(&[("/beregn-pris", 0.2)]),
        page(VERILOC_HOST, "/beregn-pris", 8, 12).leading(&[("/tilbud", 0.28)]),
        page(VERILOC_HOST, "/tilbud", 2, 3),
        page(VERILOC_HOST, "/flaade", 7, 9),
        page(VERILOC_HOST, "/gdpr", 3, 4),
        page(VERILOC_HOST, "/blog", 6, 7),
        page(VERILOC_HOST, "/blog/gps-og-loven", 12, 3),
        page(VERILOC_HOST, "/support", 5, 4),
        page(VERILOC_HOST, "/kontakt", 2, 6),
    ],
    arrivals: &[
        (Direct, 21),
        (Link("https://www.google.com/"), 41),
        (Link("https://www.bing.com/"), 6),
        (Link("https://search.yahoo.com/"), 1),
        (Link("https://duckduckgo.com/"), 2),
        (Link("https://www.facebook.com/"), 8),
        (Link("https://www.instagram.com/"), 3),
        (Link("https://www.youtube.com/"), 2),
        (Link("https://chatgpt.com/"), 3),
        (Link("https://gemini.google.com/"), 1),
        (Link("https://transportnyt.example/gps"), 3),
        (Link("https://pernexus.example.test/om"), 2),
        (
            Tagged(
                "https://www.facebook.com/",
                "utm_source=facebook&utm_medium=paid-social&utm_campaign=haandvaerkere",
            ),
            5,
        ),
        (
            Tagged(
                "https://www.google.com/",
                "utm_source=google&utm_medium=cpc&utm_campaign=gps-sporing",
            ),
            6,
        ),
    ],
    countries: &[
        ("DK", 640),
        ("SE", 90),
        ("NO", 80),
        ("DE", 60),
        ("FI", 20),
        ("GB", 30),
        ("US", 30),
        ("FR", 12),
        ("ES", 14),
        ("JP", 8),
        ("IS", 16),
    ],
    devices: ANYWHERE,
    acts: &[
        act("Price estimate", "/beregn-pris", 0.46)
            .with(&[("vehicles", &[("1-5", 61), ("6-20", 28), ("21+", 11)])]),
        act("Quote", "/tilbud", 0.37)
            .with(&[("vehicles", &[("1-5", 48), ("6-20", 35), ("21+", 17)])])
            .paying(7_400.0, 0.9, "DKK"),
        act("Outbound Link: Click", "/gdpr", 0.11).with(&[(
            "url",
            &[
                ("https://www.datatilsynet.dk/", 3),
                ("https://eur-lex.europa.eu/", 1),
            ],
        )]),
        act("Form: Submission", "/kontakt", 0.27),
        act("Call", "/kontakt", 0.09),
    ],
};
