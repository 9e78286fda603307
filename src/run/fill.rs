//! Days of made-up traffic, lived through by a real collector before the real ones begin.
//!
//! Comes in: what to make up. Goes out: a data directory as if brine had run all those days. Everything is real but
//! the visitors and the clock, which is moved by hand: consents are given and recorded, beacons walk the whole path,
//! salts are made before each midnight and destroyed after their grace, batches reach ClickHouse exactly once.
//!
//! Two liberties, both about speed. Rate limits are about real seconds, and weeks pass in them: they are as wide as
//! they can be. And within two hours those who are asked for consent come first, their beacons after that, so that
//! one wait for the disk serves many of them.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::{Control, RunError, batch_thread, listen, maintain, open_collector, open_store, part};
use crate::clock::{ManualClock, SharedClock};
use crate::collector::{Carrier, ChoiceReply, Collector};
use crate::config::Config;
use crate::demo;
use crate::demo::traffic::record::Record;
use crate::demo::traffic::{Action, Body, Fill, Head, Step, Traffic, write_countries};
use crate::metrics::Metrics;
use crate::outcome::Outcome;
use crate::salts::period::{date_of, local_day};
use crate::store::migrations::migrate;

/// Those who are asked for consent come first within this much time.
const WINDOW_MS: i64 = 2 * 3_600_000;

/// Salts are looked after this often, as the clock of the made-up days goes.
const TICK_MS: i64 = 600_000;

/// Beacons under way at once; each waits for its group's fsync.
const UNDER_WAY: usize = 4_096;

/// The spool may run ahead of ClickHouse by this much.
const SPOOL_AHEAD_BYTES: u64 = 64 << 20;

/// Makes the traffic up unless that was done before. Returns false where brine is to stop.
///
/// # Errors
/// [`RunError`]: a part cannot start, or the directory has been used for something else.
pub(super) async fn fill(
    config: &Config,
    control: &Control,
    fill: &Fill,
    metrics: &Metrics,
) -> Result<bool, RunError> {
    let now = control.clock.now();
    let data = &config.directory;
    let fault = |e: &dyn std::fmt::Display| part("demo traffic", e);
    match Record::read(data).map_err(|e| fault(&e))? {
        Some(record) if record.is_complete => return Ok(true),
        Some(_) => {
            return Err(fault(
                &"an earlier fill was interrupted; begin anew with --fresh",
            ));
        }
        None if demo::is_used(data).map_err(|e| fault(&e))? => {
            let reason = format!(
                "{} is in use without made-up traffic; begin anew with --fresh, or name another --data",
                data.display()
            );
            return Err(fault(&reason));
        }
        None => {}
    }
    // A taken port should not cost the fill.
    drop(listen("server.listen", config.server.listen)?);
    drop(listen("server.admin", config.server.admin)?);

    let traffic = Traffic::new(fill, &config.sites, now);
    let zone = config
        .sites
        .iter()
        .next()
        .map(|site| site.time_zone.clone());
    let first_day = zone.map_or_else(String::new, |zone| {
        date_of(local_day(traffic.begins(), &zone)).to_string()
    });
    let mut record = Record::of(fill, first_day, now.to_string());
    record.write(data).map_err(|e| fault(&e))?;
    write_countries(data, now).map_err(|e| fault(&e))?;

    let clock = Arc::new(ManualClock::starting_at(traffic.begins()));
    let shared: SharedClock = clock.clone();
    let environment = &control.environment;
    let (collector, recovery) =
        open_collector(widened(config), &shared, metrics, environment).await?;
    let (supervisor, store) = open_store(&collector.config, environment).await?;
    migrate(&store).await.map_err(|e| part("schema", e))?;
    let (stop_batches, batches_stopped) = watch::channel(false);
    let batcher = batch_thread(&collector, &store, &recovery, batches_stopped)?;

    let mut driver = Driver {
        collector: collector.clone(),
        clock,
        ticked_ms: traffic.begins().as_millisecond(),
        tokens: vec![HashMap::new(); traffic.n_sites()],
        under_way: JoinSet::new(),
        n_unplanned: 0,
    };
    let is_done = driver.live(traffic, &mut record, &control.shutdown).await;
    let n_unplanned = driver.n_unplanned;
    drop(driver);

    collector.spool.close().await;
    let mut shutdown = control.shutdown.clone();
    let delivered = tokio::task::spawn_blocking(move || batcher.join());
    let is_delivered = tokio::select! {
        _ = delivered => true,
        () = crate::shutdown::asked(&mut shutdown) => {
            let _no_batcher_left = stop_batches.send(true).is_err();
            false
        }
    };
    if let Some(supervisor) = supervisor {
        if let Some(engine) = &store.engine
            && let Err(error) = engine.shutdown().await
        {
            tracing::warn!(%error, "embedded engine");
        }
        supervisor.ended().await;
    }
    if n_unplanned > 0 {
        tracing::error!(
            n_unplanned,
            "beacons ended otherwise than they were made to"
        );
    }
    record.is_complete = is_done && is_delivered;
    if record.is_complete {
        record.write(data).map_err(|e| fault(&e))?;
    }
    Ok(record.is_complete)
}

