//! README, "Salts": one file and memory hold a salt, and after its time neither does.

use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use hyper::Method;

use crate::support::markers::{Markers, files_below};
use crate::support::{Brine, Builder};

fn mode(path: &std::path::Path) -> u32 {
    std::fs::metadata(path)
        .expect("it is there")
        .permissions()
        .mode()
        & 0o777
}

#[tokio::test]
async fn salts_and_keys_are_for_their_owner_alone_and_nowhere_else() {
    let mut brine = Builder::new().set("LOG", "trace").start();
    let token = brine.consent("portal").await;
    let page =
        format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
    brine.event(&page).await.expect(202, "accepted");
    brine.wait_drained().await;
    let salts = brine.data().join("salts");
    assert_eq!((mode(&brine.data()), mode(&salts)), (0o700, 0o700));
    let mut secrets: Vec<_> = files_below(&salts);
    assert!(secrets.len() >= 6, "a salt a site: {secrets:?}");
    secrets.extend([
        brine.data().join("consent.key"),
        brine.data().join("engine/engine.key"),
    ]);
    let bytes: Vec<(String, Vec<u8>)> = secrets
        .iter()
        .map(|path| {
            assert_eq!(mode(path), 0o600, "{}", path.display());
            (
                path.display().to_string(),
                std::fs::read(path).expect("a secret"),
            )
        })
        .collect();
    let markers = Markers::new(
        bytes
            .iter()
            .map(|(name, bytes)| (name.as_str(), bytes.trim_ascii())),
    );
    for path in files_below(&brine.data())
        .into_iter()
        .filter(|path| !secrets.contains(path))
    {
        if let Ok(bytes) = std::fs::read(&path) {
            markers.expect_absent(&path.display().to_string(), &bytes);
        }
    }
    let metrics = brine.admin(Method::GET, "/metrics", &[], "").await;
    markers.expect_absent("/metrics", &metrics.body);
    let rows = brine.sql("SELECT * FROM salt_events").join("\n");
    markers.expect_absent("salt_events", rows.as_bytes());
    brine.terminate();
    markers.expect_absent("the log", brine.log().as_bytes());
    // The next start goes on with the same ones.
    brine.restart();
    for (path, (_, before)) in secrets.iter().zip(&bytes) {
        assert_eq!(
            std::fs::read(path).expect("a secret"),
            *before,
            "{}",
            path.display()
        );
    }
}

#[tokio::test]
async fn every_step_of_a_salts_life_is_recorded() {
    let mut brine = Brine::start();
    let columns = "SELECT site, step, reason, abs(period - toDate(ts)) <= 1 FROM salt_events";
    brine.wait_for("SELECT uniqExact(site) FROM salt_events", 6);
    // Shortly before the sites' midnight the next day's salt is made as well.
    let rows = brine.sql(&format!(
        "{columns} WHERE site = 'portal' ORDER BY period LIMIT 1"
    ));
    assert_eq!(rows, ["portal\tcreated\tfirst_start\t1"]);
    assert_eq!(brine.terminate(), Some(0));

    // What a crash, a long stop or a site that is gone left behind.
    let salts = brine.data().join("salts");
    let plant = |name: &str, bytes: &[u8]| {
        let path = salts.join(name);
        std::fs::write(&path, bytes).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("narrowed");
        path
    };
    let old = plant("portal@2026-01-02.salt", &[7; 32]);
    let gone = plant("nobody@2026-01-02.salt", &[8; 32]);
    let unfinished = plant("portal@2026-01-03.salt.new", &[9; 10]);
    brine.restart();
    for path in [&old, &gone, &unfinished] {
        assert!(
            !path.exists(),
            "{} is destroyed before the first beacon",
            path.display()
        );
    }
    brine.wait_for(
        "SELECT count() FROM salt_events WHERE step = 'destroyed'",
        2,
    );
    let rows = brine.sql(
        "SELECT site, period, reason FROM salt_events WHERE step = 'destroyed' AND site = 'portal'",
    );
    assert_eq!(rows, ["portal\t2026-01-02\tfound_late"]);
}

#[tokio::test]
async fn a_damaged_salt_is_never_replaced_in_silence() {
    let mut brine = Brine::start();
    assert_eq!(brine.terminate(), Some(0));
    let salt = files_below(&brine.data().join("salts"))
        .pop()
        .expect("a salt");
    std::fs::write(&salt, b"short").expect("damaged");
    let output = brine
        .start_command()
        .stdin(Stdio::null())
        .output()
        .expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(
        said.contains("5 bytes") && said.contains(&*salt.to_string_lossy()),
        "{said}"
    );
    assert_eq!(std::fs::read(&salt).expect("still there"), b"short");
}

