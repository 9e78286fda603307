//! One real engine for all tests of this binary; a database, sites and a runtime for each.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use brine::config::retention::Retention;
use brine::config::settings::{self, Settings};
use brine::config::{Config, Sites};
use brine::engine::child::READY;
use brine::engine::connect;
use brine::engine::home::{Key, default_socket};
use brine::event::{Event, Record, decode, encode, kind};
use brine::retention::derived;
use brine::retention::rules::Rules;
use brine::salts::period::{day_number, start_of};
use brine::stats::rollup::Memo;
use brine::stats::together::{Bundle, bundles};
use brine::stats::{self, Answer, QueryError};
use brine::store::migrations::migrate;
use brine::store::{BatchId, Store, Table};
use jiff::Timestamp;
use jiff::civil::date;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

/// Noon of Monday 2026-11-09 in Copenhagen: "now" in these tests.
pub(crate) const NOW: &str = "2026-11-09T11:00:00Z";

struct Engine {
    data: PathBuf,
    // Its standard input is a pipe of ours: it ends when this process does.
    _child: Child,
}

fn engine() -> &'static Engine {
    static ENGINE: OnceLock<Engine> = OnceLock::new();
    ENGINE.get_or_init(|| {
        let data = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("stats");
        if data.exists() {
            std::fs::remove_dir_all(&data).expect("the directory of an earlier run can be removed");
        }
        let fetched = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(["engine", "fetch"])
            .stdout(Stdio::null())
            .status()
            .expect("brine runs");
        assert!(fetched.success(), "the engine library cannot be had");
        let mut child = Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(["engine", "--supervised", "--data"])
            .arg(&data)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the engine starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let is_ready = lines.any(|line| line.is_ok_and(|line| line.starts_with(READY)));
        assert!(is_ready, "the engine ended before it was ready");
        Engine {
            data,
            _child: child,
        }
    })
}

fn read(sites: &str) -> (Sites, Retention) {
    let settings: Settings = toml::from_str(sites).unwrap();
    let config = Config::check(&settings).unwrap();
    (config.sites, config.retention)
}

/// A database with the schema, and sites `s0`, `s1`, …
pub(crate) struct Bench {
    pub(crate) runtime: tokio::runtime::Runtime,
    pub(crate) store: Store,
    pub(crate) sites: Sites,
    pub(crate) limits: settings::Query,
    retention: Retention,
    n_batches: u64,
}

impl Bench {
    /// Makes `database` with `n_sites` sites in Copenhagen under daily salts.
    pub(crate) fn new(database: &str, n_sites: usize) -> Bench {
        Bench::with_sites(database, &sites_toml(n_sites, ""))
    }

    pub(crate) fn with_sites(database: &str, sites: &str) -> Bench {
        let engine = engine();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let (sites, retention) = read(sites);
        let store = runtime.block_on(async {
            let key = Key::read(&engine.data).unwrap();
            let client =
                connect::client(&default_socket(&engine.data), &key).with_database(database);
            let store = Store {
                client,
                database: database.to_owned(),
                timeout: Duration::from_secs(30),
                engine: None,
            };
            migrate(&store).await.unwrap();
            for table in ["events", "consents", "denials"] {
                let stop = format!("SYSTEM STOP MERGES {database}.{table}");
                store.client.query(&stop).execute().await.unwrap();
            }
            store
        });
        Bench {
            runtime,
            store,
            sites,
            limits: settings::Query::default(),
            retention,
            n_batches: 0,
        }
    }

    /// Goes on with another configuration.
    pub(crate) fn configure(&mut self, sites: &str) {
        (self.sites, self.retention) = read(sites);
    }

    /// Inserts events as batches of at most `size`; the position in `events` is the order of arrival.
    pub(crate) fn insert(&mut self, events: &[Event], size: usize) {
        self.insert_behind(events, size, 0);
    }

    /// The same, where `n_before` have arrived before.
    pub(crate) fn insert_behind(&mut self, events: &[Event], size: usize, n_before: u32) {
        let Bench {
            runtime,
            store,
            n_batches,
            ..
        } = self;
        for (chunk, first) in events.chunks(size).zip((n_before..).step_by(size)) {
            *n_batches += 1;
            // The databases share an engine, and query ids are made of batch ids.
            let incarnation = blake3::hash(store.database.as_bytes()).as_bytes()[0];
            let batch = BatchId::new(incarnation.into(), *n_batches, 0);
            runtime.block_on(async {
                let mut writer = store.begin(Table::Events, batch, first, 1).await.unwrap();
                for (event, seq) in chunk.iter().zip(first..) {
                    let payload = encode(event);
                    let Ok(Record::Event(event)) = decode(kind::EVENT, &payload) else {
                        panic!()
                    };
                    writer.event(&event, seq).await.unwrap();
                }
                writer.end().await.unwrap();
            });
        }
    }

