//! How long a page of the dashboard takes.
//!
//! `cargo bench --bench dashboard` fills `events` with 400 days of six sites, of which the portal has half, has the job
//! count its closed days, and then asks for the portal's page as a browser does: on a connection of its own, from the
//! running brine's admin listener, to the last byte of the HTML. Nothing but the operating system's page cache may hold
//! anything of an answer: brine keeps none, and the engine's caches of data are off.
//!
//! Printed are the median and the worst of the rounds, and what brine and its engine took of all cores, for 30 days and for 12 months, each with the period before, as
//! the page comes; then each of the page's questions by itself, through the query API, one after the other.
//!
//! Arguments: `--rows N` (million events, default 10), `--rounds N` (default 15), `--in DIR` (a directory that is kept:
//! a later run finds the events there), `--smoke` (200,000 events, three rounds, for CI).

#[allow(dead_code)] // The bench `path` uses the rest.
#[path = "path/server.rs"]
mod server;
#[allow(dead_code)]
#[path = "path/statements.rs"]
mod statements;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::server::Server;
use self::statements::Bench;

/// Sites with their part of a thousand events.
const SITES: [(&str, u64); 6] = [
    ("portal", 500),
    ("pernexus", 150),
    ("veriloc", 80),
    ("ios", 130),
    ("android", 90),
    ("windows", 50),
];

const DAYS: u64 = 400;

/// As the reference configuration has it.
const KEPT: u64 = 395;

/// An event in four to a visit, six visits to five visitors.
const PER_VISIT: u64 = 4;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let text = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, or: u64| text(name).map_or(or, |n| n.parse().expect("a number"));
    let is_smoke = arguments.iter().any(|a| a == "--smoke" || a == "--test");
    let (rows, rounds) = match is_smoke {
        true => (200_000, 3),
        false => (number("--rows", 10) * 1_000_000, number("--rounds", 15)),
    };
    let own = tempfile::tempdir().expect("temporary directory");
    let (home, own) = match text("--in") {
        Some(kept) => (PathBuf::from(kept), None),
        None => (own.path().to_owned(), Some(own)),
    };
    std::fs::create_dir_all(&home).expect("the directory is made");
    let server = Server::brine_at(
        &home,
        &configuration(),
        &[
            ("BRINE_ACCESS__MODE", "open"),
            ("BRINE_RETENTION__RUN_AT", "23:59"),
            ("BRINE_STORE__TIMEOUT_MS", "600000"),
        ],
        own,
    );
    let bench = Bench::new(&server);
    if bench.sql("SELECT count() FROM brine.events") == "0" {
        fill(&bench, rows);
    }
    count_closed_days(&server);
    // Parts of a site at rest: by night at the latest they are merged.
    let begun = Instant::now();
    while bench.sql("SELECT count() FROM system.merges") != "0"
        && begun.elapsed() < Duration::from_secs(900)
    {
        std::thread::sleep(Duration::from_secs(1));
    }
    println!(
        "{} events, {} in visits, {} in daily; portal: {}",
        bench.sql("SELECT count() FROM brine.events"),
        bench.sql("SELECT count() FROM brine.visits"),
        bench.sql("SELECT count() FROM brine.daily"),
        bench.sql("SELECT count() FROM brine.events WHERE site = 'portal'"),
    );
    println!("| page of the portal | median ms | worst ms | CPU ms | kB |");
    println!("|---|---|---|---|---|");
    for (name, query) in [
        ("30 days", "period=30d"),
        ("30 days, without comparison", "period=30d&compare=none"),
        ("12 months", "period=12mo"),
        ("12 months, without comparison", "period=12mo&compare=none"),
        (
            "30 days of one source",
            "period=30d&f=is,visit:source,Google",
        ),
    ] {
        let path = format!("/d/portal?{query}");
        let (times, cpu, bytes) = measure(&server, rounds, || get(&server, &path));
        println!(
            "| {name} | {:.0} | {:.0} | {cpu:.0} | {} |",
            times[times.len() / 2],
            times[times.len() - 1],
            bytes / 1_000
        );
    }
    for range in ["30d", "12mo"] {
        let mut slow: Vec<(f64, f64, String)> = questions(range)
            .into_iter()
            .map(|(name, question)| {
                let body = question.to_string();
                let (times, cpu, _) = measure(&server, rounds.min(5), || post(&server, &body));
                (times[times.len() / 2], cpu, name)
            })
            .collect();
        slow.sort_by(|a, b| b.0.total_cmp(&a.0));
        println!("\n{range}, each by itself, median ms and CPU ms:");
        for (ms, cpu, name) in slow {
            println!("{ms:6.0} {cpu:6.0}  {name}");
        }
    }
}

