//! README, "Consent": nothing before yes, no is heard everywhere, a withdrawal holds at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use crate::rights::done;
use crate::support::standin::StandIn;
use crate::support::{Brine, Builder, FIREFOX, PATIENCE, process};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

fn page(token: &str) -> String {
    format!(r#"{{{PAGE},"c":"{token}"}}"#)
}

/// "Nothing before yes": a beacon without a valid consent leaves no row.
#[tokio::test]
async fn nothing_is_stored_before_yes() {
    let brine = Brine::start();
    brine
        .event(&format!("{{{PAGE}}}"))
        .await
        .expect(204, "consent.missing");
    brine
        .event(&page("nonsense"))
        .await
        .expect(204, "consent.malformed");
    let elsewhere = brine.consent("pernexus").await;
    brine
        .event(&page(&elsewhere))
        .await
        .expect(204, "consent.other_site");
    let token = brine.consent("portal").await;
    brine.event(&page(&token)).await.expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 1);
    brine.wait_for("SELECT count() FROM consents", 2);
}

/// "No is heard everywhere": browser signals win over a token, and over a grant.
#[tokio::test]
async fn browser_signals_are_refusals() {
    let brine = Builder::new()
        .replace(
            "id = \"pernexus\"",
            "id = \"pernexus\"\nhonour_gpc = false\nhonour_dnt = false",
        )
        .start();
    let token = brine.consent("portal").await;
    brine
        .event_with(&[("sec-gpc", "1")], &page(&token))
        .await
        .expect(204, "signal.gpc");
    brine
        .event_with(&[("dnt", "1")], &page(&token))
        .await
        .expect(204, "signal.dnt");
    brine
        .event_with(&[("sec-gpc", "0")], &page(&token))
        .await
        .expect(202, "accepted");
    for (signal, outcome) in [("sec-gpc", "signal.gpc"), ("dnt", "signal.dnt")] {
        let grant = |site: &'static str| {
            let origin = format!("https://{site}.example.test");
            let body = format!(r#"{{"site":"{site}","choice":"grant"}}"#);
            let brine = &brine;
            async move {
                let headers = [
                    (signal, "1"),
                    ("origin", &origin),
                    ("content-type", "application/json"),
                ];
                brine
                    .request(Method::POST, "/api/consent", &headers, &body)
                    .await
            }
        };
        let refused = grant("portal").await;
        refused.expect(204, outcome);
        assert!(refused.body.is_empty(), "no token is issued");
        // A site may be set not to hear them.
        assert_eq!(grant("pernexus").await.status, 201);
    }
    brine.wait_drained().await;
    assert_eq!(brine.count("SELECT count() FROM events"), 1);
    assert_eq!(
        brine.count("SELECT count() FROM consents WHERE site = 'portal'"),
        1
    );
}

#[tokio::test]
async fn a_no_with_the_token_of_a_yes_takes_it_back() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    brine.event(&page(&token)).await.expect(202, "accepted");
    brine
        .choose("portal", "deny", Some(&token))
        .await
        .expect(204, "accepted");
    brine
        .event(&page(&token))
        .await
        .expect(204, "consent.withdrawn");
    // One that is no token of ours is a no like any other.
    brine
        .choose("portal", "deny", Some("AQEA"))
        .await
        .expect(204, "accepted");
    brine.wait_drained().await;
    assert_eq!(brine.count("SELECT sum(denials) FROM denials"), 1);
    assert_eq!(
        brine.sql("SELECT choice FROM consents ORDER BY ts"),
        ["grant", "withdraw"]
    );
}

