//! How figures, dates and names are written, in both languages.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use crate::policy::language::Language;
use crate::stats::metric::Metric;

/// Shown where a figure is withheld, or where there is nothing to divide by.
pub(super) const NONE: &str = "–";

/// Writes a figure of a metric, with its unit.
pub(super) fn figure(
    metric: Metric,
    value: Option<f64>,
    currency: &str,
    language: Language,
) -> String {
    let Some(value) = value else {
        return NONE.into();
    };
    let number = |decimals| number(value, decimals, language);
    match metric {
        Metric::BounceRate
        | Metric::ConsentRate
        | Metric::ConversionRate
        | Metric::GroupConversionRate
        | Metric::Percentage
        | Metric::ScrollDepth => {
            format!("{} %", number(1))
        }
        Metric::EngagementTime | Metric::VisitDuration => duration(value, language),
        Metric::Fcp | Metric::Inp | Metric::Lcp | Metric::Ttfb => format!("{} ms", number(0)),
        Metric::AverageRevenue | Metric::TotalRevenue => {
            format!("{} {currency}", number(2)).trim_end().to_owned()
        }
        Metric::ViewsPerVisit => number(2),
        Metric::Cls => number(3),
        Metric::Devices
        | Metric::Events
        | Metric::Pageviews
        | Metric::Visitors
        | Metric::Visits => number(0),
    }
}

/// Writes a number with the separators of the language.
pub(super) fn number(value: f64, decimals: usize, language: Language) -> String {
    let text = format!("{:.decimals$}", value.abs());
    let (whole, rest) = text.split_once('.').unwrap_or((&text, ""));
    let (thousands, point) = language.pick((',', '.'), ('.', ','));
    let mut out = String::new();
    if value < 0.0 {
        out.push('−');
    }
    for (i, digit) in whole.char_indices() {
        if i > 0 && (whole.len() - i) % 3 == 0 {
            out.push(thousands);
        }
        out.push(digit);
    }
    if !rest.is_empty() {
        out.push(point);
        out.push_str(rest);
    }
    out
}

/// Writes a change: percent, or percentage points for shares.
pub(super) fn change(metric: Metric, value: f64, language: Language) -> String {
    let sign = if value > 0.0 { "+" } else { "" };
    let unit = match metric {
        Metric::BounceRate
        | Metric::ConsentRate
        | Metric::ConversionRate
        | Metric::GroupConversionRate
        | Metric::Percentage
        | Metric::ScrollDepth => language.pick("pts", "pp"),
        _ => "%",
    };
    let decimals = usize::from(value.abs() < 10.0);
    format!("{sign}{} {unit}", number(value, decimals, language))
}

/// Tells whether more of it is good news; none: neither.
pub(super) fn is_good(metric: Metric, change: f64) -> Option<bool> {
    match metric {
        Metric::BounceRate => Some(change < 0.0),
        Metric::Cls | Metric::Fcp | Metric::Inp | Metric::Lcp | Metric::Ttfb => Some(change < 0.0),
        _ => Some(change > 0.0),
    }
    .filter(|_| change != 0.0)
}

/// Writes seconds as people say them.
pub(super) fn duration(seconds: f64, language: Language) -> String {
    let whole = seconds.round() as u64;
    let (m, s) = (whole / 60, whole % 60);
    match (m, language) {
        (0, _) => format!("{s} s"),
        (1..60, _) => format!("{m} min {s:02} s"),
        (_, Language::En) => format!("{} h {:02} min", m / 60, m % 60),
        (_, Language::Da) => format!("{} t {:02} min", m / 60, m % 60),
    }
}

/// Names a metric.
pub(super) fn metric(metric: Metric, language: Language) -> &'static str {
    let (en, da) = match metric {
        Metric::AverageRevenue => ("Average", "Gennemsnit"),
        Metric::BounceRate => ("Bounce rate", "Afvisningsprocent"),
        Metric::Cls => ("CLS", "CLS"),
        Metric::ConsentRate => ("Said yes", "Sagde ja"),
        Metric::ConversionRate => ("Conversion", "Konvertering"),
        Metric::Devices => ("Devices", "Enheder"),
        Metric::EngagementTime => ("Engagement", "Engagement"),
        Metric::Events => ("Events", "Hændelser"),
        Metric::Fcp => ("FCP", "FCP"),
        Metric::GroupConversionRate => ("Conversion of row", "Konvertering i række"),
        Metric::Inp => ("INP", "INP"),
        Metric::Lcp => ("LCP", "LCP"),
        Metric::Pageviews => ("Pageviews", "Sidevisninger"),
        Metric::Percentage => ("Share", "Andel"),
        Metric::ScrollDepth => ("Scroll depth", "Rulledybde"),
        Metric::TotalRevenue => ("Revenue", "Omsætning"),
        Metric::Ttfb => ("TTFB", "TTFB"),
        Metric::ViewsPerVisit => ("Views per visit", "Sider pr. besøg"),
        Metric::VisitDuration => ("Visit duration", "Besøgets varighed"),
        Metric::Visitors => ("Visitors", "Besøgende"),
        Metric::Visits => ("Visits", "Besøg"),
    };
    language.pick(en, da)
}

