//! End to end: a durable beacon a request, everything on, beside a bare hyper server in the same run.
//!
//! `cargo bench --bench path` prints, for each server, the median over alternating rounds of: requests a
//! second, latency, and the server's own CPU microseconds a request (user and system, from /proc). The
//! yardstick is a hyper server on tokio's multi-thread runtime that reads the body and answers 202. Ratios
//! are between medians of one run; absolute figures depend on the machine.
//!
//! Arguments: `--rounds N` (default 5), `--seconds S` (default 4), `--smoke` (one short round, for CI),
//! `--batches` (batches of events beside single ones, and nothing else).

mod bare;
mod load;
mod server;
#[allow(unreachable_pub)] // It serves the tests as well.
#[path = "../../tests/support/storm.rs"]
mod storm;

use std::time::Duration;

use self::load::{Figures, Load};
use self::server::Server;
use self::storm::Storm;

/// Keep-alive connections of the generator.
const CONNECTIONS: usize = 64;

/// The rate of a real site, beacons a second.
const RATE: u32 = 2_000;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.iter().any(|a| a == "--bare") {
        return bare::run();
    }
    let number = |name: &str, default: u64| {
        let at = arguments.iter().position(|a| a == name);
        at.and_then(|i| arguments.get(i + 1)?.parse().ok())
            .unwrap_or(default)
    };
    let is_smoke = arguments.iter().any(|a| a == "--smoke" || a == "--test");
    let rounds = if is_smoke {
        1
    } else {
        number("--rounds", 5) as usize
    };
    let duration = Duration::from_secs(if is_smoke { 1 } else { number("--seconds", 4) });

    let bare = Server::bare();
    let brine = Server::brine();
    let beacons = brine.beacons();
    let saturated = Load {
        connections: CONNECTIONS,
        rate: None,
        duration,
    };
    let steady = Load {
        connections: CONNECTIONS,
        rate: Some(RATE),
        duration,
    };
    let loads = if arguments.iter().any(|a| a == "--batches") {
        0
    } else {
        2
    };
    for (name, load) in [
        ("saturated, 64 connections", saturated),
        ("2,000 a second, 64 connections", steady),
    ]
    .into_iter()
    .take(loads)
    {
        let (mut of_bare, mut of_brine) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            of_bare.push(load.run(&bare, &beacons));
            of_brine.push(load.run(&brine, &beacons));
        }
        println!("\n{name}, {rounds} rounds of {duration:?}, medians");
        let bare = Figures::median(&of_bare);
        let brine = Figures::median(&of_brine);
        println!("  {:<12} {bare}", "bare hyper");
        println!("  {:<12} {brine}", "brine");
        println!(
            "  ratio        {:.2} x CPU a request",
            brine.cpu_us / bare.cpu_us
        );
    }
    batches(saturated, rounds);
    if arguments.iter().any(|a| a == "--batches") {
        return;
    }
    let storm = Storm {
        crowd: 4 * CONNECTIONS as u32,
        duration,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let tally = runtime.block_on(storm.rage(brine.address));
    assert!(tally.broken.is_empty(), "{:?}", tally.broken);
    println!(
        "\nconsent storm: {:.0} grants and withdrawals a second, {:.0} requests a second with the beacons among them",
        tally.choices_per_second(),
        tally.requests_per_second()
    );
    let stored = brine.wait_until_stored();
    let ledger = brine.count("consents");
    assert_eq!(ledger, tally.grants + tally.withdrawals, "ledger rows");
    println!("  {ledger} ledger rows for as many choices");
    println!(
        "\naccepted to stored: {:.1} us CPU an event in all, of it engine {:.1} us ({} events)",
        stored.cpu_us, stored.engine_us, stored.events
    );
    println!(
        "collector RSS {:.1} MiB, peak {:.1} MiB",
        brine.rss_mib("VmRSS"),
        brine.rss_mib("VmHWM")
    );
}

/// Events of one batch.
const BATCH: usize = 50;

/// What accepting costs beside a single event, without storing, which is the same for both.
fn batches(load: Load, rounds: usize) {
    let server = Server::brine_without_store();
    let (single, batch) = (server.beacons(), server.batches(BATCH));
    // Few connections: 64 batches at once are 3,200 events on the way to one fsync.
    let by_batch = Load {
        connections: 16,
        ..load
    };
    let (mut of_single, mut of_batch) = (Vec::new(), Vec::new());
    for _ in 0..rounds {
        of_single.push(load.run(&server, &single));
        of_batch.push(by_batch.run(&server, &batch));
    }
    let (single, batch) = (Figures::median(&of_single), Figures::median(&of_batch));
    println!("\naccepting alone, saturated, {rounds} rounds, medians");
    println!("  {:<12} {single}", "single");
    println!("  {:<12} {batch}", format!("batch of {BATCH}"));
    println!(
        "  an event     single {:.2} us, in a batch {:.2} us; {:.0} events/s",
        single.cpu_us,
        batch.cpu_us / BATCH as f64,
        batch.per_second * BATCH as f64
    );
}
