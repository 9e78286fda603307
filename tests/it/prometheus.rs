//! `dashboards/prometheus`: the rules hold together, fire when they should, and ask for metrics that there are.
//! Needs promtool (Debian: prometheus).

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use brine::clock::{Clock, SystemClock};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::Method;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use jiff::Timestamp;
use serde_json::Value;

use crate::support::{Brine, Builder, PATIENCE, free_port};

fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("dashboards/prometheus")
        .join(name)
}

fn text(name: &str) -> String {
    std::fs::read_to_string(file(name)).unwrap_or_else(|e| panic!("{name}: {e}"))
}

/// Runs promtool, which must be content and say nothing against it.
fn promtool(arguments: &[&str], input: &str) -> String {
    let mut child = Command::new("promtool")
        .args(arguments)
        .current_dir(file(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("promtool is there (tests/run installs it)");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(input.as_bytes())
        .expect("written");
    let output = child.wait_with_output().expect("promtool runs");
    let said = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(output.status.success(), "promtool {arguments:?}:\n{said}");
    said
}

fn alerts() -> Vec<String> {
    text("brine.alerts.yml")
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .map(str::to_owned)
        .collect()
}

#[test]
fn the_rules_are_sound_and_every_alert_fires_for_the_ill_one_alone() {
    promtool(
        &["check", "rules", "brine.rules.yml", "brine.alerts.yml"],
        "",
    );
    promtool(&["check", "config", "prometheus.yml"], "");
    promtool(
        &["test", "rules", "brine.test.yml", "brine.days.test.yml"],
        "",
    );
    let tests = text("brine.test.yml") + &text("brine.days.test.yml");
    for alert in alerts() {
        assert!(
            tests.contains(&format!("alertname: {alert}\n")),
            "{alert} has no test"
        );
    }
}

#[test]
fn every_alert_has_a_paragraph_in_the_runbook_and_no_other_has() {
    let runbook = text("RUNBOOK.md");
    let paragraphs: Vec<(&str, &str)> = runbook
        .split("\n## ")
        .skip(1)
        .map(|part| part.split_once('\n').expect("a heading and a paragraph"))
        .collect();
    let headings: Vec<&str> = paragraphs.iter().map(|(heading, _)| *heading).collect();
    assert_eq!(headings, alerts(), "in the order of the alerts");
    for (heading, paragraph) in &paragraphs {
        assert!(paragraph.trim().len() > 150, "{heading} says too little");
        for link in paragraph.split("](#").skip(1) {
            let target = link.split(')').next().expect("a link's end");
            assert!(
                headings.iter().any(|other| other.to_lowercase() == target),
                "{heading} leads to {target}, which is nowhere"
            );
        }
    }
    for alert in alerts() {
        let url = format!("runbook_url: RUNBOOK.md#{}\n", alert.to_lowercase());
        assert!(text("brine.alerts.yml").contains(&url), "{url}");
    }
}

/// Every name that begins like a metric of ours.
fn metrics_named_in(rules: &str) -> BTreeSet<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    rules
        .lines()
        .filter(|line| !line.trim_start().starts_with('#') && !line.contains("- record:"))
        .flat_map(|line| line.split(|c| !is_part(c)))
        // Names with a colon are recorded by the rules themselves.
        .filter(|word| word.starts_with("brine_") && !word.contains(':'))
        .map(str::to_owned)
        .collect()
}

#[tokio::test]
async fn every_metric_that_a_rule_names_is_exposed_and_well_named() {
    let geo = tempfile::tempdir().expect("temporary directory");
    let path = geo.path().join("country.mmdb");
    let mut writer = mmdb_writer::Writer::builder("Test-Country")
        .description(&[("en", "test")])
        .build();
    writer
        .insert_value(
            "192.0.2.0/24".parse::<ipnet::IpNet>().expect("a network"),
            mmdb_writer::Value::map([("country_code", mmdb_writer::Value::from("DK"))]),
        )
        .expect("inserted");
    std::fs::write(&path, writer.to_bytes().expect("an MMDB")).expect("written");
    let mut brine: Brine = Builder::new()
        .set("ENRICH__GEO_COUNTRY", path.to_str().expect("UTF-8"))
        .start();
    let token = brine.consent("portal").await;
    brine
        .event(&format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#
        ))
        .await
        .expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 1);
    // The oldest event is looked for at the start, and seldom after it.
    assert_eq!(brine.terminate(), Some(0));
    brine.restart();
    brine.consent("portal").await;

    let rules = text("brine.rules.yml") + &text("brine.alerts.yml");
    let named = metrics_named_in(&rules);
    assert!(named.len() > 20, "{named:?}");
    let started = Instant::now();
    let exposed = loop {
        let exposed = brine.admin(Method::GET, "/metrics", &[], "").await.text();
        let names: BTreeSet<&str> = exposed
            .lines()
            .filter_map(|line| line.split(['{', ' ']).next())
            .collect();
        let missing: Vec<&String> = named
            .iter()
            .filter(|name| !names.contains(name.as_str()))
            .collect();
        if missing.is_empty() {
            break exposed;
        }
        assert!(
            started.elapsed() < PATIENCE,
            "{missing:?} are not in /metrics"
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    };
    // Recorded names that alerts use are recorded.
    let alerts = text("brine.alerts.yml");
    for word in alerts.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == ':')) {
        if word.contains(":brine_") {
            let record = format!("- record: {word}\n");
            assert!(rules.contains(&record), "{word} is not recorded");
        }
    }
    promtool(&["check", "metrics"], &exposed);

    // Limits and the clock are what they say.
    let now = std::process::Command::new("date")
        .arg("+%s")
        .output()
        .expect("date runs");
    let now: f64 = String::from_utf8_lossy(&now.stdout)
        .trim()
        .parse()
        .expect("seconds");
    let clock = brine.metric("brine_clock_seconds").await;
    assert!((clock - now).abs() < 30.0, "{clock} and {now}");
    assert_eq!(
        brine.metric("brine_spool_limit_bytes").await,
        f64::from(4_096 << 10) * 1_024.0
    );
    assert_eq!(brine.metric("brine_limiter_keys_limit").await, 100_000.0);
}

