//! When the job runs: once a day, after the days in the configuration have changed (while brine was down, too), and to
//! finish what was cut short.

use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jiff::tz::TimeZone;
use tokio::sync::watch;

use super::in_force::InForce;
use super::job::StartedBy;
use super::{Retention, RunError};
use crate::consent::token_day;
use crate::jitter;
use crate::shutdown;

/// How often it is looked whether a run is due.
const TICK: Duration = Duration::from_secs(1);

/// Waits after a failed run, doubled up to the second.
const RETRY: [Duration; 2] = [Duration::from_secs(2), Duration::from_secs(300)];

/// Waits after a run that found something left, doubled up to the second.
const AGAIN: [Duration; 2] = [Duration::from_secs(300), Duration::from_secs(6 * 3_600)];

/// How far the clock may go ahead of the machine between two looks, seconds: more than any zone or leap second does.
const JUMP_S: f64 = 20.0 * 3_600.0;

/// How long is waited after it went further: time for whoever looks after clocks.
const JUMPED: Duration = Duration::from_secs(3_600);

/// How long is waited, at most, before another collector's run is looked after: it may have been killed, and its claim
/// lapse.
const ELSEWHERE: Duration = Duration::from_secs(15);

/// How often it is looked whether visitors have restricted their events, or allowed them to be counted again.
const RESTRICTED: Duration = Duration::from_secs(60);

/// How often the age of the oldest events is looked at.
const LOOK: Duration = Duration::from_secs(600);

/// Runs the job when it is due, until shutdown. A run under way at shutdown is dropped: its journal is gone on with.
pub async fn work(retention: Arc<Retention>, mut shutdown: watch::Receiver<bool>) {
    let (job, metrics) = (&retention.job, &retention.job.metrics);
    let mut known: Option<Known> = None;
    // What held when brine started: a change right after it is a change.
    let live = job.collector.live.load_full();
    let mut held = InForce::of(&live);
    drop(live);
    let (mut not_before, mut pause, mut again) = (Instant::now(), RETRY[0], AGAIN[0]);
    // It waits because of what the last run has left, which a new rule or a new day may change.
    let mut has_left = false;
    let mut steady = Steady {
        at: Instant::now(),
        wall: job.collector.clock.now(),
    };
    let mut looked: Option<Instant> = None;
    let (mut restrictions, mut restrictions_seen) = (None, Instant::now());
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown::asked(&mut shutdown) => return,
        }
        let now = job.collector.clock.now();
        if steady.jumps(Instant::now(), now) && job.collector.clock.is_of_the_system() {
            tracing::warn!(%now, "the clock has jumped forward: no rows are purged for an hour");
            (not_before, has_left) = (Instant::now() + JUMPED, false);
        }
        let live = job.collector.live.load_full();
        let Some(known) = &mut known else {
            // ClickHouse may come later; until it has said when the last run was, none is due.
            if Instant::now() >= not_before {
                let asked = tokio::select! {
                    asked = Known::ask(&retention, now) => asked,
                    () = shutdown::asked(&mut shutdown) => return,
                };
                match asked {
                    Ok(asked) => known = Some(asked),
                    Err(error) => {
                        tracing::debug!(%error, "retention: ClickHouse is not there yet");
                        not_before = Instant::now() + RETRY[0];
                    }
                }
            }
            continue;
        };
        let rules = InForce::of(&live);
        let late_s = f64::from(live.retention.late_hours) * 3_600.0;
        let verified = metrics.last_verified.get();
        // What was noted under a clock that was ahead counts as of now.
        known.last = known.last.min(now);
        known.since_s = known.since_s.min(now.as_second() as f64);
        let since = if verified > 0.0 {
            verified.min(now.as_second() as f64)
        } else {
            known.since_s
        };
        let is_late = now.as_second() as f64 - since > late_s;
        metrics.late.set(i64::from(is_late));
        if looked.is_none_or(|at| at.elapsed() > LOOK) {
            looked = Some(Instant::now());
            if let Ok(rules) = job.rules().await {
                drop(metrics.look(&job.store, &live.sites, &rules, now).await);
            }
        }
        if restrictions_seen.elapsed() > RESTRICTED {
            restrictions_seen = Instant::now();
            let seen = job.restrictions().await.ok();
            if restrictions.is_some() && seen.is_some() && restrictions != seen {
                match job.recount().await {
                    Ok(days) => tracing::debug!(days, "days counted after a restriction"),
                    Err(error) => tracing::debug!(%error, "days are counted in the next run"),
                }
            }
            restrictions = seen.or(restrictions);
        }
        let next = next_after(known.last, live.retention.run_at);
        let is_new = now >= next || held != rules;
        if has_left && is_new {
            (not_before, has_left) = (Instant::now(), false);
        }
        let is_due = is_new || known.is_cut_short;
        if !is_due || Instant::now() < not_before {
            continue;
        }
        let result = tokio::select! {
            result = job.run(StartedBy::Schedule) => result,
            () = shutdown::asked(&mut shutdown) => return,
        };
        match result {
            Ok(record) => {
                (known.last, known.is_cut_short) = (now, false);
                held = rules;
                pause = RETRY[0];
                has_left = !record.findings.is_empty();
                if has_left {
                    // Perhaps only an erasure under way; looked at again soon, and then less often.
                    known.is_cut_short = true;
                    not_before = Instant::now() + again;
                    again = (again * 2).min(AGAIN[1]);
                } else {
                    again = AGAIN[0];
                }
            }
            Err(error) => {
                has_left = false;
                if matches!(error, RunError::Elsewhere(_)) {
                    metrics.runs.with_label_values(&["elsewhere"]).inc();
                    tracing::debug!(%error, "retention");
                    // Whoever runs it records it; what it says decides whether there is anything left to do.
                    if let Ok((_, ended)) = job.last_run().await {
                        known.last = known.last.max(moment(ended).unwrap_or(known.last));
                    }
                    // Two that want it at the same moment both step back: not to the same moment again.
                    not_before = Instant::now() + jitter::up_to(ELSEWHERE);
                } else {
                    tracing::warn!(%error, "retention run not done; trying again");
                    known.is_cut_short = true;
                    not_before = Instant::now() + pause;
                    pause = (pause * 2).min(RETRY[1]);
                }
            }
        }
    }
}

