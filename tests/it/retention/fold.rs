//! `src/retention/derived/fold.rs`: a day that was counted before is folded to what counting it now would give.

use serde_json::json;

use super::{START, change, done, noon};
use crate::support::{Brine, Builder};

/// Visitors with several visits and views; values of every size, from one visitor to all.
async fn store(brine: &Brine, site: &str, day: i64, shape: u64) {
    change(
        brine,
        &format!(
            "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, source, country, browser, \
             scroll_depth, engagement_ms, revenue, currency, lcp_ms, props, expires, batch_id, seq) \
             SELECT '{site}', toDate({day}), fromUnixTimestamp64Milli(toInt64({noon}) + number * 60000), \
             ['pageview', 'pageview', 'engagement', 'Trial', 'Purchase'][1 + number % 5], \
             cityHash64(number, {shape}) % 23, 100 + cityHash64(number, {shape}) % 23 * 3 + number % 3, number % 5 != 2, \
             if(number % 41 = 0, 'rare', 'h'), concat('/', toString(toUInt64(sqrt(cityHash64(number, {shape}, 1) % 400)))), \
             ['Search', 'Mail', '', '(other)'][1 + toUInt64(log2(1 + cityHash64(number, {shape}, 2) % 15))], \
             if(number = 7, 'SE', 'DK'), ['a', 'b', 'c', 'd', 'e', 'f', 'g'][1 + number % 7], \
             if(number % 5 = 2, number % 101, 255), if(number % 5 = 2, 700, 0), if(number % 5 = 4, 2.5, 0), if(number % 5 = 4, ['EUR', 'DKK'][1 + toUInt8(number % 60 = 4)], ''), \
             if(number % 5 = 2, number, NULL), if(number % 5 = 3, map(if(number % 35 = 3, 'rare one', 'plan'), 'a'), map()), \
             toDate({START} + 2), {day}, number FROM numbers({n})",
            noon = noon(day),
            n = 20 + shape * 60,
        ),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_day_that_is_folded_is_what_counting_it_again_would_give() {
    let brine = Builder::new()
        .set("LOG", "info,brine::retention=debug")
        .clock(noon(START))
        .start();
    let days: Vec<i64> = (0..8).map(|n| START - 100 + 2 * n).collect();
    for (shape, day) in days.iter().enumerate() {
        store(&brine, "portal", *day, shape as u64).await;
    }
    done(&brine, json!({ "action": "run" })).await;
    let all = "SELECT count() FROM daily WHERE visitors < 5 AND site = 'portal'";
    assert!(brine.count(all) > 20, "there is something to fold");
    let with_vitals = "SELECT count() FROM daily WHERE notEmpty(lcp_ms) AND notEmpty(vital_visitors) AND notEmpty(vital_few)";
    assert!(brine.count(with_vitals) > 20);
    // The same a week later, of a site that nobody has counted yet; and a bystander on a folded day.
    for (shape, day) in days.iter().enumerate() {
        store(&brine, "pernexus", day + 7, shape as u64).await;
    }
    brine.set_clock(noon(START + 2));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    assert_eq!(brine.count("SELECT count() FROM events"), 0);
    let of = |site: &str, later: i64| {
        brine.sql(&format!(
            "SELECT toUInt16(day) - {later}, * EXCEPT (site, day, counting) FROM daily WHERE site = '{site}' ORDER BY ALL"
        ))
    };
    let (folded, counted) = (of("portal", 0), of("pernexus", 7));
    assert!(
        folded.iter().any(|row| row.contains("(other)")) && folded.len() > 50,
        "{folded:#?}"
    );
    for dimension in ["visit:weekday visit:hour", "event:name event:props"] {
        let is_of_it = |row: &&String| row.contains(dimension);
        assert!(folded.iter().filter(is_of_it).count() > 8, "{dimension}");
    }
    for (folded, counted) in folded.iter().zip(&counted) {
        assert_eq!(folded, counted);
    }
    assert_eq!(folded.len(), counted.len());
    assert_eq!(
        brine.count("SELECT count() FROM daily WHERE visitors < 5 OR notEmpty(few) OR scroll_visitors BETWEEN 1 AND 4 \
             OR notEmpty(lcp_ms) OR notEmpty(vital_visitors) OR notEmpty(vital_few)"),
        0
    );
    assert_eq!(
        brine.count("SELECT count() FROM derived_days FINAL WHERE k = 5"),
        16
    );
    assert!(brine.log().contains("days folded"), "by the quick way");
}

/// Engagement goes first, then web vitals; what was counted of engagement stays, whatever is counted again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_counted_of_engagement_outlives_it_and_vitals_go_with_their_events() {
    let kept = "id = \"portal\"\nretention = { engagement = 30, web_vitals = 90 }\n";
    let brine = Builder::new()
        .replace("id = \"portal\"\n", kept)
        .clock(noon(START))
        .start();
    let day = START - 5;
    let store = |name: &str, more: &str, values: &str, kept: i64| {
        format!(
            "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, {more}, expires, batch_id, seq) \
             SELECT 'portal', toDate({day}), fromUnixTimestamp64Milli(toInt64({}) + number), '{name}', 1 + number, 1 + number, \
             '{name}' = 'pageview', 'h', '/', {values}, toDate({day} + {kept}), cityHash64('{name}'), number FROM numbers(10)",
            noon(day),
        )
    };
    change(&brine, &store("pageview", "country", "'DK'", 395)).await;
    change(
        &brine,
        &store("engagement", "engagement_ms, scroll_depth", "700, 50", 30),
    )
    .await;
    change(&brine, &store("web_vitals", "lcp_ms", "number", 90)).await;
    let found = |brine: &Brine| {
        brine.sql(
            "SELECT (SELECT (sum(engagement_ms), sum(scroll), sum(length(lcp_ms))) FROM daily WHERE dimension = ''), \
             (SELECT sum(engagement_ms) FROM visits), (SELECT count() FROM events WHERE name != 'pageview')",
        )
    };
    for (later, expected) in [
        (0, "(7000,500,10)\t7000\t20"),
        // Engagement is purged, and the next run finds it gone.
        (26, "(7000,500,10)\t7000\t10"),
        (27, "(7000,500,10)\t7000\t10"),
        // And so are web vitals.
        (86, "(7000,500,0)\t7000\t0"),
        (87, "(7000,500,0)\t7000\t0"),
    ] {
        brine.set_clock(noon(START + later));
        let run = done(&brine, json!({ "action": "run" })).await;
        assert_eq!(run["findings"], json!([]), "{run}");
        assert_eq!(found(&brine).concat(), expected, "{later} days later");
    }
    // Late events: the day is counted again, and once more.
    for n in [11, 12] {
        let late = store("pageview", "country", "'DK'", 395)
            .replace("1 + number, 1 + number", &format!("{n}, {n}"))
            .replace("numbers(10)", "numbers(1)")
            .replace("cityHash64('pageview')", &format!("cityHash64({n})"));
        change(&brine, &late).await;
        done(&brine, json!({ "action": "run" })).await;
        assert_eq!(
            brine.count(&format!(
                "SELECT visitors = {n} FROM daily WHERE dimension = ''"
            )),
            1
        );
        assert!(
            found(&brine)
                .concat()
                .replace(' ', "")
                .starts_with("(7000,500,0)\t")
        );
    }
}