const MONTHS: [(&str, &str); 12] = [
    ("Jan", "jan."),
    ("Feb", "feb."),
    ("Mar", "mar."),
    ("Apr", "apr."),
    ("May", "maj"),
    ("Jun", "jun."),
    ("Jul", "jul."),
    ("Aug", "aug."),
    ("Sep", "sep."),
    ("Oct", "okt."),
    ("Nov", "nov."),
    ("Dec", "dec."),
];

const WEEKDAYS: [(&str, &str); 7] = [
    ("Mon", "man"),
    ("Tue", "tir"),
    ("Wed", "ons"),
    ("Thu", "tor"),
    ("Fri", "fre"),
    ("Sat", "lør"),
    ("Sun", "søn"),
];

/// Names a weekday, 1 for Monday.
pub(super) fn weekday(number: usize, language: Language) -> &'static str {
    let (en, da) = WEEKDAYS[number.saturating_sub(1) % 7];
    language.pick(en, da)
}

/// Writes a date.
pub(super) fn date(date: Date, language: Language) -> String {
    // Months are from 1 to 12.
    let (en, da) = MONTHS[usize::from(date.month().unsigned_abs()) - 1];
    match language {
        Language::En => format!("{} {en} {}", date.day(), date.year()),
        Language::Da => format!("{}. {da} {}", date.day(), date.year()),
    }
}

/// Writes date and time on a clock, which it does not name.
pub(super) fn moment(at: Timestamp, zone: &TimeZone, language: Language) -> String {
    let at = zone.to_datetime(at);
    let day = date(at.date(), language);
    format!("{day} {:02}:{:02}", at.hour(), at.minute())
}

/// Writes a point of time of a graph, by its label in the query API.
pub(super) fn point(label: &str, step: &str, language: Language) -> String {
    let parsed: Option<Date> = label.get(..10).and_then(|date| date.parse().ok());
    let Some(day) = parsed else {
        return label.to_owned();
    };
    let (en, da) = MONTHS[usize::from(day.month().unsigned_abs()) - 1];
    let month = language.pick(en, da);
    let short = match language {
        Language::En => format!("{} {month}", day.day()),
        Language::Da => format!("{}. {month}", day.day()),
    };
    match step {
        "hour" | "minute" => format!("{short} {}", label.get(11..16).unwrap_or_default()),
        "month" => format!("{month} {}", day.year()),
        _ => {
            let weekday = weekday(
                usize::from(day.weekday().to_monday_one_offset().unsigned_abs()),
                language,
            );
            format!("{weekday} {short}")
        }
    }
}

/// Day and time of a point apart, where it is finer than a day.
pub(super) fn clock(label: &str, step: &str, language: Language) -> Option<(String, String)> {
    matches!(step, "hour" | "minute").then(|| {
        let name = point(label, step, language);
        let (day, time) = name.rsplit_once(' ').unwrap_or(("", &name));
        (day.to_owned(), time.to_owned())
    })
}

/// The present as a label of the finest step: labels that sort behind it lie ahead.
pub(super) fn clock_label(now: Timestamp, zone: &TimeZone) -> String {
    let now = zone.to_datetime(now);
    format!("{} {:02}:{:02}:00", now.date(), now.hour(), now.minute())
}

/// Tells whether the interval of a label has begun and is not over; `now` as [`clock_label`] writes it.
pub(super) fn is_under_way(label: &str, step: &str, now: &str) -> bool {
    let is_same = |n_bytes: usize| {
        label
            .get(..n_bytes)
            .is_some_and(|own| now.get(..n_bytes) == Some(own))
    };
    match step {
        "minute" => is_same(16),
        "hour" => is_same(13),
        "month" => is_same(7),
        "week" => {
            let date = |text: &str| text.get(..10).and_then(|day| day.parse::<Date>().ok());
            let (Some(first), Some(today)) = (date(label), date(now)) else {
                return false;
            };
            first
                .until(today)
                .is_ok_and(|span| (0..7).contains(&span.get_days()))
        }
        _ => is_same(10),
    }
}