/// Wall clock and machine at one moment. A machine that has slept looks like a clock that has jumped: it waits, too.
struct Steady {
    at: Instant,
    wall: Timestamp,
}

impl Steady {
    /// Tells whether the wall clock has gone most of a day further than the machine since it was last asked.
    fn jumps(&mut self, at: Instant, wall: Timestamp) -> bool {
        let passed = at.saturating_duration_since(self.at).as_secs_f64();
        let went = wall.duration_since(self.wall).as_secs_f64();
        *self = Steady { at, wall };
        went - passed > JUMP_S
    }
}

/// What decides whether a run is due.
struct Known {
    /// When the last one ended; never: brine's start, so that a new installation runs at its first `run_at`.
    last: Timestamp,
    /// Lateness is counted from here while no run was verified.
    since_s: f64,
    /// Or due for another reason than its time.
    is_cut_short: bool,
}

impl Known {
    async fn ask(retention: &Retention, now: Timestamp) -> Result<Known, RunError> {
        let job = &retention.job;
        super::prepare(&job.store).await?;
        let (verified, ended) = job.last_run().await?;
        if verified > 0 {
            job.metrics.last_verified.set(verified as f64 / 1_000.0);
        }
        let rules = InForce::of(&job.collector.live.load_full());
        let file = job.last_rules.clone();
        let has_changed = match tokio::task::spawn_blocking(move || file.read()).await? {
            Some(last) => last != rules,
            // Before the first run of all, what is in force now is what it has to be compared with.
            None if ended == 0 => {
                job.remember(rules).await?;
                false
            }
            None => true,
        };
        Ok(Known {
            last: moment(ended).unwrap_or(now),
            since_s: now.as_second() as f64,
            is_cut_short: !job.journal.entries().is_empty() || has_changed,
        })
    }
}

/// Reads what `last_run` says; none where there was none.
fn moment(ms: i64) -> Option<Timestamp> {
    (ms > 0)
        .then(|| Timestamp::from_millisecond(ms).ok())
        .flatten()
}

/// The first `run_at` (UTC) after `last`.
fn next_after(last: Timestamp, run_at: jiff::civil::Time) -> Timestamp {
    let on = |day: u16| {
        let date = crate::salts::period::date_of(day);
        let at = date.to_datetime(run_at).to_zoned(TimeZone::UTC);
        at.map_or(Timestamp::MAX, |at| at.timestamp())
    };
    let day = token_day(last);
    let today = on(day);
    if today > last {
        today
    } else {
        on(day.saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_jumps_forward_is_noticed_once_and_one_that_goes_is_not() {
        let begun = Instant::now();
        let wall: Timestamp = "2026-11-24T00:19:59Z".parse().unwrap();
        let mut steady = Steady { at: begun, wall };
        let at = |machine_s: u64, wall_s: i64| {
            let wall = wall + jiff::SignedDuration::from_secs(wall_s);
            (begun + Duration::from_secs(machine_s), wall)
        };
        let mut jumps = |(at, wall)| steady.jumps(at, wall);
        assert!(!jumps(at(1, 1)));
        assert!(!jumps(at(100_000, 100_000)), "a tick that came late");
        assert!(!jumps(at(100_001, 96_000)), "set back");
        assert!(!jumps(at(100_002, 103_602)), "an hour on");
        assert!(jumps(at(100_003, 31_536_000)), "a year on");
        assert!(!jumps(at(100_004, 31_536_001)));
        assert!(!jumps(at(100_005, 100_005)), "mended");
    }

    #[test]
    fn a_run_is_due_at_its_time_of_the_same_or_the_next_day() {
        let at = "00:20".parse().unwrap();
        for (last, next) in [
            ("2026-11-24T00:19:59Z", "2026-11-24T00:20:00Z"),
            ("2026-11-24T00:20:00Z", "2026-11-25T00:20:00Z"),
            ("2026-11-24T23:59:00Z", "2026-11-25T00:20:00Z"),
        ] {
            let last: Timestamp = last.parse().unwrap();
            assert_eq!(next_after(last, at).to_string(), next);
        }
    }
}
