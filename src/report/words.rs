//! The report's words, in both languages.

use super::Language;

/// Picks by language: English, Danish.
fn of(language: Language, english: &'static str, danish: &'static str) -> &'static str {
    match language {
        Language::English => english,
        Language::Danish => danish,
    }
}

/// Returns the name of a metric.
pub(super) fn metric(name: &str, language: Language) -> &'static str {
    match name {
        "visitors" => of(language, "Visitors", "Besøgende"),
        "visits" => of(language, "Visits", "Besøg"),
        "pageviews" => of(language, "Page views", "Sidevisninger"),
        "views_per_visit" => of(language, "Views per visit", "Visninger pr. besøg"),
        "bounce_rate" => of(language, "Bounce rate", "Afvisningsprocent"),
        "visit_duration" => of(language, "Visit duration", "Besøgets varighed"),
        "engagement_time" => of(language, "Time in view", "Tid i fokus"),
        _ => of(language, "Events", "Hændelser"),
    }
}

/// Returns the heading of a section.
pub(super) fn section(dimension: &str, language: Language) -> &'static str {
    match dimension {
        "time:day" => of(language, "Day by day", "Dag for dag"),
        "event:page" => of(language, "Pages", "Sider"),
        "visit:entry_page" => of(language, "Entry pages", "Indgangssider"),
        "visit:source" => of(language, "Sources", "Kilder"),
        "visit:utm_campaign" => of(language, "Campaigns", "Kampagner"),
        "visit:country" => of(language, "Countries", "Lande"),
        "visit:device" => of(language, "Devices", "Enheder"),
        _ => of(language, "Events", "Hændelser"),
    }
}

/// Returns the words around the numbers.
pub(super) fn words(language: Language) -> Words {
    let of = |english, danish| of(language, english, danish);
    Words {
        code: of("en", "da"),
        title: of("Visits", "Besøg"),
        before: of("before", "før"),
        nothing: of("Nothing to show.", "Intet at vise."),
        hidden: of(
            "Rows with fewer visitors than this are folded into (other):",
            "Rækker med færre besøgende end dette er lagt sammen i (øvrige):",
        ),
        consent: of(
            "Only those who said yes are counted. Of those who were asked in this period, so many said yes and no:",
            "Kun de, der har sagt ja, er talt med. Af dem, der blev spurgt i perioden, sagde så mange ja og nej:",
        ),
        salts: of(
            "Visitors are counted anew under each salt; the salts are destroyed, so nobody can link days. Salts in this period:",
            "Besøgende tælles på ny under hvert salt; saltene er destrueret, så ingen kan forbinde dagene. Salte i perioden:",
        ),
        made_by: of(
            "Counted by brine. No script, no image, no link: opening this report tells nobody.",
            "Talt af brine. Intet script, intet billede, intet link: ingen får at vide, at rapporten åbnes.",
        ),
    }
}

/// See [`words`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Words {
    pub(super) code: &'static str,
    pub(super) title: &'static str,
    pub(super) before: &'static str,
    pub(super) nothing: &'static str,
    pub(super) hidden: &'static str,
    pub(super) consent: &'static str,
    pub(super) salts: &'static str,
    pub(super) made_by: &'static str,
}

/// Writes a value of a metric as people read it; `–` where it is withheld.
pub(super) fn value(metric: &str, value: Option<f64>, language: Language) -> String {
    let Some(value) = value else {
        return "–".into();
    };
    match metric {
        "bounce_rate" => format!("{} %", decimal(value, 1, language)),
        "views_per_visit" => decimal(value, 2, language),
        "visit_duration" | "engagement_time" => {
            let seconds = value.round() as u64;
            format!("{}:{:02}", seconds / 60, seconds % 60)
        }
        _ => decimal(value, 0, language),
    }
}

/// Digits in groups of three: a comma in English, a point in Danish, and the other one before decimals.
pub(super) fn decimal(value: f64, places: usize, language: Language) -> String {
    let (group, point) = match language {
        Language::English => (',', '.'),
        Language::Danish => ('.', ','),
    };
    let plain = format!("{:.places$}", value.abs());
    let (whole, fraction) = plain.split_once('.').unwrap_or((&plain, ""));
    let mut text = String::new();
    if value < 0.0 {
        text.push('−');
    }
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) {
            text.push(group);
        }
        text.push(digit);
    }
    if !fraction.is_empty() {
        text.push(point);
        text.push_str(fraction);
    }
    text
}