/// Names a value of a dimension: what the store keeps as a code is said in words.
pub(super) fn value(dimension: &str, value: &str, language: Language) -> String {
    let words = match (dimension, value) {
        (_, "(other)") => ("(other)", "(øvrige)"),
        ("visit:source", "(not set)") => ("Direct or unknown", "Direkte eller ukendt"),
        ("visit:days_since_last", "new") => ("First visit", "Første besøg"),
        ("visit:days_since_last", "0") => ("Same day", "Samme dag"),
        ("visit:days_since_last", "1") => ("1 day", "1 dag"),
        ("visit:days_since_last", "2-7") => ("2–7 days", "2–7 dage"),
        ("visit:days_since_last", "8-30") => ("8–30 days", "8–30 dage"),
        ("visit:days_since_last", "31+") => ("31 days or more", "31 dage eller mere"),
        ("visit:days_since_last", "(not set)") => ("Not told", "Ikke oplyst"),
        (_, "(not set)") => ("(not set)", "(ikke angivet)"),
        ("visit:country", code) => return super::places::name(code, language).to_owned(),
        ("visit:weekday", day) => {
            return weekday(day.parse().unwrap_or(1), language).to_owned();
        }
        ("visit:device", "Console") => ("Console", "Spillekonsol"),
        ("visit:device", "Desktop") => ("Desktop", "Computer"),
        ("visit:device", "Mobile") => ("Mobile", "Mobil"),
        ("visit:device", "Tablet") => ("Tablet", "Tablet"),
        ("visit:device", "TV") => ("TV", "Tv"),
        ("visit:channel", name) => (name, channel(name)),
        ("visit:platform", "android") => ("Android", "Android"),
        ("visit:platform", "ios") => ("iOS", "iOS"),
        ("visit:platform", "linux") => ("Linux", "Linux"),
        ("visit:platform", "macos") => ("macOS", "macOS"),
        ("visit:platform", "tvos") => ("tvOS", "tvOS"),
        ("visit:platform", "watchos") => ("watchOS", "watchOS"),
        ("visit:platform", "web") => ("Web", "Web"),
        ("visit:platform", "windows") => ("Windows", "Windows"),
        ("visit:device" | "visit:browser" | "visit:os", "Other") | ("visit:platform", "other") => {
            ("Other", "Andet")
        }
        _ => return value.to_owned(),
    };
    language.pick(words.0, words.1).to_owned()
}

/// Names a channel in Danish: what `enrich` keeps is its English name.
fn channel(name: &str) -> &str {
    match name {
        "Affiliates" => "Affiliate-partnere",
        "AI Assistants" => "AI-assistenter",
        "Audio" => "Lyd",
        "Direct" => "Direkte",
        "Display" => "Bannerannoncer",
        "Email" => "E-mail",
        "Internal" => "Internt",
        "Organic Search" => "Organisk søgning",
        "Organic Social" => "Organisk på sociale medier",
        "Organic Video" => "Organisk video",
        "Paid Other" => "Anden betalt trafik",
        "Paid Search" => "Betalt søgning",
        "Paid Social" => "Betalt på sociale medier",
        "Paid Video" => "Betalt video",
        "Push" => "Push-beskeder",
        "Referral" => "Henvisninger",
        "SMS" => "Sms",
        other => other,
    }
}

/// Names a dimension, for filters.
pub(super) fn dimension(name: &str, language: Language) -> String {
    let known = DIMENSIONS.iter().find(|(known, _, _)| *known == name);
    match known {
        Some((_, en, da)) => language.pick(*en, *da).to_owned(),
        None => match name.strip_prefix("event:props:") {
            Some(prop) => prop.to_owned(),
            None => name.to_owned(),
        },
    }
}

/// Dimensions that a filter can be made of, in the order of the form.
pub(super) const DIMENSIONS: &[(&str, &str, &str)] = &[
    ("event:page", "Page", "Side"),
    ("event:hostname", "Host", "Værtsnavn"),
    ("visit:entry_page", "Entry page", "Indgangsside"),
    ("visit:exit_page", "Exit page", "Udgangsside"),
    ("event:goal", "Goal", "Mål"),
    ("event:name", "Event", "Hændelse"),
    ("visit:source", "Source", "Kilde"),
    ("visit:channel", "Channel", "Kanal"),
    ("visit:referrer", "Referrer", "Henvisning"),
    ("visit:utm_campaign", "Campaign", "Kampagne"),
    ("visit:utm_source", "UTM source", "UTM-kilde"),
    ("visit:utm_medium", "UTM medium", "UTM-medie"),
    ("visit:utm_content", "UTM content", "UTM-indhold"),
    ("visit:utm_term", "UTM term", "UTM-søgeord"),
    ("visit:country", "Country", "Land"),
    ("visit:region", "Region", "Region"),
    ("visit:city", "City", "By"),
    ("visit:language", "Language", "Sprog"),
    ("visit:device", "Device", "Enhed"),
    ("visit:browser", "Browser", "Browser"),
    ("visit:browser_version", "Browser version", "Browserversion"),
    ("visit:os", "System", "System"),
    ("visit:os_version", "System version", "Systemversion"),
    ("visit:screen", "Screen", "Skærm"),
    ("visit:platform", "Platform", "Platform"),
    ("visit:app_version", "App version", "App-version"),
    (
        "visit:days_since_last",
        "Days since last visit",
        "Dage siden sidste besøg",
    ),
    ("visit:hour", "Hour", "Time"),
    ("visit:weekday", "Weekday", "Ugedag"),
];

