//! Period, comparison and filters of a page, in words and links.

use jiff::civil::Date;
use serde_json::Value;

use super::super::view::{self, Compare, Period, View};
use super::super::words;
use super::{Chip, Choice, Controls};
use crate::policy::language::Language;
use crate::stats::Answer;

/// Period, comparison, filters.
pub(in super::super) fn controls(view: &View, today: Date, top: Option<&Answer>) -> Controls {
    let language = view.language;
    let period = |word: &str, key: &'static str, en: &str, da: &str| Choice {
        text: language.pick(en, da).to_owned(),
        href: view.href(|view| {
            view.period = Period::Keyword(word.into());
            view.interval = None;
        }),
        is_current: view.period == Period::Keyword(word.into()),
        key,
    };
    let periods = vec![
        period("30m", "r", "Realtime", "Realtid"),
        period("day", "d", "Today", "I dag"),
        period("24h", "h", "24 hours", "24 timer"),
        period("7d", "w", "7 days", "7 dage"),
        period("28d", "f", "28 days", "28 dage"),
        period("month", "m", "Month", "Måned"),
        period("12mo", "y", "12 months", "12 måneder"),
        period("all", "a", "All", "Alt"),
    ];
    let comparison = |compare: Compare, key: &'static str, en: &str, da: &str| Choice {
        text: language.pick(en, da).to_owned(),
        is_current: view.compare == compare,
        href: view.href(|view| view.compare = compare),
        key,
    };
    let comparisons = vec![
        comparison(Compare::Previous, "", "Period before", "Perioden før"),
        comparison(
            Compare::Weekday,
            "",
            "Same weekdays before",
            "Samme ugedage før",
        ),
        comparison(Compare::Year, "", "Year before", "Året før"),
        comparison(Compare::Nothing, "", "Nothing", "Ingenting"),
    ];
    let range = top.and_then(|answer| answer.range("date_range"));
    let (from, to) = range.map_or_else(Default::default, |(from, to)| (day(from), day(to)));
    let (compare_from, compare_to) = match &view.compare {
        Compare::Custom(from, to) => (from.clone(), to.clone()),
        _ => top
            .and_then(|answer| answer.range("comparison_date_range"))
            .map_or_else(Default::default, |(from, to)| (day(from), day(to))),
    };
    let (earlier, later) = neighbours(view, &from, &to, today);
    let chips = view.filters.iter().enumerate().map(|(i, filter)| Chip {
        text: filter_text(filter, language),
        without: view.href(|view| drop(view.filters.remove(i))),
    });
    let without = |keys: &[&str]| -> Vec<(&'static str, String)> {
        let mut pairs = view.pairs();
        pairs.retain(|(key, _)| !keys.contains(key) && *key != "offset");
        pairs
    };
    let pick = |(name, en, da): &(&str, &str, &str)| {
        ((*name).to_owned(), language.pick(*en, *da).to_owned())
    };
    Controls {
        action: view.path.clone(),
        periods,
        earlier,
        later,
        range: range.map_or_else(String::new, |range| range_text(view, range)),
        today: today.to_string(),
        from,
        to,
        comparisons,
        compare_from,
        compare_to,
        chips: chips.collect(),
        clear: (view.filters.len() > 1).then(|| view.href(|view| view.filters.clear())),
        kept_dates: without(&["period", "from", "to", "interval"]),
        kept_compare: without(&["compare", "cfrom", "cto"]),
        kept: without(&[]),
        dimensions: words::DIMENSIONS.iter().map(pick).collect(),
        operators: words::OPERATORS.iter().map(pick).collect(),
    }
}

/// The same number of days before and after, where those are not ahead.
fn neighbours(view: &View, from: &str, to: &str, today: Date) -> (Option<String>, Option<String>) {
    let (Ok(first), Ok(last)) = (from.parse::<Date>(), to.parse::<Date>()) else {
        return (None, None);
    };
    let is_day_range = !matches!(&view.period, Period::Keyword(word) if matches!(word.as_str(), "30m" | "24h" | "all"));
    let Ok(span) = first.until(last) else {
        return (None, None);
    };
    let days = jiff::Span::new().days(i64::from(span.get_days()) + 1);
    let moved = |first: Date, last: Date| {
        view.href(|view| view.period = Period::Dates(first.to_string(), last.to_string()))
    };
    let earlier = match (first.checked_sub(days), last.checked_sub(days)) {
        (Ok(first), Ok(last)) if is_day_range => Some(moved(first, last)),
        _ => None,
    };
    let later = match (first.checked_add(days), last.checked_add(days)) {
        (Ok(first), Ok(last)) if is_day_range && first <= today => {
            Some(moved(first, last.min(today)))
        }
        _ => None,
    };
    (earlier, later)
}

/// The local date of an instant as the query API writes it.
pub(super) fn day(instant: &str) -> String {
    instant.get(..10).unwrap_or_default().to_owned()
}

/// A range by its first and last instant as the query API writes them; times where it is of instants.
pub(super) fn range_text(view: &View, (from, to): (&str, &str)) -> String {
    let language = view.language;
    let (Ok(first), Ok(last)) = (day(from).parse::<Date>(), day(to).parse::<Date>()) else {
        return String::new();
    };
    let date = |date| words::date(date, language);
    match (view.is_of_instants(), first == last) {
        (false, true) => date(first),
        (false, false) => format!("{} – {}", date(first), date(last)),
        (true, true) => format!("{} {} – {}", date(first), time(from), time(to)),
        (true, false) => format!(
            "{} {} – {} {}",
            date(first),
            time(from),
            date(last),
            time(to)
        ),
    }
}

/// The local time of an instant as the query API writes it.
fn time(instant: &str) -> &str {
    instant.get(11..16).unwrap_or_default()
}

/// A filter in words; what is more than one question is shown as it is written.
fn filter_text(filter: &Value, language: Language) -> String {
    match view::parts_of(filter) {
        Some((operator, dimension, values)) => {
            let values: Vec<String> = values
                .iter()
                .map(|value| words::value(dimension, value, language))
                .collect();
            format!(
                "{} {} {}",
                words::dimension(dimension, language),
                words::operator(operator, language),
                values.join(language.pick(" or ", " eller "))
            )
        }
        None => filter.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::view;
    use super::*;

    /// Two ranges of the same days could not be told apart.
    #[test]
    fn a_range_of_instants_says_its_times() {
        let said = |address: &str, from: &str, to: &str| range_text(&view(address), (from, to));
        let (noon, one) = ("2026-11-30T12:00:00+01:00", "2026-11-30T12:59:59+01:00");
        assert_eq!(said("/?period=30m", noon, one), "30 Nov 2026 12:00 – 12:59");
        assert_eq!(said("/", noon, one), "30 Nov 2026");
        let before = "2026-11-29T13:00:00+01:00";
        assert_eq!(
            said("/?period=24h&lang=da", before, one),
            "29. nov. 2026 13:00 – 30. nov. 2026 12:59"
        );
        assert_eq!(said("/", before, one), "29 Nov 2026 – 30 Nov 2026");
    }
}