/// Another local day has another salt, and the old one is gone: nothing links the days.
#[tokio::test]
async fn another_day_has_another_pseudonym_and_the_old_salt_is_gone() {
    // 25 hours lie between these zones: what is today in the one is over in the other.
    let zone = "time_zone = \"Europe/Copenhagen\" # whose";
    let brine = Builder::new()
        .replace(zone, "time_zone = \"Pacific/Pago_Pago\" # whose")
        .replace("salt_grace_minutes = 120", "salt_grace_minutes = 1")
        .start();
    let token = brine.consent("portal").await;
    let page = |name: &str| {
        format!(r#"{{"n":"{name}","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#)
    };
    brine.event(&page("before")).await.expect(202, "accepted");
    let of_portal = || {
        let mut files = files_below(&brine.data().join("salts"));
        files.retain(|path| {
            path.file_name()
                .is_some_and(|n| n.to_string_lossy().starts_with("portal@"))
        });
        files
    };
    let before = of_portal();
    let file = brine.directory.join("brine.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    std::fs::write(
        &file,
        text.replace("Pacific/Pago_Pago", "Pacific/Kiritimati"),
    )
    .expect("written");
    brine.signal("HUP");
    brine
        .wait_metric("brine_reloads_total{file=\"sites\",result=\"done\"}", |n| {
            n == 1.0
        })
        .await;
    brine.event(&page("after")).await.expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 2);
    let visitors = brine.sql("SELECT name, visitor, day FROM events ORDER BY name DESC");
    let (one, other) = (visitors[0].split('\t'), visitors[1].split('\t'));
    let same = one.zip(other).filter(|(a, b)| a == b).count();
    assert_eq!(same, 0, "name, pseudonym and day all differ: {visitors:?}");
    let after = of_portal();
    let kept = before.iter().any(|path| after.contains(path));
    assert!(!kept, "{before:?} are gone, {after:?} live");
    let destroyed = "SELECT count() FROM salt_events WHERE step = 'destroyed' AND site = 'portal'";
    brine.wait_for(destroyed, before.len() as u64);
}

/// README, "Salts": a visit that began before midnight stays one visit of one visitor, on the day it began; what
/// begins after midnight is somebody else's. After the grace the old salt's file is gone.
#[tokio::test]
async fn a_visit_over_midnight_is_one_visit_of_one_visitor() {
    // 2026-11-21 23:58 in Copenhagen.
    let start = 1_795_301_880_000;
    let minute = 60_000;
    let brine = Builder::new().clock(start).start();
    let token = brine.consent("portal").await;
    let view = async |page: &str, began: i64| {
        let body = format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/{page}","d":"portal","c":"{token}","s":{{"id":"{began}","started":{began}}}}}"#
        );
        brine.event(&body).await.expect(202, "accepted");
    };
    view("before", start).await;
    brine.set_clock(start + 10 * minute);
    brine.wait_for("SELECT count() FROM salt_events WHERE step = 'created'", 12);
    view("after", start).await;
    view("anew", start + 10 * minute).await;
    brine.wait_drained().await;
    let rows = brine.sql("SELECT day, uniqExact(visitor), uniqExact(visit), count() FROM events GROUP BY day ORDER BY day FORMAT TSV");
    assert_eq!(rows, ["2026-11-21\t1\t1\t2", "2026-11-22\t1\t1\t1"]);
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor) FROM events"),
        ["2"],
        "two days, two pseudonyms"
    );
    brine.set_clock(start + 180 * minute);
    brine.wait_for(
        "SELECT count() FROM salt_events WHERE step = 'destroyed'",
        6,
    );
    view("late", start).await;
    brine.wait_drained().await;
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor) FROM events"),
        ["2"],
        "a visit after the grace is counted under the living salt"
    );
}

