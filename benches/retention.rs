//! The layout of `events`, and what a purge costs beside running ingestion.
//!
//! `cargo bench --bench retention` fills two tables with the same events, a day at a time as they come: `events` as it
//! is (a partition a day of expiry), and one with a partition a month of the day. Six sites with retentions of 395, 365,
//! 180, 120, 90 and 30 days over 400 days. Then it purges the day that is due, in both, and 100 days of `events` by
//! `brine retention run` while beacons come in at 500 a second.
//!
//! Arguments: `--rows N` (million events, default 50), `--smoke` (200,000 events, short loads, for CI).

#[allow(dead_code)] // The bench `path` uses the rest.
#[path = "path/load.rs"]
mod load;
#[allow(dead_code)]
#[path = "path/server.rs"]
mod server;
#[path = "path/statements.rs"]
mod statements;

use std::process::Command;
use std::time::{Duration, Instant};

use self::load::{Figures, Load};
use self::server::Server;
use self::statements::Bench;

const SITES: [(&str, u64); 6] = [
    ("portal", 395),
    ("pernexus", 365),
    ("veriloc", 180),
    ("ios", 120),
    ("android", 90),
    ("windows", 30),
];

const DAYS: u64 = 400;

/// Days that are purged at once.
const PURGED: u64 = 100;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let is_smoke = arguments.iter().any(|a| a == "--smoke" || a == "--test");
    let at = arguments.iter().position(|a| a == "--rows");
    let millions: u64 = at
        .and_then(|i| arguments.get(i + 1)?.parse().ok())
        .unwrap_or(50);
    let rows = if is_smoke {
        200_000
    } else {
        millions * 1_000_000
    };
    let duration = Duration::from_secs(if is_smoke { 1 } else { 15 });
    let server = Server::brine_with(&[
        ("BRINE_RETENTION__RUN_AT", "23:59"),
        ("BRINE_STORE__TIMEOUT_MS", "600000"),
        ("BRINE_LOG", "warn,brine::retention=info"),
    ]);
    let bench = Bench::new(&server);
    layouts(&bench, rows);
    purge(&bench, &server, rows, duration);
}

fn layouts(bench: &Bench<'_>, rows: u64) {
    bench.sql(
        "CREATE TABLE brine.by_month AS brine.events ENGINE = MergeTree PARTITION BY toYYYYMM(day) \
         ORDER BY (site, day, visitor, visit, ts)",
    );
    let today = bench.today;
    println!(
        "| layout | filled in s | parts | MiB | 30 days of visitors, ms | 365 days of visitors, ms | top pages of a day, ms | one day's purge, s |"
    );
    println!("|---|---|---|---|---|---|---|---|");
    for table in ["events", "by_month"] {
        let begun = Instant::now();
        for back in (1..=DAYS).rev() {
            let day = today - back;
            for (at, (site, days)) in SITES.iter().enumerate() {
                // What is due tomorrow is the oldest there is.
                if back < *days {
                    let n = rows / DAYS;
                    let n = if at == 0 { n / 2 } else { n / 10 };
                    one(bench, table, site, day, n, day + days);
                }
            }
        }
        let filled = begun.elapsed().as_secs_f64();
        let parts = bench.sql(&format!("SELECT count(), intDiv(sum(bytes_on_disk), 1048576) FROM system.parts WHERE active AND table = '{table}'"));
        let (parts, mib) = parts.split_once('\t').unwrap_or(("?", "?"));
        let median = |sql: &str| {
            let mut times: Vec<f64> = (0..5).map(|_| bench.timed(sql)).collect();
            times.sort_by(f64::total_cmp);
            times[2] * 1_000.0
        };
        let visitors = |days: u64| {
            median(&format!(
                "SELECT day, uniqExact(visitor) FROM brine.{table} WHERE site = 'portal' AND day >= toDate({}) GROUP BY day FORMAT Null",
                today - days
            ))
        };
        let (month, year) = (visitors(30), visitors(365));
        let pages = median(&format!(
            "SELECT path, uniqExact(visitor) AS n FROM brine.{table} WHERE site = 'portal' AND day = toDate({}) GROUP BY path ORDER BY n DESC LIMIT 10 FORMAT Null",
            today - 7
        ));
        let due = today + 1;
        let purge = match table {
            "events" => {
                let id = bench.sql(&format!("SELECT formatDateTime(toDate({due}), '%Y%m%d')"));
                bench.timed(&format!("ALTER TABLE brine.events DROP PARTITION ID '{id}'"))
            }
            _ => bench.timed(&format!(
                "ALTER TABLE brine.by_month DELETE WHERE expires <= toDate({due}) SETTINGS mutations_sync = 1"
            )),
        };
        println!(
            "| {table} | {filled:.0} | {parts} | {mib} | {month:.0} | {year:.0} | {pages:.0} | {purge:.2} |"
        );
    }
    bench.sql("DROP TABLE brine.by_month");
    bench.sql("TRUNCATE TABLE brine.events");
}

