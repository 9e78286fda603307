//! Closed days are answered from roll-ups, as long as these hold what `events` hold.

use brine::event::Event;
use brine::store::migrations::{MIGRATIONS, migrate};
use serde_json::{Value, json};

use super::property::TODAY;
use super::support::{Bench, moved, pages, rows, views};

/// Visitors of the 1st to the 9th, as a whole or by a dimension.
fn visitors(bench: &Bench, dimensions: Value, filters: Value) -> Vec<(String, Option<f64>)> {
    let query = json!({
        "site_id": "s0", "metrics": ["visitors"], "date_range": ["2026-11-01", "2026-11-09"],
        "dimensions": dimensions, "filters": filters,
    });
    rows(&bench.ask(&query).unwrap())
}

fn whole(n: f64) -> Vec<(String, Option<f64>)> {
    vec![(String::new(), Some(n))]
}

/// Twenty visitors on the 4th, which is closed, and six on the 8th, which is not.
fn two_days(bench: &mut Bench) {
    let events = [moved(views("s0", "/", 0..20), -4), views("s0", "/", 0..6)];
    bench.insert(&events.concat(), 100);
    assert_eq!(bench.derive(TODAY), 1);
}

/// The first three of the visitors, who came a second time, from elsewhere.
fn three_again(events: &[Event]) -> Vec<Event> {
    let mut again = events[..3].to_vec();
    for event in &mut again {
        event.visit += 500_000;
        event.country = "NO".into();
    }
    again
}

#[test]
fn closed_days_come_from_roll_ups_and_open_ones_from_events() {
    let mut bench = Bench::new("rolled", 1);
    two_days(&mut bench);
    let one_source = json!([["is", "visit:country", ["DK"]]]);
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(26.0));
    assert_eq!(visitors(&bench, json!([]), one_source.clone()), whole(26.0));
    // The control: what stands in the tables is what is answered.
    bench.execute(
        "ALTER TABLE daily UPDATE visitors = visitors + 100 WHERE 1 SETTINGS mutations_sync = 1",
    );
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(126.0));
    assert_eq!(
        visitors(&bench, json!(["event:page"]), json!([])),
        [("/".into(), Some(126.0))]
    );
    bench.execute(
        "ALTER TABLE visits UPDATE country = 'SE' WHERE visitor > 12 SETTINGS mutations_sync = 1",
    );
    assert_eq!(visitors(&bench, json!([]), one_source), whole(18.0));
}

/// The control for what `property` compares: these, too, are read from `daily`, and as long as they hold.
#[test]
fn vitals_hours_and_properties_of_closed_days_come_from_daily() {
    let mut bench = Bench::new("from_daily", 1);
    let mut events = moved(views("s0", "/", 0..20), -4);
    for event in &mut events {
        event.lcp_ms = Some(200.0);
        event.name = "Sign up".into();
        event.props = [("plan".into(), "free".into())].into_iter().collect();
    }
    bench.insert(&events, 100);
    assert_eq!(bench.derive(TODAY), 1);
    let ask = |bench: &Bench, metric: &str, dimensions: &[&str]| {
        let query = json!({
            "site_id": "s0", "metrics": [metric], "date_range": ["2026-11-01", "2026-11-09"], "dimensions": dimensions,
        });
        rows(&bench.ask(&query).unwrap())
    };
    let one = |name: &str, n: f64| vec![(name.to_owned(), Some(n))];
    let week = ["visit:weekday", "visit:hour"];
    let props = ["event:name", "event:props"];
    let found = |bench: &Bench| {
        [
            ask(bench, "lcp", &[]),
            ask(bench, "lcp", &["event:page"]),
            ask(bench, "visitors", &week),
            ask(bench, "visitors", &props),
        ]
    };
    let counted = [
        one("", 200.0),
        one("/", 200.0),
        one("3|10", 20.0),
        one("Sign up|plan", 20.0),
    ];
    assert_eq!(found(&bench), counted);
    bench.execute(
        "ALTER TABLE daily UPDATE visitors = visitors + 100, lcp_ms = arrayMap(ms -> ms + 100, lcp_ms) WHERE 1 \
         SETTINGS mutations_sync = 1",
    );
    let of_daily = [
        one("", 300.0),
        one("/", 300.0),
        one("3|10", 120.0),
        one("Sign up|plan", 120.0),
    ];
    assert_eq!(found(&bench), of_daily);
    // Hours are by another clock, and vitals are not kept any more: both are counted from events.
    bench.execute(
        "ALTER TABLE derived_days UPDATE time_zone = 'UTC', has_vitals = 0 WHERE 1 SETTINGS mutations_sync = 1",
    );
    let [whole, page, hours, props] = counted;
    assert_eq!(found(&bench), [whole, page, hours, of_daily[3].clone()]);
    assert_eq!(bench.derive(TODAY), 1, "counted by the site's clock");
    assert_eq!(
        ask(&bench, "visitors", &["event:name", "event:props"]),
        props
    );
    assert_eq!(bench.derive(TODAY), 0);
}