/// The same at the midnight that ends a week, and a month: two periods, two pseudonyms, and still one visit.
#[tokio::test]
async fn a_visit_over_the_end_of_a_week_or_month_is_one_visit_of_one_visitor() {
    // 2026-11-30 is a Monday. Sunday the 29th 23:58 in Copenhagen, and Monday, the last of the month.
    let (sunday, monday, minute) = (1_795_993_080_000, 1_796_079_480_000, 60_000);
    let rotation = |site: &str, word: &str| {
        format!(
            "[[site]]\nid = \"{site}\"\ndomains = [\"{site}.example.test\"]\ntime_zone = \"Europe/Copenhagen\"\nrotation = \"{word}\"\n"
        )
    };
    let brine = Builder::new()
        .clock(sunday)
        .append(&rotation("weekly", "week"))
        .append(&rotation("monthly", "month"))
        .start();
    for (site, start) in [("weekly", sunday), ("monthly", monday)] {
        brine.set_clock(start);
        let token = brine.consent(site).await;
        let view = async |page: &str, began: i64| {
            let body = format!(
                r#"{{"n":"pageview","u":"https://{site}.example.test/{page}","d":"{site}","c":"{token}","s":{{"id":"{began}","started":{began}}}}}"#
            );
            brine.event(&body).await.expect(202, "accepted");
        };
        view("before", start).await;
        brine.wait_for(
            &format!("SELECT count() FROM salt_events WHERE step = 'created' AND site = '{site}'"),
            2,
        );
        brine.set_clock(start + 10 * minute);
        view("after", start).await;
        view("anew", start + 10 * minute).await;
        brine.wait_drained().await;
        let rows = brine.sql(&format!(
            "SELECT uniqExact(visitor), uniqExact(visit), count() FROM events WHERE site = '{site}' GROUP BY day ORDER BY day"
        ));
        assert_eq!(rows, ["1\t1\t2", "1\t1\t1"], "{site}");
        let visitors = format!("SELECT uniqExact(visitor) FROM events WHERE site = '{site}'");
        assert_eq!(
            brine.sql(&visitors),
            ["2"],
            "two periods, two pseudonyms: {site}"
        );
        brine.set_clock(start + 180 * minute);
        brine.wait_for(
            &format!("SELECT count() FROM salt_events WHERE step = 'destroyed' AND site = '{site}' AND reason = 'grace_over'"),
            1,
        );
    }
}

/// README, "Salts": `brine salts`, beside a running brine.
#[tokio::test]
async fn an_operator_sees_rotates_and_destroys_salts() {
    // 2026-11-21 00:30 in Copenhagen: two salts a site once the clock was at 23:55.
    let midnight = 1_795_215_600_000;
    let mut brine = Builder::new().clock(midnight - 300_000).start();
    brine.set_clock(midnight + 1_800_000);
    brine.wait_metric("brine_salts", |n| n == 12.0).await;
    let (admin, data) = (brine.admin.to_string(), brine.data());
    let salts = |arguments: &[&str]| {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
            .arg("salts")
            .args(arguments)
            .args(["--admin", &admin, "--data"])
            .arg(&data)
            .output()
            .expect("it runs");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (
            output.status.success(),
            text(&output.stdout) + &text(&output.stderr),
        )
    };
    let (is_done, said) = salts(&["status"]);
    assert!(is_done, "{said}");
    let line = |state: &str| said.lines().filter(|line| line.contains(state)).count();
    assert_eq!((line(" current "), line(" previous ")), (6, 6), "{said}");
    assert!(
        said.contains("portal") && said.contains("2026-11-21T01:00:00Z"),
        "{said}"
    );

    let token = brine.consent("portal").await;
    let page =
        format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
    brine.event(&page).await.expect(202, "accepted");
    let (is_done, said) = salts(&["rotate", "--site", "portal.example.test"]);
    assert!(
        is_done && said.starts_with("1 destroyed, 1 made."),
        "{said}"
    );
    brine.event(&page).await.expect(202, "accepted");
    brine.wait_drained().await;
    assert_eq!(
        brine.sql("SELECT uniqExact(visitor), uniqExact(day) FROM events"),
        ["2\t1"]
    );
    let (is_done, said) = salts(&["destroy"]);
    assert!(
        is_done && said.starts_with("12 destroyed, 6 made."),
        "{said}"
    );
    brine.wait_for(
        "SELECT count() FROM salt_events WHERE step = 'destroyed' AND reason = 'operator'",
        13,
    );
    assert_eq!(files_below(&brine.data().join("salts")).len(), 6);
    let (is_done, said) = salts(&["rotate", "--site", "nobody"]);
    assert!(!is_done && said.contains("no such site"), "{said}");
    let steps = "brine_salt_steps_total{reason=\"operator\",step=\"destroyed\"}";
    assert_eq!(brine.metric(steps).await, 13.0);

    // Out of service: by the files, under the lock.
    let config = brine.directory.join("brine.toml");
    let stopped = |brine: &Brine| {
        std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
            .args(["salts", "destroy", "--stopped", "--config"])
            .arg(&config)
            .env("BRINE_DATA__DIRECTORY", brine.data())
            .output()
            .expect("it runs")
    };
    let output = stopped(&brine);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && said.contains("locked by another brine"),
        "{said}"
    );
    assert_eq!(brine.terminate(), Some(0));
    let output = stopped(&brine);
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        files_below(&brine.data().join("salts")),
        Vec::<std::path::PathBuf>::new()
    );
}