/// The ledger has each grant and withdrawal; of a denial there is only a number.
#[tokio::test]
async fn the_ledger_has_grants_and_withdrawals_and_only_the_number_of_denials() {
    let brine = Brine::start();
    let granted = brine.choose("portal", "grant", None).await;
    assert_eq!(granted.status, 201);
    let token = granted.json()["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    assert_eq!(granted.json()["policy"], 1);
    let status = brine.choose("portal", "status", Some(&token)).await;
    assert_eq!(
        (status.status.as_u16(), &status.json()["valid"]),
        (200, &true.into())
    );
    assert_eq!(
        status.json()["purposes"],
        serde_json::json!(["measurement"])
    );
    assert_eq!(status.json()["expires"], granted.json()["expires"]);
    for _ in 0..3 {
        brine
            .choose("portal", "deny", None)
            .await
            .expect(204, "accepted");
    }
    for _ in 0..2 {
        // Withdrawing twice is no mistake.
        brine
            .choose("portal", "withdraw", Some(&token))
            .await
            .expect(204, "accepted");
    }
    let status = brine.choose("portal", "status", Some(&token)).await;
    assert_eq!(status.json()["reason"], "consent.withdrawn");
    brine
        .event(&page(&token))
        .await
        .expect(204, "consent.withdrawn");
    brine.wait_drained().await;

    let rows = brine.sql(
        "SELECT scope, site, choice, policy_version, purposes, source, last_day - toDate(ts), expires - last_day, ledger != 0 \
         FROM consents ORDER BY ts",
    );
    let grant = "portal\tportal\tgrant\t1\t['measurement']\ttest\t180\t1825\t1";
    assert_eq!(
        rows,
        [
            grant.to_owned(),
            grant.replace("grant", "withdraw"),
            grant.replace("grant", "withdraw")
        ]
    );
    assert_eq!(brine.count("SELECT uniqExact(ledger) FROM consents"), 1);
    assert_eq!(
        brine.count("SELECT sum(denials) FROM denials WHERE site = 'portal'"),
        3
    );
    let columns =
        brine.sql("SELECT name FROM system.columns WHERE table = 'denials' ORDER BY position");
    assert_eq!(columns, ["site", "day", "denials", "batch_id", "seq"]);
    // The ledger's key is in no event: nothing joins them.
    assert_eq!(
        brine
            .count("SELECT count() FROM system.columns WHERE table = 'events' AND name = 'ledger'"),
        0
    );
}

/// After a withdrawal was answered no beacon of its token is let in, on any connection.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_stops_beacons_on_every_connection_at_once() {
    let brine = Arc::new(Builder::new().set("SPOOL__GROUP_DELAY_MS", "20").start());
    for round in 0..5 {
        let token = brine.consent("portal").await;
        let (withdrawn, stop) = (
            Arc::new(AtomicBool::new(false)),
            Arc::new(AtomicBool::new(false)),
        );
        let mut writers = tokio::task::JoinSet::new();
        for _ in 0..16 {
            let (brine, token) = (brine.clone(), token.clone());
            let (withdrawn, stop) = (withdrawn.clone(), stop.clone());
            writers.spawn(async move {
                let (mut before, mut after) = (0, 0);
                while !stop.load(Ordering::SeqCst) {
                    let was_withdrawn = withdrawn.load(Ordering::SeqCst);
                    let name = if was_withdrawn { "after" } else { "before" };
                    let body = page(&token).replace("pageview", &format!("{name}-{round}"));
                    let answer = brine.event(&body).await;
                    if was_withdrawn {
                        answer.expect(204, "consent.withdrawn");
                        after += 1;
                    } else if answer.status == 202 {
                        before += 1;
                    }
                }
                (before, after)
            });
        }
        tokio::time::sleep(Duration::from_millis(100 + 30 * round)).await;
        brine
            .choose("portal", "withdraw", Some(&token))
            .await
            .expect(204, "accepted");
        withdrawn.store(true, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(100)).await;
        stop.store(true, Ordering::SeqCst);
        let (mut before, mut after) = (0, 0);
        while let Some(ended) = writers.join_next().await {
            let (b, a) = ended.expect("no beacon passed after the withdrawal");
            (before, after) = (before + b, after + a);
        }
        assert!(before > 0 && after > 0, "{before} before, {after} after");
        brine.wait_for(
            &format!("SELECT count() FROM events WHERE name = 'before-{round}'"),
            before,
        );
    }
    assert_eq!(
        brine.count("SELECT count() FROM events WHERE name LIKE 'after%'"),
        0
    );
}