/// The configuration for living through weeks in seconds.
fn widened(config: &Config) -> Config {
    let mut config = config.clone();
    config.limits.address_per_minute = u32::MAX;
    config.limits.address_burst = u32::MAX;
    config.limits.consent_per_minute = u32::MAX;
    config.limits.site_per_second = u32::MAX;
    config.limits.site_burst = u32::MAX;
    config.spool.group_records = UNDER_WAY / 4;
    config.spool.group_delay = Duration::from_millis(3);
    config
}

/// Lets a collector live through actions.
struct Driver {
    collector: Arc<Collector>,
    clock: Arc<ManualClock>,
    /// The consents, by site and person. Thrown away with the driver.
    tokens: Vec<HashMap<usize, Consent>>,
    under_way: JoinSet<Ending>,
    ticked_ms: i64,
    n_unplanned: u64,
}

#[derive(Clone, Debug)]
struct Consent {
    token: String,
    is_withdrawn: bool,
}

/// How something ended that was under way.
enum Ending {
    Beacon {
        outcome: Outcome,
        expected: Outcome,
    },
    Asked {
        site: usize,
        person: Option<usize>,
        token: Option<String>,
    },
    Withdrawn,
    Failed(String),
}

type UnderWay = Pin<Box<dyn Future<Output = Ending> + Send>>;

impl Driver {
    /// Returns whether it came to the end.
    async fn live(
        &mut self,
        mut traffic: Traffic,
        record: &mut Record,
        shutdown: &watch::Receiver<bool>,
    ) -> bool {
        // Hidden by itself where standard error is no terminal.
        let bar = ProgressBar::new(u64::from(traffic.n_days()));
        if let Ok(style) = ProgressStyle::with_template(
            "  making up {len} days {wide_bar} {pos}/{len}, {msg} beacons, {eta} left",
        ) {
            bar.set_style(style);
        }
        while let Some(day) = traffic.next_day() {
            let mut rest = day.into_iter().peekable();
            while let Some(first) = rest.peek() {
                let ends = (first.at_ms.div_euclid(WINDOW_MS) + 1) * WINDOW_MS;
                let mut window = Vec::new();
                while let Some(action) = rest.next_if(|action| action.at_ms < ends) {
                    window.push(action);
                }
                if *shutdown.borrow() || !self.window(window, &traffic, record).await {
                    return false;
                }
            }
            bar.inc(1);
            bar.set_message(record.n_all().to_string());
        }
        self.settle(0).await;
        bar.finish_and_clear();
        true
    }

