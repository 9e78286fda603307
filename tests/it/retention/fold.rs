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