/// A rule as Prometheus sees it.
struct Rule {
    name: String,
    health: String,
    /// Of an alert: inactive, pending or firing.
    state: String,
    /// Long ago before the first evaluation.
    evaluated: Timestamp,
}

/// A Prometheus of its own, with the example configuration; ended with the test.
struct Prometheus {
    child: Child,
    port: u16,
    _home: tempfile::TempDir,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Prometheus {
    fn start(brine: &Brine) -> Prometheus {
        let home = tempfile::tempdir().expect("temporary directory");
        for name in ["brine.rules.yml", "brine.alerts.yml"] {
            std::fs::copy(file(name), home.path().join(name)).expect("copied");
        }
        let example = text("prometheus.yml");
        let target = "127.0.0.1:8081";
        assert!(example.contains(target) && example.contains(": 15s"));
        let config = example
            .replace(target, &brine.admin.to_string())
            .replace(": 15s", ": 1s");
        std::fs::write(home.path().join("prometheus.yml"), config).expect("written");
        let port = free_port();
        let child = Command::new("prometheus")
            .current_dir(home.path())
            .args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"])
            .arg(format!("--web.listen-address=127.0.0.1:{port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("prometheus is there (tests/run installs it)");
        Prometheus {
            child,
            port,
            _home: home,
        }
    }

    /// What its API says; none while it does not answer.
    async fn ask(&self, path: &str) -> Option<Value> {
        let http = Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>();
        let url = format!("http://127.0.0.1:{}/api/v1/{path}", self.port);
        let reply = http.get(url.parse().expect("a URL")).await.ok()?;
        let body = reply.into_body().collect().await.ok()?.to_bytes();
        serde_json::from_slice(&body).ok()
    }

    /// Whether its last scrape of brine, the only target, went well.
    async fn is_up(&self) -> bool {
        let up = self.ask("query?query=up").await.unwrap_or_default();
        up["data"]["result"][0]["value"][1] == "1"
    }

    /// Its rules; none while it does not answer.
    async fn rules(&self) -> Vec<Rule> {
        let Some(answer) = self.ask("rules").await else {
            return Vec::new();
        };
        let groups = answer["data"]["groups"].as_array();
        let rules = groups.into_iter().flatten().flat_map(|group| {
            let rules = group["rules"].as_array();
            rules.cloned().unwrap_or_default()
        });
        let word = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let read = |rule: Value| Rule {
            name: word(&rule["name"]),
            health: word(&rule["health"]),
            state: word(&rule["state"]),
            evaluated: word(&rule["lastEvaluation"]).parse().unwrap_or_default(),
        };
        rules.map(read).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_prometheus_scrapes_brine_and_alerts_when_it_is_gone() {
    let mut brine = Brine::start();
    brine.consent("portal").await;
    let prometheus = Prometheus::start(&brine);
    let started = Instant::now();
    let in_time = |what: &str| {
        assert!(started.elapsed() < PATIENCE * 2, "{what} does not come");
        tokio::time::sleep(Duration::from_millis(200))
    };
    let wait = async |what: &str, is_so: &dyn Fn(&[Rule]) -> bool| loop {
        let rules = prometheus.rules().await;
        if is_so(&rules) {
            return rules;
        }
        in_time(what).await;
    };
    // Rules may be evaluated before the first scrape: on nothing they are well, and say nothing.
    while !prometheus.is_up().await {
        in_time("the first scrape").await;
    }
    let scraped = SystemClock.now();
    let rules = wait("a whole round of the rules", &|rules| {
        let is_well = |rule: &Rule| rule.health == "ok" && rule.evaluated > scraped;
        !rules.is_empty() && rules.iter().all(is_well)
    })
    .await;
    for alert in alerts() {
        let is_there = rules.iter().any(|rule| rule.name == alert);
        assert!(is_there, "{alert} is not loaded");
    }
    let loud = rules.iter().filter(|rule| rule.state == "firing");
    let loud: Vec<&str> = loud.map(|rule| rule.name.as_str()).collect();
    assert_eq!(loud, [""; 0], "a healthy brine alarms nobody");
    brine.terminate();
    wait("BrineDown", &|rules| {
        let is_noticed = |rule: &Rule| rule.name == "BrineDown" && rule.state != "inactive";
        rules.iter().any(is_noticed)
    })
    .await;
}