    /// Lives through a window. Returns false where something failed that will go on failing.
    async fn window(
        &mut self,
        actions: Vec<Action>,
        traffic: &Traffic,
        record: &mut Record,
    ) -> bool {
        while self.collector.spool.stats().bytes > SPOOL_AHEAD_BYTES {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (asked, rest): (Vec<_>, Vec<_>) = actions
            .into_iter()
            .partition(|action| matches!(action.step, Step::Ask { .. }));
        for Action { at_ms, site, step } in asked {
            if let Step::Ask { yes, head } = step {
                let choice = if yes.is_some() { "grant" } else { "deny" };
                record.count_choice(traffic.site(site), choice);
                self.set_clock(at_ms);
                let asking = ask(self.collector.clone(), traffic.site(site), site, yes, head);
                self.go(Box::pin(asking)).await;
            }
        }
        self.settle(0).await;
        for Action { at_ms, site, step } in rest {
            self.tick_until(at_ms).await;
            self.set_clock(at_ms);
            match step {
                Step::Ask { .. } => {}
                Step::Send {
                    person,
                    head,
                    mut body,
                    expected,
                } => {
                    let consent = person.and_then(|person| self.tokens[site].get(&person));
                    // Another tab of somebody who has just taken the consent back.
                    let expected = match consent {
                        Some(consent) if consent.is_withdrawn => Outcome::ConsentWithdrawn,
                        _ => expected,
                    };
                    body.c = consent.map(|consent| consent.token.clone());
                    record.count_beacon(traffic.site(site), expected.code());
                    let sending = send(self.collector.clone(), body, head, expected);
                    self.go(Box::pin(sending)).await;
                }
                Step::Withdraw { person, head } => {
                    let Some(consent) = self.tokens[site].get_mut(&person) else {
                        continue;
                    };
                    consent.is_withdrawn = true;
                    let token = consent.token.clone();
                    record.count_choice(traffic.site(site), "withdraw");
                    let withdrawing =
                        withdraw(self.collector.clone(), traffic.site(site), token, head);
                    self.go(Box::pin(withdrawing)).await;
                }
            }
        }
        self.settle(UNDER_WAY / 2).await;
        self.n_unplanned < 1_000
    }

    /// Lets the salts' keeper see every tick up to a moment, as it does in life.
    async fn tick_until(&mut self, at_ms: i64) {
        while self.ticked_ms + TICK_MS <= at_ms {
            self.ticked_ms += TICK_MS;
            self.set_clock(self.ticked_ms);
            maintain::past_salts(&self.collector).await;
        }
    }

    fn set_clock(&self, at_ms: i64) {
        self.clock
            .set(Timestamp::from_millisecond(at_ms).unwrap_or(Timestamp::MAX));
    }

    /// Begins something at the moment that the clock shows: all that reads the clock happens before this returns.
    async fn go(&mut self, mut future: UnderWay) {
        let polled =
            std::future::poll_fn(|context| Poll::Ready(future.as_mut().poll(context))).await;
        match polled {
            Poll::Ready(ending) => self.note(ending),
            Poll::Pending => {
                self.under_way.spawn(future);
            }
        }
        if self.under_way.len() >= UNDER_WAY {
            self.settle(UNDER_WAY / 2).await;
        }
    }

    /// Waits until at most `n` are under way.
    async fn settle(&mut self, n: usize) {
        while self.under_way.len() > n {
            match self.under_way.join_next().await {
                Some(Ok(ending)) => self.note(ending),
                Some(Err(error)) => self.note(Ending::Failed(error.to_string())),
                None => return,
            }
        }
    }

    fn note(&mut self, ending: Ending) {
        let problem = match ending {
            Ending::Beacon { outcome, expected } if outcome == expected => return,
            Ending::Withdrawn | Ending::Asked { person: None, .. } => return,
            Ending::Asked {
                site,
                person: Some(person),
                token: Some(token),
            } => {
                let consent = Consent {
                    token,
                    is_withdrawn: false,
                };
                self.tokens[site].insert(person, consent);
                return;
            }
            Ending::Beacon { outcome, expected } => {
                format!("{} instead of {}", outcome.code(), expected.code())
            }
            Ending::Asked { .. } => "a consent was not granted".into(),
            Ending::Failed(reason) => reason,
        };
        self.n_unplanned += 1;
        if self.n_unplanned <= 10 {
            tracing::error!(problem, "made-up traffic ended otherwise than planned");
        }
    }
}

async fn send(
    collector: Arc<Collector>,
    body: Box<Body>,
    head: Arc<Head>,
    expected: Outcome,
) -> Ending {
    let bytes = head.bytes(&body);
    let (origin, client) = (head.origin.as_deref(), head.client());
    let outcome = if head.app.is_some() {
        let batch = collector.batch(&bytes, origin, None, client).await;
        // Where the batch was refused as a whole, no event was looked at.
        let first = batch.ends.first().map(|end| end.outcome);
        first.unwrap_or(batch.ended.outcome)
    } else {
        let carrier = Carrier::Body(&bytes);
        collector.event(carrier, origin, None, client).await.outcome
    };
    Ending::Beacon { outcome, expected }
}

async fn ask(
    collector: Arc<Collector>,
    site: &'static str,
    index: usize,
    yes: Option<usize>,
    head: Arc<Head>,
) -> Ending {
    let choice = if yes.is_some() { "grant" } else { "deny" };
    let body = json!({ "site": site, "choice": choice, "source": "demo" }).to_string();
    let (ended, reply) = collector
        .choose(body.as_bytes(), head.origin.as_deref(), head.client())
        .await;
    match reply {
        ChoiceReply::Granted { token, .. } => Ending::Asked {
            site: index,
            person: yes,
            token: Some(token),
        },
        ChoiceReply::Noted => Ending::Asked {
            site: index,
            person: yes,
            token: None,
        },
        _ => Ending::Failed(format!(
            "consent choice: {} {}",
            ended.outcome.code(),
            ended.detail
        )),
    }
}

async fn withdraw(
    collector: Arc<Collector>,
    site: &'static str,
    token: String,
    head: Arc<Head>,
) -> Ending {
    let body =
        json!({ "site": site, "choice": "withdraw", "source": "demo", "token": token }).to_string();
    let (ended, _) = collector
        .choose(body.as_bytes(), head.origin.as_deref(), head.client())
        .await;
    if ended.outcome == Outcome::Accepted {
        Ending::Withdrawn
    } else {
        Ending::Failed(format!(
            "withdrawal: {} {}",
            ended.outcome.code(),
            ended.detail
        ))
    }
}
