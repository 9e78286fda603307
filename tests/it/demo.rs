//! README, "Try it": the made-up visits of `brine demo --days N` are real rows of a real collector's.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::{Brine, process};

/// A Tuesday afternoon.
const NOW_MS: i64 = 1_795_534_200_000; // 2026-11-24T15:30:00Z

/// A running demo that lives by a clock of its own.
pub(crate) struct Demo {
    child: Child,
    admin: SocketAddr,
    printed: String,
    directory: tempfile::TempDir,
}

fn command(directory: &Path, arguments: &[&str]) -> Command {
    let clock = directory.join("clock");
    std::fs::write(&clock, NOW_MS.to_string()).expect("the clock is written");
    let log = std::fs::File::options()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .expect("log opens");
    let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
    command
        .args(["demo", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"])
        .args(arguments)
        .arg("--data")
        .arg(directory.join("data"))
        .env(brine::clock::FILE_VARIABLE, clock)
        .stdout(Stdio::piped())
        .stderr(log);
    command
}

impl Demo {
    pub(crate) fn start(arguments: &[&str]) -> Demo {
        Demo::start_in(tempfile::tempdir().expect("temporary directory"), arguments)
    }

    fn start_in(directory: tempfile::TempDir, arguments: &[&str]) -> Demo {
        let mut child = command(directory.path(), arguments)
            .spawn()
            .expect("brine starts");
        let mut lines = BufReader::new(child.stdout.take().expect("stdout is piped")).lines();
        // Whatever fails from here on, its drop ends the process.
        let mut demo = Demo {
            child,
            admin: SocketAddr::from(([127, 0, 0, 1], 0)),
            printed: String::new(),
            directory,
        };
        // Its last line: all of it is there.
        while !demo.printed.contains("Ctrl-C") {
            let Some(Ok(line)) = lines.next() else {
                let log = std::fs::read_to_string(demo.directory.path().join("log"));
                panic!(
                    "brine demo ended before it was ready:\n{}",
                    log.unwrap_or_default()
                );
            };
            demo.printed.push_str(&line);
            demo.printed.push('\n');
        }
        demo.admin = demo
            .printed
            .lines()
            .find_map(|line| line.trim().strip_prefix("dashboard")?.split_once("http://"))
            .and_then(|(_, rest)| rest.split('/').next()?.parse().ok())
            .expect("where its admin listener is");
        demo
    }

    fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    fn sql(&self, statement: &str) -> Vec<Vec<String>> {
        self.sql_as("TSV", statement)
    }

    /// The same in another format that is lines of tabs.
    pub(crate) fn sql_as(&self, format: &str, statement: &str) -> Vec<Vec<String>> {
        self.command(&["sql", "--format", format, statement])
            .lines()
            .map(|line| line.split('\t').map(str::to_owned).collect())
            .collect()
    }

    /// Runs a command beside it, and returns what it prints.
    pub(crate) fn command(&self, arguments: &[&str]) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(arguments)
            .arg("--data")
            .arg(self.data())
            .env(
                brine::clock::FILE_VARIABLE,
                self.directory.path().join("clock"),
            )
            .output()
            .expect("brine runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn record(&self) -> serde_json::Value {
        let text = std::fs::read(self.data().join("demo.json")).expect("its record");
        serde_json::from_slice(&text).expect("JSON")
    }

    fn metrics(&self) -> String {
        let mut stream = TcpStream::connect(self.admin).expect("the admin listener");
        write!(
            stream,
            "GET /metrics HTTP/1.1\r\nhost: admin\r\nconnection: close\r\n\r\n"
        )
        .expect("sent");
        let mut text = String::new();
        stream.read_to_string(&mut text).expect("an answer");
        text
    }

    /// Stops it in order, and gives its directory back.
    fn stop(mut self) -> tempfile::TempDir {
        assert!(process::signal(self.child.id(), "TERM"));
        assert_eq!(self.child.wait().expect("it ends").code(), Some(0));
        let empty = tempfile::tempdir().expect("temporary directory");
        std::mem::replace(&mut self.directory, empty)
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            drop(self.child.kill());
            drop(self.child.wait());
        }
    }
}

/// Counts by two words.
type Table = BTreeMap<(String, String), u64>;

fn table_of(json: &serde_json::Value) -> Table {
    let mut table = Table::new();
    for (site, words) in json.as_object().expect("sites") {
        for (word, n) in words.as_object().expect("words") {
            table.insert((site.clone(), word.clone()), n.as_u64().expect("a count"));
        }
    }
    table
}

fn table_of_rows(rows: &[Vec<String>]) -> Table {
    rows.iter()
        .map(|row| {
            (
                (row[0].clone(), row[1].clone()),
                row[2].parse().expect("a count"),
            )
        })
        .collect()
}

/// Reads a counter of two labels out of `/metrics`; what is 0 is left out.
fn table_of_metric(text: &str, name: &str, labels: [&str; 2]) -> Table {
    let mut table = Table::new();
    for line in text.lines().filter(|line| line.starts_with(name)) {
        let value: f64 = line
            .rsplit(' ')
            .next()
            .and_then(|n| n.parse().ok())
            .expect("a value");
        let label = |name: &str| {
            let rest = line.split_once(&format!("{name}=\"")).expect("the label").1;
            rest.split_once('"').expect("its end").0.to_owned()
        };
        if value > 0.0 {
            *table
                .entry((label(labels[0]), label(labels[1])))
                .or_default() += value as u64;
        }
    }
    table
}

const COUNTS: &str = "SELECT site, name, count() FROM events GROUP BY ALL ORDER BY ALL";

#[test]
fn made_up_visits_walk_the_real_path_and_every_one_is_accounted_for() {
    let demo = Demo::start(&["--days", "3", "--scale", "0.1"]);
    let record = demo.record();
    assert_eq!(record["is_complete"], true);
    assert!(demo.printed.contains("MADE UP"), "{}", demo.printed);

    // Each beacon ended as it was made to, by the collector's own count.
    let planned = table_of(&record["beacons"]);
    assert!(planned.len() > 15, "all kinds of ends: {planned:?}");
    assert_eq!(
        table_of_metric(&demo.metrics(), "brine_beacons_total{", ["site", "outcome"]),
        planned
    );

    // What was accepted is in ClickHouse, once, and nothing else is.
    let stored = demo.sql("SELECT site, 'accepted', count() FROM events GROUP BY site");
    let accepted: Table = planned
        .iter()
        .filter(|((_, outcome), _)| outcome == "accepted")
        .map(|(key, n)| (key.clone(), *n))
        .collect();
    assert_eq!(accepted.len(), 6, "six sites");
    assert_eq!(table_of_rows(&stored), accepted);
    let twice = "SELECT count() - uniqExact(batch_id, seq) FROM events";
    assert_eq!(demo.sql(twice), [["0"]]);

    // The choices: a row for each yes and each withdrawal, a number for the noes, all marked as made up.
    let ledger = "SELECT site, choice, count() FROM consents WHERE source = 'demo' GROUP BY ALL
        UNION ALL SELECT site, 'deny', sum(denials) FROM denials GROUP BY site";
    assert_eq!(
        table_of_rows(&demo.sql(ledger)),
        table_of(&record["choices"])
    );
    assert_eq!(
        demo.sql("SELECT count() FROM consents WHERE source != 'demo'"),
        [["0"]]
    );

    // The salts lived and died as in life: one a site and day, all but today's destroyed in time.
    let salts = "SELECT step, reason, count() FROM salt_events GROUP BY ALL ORDER BY ALL";
    assert_eq!(
        demo.sql(salts),
        [
            ["created", "first_start", "6"],
            ["created", "rotation", "18"],
            ["destroyed", "grace_over", "18"]
        ]
    );
    let latest = "SELECT max(dateDiff('minute', toDateTime(period, 'Europe/Copenhagen'), ts)) < 24 * 60 + 120 + 11
        FROM salt_events WHERE step = 'destroyed'";
    assert_eq!(demo.sql(latest), [["1"]]);
    let left: Vec<_> = std::fs::read_dir(demo.data().join("salts"))
        .expect("the salts")
        .map(|entry| {
            entry
                .expect("a file")
                .file_name()
                .into_string()
                .expect("a name")
        })
        .collect();
    assert_eq!(left.len(), 6, "{left:?}");
    assert!(
        left.iter().all(|name| name.ends_with("@2026-11-24.salt")),
        "{left:?}"
    );

    // It looks like traffic: every panel has something to show.
    for (what, at_least) in [
        ("uniq(country)", 10),
        ("uniq(browser)", 6),
        ("uniq(os)", 5),
        ("uniq(language)", 6),
        ("uniq(channel)", 8),
        ("uniq(utm_campaign)", 5),
        ("uniq(days_since_last)", 3),
        ("uniq(screen)", 4),
        ("uniq(platform)", 4),
        ("uniq(app_version)", 3),
        ("countIf(revenue > 0)", 5),
        ("countIf(name = '404')", 1),
        ("countIf(lcp_ms > 0 AND cls >= 0)", 100),
        ("uniq(toHour(ts))", 20),
        ("uniq(day)", 4),
    ] {
        let found: u64 = demo.sql(&format!("SELECT {what} FROM events"))[0][0]
            .parse()
            .expect("a number");
        assert!(found >= at_least, "{what}: {found} is below {at_least}");
    }

    // A second start does not fill again, and says whose visits these are.
    let before = demo.sql(COUNTS);
    let again = Demo::start_in(demo.stop(), &["--days", "3", "--scale", "0.1"]);
    assert_eq!(again.sql(COUNTS), before);
    assert!(again.printed.contains("MADE UP"), "{}", again.printed);
}

#[test]
fn the_same_seed_gives_the_same_counts_and_other_pseudonyms() {
    let demos = ["1", "1", "2"].map(|seed| {
        let demo = Demo::start(&["--days", "1", "--scale", "0.05", "--seed", seed]);
        let record = demo.record();
        let visitors = demo.sql("SELECT DISTINCT visitor FROM events ORDER BY visitor LIMIT 20");
        (
            record["beacons"].clone(),
            record["choices"].clone(),
            demo.sql(COUNTS),
            visitors,
        )
    });
    let [first, same, other] = &demos;
    assert_eq!((&first.0, &first.1, &first.2), (&same.0, &same.1, &same.2));
    assert_ne!(first.2, other.2);
    assert_ne!(first.3, same.3, "the salts are drawn anew");
}

/// The default directory of a service and of a demo is the same.
#[tokio::test]
async fn a_demo_neither_opens_nor_deletes_what_no_demo_has_made() {
    let mut brine = Brine::start();
    brine.consent("portal").await;
    assert_eq!(brine.terminate(), Some(0));
    let home = tempfile::tempdir().expect("temporary directory");
    let data = home.path().join("data");
    std::fs::rename(brine.directory.join("data"), &data).expect("moved");
    let names = |directory: &Path| {
        let entries = std::fs::read_dir(directory).expect("it is there");
        let mut names: Vec<_> = entries.map(|e| e.expect("an entry").file_name()).collect();
        names.sort();
        names
    };
    let before = names(&data);
    assert!(before.iter().any(|name| name == "brine.lock"), "{before:?}");
    for arguments in [&["--fresh"] as &[&str], &[], &["--days", "1"]] {
        let output = command(home.path(), arguments)
            .stderr(Stdio::piped())
            .output()
            .expect("brine runs");
        assert_eq!(output.status.code(), Some(1));
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(said.contains("no `brine demo` has made"), "{said}");
        assert!(said.contains("--data"), "{said}");
        assert_eq!(names(&data), before);
    }
    // Its own it deletes.
    let home = Demo::start(&[]).stop();
    std::fs::write(home.path().join("data/left"), "").expect("written");
    let home = Demo::start_in(home, &["--fresh"]).stop();
    assert!(!home.path().join("data/left").exists());
    assert!(home.path().join("data/brine.demo").exists());
}

#[test]
fn a_directory_that_was_used_or_half_filled_is_not_filled() {
    let used = Demo::start(&[]).stop();
    let refuse = |directory: &Path| {
        let output = command(directory, &["--days", "1"])
            .stderr(Stdio::piped())
            .output()
            .expect("brine runs");
        assert_eq!(output.status.code(), Some(1));
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refuse(used.path());
    assert!(
        said.contains("in use without made-up traffic") && said.contains("--fresh"),
        "{said}"
    );
    std::fs::write(
        used.path().join("data/demo.json"),
        r#"{"note":"","days":1,"seed":1,"scale":1.0,"first_day":"","until":"","is_complete":false,"beacons":{},"choices":{}}"#,
    )
    .expect("written");
    let said = refuse(used.path());
    assert!(
        said.contains("interrupted") && said.contains("--fresh"),
        "{said}"
    );
}

/// README, "Report by e-mail".
#[test]
fn a_report_tells_the_last_week_as_the_query_api_counts_it() {
    // Tuesday: the week that is over ended two days ago.
    let demo = Demo::start(&["--days", "9", "--scale", "0.03"]);
    let csv = demo.command(&[
        "report", "--site", "portal", "--period", "week", "--format", "csv",
    ]);
    let asked = ["visitors", "visits", "pageviews", "bounce_rate"];
    let answer = demo.command(&[
        "query",
        "portal",
        "--format",
        "json",
        "--metrics",
        &asked.join(","),
        "--from",
        "2026-11-16",
        "--to",
        "2026-11-22",
    ]);
    let answer: serde_json::Value = serde_json::from_str(&answer).expect("JSON");
    for (n, metric) in asked.iter().enumerate() {
        let number = &answer["results"][0]["metrics"][n];
        let line = format!("portal,2026-11-16,2026-11-22,,,{metric},{number},");
        assert!(csv.contains(&line), "{line} is not in\n{csv}");
    }
    assert!(csv.contains("time:day,2026-11-22,visitors,"), "{csv}");
    for (language, words) in [
        ("en", ["Visitors", "Day by day"]),
        ("da", ["Besøgende", "Dag for dag"]),
    ] {
        let html = demo.command(&["report", "--site", "portal", "--language", language]);
        assert!(words.iter().all(|word| html.contains(word)), "{html}");
        assert!(
            html.contains("Saltholm Portal") && html.contains("2026-11-16 – 2026-11-22"),
            "{html}"
        );
        // Mail programs drop scripts and style sheets, and a link or an image would tell who opens it.
        for word in ["<script", "<img", "<link", "href=", "url(", "http"] {
            assert!(!html.contains(word), "{word} in\n{html}");
        }
    }
}