/// README, "Salts": whoever loses the key has lost the salts; that is said, recorded, and nothing else is lost.
#[tokio::test]
async fn salts_sealed_with_a_key_that_is_lost_are_lost_loudly() {
    let builder = Builder::new();
    let key = builder.directory().join("elsewhere.key");
    let mut brine = builder
        .set("SALTS__KEY_FILE", key.to_str().expect("a path"))
        .start();
    assert_eq!(mode(&key), 0o600);
    let salts = brine.data().join("salts");
    let before = files_below(&salts);
    for path in &before {
        assert_eq!(
            std::fs::metadata(path).expect("a file").len(),
            80,
            "{}",
            path.display()
        );
    }
    assert_eq!(brine.terminate(), Some(0));
    brine.restart();
    brine.wait_for(
        "SELECT count() FROM salt_events WHERE reason = 'key_lost'",
        0,
    );
    assert_eq!(brine.terminate(), Some(0));
    // What a power cut does to a key on tmpfs.
    std::fs::remove_file(&key).expect("lost");
    brine.restart();
    assert!(
        brine.log().contains("is gone: they are lost and destroyed"),
        "{}",
        brine.log_tail()
    );
    brine.wait_for(
        "SELECT uniqExact(site, step) FROM salt_events WHERE reason = 'key_lost' AND step IN ('destroyed', 'created')",
        12,
    );
    let token = brine.consent("portal").await;
    let page =
        format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
    brine.event(&page).await.expect(202, "accepted");
}

/// README, "Salts": two collectors of a chain give one visitor one pseudonym, without ever having talked.
#[tokio::test]
async fn two_collectors_of_a_chain_agree_without_talking() {
    let noon = 1_795_258_800_000;
    let builders = [Builder::new(), Builder::new()]
        .map(|builder| builder.clock(noon).set("SALTS__CHAIN", "true"));
    let seed = builders[0].directory().join("seed");
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_brine"))
        .args(["salts", "seed", "--from", "2026-11-01"])
        .arg(&seed)
        .output()
        .expect("it runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(mode(&seed), 0o600);
    let text = std::fs::read(&seed).expect("a seed");
    let consent_key = [7; 32];
    let brines = builders.map(|builder| {
        let data = builder.directory().join("data");
        std::fs::create_dir(&data).expect("made");
        brine::secret::write_private(&data.join("salts.seed"), &text).expect("a copy");
        brine::secret::write_private(&data.join("consent.key"), &consent_key).expect("shared");
        builder.start()
    });
    let token = brines[0].consent("portal").await;
    let page =
        format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
    let mut visitors = Vec::new();
    for day in 0..2 {
        for brine in &brines {
            assert!(!brine.data().join("salts.seed").exists());
            brine.set_clock(noon + day * 24 * 3_600_000);
            let rotated = format!(
                "SELECT uniqExact(period) >= {} FROM salt_events WHERE step = 'created'",
                day + 1
            );
            brine.wait_for(&rotated, 1);
            brine.event(&page).await.expect(202, "accepted");
            brine.wait_drained().await;
        }
        let of_day =
            format!("SELECT DISTINCT visitor FROM events WHERE day = toDate('2026-11-21') + {day}");
        let [one, two] = [0, 1].map(|n: usize| brines[n].sql(&of_day));
        assert_eq!(one, two);
        assert_eq!(one.len(), 1);
        visitors.extend(one);
    }
    assert_ne!(visitors[0], visitors[1]);
    let policy = brines[0].request(Method::GET, "/policy?site=portal&lang=en", &[], "");
    let said = policy.await.text();
    assert!(
        said.contains("derive their salts from one secret seed"),
        "{said}"
    );
    assert_eq!(brines[0].metric("brine_salts_off_chain").await, 0.0);
}