/// A withdrawal that was answered survives everything that a 202 survives.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_survives_kill_9_right_after_its_answer() {
    let mut brine = Brine::start();
    let mut withdrawn = Vec::new();
    for round in 0..6 {
        let token = brine.consent("portal").await;
        brine.event(&page(&token)).await.expect(202, "accepted");
        let engine = brine.engine().expect("an engine");
        if round % 2 == 1 {
            // ClickHouse hangs: the withdrawal is in the spool and nowhere else.
            process::signal(engine, "STOP");
        }
        brine
            .choose("portal", "withdraw", Some(&token))
            .await
            .expect(204, "accepted");
        brine.kill();
        process::signal(engine, "KILL");
        withdrawn.push(token);
        brine.restart();
        for token in &withdrawn {
            brine
                .event(&page(token))
                .await
                .expect(204, "consent.withdrawn");
        }
    }
    brine.wait_drained().await;
    // Now from the log: the spool has let go of them.
    assert_eq!(brine.terminate(), Some(0));
    brine.restart();
    for token in &withdrawn {
        brine
            .event(&page(token))
            .await
            .expect(204, "consent.withdrawn");
    }
    assert_eq!(brine.count("SELECT count() FROM events"), 6);
    assert_eq!(
        brine.count("SELECT count() FROM consents WHERE choice = 'withdraw'"),
        6
    );
    assert_eq!(brine.metric("brine_revocations").await, 6.0);
}