/// What a page asks of the same days is read once; that the answers are the same stands in `property`.
#[test]
fn breakdowns_of_one_range_are_one_statement() {
    let mut bench = Bench::new("together", 1);
    two_days(&mut bench);
    let ask = |dimensions: &[&str], metrics: &[&str], filters: &Value| {
        json!({
            "site_id": "s0", "metrics": metrics, "date_range": ["2026-11-01", "2026-11-09"],
            "dimensions": dimensions, "filters": filters,
        })
    };
    let page = |filters: Value| {
        [
            ask(&["visit:source"], &["visitors"], &filters),
            ask(&["event:page"], &["visitors", "pageviews"], &filters),
            ask(&["event:page"], &["lcp"], &filters),
            ask(&["visit:country"], &["visitors", "visits"], &filters),
            ask(&["event:goal"], &["visitors", "conversion_rate"], &filters),
            ask(
                &["visit:browser", "visit:browser_version"],
                &["visitors"],
                &filters,
            ),
            ask(&["visit:nothing"], &["visitors"], &filters),
        ]
    };
    let (answers, lengths) = bench.ask_together(&page(json!([])));
    assert_eq!(lengths, [4, 1, 1, 1]);
    assert_eq!(
        rows(answers[3].as_ref().unwrap()),
        [("DK".into(), Some(26.0))]
    );
    assert!(
        answers[6]
            .as_ref()
            .unwrap_err()
            .to_string()
            .contains("visit:nothing")
    );
    let (answers, lengths) = bench.ask_together(&page(json!([["is", "visit:country", ["DK"]]])));
    assert_eq!(lengths, [3, 2, 1, 1]);
    assert_eq!(
        rows(answers[3].as_ref().unwrap()),
        [("DK".into(), Some(26.0))]
    );
}

#[test]
fn a_late_event_is_in_the_next_answer() {
    let mut bench = Bench::new("late", 1);
    two_days(&mut bench);
    bench.insert_behind(&moved(views("s0", "/late", 30..37), -4), 100, 50);
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(33.0));
    let by_page = vec![("/".into(), Some(26.0)), ("/late".into(), Some(7.0))];
    assert_eq!(visitors(&bench, json!(["event:page"]), json!([])), by_page);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(visitors(&bench, json!(["event:page"]), json!([])), by_page);
}

#[test]
fn an_erasure_is_in_the_next_answer() {
    let mut bench = Bench::new("erased", 1);
    two_days(&mut bench);
    let one = moved(views("s0", "/", 3..4), -4)[0].visitor;
    bench.delete(&format!("visitor = {one}"));
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(25.0));
    assert_eq!(
        visitors(&bench, json!(["visit:country"]), json!([])),
        [("DK".into(), Some(25.0))]
    );
}

#[test]
fn a_restriction_and_its_end_are_in_the_next_answer() {
    let mut bench = Bench::new("restricted", 1);
    two_days(&mut bench);
    let one = moved(views("s0", "/", 3..4), -4)[0].visitor;
    let restrict = |bench: &Bench, is_restricted: bool, at: &str| {
        bench.execute(&format!(
            "INSERT INTO restrictions (site, day, visitor, is_restricted, ts, expires, batch_id, seq) \
             VALUES ('s0', '2026-11-04', {one}, {is_restricted}, '{at}', '2027-12-01', 1, 1)"
        ));
    };
    restrict(&bench, true, "2026-11-09 08:00:00");
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(25.0));
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(25.0));
    restrict(&bench, false, "2026-11-09 09:00:00");
    assert_eq!(visitors(&bench, json!([]), json!([])), whole(26.0));
    let from_visits = json!([["is", "visit:country", ["DK"]]]);
    assert_eq!(visitors(&bench, json!([]), from_visits), whole(26.0));
}

