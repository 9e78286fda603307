//! The three apps.

use super::super::devices::Device;
use super::Arrival::{Direct, Link};
use super::{ALL_DAY, Act, OFFICE, Page, Profile, WHOLE_WEEK, WORKING_WEEK, act, page};

const APP: &str = "saltholm";

const SCREENS: &[Page] = &[
    page(APP, "/start", 62, 10),
    page(APP, "/opgaver", 14, 26).leading(&[("/opgaver/detalje", 0.5)]),
    page(APP, "/opgaver/detalje", 3, 20),
    page(APP, "/beskeder", 12, 18).leading(&[("/beskeder/traad", 0.5)]),
    page(APP, "/beskeder/traad", 5, 14),
    page(APP, "/scan", 3, 7),
    page(APP, "/kalender", 4, 9),
    page(APP, "/indstillinger", 0, 4),
    page(APP, "/abonnement", 0, 2),
];

const ACTS: &[Act] = &[
    act("Task done", "/opgaver/detalje", 0.36).with(&[(
        "kind",
        &[("approval", 60), ("document", 26), ("meeting", 14)],
    )]),
    act("Message sent", "/beskeder/traad", 0.48)
        .with(&[("attachment", &[("no", 81), ("yes", 19)])]),
    act("Scan", "/scan", 0.71).with(&[(
        "result",
        &[("ok", 88), ("blurred", 9), ("no permission", 3)],
    )]),
    act("Subscription", "/abonnement", 0.08)
        .with(&[("plan", &[("plus", 75), ("pro", 25)])])
        .paying(49.0, 0.3, "DKK"),
    act("Crash", "", 0.002).with(&[("where", &[("camera", 4), ("sync", 5), ("start", 1)])]),
];

const NORDIC: &[(&str, u32)] = &[
    ("DK", 900),
    ("SE", 32),
    ("NO", 28),
    ("DE", 14),
    ("FO", 10),
    ("GL", 6),
    ("ES", 6),
    ("GB", 4),
];

pub(super) const IOS: Profile = Profile {
    site: "ios",
    is_app: true,
    visits: 560.0,
    week: WHOLE_WEEK,
    hours: ALL_DAY,
    yes: 0.8,
    returning: 0.86,
    bounce: 0.22,
    onwards: 0.64,
    pace_s: 17.0,
    lcp_ms: 0.0,
    pages: SCREENS,
    arrivals: &[(Direct, 95), (Link("https://portal.example.test/"), 5)],
    countries: NORDIC,
    devices: &[(Device::AppPhone, 1)],
    acts: ACTS,
};

pub(super) const ANDROID: Profile = Profile {
    site: "android",
    visits: 470.0,
    yes: 0.77,
    returning: 0.85,
    bounce: 0.25,
    pace_s: 18.0,
    devices: &[(Device::AppAndroid, 1)],
    ..IOS
};

pub(super) const WINDOWS: Profile = Profile {
    site: "windows",
    visits: 330.0,
    week: WORKING_WEEK,
    hours: OFFICE,
    yes: 0.84,
    returning: 0.9,
    bounce: 0.15,
    onwards: 0.74,
    pace_s: 44.0,
    devices: &[(Device::AppWindows, 1)],
    ..IOS
};