/// The reference deployment, the portal with goals and a funnel.
fn configuration() -> String {
    let goals = "goals = [\"Signup\", \"Purchase\", \"Visit /docs/3\"]";
    let text = brine::config::REFERENCE.replacen("goals = []", goals, 1);
    let funnel = "[[site.funnel]]\nname = \"Sign-up\"\nsteps = [\"Visit /docs/1\", \"Visit /blog/2\", \"Signup\"]\n\n[[site]]\nid = \"pernexus\"";
    text.replacen("[[site]]\nid = \"pernexus\"", funnel, 1)
}

/// What the page asks the query API.
fn questions(range: &str) -> Vec<(String, Value)> {
    let step = if range == "30d" {
        "time:day"
    } else {
        "time:month"
    };
    let tiles = [
        "visitors",
        "visits",
        "pageviews",
        "views_per_visit",
        "bounce_rate",
        "visit_duration",
        "engagement_time",
        "scroll_depth",
    ];
    let lists: [(&[&str], &[&str]); 11] = [
        (&tiles, &[]),
        (&["visitors"], &[step]),
        (&["visitors"], &["visit:source"]),
        (&["visitors", "pageviews"], &["event:page"]),
        (&["visitors"], &["visit:country"]),
        (&["visitors"], &["visit:device"]),
        (&["visitors", "visits"], &["visit:platform"]),
        (&["visitors", "events", "conversion_rate"], &["event:goal"]),
        (&["visitors"], &["visit:days_since_last"]),
        (&["lcp", "inp", "cls"], &["event:page"]),
        (&["visitors", "visits"], &["visit:weekday", "visit:hour"]),
    ];
    let question = |(metrics, dimensions): (&[&str], &[&str])| {
        let name = format!("{} by [{}]", metrics.join(" "), dimensions.join(" "));
        let body = json!({
            "site_id": "portal", "metrics": metrics, "dimensions": dimensions, "date_range": range,
            "pagination": { "limit": if dimensions.len() == 2 { 200 } else { 9 } },
        });
        (name, body)
    };
    lists.into_iter().map(question).collect()
}

fn measure(server: &Server, rounds: u64, ask: impl Fn() -> usize) -> (Vec<f64>, f64, usize) {
    let mut bytes = 0;
    // The first finds the page cache as it is.
    ask();
    let before = server.cpu_in_all();
    let mut times: Vec<f64> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            bytes = ask();
            begun.elapsed().as_secs_f64() * 1_000.0
        })
        .collect();
    let cpu = (server.cpu_in_all() - before).as_secs_f64() * 1_000.0 / rounds as f64;
    times.sort_by(f64::total_cmp);
    (times, cpu, bytes)
}

fn get(server: &Server, path: &str) -> usize {
    exchange(server, &format!("GET {path} HTTP/1.1\r\n"), "")
}

fn post(server: &Server, body: &str) -> usize {
    let head = format!(
        "POST /api/v1/query HTTP/1.1\r\ncontent-type: application/json\r\ncontent-length: {}\r\n",
        body.len()
    );
    exchange(server, &head, body)
}

/// One request on a connection of its own; returns the bytes of the answer.
fn exchange(server: &Server, head: &str, body: &str) -> usize {
    let admin = server.admin.expect("an admin listener");
    let mut stream = TcpStream::connect(admin).expect("a connection");
    let host = format!(
        "host: 127.0.0.1:{}\r\nconnection: close\r\n\r\n",
        admin.port()
    );
    stream
        .write_all(format!("{head}{host}{body}").as_bytes())
        .expect("sent");
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).expect("to its end");
    let text = String::from_utf8_lossy(&answer);
    assert!(text.starts_with("HTTP/1.1 200 "), "{text}");
    answer.len()
}

/// A day at a time, as they come.
fn fill(bench: &Bench<'_>, rows: u64) {
    let begun = Instant::now();
    for back in (0..=DAYS).rev() {
        let day = bench.today - back;
        // 1970-01-01 was a Thursday. Fewer at the weekend.
        let weight = if (day + 3) % 7 < 5 { 116 } else { 60 };
        for (site, part) in SITES {
            let n = rows * part * weight / 1_000 / 100 / DAYS;
            one(bench, site, day, n.next_multiple_of(PER_VISIT));
        }
        if back % 50 == 0 {
            eprintln!(
                "{} of {DAYS} days filled, {:.0} s",
                DAYS - back,
                begun.elapsed().as_secs_f64()
            );
        }
    }
}