/// Sites of one group, and a site's sub-domains, share a consent; nobody else does.
#[tokio::test]
async fn a_group_shares_a_consent_and_sub_domains_do() {
    let pernexus = "domains = [\"pernexus.example.test\"]";
    let brine = Builder::new()
        .replace("# group = \"corporate\"", "group = \"corporate\"")
        .replace(pernexus, &format!("{pernexus}\ngroup = \"corporate\""))
        .start();
    let token = brine.consent("portal").await;
    let send = |host: &'static str, site: &'static str| {
        let body =
            format!(r#"{{"n":"pageview","u":"https://{host}/","d":"{site}","c":"{token}"}}"#);
        let origin = format!("https://{host}");
        let brine = &brine;
        async move { brine.event_with(&[("origin", &origin)], &body).await }
    };
    send("portal.example.test", "portal")
        .await
        .expect(202, "accepted");
    send("a.b.portal.example.test", "portal")
        .await
        .expect(202, "accepted");
    send("a.portal.example.test", "a.portal.example.test")
        .await
        .expect(202, "accepted");
    send("pernexus.example.test", "pernexus")
        .await
        .expect(202, "accepted");
    send("veriloc.example.test", "veriloc")
        .await
        .expect(204, "consent.other_site");
    // pernexus did not ask for its sub-domains.
    send("a.pernexus.example.test", "pernexus")
        .await
        .expect(403, "site.origin");
    // Taken back on one, it is taken back on all.
    brine
        .choose("pernexus", "withdraw", Some(&token))
        .await
        .expect(204, "accepted");
    send("portal.example.test", "portal")
        .await
        .expect(204, "consent.withdrawn");
    brine.wait_for("SELECT count() FROM events", 4);
}

/// A grant comes from a page of the site's own; an app has none and needs none.
#[tokio::test]
async fn only_the_sites_own_pages_may_grant() {
    let brine = Brine::start();
    let json = ("content-type", "application/json");
    for (site, origin, status) in [
        ("portal", Some("https://portal.example.test"), 201),
        ("portal", Some("https://x.portal.example.test:8443"), 201),
        (
            "portal",
            Some("https://portal.example.test.evil.example"),
            403,
        ),
        ("portal", Some("https://evil.example"), 403),
        ("portal", Some("null"), 403),
        ("portal", None, 403),
        ("ios", None, 201),
    ] {
        let body = format!(r#"{{"site":"{site}","choice":"grant"}}"#);
        let mut headers = vec![json, ("user-agent", FIREFOX)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = brine
            .request(Method::POST, "/api/consent", &headers, &body)
            .await;
        assert_eq!(
            answer.status,
            status,
            "{site} {origin:?}: {}",
            answer.text()
        );
    }
}

/// A new policy version lapses what was consented to under the old one; the old answer does not count.
#[tokio::test]
async fn a_new_policy_lapses_old_consents() {
    let brine = Brine::start();
    let token = brine.consent("portal").await;
    brine.event(&page(&token)).await.expect(202, "accepted");
    let file = brine.directory.join("brine.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(&file, text.replace("version = 1 ", "version = 2 ")).expect("written");
    brine.signal("HUP");
    brine
        .wait_metric("brine_reloads_total{file=\"sites\",result=\"done\"}", |n| {
            n == 1.0
        })
        .await;
    brine
        .event(&page(&token))
        .await
        .expect(204, "consent.lapsed");
    let status = brine.choose("portal", "status", Some(&token)).await.json();
    assert_eq!(
        (&status["valid"], &status["reason"]),
        (&false.into(), &"consent.lapsed".into())
    );
    assert_eq!(
        (&status["policy"], &status["current_policy"]),
        (&1.into(), &2.into())
    );
    let anew = brine.choose("portal", "grant", None).await.json();
    assert_eq!(anew["policy"], 2);
    brine
        .event(&page(anew["token"].as_str().expect("a token")))
        .await
        .expect(202, "accepted");
    // A lapsed consent can still be taken back.
    brine
        .choose("portal", "withdraw", Some(&token))
        .await
        .expect(204, "accepted");
}

/// A withdrawal that the spool cannot take is not confirmed, but it holds, also through a kill -9.
#[tokio::test]
async fn a_withdrawal_that_could_not_be_recorded_holds_all_the_same() {
    let mut brine = Brine::start();
    let token = brine.consent("portal").await;
    brine.wait_for("SELECT count() FROM consents", 1);
    let (spool, away) = (brine.data().join("spool"), brine.data().join("away"));
    std::fs::rename(&spool, &away).expect("moved away");
    let answer = brine.choose("portal", "withdraw", Some(&token)).await;
    answer.expect(503, "spool.failed");
    std::fs::rename(&away, &spool).expect("moved back");
    brine.kill();
    brine.restart();
    brine
        .event(&format!(r#"{{{PAGE},"c":"{token}"}}"#))
        .await
        .expect(204, "consent.withdrawn");
}

/// Waits until a collector lets no beacon of this token in, and returns how long that took.
async fn wait_withdrawn(brine: &Brine, token: &str) -> Duration {
    let begun = Instant::now();
    loop {
        let answer = brine.event(&page(token)).await;
        if answer.status != 202 {
            answer.expect(204, "consent.withdrawn");
            return begun.elapsed();
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "still let in\n{}",
            brine.log_tail()
        );
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Collectors on one ClickHouse with one consent key, each with a spool of its own that is in no hurry.
fn sharing(store: &StandIn, n: usize) -> Vec<Brine> {
    let mut brines: Vec<Brine> = Vec::new();
    for _ in 0..n {
        let mut builder = store
            .builder()
            .set("BATCH__MAX_AGE_MS", "600000")
            .set("STORE__TIMEOUT_MS", "30000");
        if let Some(first) = brines.first() {
            let key = first.data().join("consent.key").display().to_string();
            builder = builder.set("CONSENT__KEY_FILE", &key);
        }
        brines.push(builder.start());
    }
    brines
}

async fn ledger(store: &StandIn) -> Vec<String> {
    let rows =
        "SELECT choice, count(), uniqExact(ledger) FROM consents GROUP BY choice ORDER BY choice";
    store.sql(rows).await
}

/// A withdrawal reaches every collector that shares the ClickHouse, in seconds however slowly batches go, and stays there.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_at_one_collector_holds_at_all_that_share_its_clickhouse() {
    let store = StandIn::start().await;
    let mut brines = sharing(&store, 2);
    let (plain, objected, kept) = (
        brines[0].consent("portal").await,
        brines[0].consent("portal").await,
        brines[0].consent("portal").await,
    );
    for token in [&plain, &objected, &kept] {
        brines[1].event(&page(token)).await.expect(202, "accepted");
    }
    brines[0]
        .choose("portal", "withdraw", Some(&plain))
        .await
        .expect(204, "accepted");
    let took = wait_withdrawn(&brines[1], &plain).await;
    assert!(took < Duration::from_secs(20), "{took:?}");
    // An objection withdraws, too.
    let object = json!({ "site": "portal", "action": "object", "token": objected });
    done(&brines[0], object).await;
    let took = wait_withdrawn(&brines[1], &objected).await;
    assert!(took < Duration::from_secs(20), "{took:?}");

    // At the other it is as durable as its own: also where ClickHouse cannot be asked at the start.
    let log = brines[1].data().join("revocations.log");
    let begun = Instant::now();
    while std::fs::metadata(&log).expect("the log").len() < 2 * 22 {
        assert!(begun.elapsed() < PATIENCE, "not in the log");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let learned = "brine_revocations_learned_total";
    assert_eq!(brines[1].metric(learned).await, 2.0);
    assert_eq!(brines[0].metric(learned).await, 0.0);
    store.set_down(true);
    brines[1].kill();
    brines[1].restart();
    for token in [&plain, &objected] {
        brines[1]
            .event(&page(token))
            .await
            .expect(204, "consent.withdrawn");
    }
    brines[1].event(&page(&kept)).await.expect(202, "accepted");
    store.set_down(false);
    // Learned is not withdrawn anew: the ledger has one row for each.
    for brine in &mut brines {
        assert_eq!(brine.terminate(), Some(0));
    }
    assert_eq!(ledger(&store).await, ["grant\t3\t3", "withdraw\t2\t2"]);
}

/// The row of an old withdrawal may come after those of younger ones: it is learned all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawal_that_reaches_clickhouse_late_is_learned_all_the_same() {
    let store = StandIn::start().await;
    let mut brines = sharing(&store, 3);
    let (old, young) = (
        brines[0].consent("portal").await,
        brines[1].consent("portal").await,
    );
    // Once ClickHouse has it, what comes later finds a table.
    brines[0].signal("TERM");
    assert_eq!(brines[0].ended(), Some(0));
    brines[0].restart();
    store.set_down(true);
    brines[0]
        .choose("portal", "withdraw", Some(&old))
        .await
        .expect(204, "accepted");
    brines[0].kill();
    store.set_down(false);
    brines[1]
        .choose("portal", "withdraw", Some(&young))
        .await
        .expect(204, "accepted");
    wait_withdrawn(&brines[2], &young).await;
    // Nobody but the one that is away can know.
    brines[2].event(&page(&old)).await.expect(202, "accepted");
    brines[0].restart();
    wait_withdrawn(&brines[2], &old).await;
    wait_withdrawn(&brines[1], &old).await;
    wait_withdrawn(&brines[0], &young).await;
}

/// Whoever starts with nothing of its own knows every withdrawal whose token would still be valid, from the ledger.
#[tokio::test(flavor = "multi_thread")]
async fn a_collector_that_lost_its_revocations_has_them_back_from_the_ledger() {
    let mut brine = Brine::start();
    let token = brine.consent("portal").await;
    brine
        .choose("portal", "withdraw", Some(&token))
        .await
        .expect(204, "accepted");
    brine.wait_drained().await;
    assert_eq!(brine.terminate(), Some(0));
    std::fs::remove_file(brine.data().join("revocations.log")).expect("it is there");
    brine.restart();
    wait_withdrawn(&brine, &token).await;
    assert_eq!(brine.metric("brine_revocations_learned_total").await, 1.0);
}
