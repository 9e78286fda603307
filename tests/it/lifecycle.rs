//! README, "Operation": start, reload, stop.

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;

use crate::support::raw::{Raw, post};
use crate::support::{Brine, Builder, FIREFOX, PATIENCE, process};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

/// Runs a brine that is expected not to start, and returns what it says on standard error.
#[track_caller]
fn expect_failure(mut command: Command) -> String {
    let output = command.stdin(Stdio::null()).output().expect("brine runs");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(!said.contains("panicked"), "{said}");
    said
}

#[tokio::test]
async fn a_taken_port_is_named_with_its_key() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("an address").to_string();
    for (variable, key) in [
        ("BRINE_SERVER__LISTEN", "server.listen"),
        ("BRINE_SERVER__ADMIN", "server.admin"),
    ] {
        let builder = Builder::new();
        let mut command = builder.command();
        command.env(variable, &address);
        let said = expect_failure(command);
        assert!(
            said.contains(&address) && said.contains(key) && said.contains("in use"),
            "{said}"
        );
    }
}

/// An engine of before may take its time, or a library be fetched: whoever waits for that may change their mind.
#[test]
fn a_brine_that_waits_for_its_engine_ends_when_it_is_told_to() {
    let home = tempfile::tempdir().expect("temporary directory");
    let data = home.path().join("data");
    let engine = data.join("engine");
    std::fs::create_dir_all(&engine).expect("made");
    let held = std::fs::File::create(engine.join("engine.lock")).expect("made");
    held.lock().expect("nobody else has it");
    let builder = Builder::new();
    let mut command = builder.command();
    let mut child = command
        .env("BRINE_DATA__DIRECTORY", &data)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("brine starts");
    // It waits for the engine once the spool is there.
    let started = Instant::now();
    while !data.join("spool").exists() {
        assert!(started.elapsed() < PATIENCE, "no spool");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    let told = Instant::now();
    process::signal(child.id(), "TERM");
    let status = child.wait().expect("it ends");
    assert!(
        told.elapsed() < Duration::from_secs(8),
        "{:?}",
        told.elapsed()
    );
    assert_eq!(status.code(), Some(0));
    let mut printed = String::new();
    let mut stdout = child.stdout.take().expect("stdout is piped");
    stdout.read_to_string(&mut printed).expect("read");
    assert_eq!(printed, "", "nobody was told that it listens");
}

#[tokio::test]
async fn a_second_brine_is_told_who_has_the_directory() {
    let brine = Brine::start();
    let builder = Builder::new();
    let mut command = builder.command();
    command.env("BRINE_DATA__DIRECTORY", brine.data());
    let said = expect_failure(command);
    let pid = format!("process {}", brine.child.id());
    assert!(
        said.contains("locked by another brine") && said.contains(&pid),
        "{said}"
    );
    // The first one is none the worse.
    assert_eq!(
        brine.request(Method::GET, "/ready", &[], "").await.status,
        200
    );
    brine.consent("portal").await;
}

#[tokio::test]
async fn secrets_that_others_can_read_are_refused() {
    let mut brine = Brine::start();
    assert_eq!(brine.terminate(), Some(0));
    for (path, word) in [
        ("consent.key", "0600"),
        ("salts", "0700"),
        ("engine/engine.key", "600"),
    ] {
        let path = brine.data().join(path);
        let before = std::fs::metadata(&path).expect("it is there").permissions();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("widened");
        let said = expect_failure(brine.start_command());
        let name = path
            .file_name()
            .expect("a name")
            .to_string_lossy()
            .into_owned();
        assert!(
            said.contains(&name) && said.contains("755") && said.contains(word),
            "{said}"
        );
        std::fs::set_permissions(&path, before).expect("narrowed");
    }
    brine.restart();
}

#[tokio::test]
async fn every_fault_of_a_configuration_is_named_at_once() {
    let builder = Builder::new()
        .replace("max_body_bytes = 65536", "max_body_bytes = 3")
        .replace("header_timeout_ms = 5000", "header_timeout_ms = 0")
        .replace("life_days = 180", "life_days = 1000")
        .replace("id = \"veriloc\"", "id = \"Very Loc\"")
        .replace(
            "exclude_countries = []",
            "exclude_countries = [\"Denmark\"]",
        )
        .replace(
            "time_zone = \"Europe/Copenhagen\" # whose",
            "time_zone = \"Mars/Olympus\" # whose",
        );
    let serve = expect_failure(builder.command());
    for word in [
        "max_body_bytes",
        "header_timeout_ms",
        "life_days",
        "Very Loc",
        "Denmark",
        "Mars/Olympus",
    ] {
        assert!(serve.contains(word), "{word} is missing: {serve}");
    }
    let file = builder.directory().join("brine.toml");
    let mut check = brine_command(&["config", "check", "--config"]);
    check.arg(&file);
    assert!(expect_failure(check).contains("6 fault"));

    for (text, words) in [
        ("[server]\nlisten_on = 1\n", ["listen_on", "line 2"]),
        ("[server\n", ["brine.toml", "line 1"]),
        ("[[site]]\nid = 3\n", ["id", "line 2"]),
    ] {
        std::fs::write(&file, text).expect("written");
        let mut command = brine_command(&["serve", "--config"]);
        command.arg(&file);
        let said = expect_failure(command);
        assert!(words.iter().all(|word| said.contains(word)), "{said}");
    }
    let mut command = brine_command(&["serve", "--config"]);
    command.arg(builder.directory().join("nowhere.toml"));
    assert!(expect_failure(command).contains("nowhere.toml"));
}

#[test]
fn config_init_is_good_and_config_show_keeps_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("brine.toml");
    let init = brine_command(&["config", "init"])
        .output()
        .expect("it runs");
    assert!(init.status.success());
    std::fs::write(&file, &init.stdout).expect("written");
    let run = |action: &str| {
        let output = brine_command(&["config", action, "--config"])
            .arg(&file)
            .output()
            .expect("it runs");
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(run("check").contains("6 sites"));
    let shown = run("show");
    std::fs::write(&file, &shown).expect("written");
    assert_eq!(
        run("show"),
        shown,
        "what is shown is a configuration that says the same"
    );
}

#[tokio::test]
async fn sighup_takes_a_new_site_in_and_refuses_a_bad_file() {
    let brine = Brine::start();
    let page = r#"{"n":"a","u":"https://new.example.test/","d":"newcomer"}"#;
    brine.event(page).await.expect(404, "site.unknown");
    let file = brine.directory.join("brine.toml");
    let good = std::fs::read_to_string(&file).expect("the configuration");
    let with_site =
        format!("{good}\n[[site]]\nid = \"newcomer\"\ndomains = [\"new.example.test\"]\n");
    std::fs::write(&file, &with_site).expect("written");
    brine.signal("HUP");
    let reloads = |word: &str| format!("brine_reloads_total{{file=\"sites\",result=\"{word}\"}}");
    brine.wait_metric(&reloads("done"), |n| n == 1.0).await;
    brine.event(page).await.expect(204, "consent.missing");
    let origin = [
        ("origin", "https://new.example.test"),
        ("content-type", "application/json"),
    ];
    let grant = r#"{"site":"newcomer","choice":"grant"}"#;
    let granted = brine
        .request(Method::POST, "/api/consent", &origin, grant)
        .await;
    let token = granted.json()["token"]
        .as_str()
        .expect("a token")
        .to_owned();
    let consented = page.replace("\"d\"", &format!("\"c\":\"{token}\",\"d\""));
    brine.event(&consented).await.expect(202, "accepted");

    for bad in [
        "[[site]]\nid = \"Bad Id\"\n",
        "not toml",
        "[server]\nmax_body_bytes = 1\n",
    ] {
        let before = brine.metric(&reloads("refused")).await;
        std::fs::write(&file, format!("{bad}\n{with_site}")).expect("written");
        brine.signal("HUP");
        brine
            .wait_metric(&reloads("refused"), |n| n == before + 1.0)
            .await;
        brine.event(&consented).await.expect(202, "accepted");
    }
    assert!(
        brine.log().contains("the old one stays"),
        "{}",
        brine.log_tail()
    );
    // A site that is gone is gone, with its salt; what is not taken over is named.
    assert!(!brine.log().contains("from the next start on"));
    let more = good
        .replace("max_body_bytes = 65536", "max_body_bytes = 65537")
        .replace("event_ids = 4000000", "event_ids = 4000001");
    std::fs::write(&file, &more).expect("written");
    brine.signal("HUP");
    brine.wait_metric(&reloads("done"), |n| n == 2.0).await;
    let log = brine.log();
    let told = log.lines().find(|l| l.contains("from the next start on"));
    let told = told.expect("a line in the log");
    assert!(
        told.contains("server") && told.contains("limits.event_ids") && !told.contains("query"),
        "{told}"
    );
    brine.event(&consented).await.expect(404, "site.unknown");
    let salts = std::fs::read_dir(brine.data().join("salts")).expect("salts");
    let left = salts
        .flatten()
        .any(|entry| entry.file_name().to_string_lossy().starts_with("newcomer"));
    assert!(!left, "the salt of a site that is gone is destroyed");
    brine.wait_for("SELECT count() FROM events WHERE site = 'newcomer'", 4);
}

#[tokio::test]
async fn sigterm_answers_the_request_under_way_and_ends() {
    let mut brine = Brine::start();
    let token = brine.consent("portal").await;
    let body = format!(r#"{{{PAGE},"c":"{token}"}}"#);
    let request = post(
        "/api/event",
        &[("content-type", "text/plain"), ("user-agent", FIREFOX)],
        body.as_bytes(),
    );
    let (front, back) = request.split_at(request.len() - 10);
    let mut under_way = Raw::connect(brine.public).await;
    under_way.send(front).await;
    // An idle connection, and one that has said nothing yet, hold nothing up.
    let mut idle = Raw::connect(brine.public).await;
    idle.send("GET /health HTTP/1.1\r\nhost: x\r\n\r\n").await;
    idle.answer().await.expect("an answer");
    let _silent = Raw::connect(brine.public).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    let started = Instant::now();
    brine.signal("TERM");
    idle.closed().await;
    under_way.send(back).await;
    let answer = under_way
        .answer()
        .await
        .expect("the request under way is answered");
    // Either end is honest: durable, or told to come back.
    assert!(matches!(
        (answer.status.as_u16(), answer.outcome()),
        (202, "accepted") | (503, "server.closing")
    ));
    if answer.status == 503 {
        assert!(answer.headers.contains_key("retry-after"));
    }
    under_way.closed().await;
    assert_eq!(
        brine.child.wait().expect("it ends").code(),
        Some(0),
        "{}",
        brine.log_tail()
    );
    assert!(
        started.elapsed() < Duration::from_secs(5),
        "{:?}\n{}",
        started.elapsed(),
        brine.log_tail()
    );
    let port = std::net::TcpStream::connect(brine.public);
    assert!(port.is_err(), "nothing listens any more");
    brine.restart();
    brine.wait_drained().await;
    let stored = u64::from(answer.status == 202);
    assert_eq!(brine.count("SELECT count() FROM events"), stored);
}

#[tokio::test]
async fn sigterm_ends_the_engine_too() {
    let mut brine = Brine::start();
    let engine = brine.engine().expect("an engine");
    assert_eq!(brine.terminate(), Some(0));
    process::wait_gone(engine);
}

#[tokio::test]
async fn health_and_readiness_are_told_on_both_listeners() {
    let brine = Brine::start();
    for path in ["/health", "/ready"] {
        assert_eq!(brine.request(Method::GET, path, &[], "").await.status, 200);
        assert_eq!(brine.request(Method::HEAD, path, &[], "").await.status, 200);
        assert_eq!(brine.admin(Method::GET, path, &[], "").await.status, 200);
        assert_eq!(brine.admin(Method::POST, path, &[], "").await.status, 405);
    }
    assert_eq!(
        brine.request(Method::GET, "/ready", &[], "").await.json()["ready"],
        true
    );
    // Metrics are for the operator.
    assert_eq!(
        brine.request(Method::GET, "/metrics", &[], "").await.status,
        404
    );
}

#[tokio::test]
async fn brine_sql_reads_and_changes_nothing() {
    let brine = Brine::start();
    assert_eq!(brine.sql("SELECT 1 + 1"), ["2"]);
    for statement in [
        "DROP TABLE events",
        "TRUNCATE TABLE events",
        "ALTER TABLE events DELETE WHERE 1",
        "INSERT INTO denials SELECT 'portal', today(), 1, 1, 1",
        "CREATE TABLE more (a UInt8) ENGINE = MergeTree ORDER BY a",
        "OPTIMIZE TABLE events FINAL",
        "SYSTEM STOP MERGES",
        "SELECT 1 INTO OUTFILE '/tmp/brine-outfile'",
        "SELECT * FROM file('/etc/hostname', LineAsString)",
        "SELECT * FROM url('http://127.0.0.1:9/', LineAsString)",
        "SELECT 1; DROP TABLE events",
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "KILL QUERY WHERE 1",
    ] {
        assert!(brine.try_sql(statement).is_err(), "{statement} was done");
    }
    assert!(!std::path::Path::new("/tmp/brine-outfile").exists());
    assert_eq!(
        brine.count(
            "SELECT count() FROM system.tables WHERE database = 'brine' AND name = 'events'"
        ),
        1
    );
}

fn brine_command(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
    command.args(arguments);
    command
}