/// A month is put in place as a whole. Where another collector did that with a day as it was before, its number tells.
#[test]
fn rows_of_another_counting_are_not_answered_from_and_counted_again() {
    let mut bench = Bench::new("another_counting", 1);
    two_days(&mut bench);
    let of_visits = json!([["is", "visit:country", ["DK"]]]);
    for (table, wrong) in [("daily", "visitors = 7"), ("visits", "country = 'SE'")] {
        bench.execute(&format!(
            "ALTER TABLE {table} UPDATE counting = counting - 1, {wrong} WHERE 1 SETTINGS mutations_sync = 1"
        ));
        assert_eq!(visitors(&bench, json!([]), json!([])), whole(26.0));
        assert_eq!(visitors(&bench, json!([]), of_visits.clone()), whole(26.0));
        assert_eq!(bench.derive(TODAY), 1);
        let stored = bench.texts("SELECT toString(sum(visitors)) FROM daily WHERE dimension = ''");
        assert_eq!(stored, ["20"]);
        assert_eq!(visitors(&bench, json!([]), of_visits.clone()), whole(26.0));
        assert_eq!(bench.derive(TODAY), 0);
    }
}

/// `daily` does not say who the visitors of a large row are: a small one that takes it along is counted from events.
#[test]
fn a_large_row_that_a_small_one_takes_along_is_counted_and_not_added_up() {
    let mut bench = Bench::new("taken_along", 1);
    let mut events = moved(views("s0", "/", 0..70), -4);
    events.extend(three_again(&events));
    bench.insert(&events, 100);
    assert_eq!(bench.derive(TODAY), 1);
    assert_eq!(
        visitors(&bench, json!(["visit:country"]), json!([])),
        [("(other)".into(), Some(70.0))]
    );
}

/// The same where days before have nothing but final rows: these are added, and all others are counted.
#[test]
fn a_large_row_is_taken_along_behind_days_whose_events_are_gone() {
    let mut bench = Bench::new("taken_behind_gone", 1);
    let mut old = moved(views("s0", "/", 0..20), -400);
    for event in &mut old {
        event.expires = event.day + 395;
    }
    let mut events = moved(views("s0", "/", 0..1_300), -4);
    events.extend(three_again(&events));
    events.extend(views("s0", "/", 0..1_100));
    bench.insert(&old, 100);
    bench.insert_behind(&events, 500, 100);
    assert_eq!(bench.derive(TODAY), 2);
    bench.delete("day < '2026-01-01'");
    let query = json!({
        "site_id": "s0", "metrics": ["visitors"], "date_range": ["2025-10-01", "2026-11-09"],
        "dimensions": ["visit:country"],
    });
    let n = 20.0 + 1_300.0 + 1_100.0;
    assert_eq!(
        rows(&bench.ask(&query).unwrap()),
        [("(other)".into(), Some(n))]
    );
}

/// Whoever is in a small row by a thousand events hides nobody else.
#[test]
fn a_small_row_of_many_events_is_about_everybody_in_it() {
    let mut bench = Bench::new("many_events", 1);
    let mut events = moved(views("s0", "/", 0..20), -4);
    // On an open day: one reads a page over and over, two others once.
    for _ in 0..1_200 {
        events.extend(views("s0", "/rare", 100..101));
    }
    events.extend(views("s0", "/rare", 101..103));
    events.extend(views("s0", "/odd", 101..103));
    bench.insert(&events, 500);
    assert_eq!(bench.derive(TODAY), 1);
    let by_page = visitors(&bench, json!(["event:page"]), json!([]));
    // Three of the rare and the odd page together are few: "/" is taken along.
    assert_eq!(by_page, [("(other)".into(), Some(23.0))]);
}