/// One site's day: 3.3 views a visitor, 10,000 pages, 500 referrers.
fn one(bench: &Bench<'_>, table: &str, site: &str, day: u64, n: u64, expires: u64) {
    bench.sql(&format!(
        "INSERT INTO brine.{table} (site, day, ts, name, visitor, visit, interactive, hostname, path, referrer, source, \
         channel, country, browser, os, device, language, screen, platform, expires, batch_id, seq) \
         SELECT '{site}', toDate({day}), fromUnixTimestamp64Milli(toInt64({day}) * 86400000 + number % 86400000), 'pageview', \
         cityHash64({day}, '{site}', intDiv(number * 10, 33)), cityHash64('v', {day}, '{site}', intDiv(number * 10, 33)), 1, \
         'portal.example.test', concat('/p/', toString(cityHash64(number) % 10000)), \
         concat('r', toString(cityHash64(number, 1) % 500), '.test/'), concat('r', toString(cityHash64(number, 1) % 500)), \
         'Referral', ['DK', 'SE', 'DE', 'NO'][1 + number % 4], ['Chrome', 'Safari', 'Firefox'][1 + number % 3], \
         ['Windows', 'iOS', 'Android'][1 + number % 3], 'desktop', 'da', 'wide', 'web', toDate({expires}), {day}, number \
         FROM numbers({n})"
    ));
}

/// 400 days of which 100 are due, purged by the job while beacons come in.
fn purge(bench: &Bench<'_>, server: &Server, rows: u64, duration: Duration) {
    let today = bench.today;
    for back in (1..=DAYS).rev() {
        let day = today - back;
        // The oldest hundred are due today and on the 99 days before.
        let expires = if back > DAYS - PURGED {
            today - (back - (DAYS - PURGED) - 1)
        } else {
            today + 1 + (DAYS - back)
        };
        one(bench, "events", "portal", day, rows / DAYS, expires);
    }
    let beacons = server.beacons();
    let load = Load {
        connections: 64,
        rate: Some(500),
        duration,
    };
    let before = load.run(server, &beacons);
    println!("\nwithout a purge   {before}");
    let admin = server.admin.expect("an admin listener").to_string();
    let data = server.data();
    let (rounds, took) = std::thread::scope(|scope| {
        let run = scope.spawn(move || {
            let begun = Instant::now();
            let output = Command::new(env!("CARGO_BIN_EXE_brine"))
                .args(["retention", "run", "--json", "--admin", &admin, "--data"])
                .arg(data)
                .output()
                .expect("brine runs");
            let text = String::from_utf8_lossy(&output.stdout).into_owned()
                + &String::from_utf8_lossy(&output.stderr);
            (begun.elapsed(), text)
        });
        let mut rounds: Vec<Figures> = Vec::new();
        while rounds.is_empty() || !run.is_finished() {
            rounds.push(load.run(server, &beacons));
        }
        (rounds, run.join().expect("the run ends"))
    });
    let (took, said) = took;
    let during = Figures::median(&rounds);
    println!(
        "while it runs     {during} (median of {} rounds)",
        rounds.len()
    );
    println!(
        "p99 ratio {:.2}; the run took {:.1} s in all (its log line says how much of it was counting and how much purging)\n{said}",
        during.p99_us / before.p99_us,
        took.as_secs_f64()
    );
    let left = bench.sql(&format!(
        "SELECT count() FROM brine.events WHERE expires <= toDate({today})"
    ));
    assert_eq!(left, "0", "rows that had to go");
}
