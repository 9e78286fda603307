use super::*;
use crate::config::{Config, REFERENCE};

fn a_report(name: &str) -> Report {
    Report {
        site: "Saltholm <Portal>".into(),
        site_id: "portal".into(),
        first: jiff::civil::date(2026, 11, 16),
        last: jiff::civil::date(2026, 11, 22),
        headline: vec![Headline {
            metric: "visitors",
            value: Some(12_345.0),
            before: Some(10_000.0),
        }],
        sections: vec![Section {
            dimension: "event:page",
            metrics: &["visitors", "bounce_rate"],
            rows: vec![(name.into(), vec![Some(7.0), None])],
        }],
        grants: 3,
        denials: 1,
        k: 5,
        n_salts: 7,
    }
}

#[test]
fn only_periods_that_are_over_are_reported_by_the_sites_midnight() {
    let config = Config::check(&toml::from_str(REFERENCE).unwrap()).unwrap();
    let site = config.sites.find("portal").unwrap();
    for (period, now, first, last) in [
        // Half past midnight in Copenhagen, still the day before in UTC.
        (
            Period::Day,
            "2026-11-23T23:30:00Z",
            "2026-11-23",
            "2026-11-23",
        ),
        (
            Period::Day,
            "2026-11-23T22:30:00Z",
            "2026-11-22",
            "2026-11-22",
        ),
        (
            Period::Week,
            "2026-11-22T12:00:00Z",
            "2026-11-09",
            "2026-11-15",
        ),
        (
            Period::Week,
            "2026-11-23T12:00:00Z",
            "2026-11-16",
            "2026-11-22",
        ),
        (
            Period::Month,
            "2026-03-31T12:00:00Z",
            "2026-02-01",
            "2026-02-28",
        ),
        (
            Period::Month,
            "2026-01-01T12:00:00Z",
            "2025-12-01",
            "2025-12-31",
        ),
    ] {
        let dates = period.dates(site, now.parse().unwrap());
        assert_eq!(
            (dates.0.to_string().as_str(), dates.1.to_string().as_str()),
            (first, last),
            "{period:?} {now}"
        );
    }
}

#[test]
fn what_visitors_wrote_cannot_break_out_of_a_report() {
    let report = a_report("/<script>alert(1)</script>\",=1");
    let html = html::html(&report, Language::English).unwrap();
    assert!(
        !html.contains("<script") && !html.contains("<Portal>"),
        "{html}"
    );
    assert!(!html.contains("http"), "no link to anywhere: {html}");
    let csv = csv::csv(&report);
    assert!(
        csv.contains("\"/<script>alert(1)</script>\"\",=1\""),
        "{csv}"
    );
    assert!(csv.lines().all(|line| !line.is_empty()), "{csv}");
    let formula = csv::csv(&a_report("=HYPERLINK(\"x\")"));
    assert!(
        formula.contains(",\"'=HYPERLINK(\"\"x\"\")\","),
        "{formula}"
    );
}

#[test]
fn numbers_are_written_as_the_language_does() {
    let english = html::html(&a_report("/a"), Language::English).unwrap();
    let danish = html::html(&a_report("/a"), Language::Danish).unwrap();
    assert!(
        english.contains("12,345") && english.contains("+23 %"),
        "{english}"
    );
    assert!(
        danish.contains("12.345") && danish.contains("Besøgende"),
        "{danish}"
    );
    assert!(english.contains("<html lang=\"en\">") && danish.contains("<html lang=\"da\">"));
}

/// Codes of the store are words in the HTML, and stay codes in CSV, which programs read; dates are not broken.
#[test]
fn a_report_is_read_by_people() {
    let mut report = a_report("/a");
    report.sections.push(super::Section {
        dimension: "visit:country",
        metrics: &["visitors"],
        rows: vec![
            ("DK".into(), vec![Some(9.0)]),
            ("(other)".into(), vec![Some(7.0)]),
        ],
    });
    let danish = html::html(&report, Language::Danish).unwrap();
    assert!(
        danish.contains(">Danmark</th>") && danish.contains(">(øvrige)</th>"),
        "{danish}"
    );
    assert!(!danish.contains("break-all"), "{danish}");
    assert!(csv::csv(&report).contains("DK"));
}