/// Who is in a row of a hundred visitors and more is not read; ClickHouse, which folds then, knows them by `daily`.
#[test]
fn a_row_of_a_hundred_that_a_small_one_takes_along_is_counted_and_not_added_up() {
    let mut bench = Bench::new("taken_from_daily", 1);
    let mut events: Vec<Event> = (-6..=-4)
        .flat_map(|day| moved(views("s0", "/", 0..40), day))
        .collect();
    events.extend(three_again(&events));
    bench.insert(&events, 200);
    assert_eq!(bench.derive(TODAY), 3);
    let by_country = |bench: &Bench| visitors(bench, json!(["visit:country"]), json!([]));
    assert_eq!(by_country(&bench), [("(other)".into(), Some(120.0))]);
    // The control: it is `daily` that says so.
    bench.execute(
        "ALTER TABLE daily UPDATE few = arrayResize(few, 39) WHERE value = 'DK' SETTINGS mutations_sync = 1",
    );
    assert_ne!(by_country(&bench), [("(other)".into(), Some(120.0))]);
}

#[test]
fn days_whose_events_are_gone_are_answered_from_their_final_rows() {
    let mut bench = Bench::new("final_rows", 1);
    let mut old = [
        views("s0", "/", 0..20),
        views("s0", "/rare", 20..22),
        views("s0", "/odd", 19..21),
    ]
    .concat();
    old = moved(old, -400);
    for event in &mut old {
        event.expires = event.day + 395;
    }
    let events = [
        moved(views("s0", "/", 0..9), -4),
        moved(views("s0", "/rare", 9..11), -4),
        views("s0", "/", 0..6),
    ];
    bench.insert(&old, 100);
    bench.insert_behind(&events.concat(), 100, 100);
    assert_eq!(bench.derive(TODAY), 2);
    let ask = |bench: &Bench, dimensions: Value| {
        let query = json!({
            "site_id": "s0", "metrics": ["visitors", "pageviews"], "date_range": ["2025-10-01", "2026-11-09"],
            "dimensions": dimensions,
        });
        bench.ask(&query).unwrap()
    };
    // As long as they are there they are counted.
    let before = ask(&bench, json!([]));
    assert_eq!(rows(&before), whole(22.0 + 11.0 + 6.0));
    assert_eq!(before.warnings.len(), 1, "{:?}", before.warnings);
    bench.delete("day < '2026-01-01'");
    let after = ask(&bench, json!([]));
    assert_eq!(rows(&after), whole(22.0 + 11.0 + 6.0));
    assert_eq!(after.rows[0].metrics[1], Some(24.0 + 11.0 + 6.0));
    let said = "the events of 2025-10-04 are gone: these days are counted from final roll-ups";
    assert!(
        after.warnings.iter().any(|text| text.starts_with(said)),
        "{:?}",
        after.warnings
    );
    let months = ask(&bench, json!(["time:month"]));
    assert_eq!(
        rows(&months),
        [
            ("2025-10-01".into(), Some(22.0)),
            ("2026-11-01".into(), Some(17.0))
        ]
    );
    // Of the old day four have seen what is folded there ("/" was taken along by nobody: together they are few, so it was);
    // of the new ones two.
    let by_page = ask(&bench, json!(["event:page"]));
    let folded = by_page
        .rows
        .iter()
        .find(|row| row.dimensions[0] == "(other)")
        .unwrap();
    assert_eq!(folded.metrics[0], Some(22.0 + 2.0), "{:?}", by_page.rows);
    let filtered = bench
        .ask(&pages("s0", json!([["is", "visit:country", ["DK"]]])))
        .unwrap();
    assert!(filtered.warnings.iter().all(|text| !text.contains("gone")));
    let all = json!({ "site_id": "s0", "metrics": ["visitors"], "date_range": "all" });
    assert_eq!(rows(&bench.ask(&all).unwrap()), whole(39.0));
    // What only events could tell is not there, and that is said.
    let devices = json!({ "site_id": "s0", "metrics": ["devices"], "date_range": ["2025-10-01", "2026-11-09"] });
    let said = "the events of 2025-10-04 are gone: nothing of these days is counted here";
    assert!(
        bench
            .ask(&devices)
            .unwrap()
            .warnings
            .contains(&said.to_owned())
    );
}

