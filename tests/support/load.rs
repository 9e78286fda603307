//! Writers that remember: each beacon has a number of its own, and what came back for it is kept.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{Method, Request};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;

use super::{Brine, FIREFOX};

/// What was answered for each number.
#[derive(Clone, Debug, Default)]
pub struct Ledger {
    /// 202.
    pub accepted: BTreeSet<u32>,
    /// No answer: the beacon may be stored or not.
    pub unanswered: BTreeSet<u32>,
    /// Any other answer: not stored. Outcome by number.
    pub refused: BTreeMap<u32, String>,
}

impl Ledger {
    /// Asserts that `events` holds every accepted beacon once, every unanswered one at most once, and no
    /// refused one.
    #[track_caller]
    pub fn expect_exactly_once(&self, rows: &[String]) {
        let mut stored: BTreeMap<u32, u64> = BTreeMap::new();
        for row in rows {
            let (number, count) = row.split_once('\t').expect("number and count");
            stored.insert(
                number.parse().expect("a number"),
                count.parse().expect("a count"),
            );
        }
        let lost: Vec<_> = self
            .accepted
            .iter()
            .filter(|n| !stored.contains_key(n))
            .collect();
        let doubled: Vec<_> = stored.iter().filter(|(_, count)| **count > 1).collect();
        let unasked: Vec<_> = stored
            .keys()
            .filter(|n| !self.accepted.contains(n) && !self.unanswered.contains(n))
            .collect();
        assert!(
            lost.is_empty() && doubled.is_empty() && unasked.is_empty(),
            "of {} accepted and {} unanswered: {} lost {lost:?}, {} doubled {doubled:?}, {} never accepted {unasked:?}",
            self.accepted.len(),
            self.unanswered.len(),
            lost.len(),
            doubled.len(),
            unasked.len(),
        );
        assert!(
            !self.accepted.is_empty(),
            "nothing was accepted: {:?}",
            self.refused
        );
    }

    /// Outcomes of what was refused, with their number.
    pub fn refusals(&self) -> BTreeMap<&str, usize> {
        let mut counts = BTreeMap::new();
        for outcome in self.refused.values() {
            *counts.entry(outcome.as_str()).or_default() += 1;
        }
        counts
    }
}

/// Number and count of every stored beacon of a [`Load`].
pub const STORED: &str = "SELECT props['n'], count() FROM events WHERE props['n'] != '' GROUP BY 1";

/// Several connections that send without pause.
pub struct Load {
    shared: Arc<Shared>,
    writers: JoinSet<()>,
}

struct Shared {
    target: Mutex<SocketAddr>,
    token: String,
    next: AtomicU32,
    stop: AtomicBool,
    ledger: Mutex<Ledger>,
    /// Pause of each writer between beacons.
    pause: Duration,
}

impl Load {
    /// Starts `connections` writers to the portal's endpoint.
    pub async fn start(brine: &Brine, connections: usize) -> Load {
        Load::start_with(brine, connections, Duration::ZERO).await
    }

    /// The same with a pause between the beacons of a writer.
    pub async fn start_with(brine: &Brine, connections: usize, pause: Duration) -> Load {
        let shared = Arc::new(Shared {
            target: Mutex::new(brine.public),
            token: brine.consent("portal").await,
            next: AtomicU32::new(1),
            stop: AtomicBool::new(false),
            ledger: Mutex::default(),
            pause,
        });
        let mut writers = JoinSet::new();
        for _ in 0..connections {
            writers.spawn(write(shared.clone()));
        }
        Load { shared, writers }
    }

    /// Sends to the restarted `brine` from now on.
    pub fn follow(&self, brine: &Brine) {
        *self
            .shared
            .target
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = brine.public;
    }

    /// Returns how many were accepted so far.
    pub fn accepted(&self) -> usize {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .accepted
            .len()
    }

    /// Returns what was answered so far.
    pub fn ledger(&self) -> Ledger {
        self.shared
            .ledger
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// Waits until `more` further beacons have been accepted.
    pub async fn wait_accepted(&self, more: usize) {
        let (started, before) = (std::time::Instant::now(), self.accepted());
        while self.accepted() < before + more {
            assert!(
                started.elapsed() < super::PATIENCE,
                "no more beacons are accepted: {:?}",
                self.ledger().refusals()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Lets every writer finish the beacon it is at.
    pub async fn stop(mut self) -> Ledger {
        self.shared.stop.store(true, Ordering::Relaxed);
        while let Some(ended) = self.writers.join_next().await {
            ended.expect("a writer does not panic");
        }
        self.ledger()
    }
}

async fn write(shared: Arc<Shared>) {
    // A client each, and so a connection each; nothing is sent twice behind our back.
    let http: Client<_, Full<Bytes>> = Client::builder(TokioExecutor::new())
        .retry_canceled_requests(false)
        .build_http();
    while !shared.stop.load(Ordering::Relaxed) {
        let n = shared.next.fetch_add(1, Ordering::Relaxed);
        // Longer numbers are masked.
        assert!(n < 1_000_000, "six digits are what a property keeps");
        let target = *shared.target.lock().unwrap_or_else(PoisonError::into_inner);
        let body = format!(
            r#"{{"n":"load","u":"https://portal.example.test/load","d":"portal","p":{{"n":{n}}},"c":"{}"}}"#,
            shared.token
        );
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("http://{target}/api/event"))
            .header("content-type", "text/plain")
            .header("user-agent", FIREFOX)
            .body(Full::new(Bytes::from(body)))
            .expect("a request");
        let answered = async {
            let answer = http.request(request).await.ok()?;
            let outcome = answer
                .headers()
                .get("brine-outcome")
                .and_then(|v| v.to_str().ok());
            let end = (
                answer.status().as_u16(),
                outcome.unwrap_or("none").to_owned(),
            );
            // The head alone is the answer; the rest is read so that the connection can be used again.
            drop(answer.into_body().collect().await);
            Some(end)
        };
        let end = match tokio::time::timeout(super::PATIENCE, answered).await {
            Ok(end) => end,
            Err(_) => panic!("beacon {n} was neither answered nor cut off"),
        };
        let rest = {
            let mut ledger = shared.ledger.lock().unwrap_or_else(PoisonError::into_inner);
            match end {
                Some((202, _)) => {
                    ledger.accepted.insert(n);
                    shared.pause
                }
                Some((_, outcome)) => {
                    ledger.refused.insert(n, outcome);
                    Duration::from_millis(5)
                }
                None => {
                    ledger.unanswered.insert(n);
                    Duration::from_millis(5)
                }
            }
        };
        if !rest.is_zero() {
            tokio::time::sleep(rest).await;
        }
    }
}