/// Operators of the form, with their words.
pub(super) const OPERATORS: &[(&str, &str, &str)] = &[
    ("is", "is", "er"),
    ("is_not", "is not", "er ikke"),
    ("contains", "contains", "indeholder"),
    ("contains_not", "does not contain", "indeholder ikke"),
    ("matches", "matches", "passer med"),
    ("has_done", "has done", "har gjort"),
    ("has_not_done", "has not done", "har ikke gjort"),
];

/// Names an operator.
pub(super) fn operator(name: &str, language: Language) -> &str {
    let known = OPERATORS.iter().find(|(known, _, _)| *known == name);
    known.map_or(name, |(_, en, da)| language.pick(en, da))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::agent::names::Device;
    use crate::enrich::referrer::channel::Channel;

    #[test]
    fn figures_are_written_as_each_language_does() {
        assert_eq!(number(1_234_567.0, 0, Language::En), "1,234,567");
        assert_eq!(number(1_234.5, 1, Language::Da), "1.234,5");
        assert_eq!(number(-0.25, 2, Language::Da), "−0,25");
        assert_eq!(number(999.0, 0, Language::En), "999");
        assert_eq!(duration(125.2, Language::En), "2 min 05 s");
        assert_eq!(duration(7_260.0, Language::Da), "2 t 01 min");
        assert_eq!(change(Metric::Visitors, 12.34, Language::En), "+12 %");
        assert_eq!(change(Metric::BounceRate, -3.2, Language::Da), "−3,2 pp");
        assert_eq!(change(Metric::ScrollDepth, 1.5, Language::En), "+1.5 pts");
        assert_eq!(figure(Metric::Lcp, None, "", Language::En), NONE);
        assert_eq!(
            figure(Metric::TotalRevenue, Some(12.5), "DKK", Language::Da),
            "12,50 DKK"
        );
    }

    /// By the names that `enrich` keeps: another spelling of one would be shown as it is kept.
    #[test]
    fn what_is_kept_as_a_name_is_said_in_the_readers_language() {
        let danish = |dimension, kept: &str| value(dimension, kept, Language::Da);
        for device in Device::ALL {
            let english = value("visit:device", device.name(), Language::En);
            assert_eq!(english, device.name());
        }
        let devices =
            [Device::Desktop, Device::Mobile].map(|device| danish("visit:device", device.name()));
        assert_eq!(devices, ["Computer", "Mobil"]);
        for known in Channel::ALL {
            let name = known.name();
            assert_ne!(danish("visit:channel", name), name);
            assert_eq!(value("visit:channel", name, Language::En), name);
        }
        assert_eq!(danish("visit:platform", "ios"), "iOS");
        assert_eq!(danish("visit:os", "Windows"), "Windows");
    }

    #[test]
    fn a_moment_is_told_on_the_clock_of_the_site() {
        let at: Timestamp = "2026-11-30T23:26:40Z".parse().unwrap();
        let zone = TimeZone::get("Europe/Copenhagen").unwrap();
        assert_eq!(moment(at, &zone, Language::En), "1 Dec 2026 00:26");
        assert_eq!(moment(at, &zone, Language::Da), "1. dec. 2026 00:26");
    }

    #[test]
    fn an_interval_is_under_way_until_its_end() {
        let now = "2026-11-25 13:59:00";
        for (step, label, is) in [
            ("minute", "2026-11-25 13:59:00", true),
            ("minute", "2026-11-25 13:58:00", false),
            ("hour", "2026-11-25 13:00:00", true),
            ("hour", "2026-11-25 12:00:00", false),
            ("hour", "2026-11-25 14:00:00", false),
            ("day", "2026-11-25", true),
            ("day", "2026-11-24", false),
            ("week", "2026-11-23", true),
            ("week", "2026-11-16", false),
            ("week", "2026-11-30", false),
            ("month", "2026-11-01", true),
            ("month", "2026-10-01", false),
        ] {
            assert_eq!(is_under_way(label, step, now), is, "{step} {label}");
        }
        assert!(is_under_way("2026-11-23", "week", "2026-11-29 23:59:00"));
    }

    #[test]
    fn points_are_named_by_their_step() {
        assert_eq!(point("2026-11-09", "day", Language::En), "Mon 9 Nov");
        assert_eq!(
            point("2026-11-09 13:00:00", "hour", Language::Da),
            "9. nov. 13:00"
        );
        assert_eq!(point("2026-11-01", "month", Language::Da), "nov. 2026");
    }
}