/// Two collectors put a month in place side by side: of a day that one of them had made final, the other's copy is from before.
#[test]
fn a_final_day_that_was_put_in_place_as_it_was_before_keeps_nothing_about_few() {
    let mut bench = Bench::new("put_back", 1);
    let old = [views("s0", "/", 0..20), views("s0", "/rare", 20..22)].concat();
    let mut old = moved(old, -400);
    for event in &mut old {
        event.expires = event.day + 395;
    }
    bench.insert(&old, 100);
    bench.execute("CREATE TABLE before AS daily");
    // As it was before it was due.
    assert_eq!(bench.derive(old[0].day + 10), 1);
    bench.execute("INSERT INTO before SELECT * FROM daily");
    let small = "SELECT value FROM daily WHERE visitors < 5 OR notEmpty(few)";
    assert!(bench.texts(small).contains(&"/rare".to_owned()));
    assert_eq!(bench.derive(TODAY), 1);
    assert!(bench.texts(small).is_empty());
    let whole = bench.texts("SELECT toString(visitors) FROM daily WHERE dimension = ''");
    bench.execute("ALTER TABLE daily REPLACE PARTITION 202510 FROM before");
    bench.delete("1");
    assert!(bench.texts(small).contains(&"/rare".to_owned()));
    bench.execute(&format!(
        "SYSTEM START MERGES {}.daily",
        bench.store.database
    ));
    assert_eq!(bench.derive(TODAY), 0);
    assert_eq!(bench.texts(small), [""; 0]);
    assert_eq!(
        bench.texts("SELECT toString(visitors) FROM daily"),
        whole,
        "the whole, and nothing beside it"
    );
    let old = "SELECT name FROM system.parts WHERE database = currentDatabase() AND table = 'daily' AND NOT active";
    assert_eq!(
        bench.texts(old),
        [""; 0],
        "nor in a part that is not in use"
    );
    bench.execute("DROP TABLE before SYNC");
}

/// `daily` was by day before: final rows, which nobody can count again, move into months, whenever the move was cut off.
#[test]
fn final_rows_move_into_months() {
    let bench = Bench::new("moved", 1);
    let (_, before) = MIGRATIONS
        .iter()
        .find(|(name, _)| *name == "0006_derived")
        .unwrap();
    let by_day = before
        .split(";\n")
        .find(|text| text.contains("EXISTS daily\n"))
        .unwrap();
    let again = "ALTER TABLE schema_migrations DELETE WHERE name = '0011_rollups' SETTINGS mutations_sync = 1";
    let move_rows = || {
        bench.execute(again);
        let done = bench.runtime.block_on(migrate(&bench.store));
        assert_eq!(done.unwrap(), ["0011_rollups"]);
        let rows = bench.texts("SELECT concat(toString(day), ' ', value, ' ', toString(visitors)) FROM daily ORDER BY day, value");
        assert_eq!(rows.len(), 60, "{rows:?}");
        assert_eq!(rows[59], "2024-02-29 (other) 16");
        let key = "SELECT partition_key FROM system.tables WHERE database = currentDatabase() AND name IN ('daily', 'daily_next')";
        assert_eq!(bench.texts(key), ["toYYYYMM(day)", "toYYYYMM(day)"]);
        let left = "SELECT name FROM system.tables WHERE database = currentDatabase() AND name = 'daily_by_month'";
        assert!(bench.texts(left).is_empty());
    };
    bench.execute("CREATE TABLE half AS daily");
    bench.execute("DROP TABLE daily SYNC");
    bench.execute(by_day);
    bench.execute(
        "INSERT INTO daily SELECT 's0', toDate('2024-01-01') + number, 'event:page', '(other)', 16, 1, 2, 3, 4, 5, 6, 7 FROM numbers(60)",
    );
    // Cut off half-way before, with some rows in the new table.
    bench.execute("RENAME TABLE half TO daily_by_month");
    bench.execute(
        "INSERT INTO daily_by_month (site, day, value) VALUES ('s0', '2024-01-01', 'half')",
    );
    move_rows();
    // Cut off behind the exchange: there is nothing left to move.
    move_rows();
}