    /// Counts closed days into the derived tables, as the job does on `today`. Returns how many days that were.
    pub(crate) fn derive(&self, today: u16) -> u32 {
        let rules = Rules::new(today, self.limits.k, &self.retention, &self.sites);
        self.runtime
            .block_on(derived::count(&self.store, &rules))
            .unwrap()
    }

    /// Rows of one text each.
    pub(crate) fn texts(&self, sql: &str) -> Vec<String> {
        self.runtime
            .block_on(self.store.client.query_raw(sql).fetch_all())
            .unwrap()
    }

    pub(crate) fn execute(&self, sql: &str) {
        self.runtime
            .block_on(self.store.client.query_raw(sql).execute())
            .unwrap();
    }

    /// Deletes events, as an erasure or a purge does.
    pub(crate) fn delete(&self, condition: &str) {
        let table = format!("{}.events", self.store.database);
        // What stops merges stops mutations, too.
        self.execute(&format!("SYSTEM START MERGES {table}"));
        self.execute(&format!(
            "ALTER TABLE {table} DELETE WHERE {condition} SETTINGS mutations_sync = 1"
        ));
    }

    pub(crate) fn ask(&self, query: &Value) -> Result<Answer, QueryError> {
        self.ask_at(query, NOW)
    }

    /// Asks as a page does. Returns the answers in order, and how many questions each statement asked.
    pub(crate) fn ask_together(
        &self,
        queries: &[Value],
    ) -> (Vec<Result<Answer, QueryError>>, Vec<usize>) {
        let now: Timestamp = NOW.parse().unwrap();
        let bodies: Vec<String> = queries.iter().map(Value::to_string).collect();
        let (client, sites, memo) = (&self.store.client, &self.sites, Memo::default());
        self.runtime.block_on(async {
            let bundles = bundles(client, sites, &self.limits, &bodies, now, &memo).await;
            let lengths = bundles.iter().map(Bundle::n_questions).collect();
            let mut answers = Vec::new();
            for bundle in bundles {
                answers.extend(bundle.answer().await);
            }
            answers.sort_by_key(|(place, _)| *place);
            (
                answers.into_iter().map(|(_, answer)| answer).collect(),
                lengths,
            )
        })
    }

    pub(crate) fn ask_at(&self, query: &Value, now: &str) -> Result<Answer, QueryError> {
        let now: Timestamp = now.parse().unwrap();
        let body = query.to_string();
        let answer = stats::answer(
            &self.store.client,
            &self.sites,
            &self.limits,
            body.as_bytes(),
            now,
        );
        self.runtime.block_on(answer)
    }
}

pub(crate) fn sites_toml(n_sites: usize, more: &str) -> String {
    (0..n_sites)
        .map(|i| {
            format!(
                "[[site]]\nid = \"s{i}\"\ndomains = [\"s{i}.example.test\"]\n\
                 time_zone = \"Europe/Copenhagen\"\n{more}\n"
            )
        })
        .collect()
}

/// Pageviews of `/path` by so many visitors, on Sunday the 8th unless moved, ten o'clock.
pub(crate) fn views(site: &str, path: &str, visitors: std::ops::Range<u64>) -> Vec<Event> {
    let day = day_number(date(2026, 11, 8));
    let zone = TimeZone::get("Europe/Copenhagen").unwrap();
    let ten = start_of(day, &zone).as_millisecond() + 36_000_000;
    let view = |visitor| Event {
        site: site.into(),
        ts_ms: ten,
        day,
        expires: day_number(date(2027, 12, 1)),
        name: "pageview".into(),
        visitor: visitor + 1,
        visit: visitor + 1,
        is_interactive: true,
        path: path.into(),
        country: "DK".into(),
        ..Event::default()
    };
    visitors.map(view).collect()
}

pub(crate) fn moved(mut events: Vec<Event>, days: i64) -> Vec<Event> {
    for event in &mut events {
        event.day = u16::try_from(i64::from(event.day) + days).unwrap();
        event.ts_ms += days * 86_400_000;
        event.visitor += 1_000_000 * event.day as u64;
        event.visit += 1_000_000 * event.day as u64;
    }
    events
}

pub(crate) fn rows(answer: &Answer) -> Vec<(String, Option<f64>)> {
    answer
        .rows
        .iter()
        .map(|row| (row.dimensions.join("|"), row.metrics[0]))
        .collect()
}

pub(crate) fn pages(site: &str, filters: Value) -> Value {
    json!({
        "site_id": site, "metrics": ["visitors", "pageviews"], "date_range": "7d",
        "dimensions": ["event:page"], "filters": filters,
    })
}