/// One site's day: visits of four events. Paths, sources, referrers and countries are as usual: a few have most, and the
/// rest is long.
fn one(bench: &Bench<'_>, site: &str, day: u64, n: u64) {
    let is_app = matches!(site, "ios" | "android" | "windows");
    let (platform, version) = match is_app {
        true => (site, "concat('4.', toString(h % 9))"),
        false => ("web", "''"),
    };
    // Log-uniform: the value at rank r comes in proportion to 1/r.
    let rank = |of: u64, salt: u64| {
        format!("toUInt32(floor(exp(log({of}) * ((cityHash64(h, {salt}) % 1000003) / 1000003))))")
    };
    let page = |salt: &str| {
        format!(
            "toUInt32(floor(exp(log(5000) * ((cityHash64(h, 1, {salt}) % 1000003) / 1000003))))"
        )
    };
    bench.sql(&format!(
        "INSERT INTO brine.events (site, day, ts, name, visitor, visit, interactive, hostname, path, referrer, source, channel, \
         utm_campaign, country, browser, browser_version, os, os_version, device, language, screen, platform, app_version, \
         days_since_last, revenue, currency, engagement_ms, scroll_depth, lcp_ms, inp_ms, cls, ttfb_ms, fcp_ms, expires, \
         batch_id, seq) \
         WITH intDiv(number, {PER_VISIT}) AS v, number % {PER_VISIT} AS nth, cityHash64({day}, '{site}', v) AS h, \
         toInt64({day}) * 86400000 + 21600000 + toInt64(h % 55000000) AS began, \
         multiIf(nth = 0, 'pageview', nth = 1, 'engagement', nth = 3, 'web_vitals', h % 10 < 6, 'pageview', h % 10 < 8, 'engagement', \
         ['Signup', 'Purchase', 'File Download', 'Outbound Link: Click', 'Search', 'Form: Submission'][1 + h % 6]) AS kind, \
         if(nth < 2, {first}, {second}) AS p, {source} AS s \
         SELECT '{site}', toDate({day}), fromUnixTimestamp64Milli(began + toInt64(nth * (4000 + h % 90000))), kind, \
         cityHash64({day}, '{site}', 'visitor', intDiv(v * 5, 6)), cityHash64({day}, '{site}', 'visit', v), \
         kind NOT IN ('engagement', 'web_vitals'), \
         if({is_app}, '', ['{site}.example.test', 'konto.{site}.example.test', 'hjaelp.{site}.example.test'][1 + (p % 10 > 6) + (p % 10 > 8)]), \
         concat('/', ['docs', 'blog', 'products', 'help'][1 + p % 4], '/', toString(p)), \
         if(h % 100 < 45, '', concat('site', toString({referrer}), '.example/artikel')), \
         if(h % 100 < 45, '', ['Google', 'Bing', 'LinkedIn', 'Facebook', 'DuckDuckGo'][s]) || if(h % 100 >= 45 AND s > 5, concat('site', toString(s), '.example'), ''), \
         multiIf(h % 100 < 45, 'Direct', s < 3, 'Organic Search', s < 5, 'Organic Social', 'Referral'), \
         if(h % 23 = 0, concat('kampagne-', toString(1 + h % 12)), ''), \
         ['DK', 'SE', 'NO', 'DE', 'GB', 'NL', 'US', 'FR', 'PL', 'FI', 'ES', 'IT', 'BE', 'AT', 'CH', 'IE', 'PT', 'CZ', 'EE', 'LV', 'LT', 'IS', 'FO', 'GL', 'CA', 'AU', 'IN', 'BR', 'JP', 'ZA'][{country}], \
         ['Chrome', 'Safari', 'Edge', 'Firefox', 'Samsung Internet', 'Opera'][{browser}], toString(118 + h % 24), \
         ['Windows', 'iOS', 'Android', 'macOS', 'Linux'][{os}], toString(10 + h % 9), ['desktop', 'mobile', 'tablet'][{device}], \
         ['da', 'en', 'sv', 'de', 'no', 'pl'][{language}], ['wide', 'narrow', 'middle'][{device}], '{platform}', {version}, \
         ['new', '0', '1', '2-7', '8-30', '31+'][1 + h % 6], \
         if(kind = 'Purchase', 19.5 + h % 40, 0), if(kind = 'Purchase', 'DKK', ''), \
         if(kind = 'engagement', 2000 + h % 60000, 0), if(kind = 'engagement', h % 101, 255), \
         if(kind = 'web_vitals', 600 + h % 3500, NULL), if(kind = 'web_vitals' AND h % 3 > 0, 20 + h % 400, NULL), \
         if(kind = 'web_vitals', (h % 300) / 1000, NULL), if(kind = 'web_vitals', 60 + h % 900, NULL), \
         if(kind = 'web_vitals', 300 + h % 2500, NULL), toDate({expires}), {day}, number FROM numbers({n})",
        first = page("0"),
        second = page("nth"),
        source = rank(60, 2),
        referrer = rank(2_000, 3),
        country = rank(30, 4),
        browser = rank(6, 5),
        os = rank(5, 6),
        device = rank(3, 7),
        language = rank(6, 8),
        is_app = u8::from(is_app),
        expires = day + KEPT,
    ));
}

/// By the real job, as every night.
fn count_closed_days(server: &Server) {
    let begun = Instant::now();
    let admin = server.admin.expect("an admin listener").to_string();
    let output = Command::new(env!("CARGO_BIN_EXE_brine"))
        .args(["retention", "run", "--json", "--admin", &admin, "--data"])
        .arg(server.data())
        .output()
        .expect("brine runs");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    println!("the job took {:.0} s", begun.elapsed().as_secs_f64());
}
