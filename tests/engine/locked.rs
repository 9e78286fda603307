//! README, "The engine is locked in": SQL reaches no file, network, program or user outside the
//! data directory.

use std::{fs, os::unix::fs::PermissionsExt};

use hyper::StatusCode;

use crate::support::Engine;

/// What every way into a file must not answer with.
const SECRET: &str = "the marker that must not come out";

/// A file that the engine's user could read, with [`SECRET`] in it.
fn secret(engine: &Engine) -> String {
    let path = engine.dir.path().join("secret.txt");
    fs::write(&path, SECRET).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    path.display().to_string()
}

#[track_caller]
fn expect_refused(sql: &str, reply: &crate::support::Reply) {
    let text = reply.text();
    assert_ne!(reply.status, StatusCode::OK, "{sql} was answered: {text}");
    assert!(!text.contains(SECRET), "{sql} let the secret out: {text}");
}

async fn expect_all_refused(engine: &Engine, statements: &[String]) {
    for sql in statements {
        expect_refused(sql, &engine.post("", sql.clone()).await);
        expect_refused(sql, &engine.post("readonly=1", sql.clone()).await);
    }
}

#[tokio::test]
async fn no_statement_reads_a_file() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (s String) ENGINE = MergeTree ORDER BY s")
        .await;
    let file = secret(&engine);
    let statements = [
        format!("SELECT * FROM file('{file}', LineAsString)"),
        format!("SELECT * FROM fileCluster('default', '{file}', LineAsString)"),
        format!("SELECT file('{file}')"),
        format!("SELECT `file`('{file}')"),
        format!("SELECT * FROM `{file}`"),
        format!("SELECT * FROM default.`{file}`"),
        format!("SELECT * FROM '{file}'"),
        format!("INSERT INTO b.t FROM INFILE '{file}' FORMAT LineAsString"),
        format!("INSERT INTO b.t SELECT file('{file}')"),
        format!("CREATE VIEW b.v AS SELECT file('{file}')"),
        format!("CREATE TABLE b.f (s String DEFAULT file('{file}')) ENGINE = MergeTree ORDER BY s"),
        format!("CREATE TABLE b.f AS file('{file}', LineAsString)"),
        format!("CREATE TABLE b.f (s String) ENGINE = File(LineAsString, '{file}')"),
        format!(
            "CREATE DATABASE f ENGINE = Filesystem('{}')",
            engine.dir.path().display()
        ),
        format!(
            "CREATE DICTIONARY b.d (s String) PRIMARY KEY s SOURCE(FILE(path '{file}' format 'LineAsString')) LAYOUT(FLAT())"
        ),
        format!(
            "ATTACH TABLE b.a FROM '{}' (s String) ENGINE = MergeTree ORDER BY s",
            engine.dir.path().display()
        ),
        format!("SELECT * FROM sqlite('{file}', 't')"),
        format!(
            "SELECT * FROM icebergLocal('{}')",
            engine.dir.path().display()
        ),
        format!(
            "SELECT * FROM filesystem('{}')",
            engine.dir.path().display()
        ),
        "SELECT * FROM `/etc/passwd`".to_owned(),
        "SELECT * FROM file('/etc/passwd', LineAsString)".to_owned(),
        format!("EXPLAIN SELECT * FROM file('{file}', LineAsString)"),
    ];
    expect_all_refused(&engine, &statements).await;
}

/// Neither grants nor the filter see a function in the text of a column default; the kernel does.
#[tokio::test]
async fn file_function_hidden_in_a_string_reads_nothing() {
    let engine = Engine::start();
    let file = secret(&engine);
    let statements = [
        format!(
            "SELECT * FROM format('JSONEachRow', 'a String, b String DEFAULT file(''{file}'')', '{{\"a\":\"x\"}}')"
        ),
        format!(
            "SELECT * FROM format('JSONEachRow', concat('a String, b String DEFAULT fi', 'le(''{file}'')'), '{{\"a\":\"x\"}}')"
        ),
    ];
    expect_all_refused(&engine, &statements).await;
    // The key is in the engine's own directory, beside what it may read.
    let key = engine.data().join("engine.key").display().to_string();
    let sql = format!(
        "SELECT * FROM format('JSONEachRow', 'a String, b String DEFAULT file(''{key}'')', '{{\"a\":\"x\"}}')"
    );
    let reply = engine.post("", sql).await;
    assert!(
        !reply.text().contains(engine.key().expose()),
        "the key came out"
    );
    assert_ne!(reply.status, StatusCode::OK);
}

#[tokio::test]
async fn no_statement_writes_a_file() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (s String) ENGINE = MergeTree ORDER BY s")
        .await;
    let out = engine.dir.path().join("out");
    let path = out.display();
    let statements = [
        format!("SELECT 1 INTO OUTFILE '{path}'"),
        format!("SELECT 1 INTO/**/OUTFILE '{path}' APPEND"),
        format!("(SELECT 1) UNION ALL (SELECT 2) INTO OUTFILE '{path}' FORMAT CSV"),
        format!("INSERT INTO FUNCTION file('{path}', 'CSV', 'a Int8') SELECT 1"),
        format!("INSERT INTO TABLE FUNCTION file('{path}', 'CSV', 'a Int8') VALUES (1)"),
        format!("BACKUP DATABASE b TO File('{path}')"),
        "BACKUP DATABASE b TO Disk('default', 'out')".to_owned(),
        format!("RESTORE DATABASE b FROM File('{path}')"),
        format!("CREATE TABLE b.x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local, path = '{path}/')"),
        "CREATE TABLE b.x (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = web, endpoint = 'http://127.0.0.1:1/')".to_owned(),
        "ALTER TABLE b.t FREEZE".to_owned(),
        "ALTER TABLE b.t FREEZE SETTINGS max_threads = 1".to_owned(),
    ];
    expect_all_refused(&engine, &statements).await;
    assert!(!out.exists());
}

#[tokio::test]
async fn no_statement_opens_a_connection() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    // Accepts what should never come.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let statements = [
        format!("SELECT * FROM url('http://127.0.0.1:{port}/', 'CSV', 'a Int8')"),
        format!("SELECT * FROM urlCluster('default', 'http://127.0.0.1:{port}/', 'CSV', 'a Int8')"),
        format!("SELECT * FROM remote('127.0.0.1:{port}', 'system', 'one')"),
        format!("SELECT * FROM remoteSecure('127.0.0.1:{port}', 'system', 'one')"),
        format!("SELECT * FROM s3('http://127.0.0.1:{port}/bucket/key', 'CSV', 'a Int8')"),
        format!("SELECT * FROM mysql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')"),
        format!("SELECT * FROM postgresql('127.0.0.1:{port}', 'a', 'b', 'c', 'd')"),
        format!("SELECT * FROM hdfs('hdfs://127.0.0.1:{port}/a', 'CSV', 'a Int8')"),
        format!("SELECT * FROM azureBlobStorage('http://127.0.0.1:{port}/', 'a', 'b')"),
        format!("DESCRIBE TABLE url('http://127.0.0.1:{port}/', 'CSV')"),
        format!("DESCRIBE TABLE s3('http://127.0.0.1:{port}/bucket/key', 'CSV')"),
        format!("CREATE TABLE b.u AS url('http://127.0.0.1:{port}/', 'CSV')"),
        format!("CREATE TABLE b.u (a Int8) ENGINE = URL('http://127.0.0.1:{port}/', CSV)"),
        format!(
            "CREATE TABLE b.u (a Int8) ENGINE = S3('http://127.0.0.1:{port}/bucket/key', 'CSV')"
        ),
        format!("CREATE TABLE b.u (a Int8) ENGINE = Kafka('127.0.0.1:{port}', 'a', 'b', 'CSV')"),
        format!("CREATE DATABASE m ENGINE = MySQL('127.0.0.1:{port}', 'a', 'b', 'c')"),
        format!(
            "CREATE DICTIONARY b.d (a UInt64) PRIMARY KEY a SOURCE(HTTP(url 'http://127.0.0.1:{port}/' format 'CSV')) LAYOUT(FLAT())"
        ),
        format!("INSERT INTO FUNCTION url('http://127.0.0.1:{port}/', 'CSV', 'a Int8') SELECT 1"),
    ];
    expect_all_refused(&engine, &statements).await;
    let connected = listener.accept();
    assert!(connected.is_err(), "something connected: {connected:?}");
}

#[tokio::test]
async fn no_statement_runs_a_program() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    let statements = [
        "SELECT * FROM executable('id', 'CSV', 'a String')".to_owned(),
        "CREATE TABLE b.e (a String) ENGINE = Executable('id', CSV)".to_owned(),
        "CREATE TABLE b.e (a String) ENGINE = ExecutablePool('id', CSV)".to_owned(),
        "CREATE TABLE b.e (a String) ENGINE Executable('id', CSV)".to_owned(),
        "CREATE DICTIONARY b.d (a UInt64) PRIMARY KEY a SOURCE(EXECUTABLE(command 'id' format 'CSV')) LAYOUT(FLAT())".to_owned(),
    ];
    expect_all_refused(&engine, &statements).await;
}

#[tokio::test]
async fn no_statement_changes_users_the_server_or_its_own_chains() {
    let engine = Engine::start();
    let statements = [
        "SYSTEM SHUTDOWN",
        "SYSTEM KILL",
        "SYSTEM RELOAD CONFIG",
        "CREATE USER u",
        "CREATE USER u IDENTIFIED BY 'p'",
        "GRANT ALL ON *.* TO default",
        "ALTER USER default IDENTIFIED BY 'p'",
        "EXECUTE AS u SELECT 1",
        "CREATE FUNCTION f AS x -> x",
        "CREATE NAMED COLLECTION c AS a = 1",
        "SELECT * FROM system.users",
        "SET dialect = 'prql'",
        "SET implicit_select = 1",
        "SELECT 1 SETTINGS allow_introspection_functions = 1",
        "DETACH DATABASE default",
        "COPY t FROM '/etc/passwd'",
    ];
    expect_all_refused(&engine, &statements.map(str::to_owned)).await;
    assert_eq!(engine.sql("SELECT 1").await, "1", "the engine still runs");
}

#[tokio::test]
async fn read_only_stays_read_only() {
    let engine = Engine::start();
    engine.sql("CREATE DATABASE b").await;
    engine
        .sql("CREATE TABLE b.t (n UInt64) ENGINE = MergeTree ORDER BY n")
        .await;
    for sql in [
        "SET readonly = 0",
        "SELECT 1 SETTINGS readonly = 0",
        "SELECT 1 SETTINGS max_threads = 1",
        "INSERT INTO b.t VALUES (1)",
        "INSERT INTO b.t SELECT 1",
        "DROP TABLE b.t",
        "ALTER TABLE b.t DELETE WHERE 1",
        "TRUNCATE TABLE b.t",
    ] {
        let reply = engine.post("readonly=1", sql).await;
        assert_eq!(reply.code(), 164, "{sql}: {}", reply.text());
        let reply = engine.post("readonly=1&session_id=s", sql).await;
        assert_eq!(reply.code(), 164, "in a session, {sql}: {}", reply.text());
    }
    assert_eq!(
        engine
            .post("readonly=1", "SELECT count() FROM b.t")
            .await
            .text(),
        "0\n"
    );
}

#[tokio::test]
async fn everything_the_product_needs_is_allowed() {
    let engine = Engine::start();
    for sql in [
        "CREATE DATABASE b",
        "CREATE TABLE b.t (d Date, n UInt64 CODEC(ZSTD(1)), s LowCardinality(String), e DateTime) ENGINE = MergeTree PARTITION BY d ORDER BY n TTL e",
        "CREATE TABLE b.u AS b.t",
        "CREATE OR REPLACE TABLE b.w (n UInt64) ENGINE = ReplacingMergeTree ORDER BY n",
        "CREATE VIEW b.v AS SELECT n FROM b.t",
        "CREATE MATERIALIZED VIEW b.m ENGINE = AggregatingMergeTree ORDER BY n AS SELECT n, uniqState(s) AS u FROM b.t GROUP BY n",
        "INSERT INTO b.t SELECT '2026-01-01', 1, 'a', '2106-01-01 00:00:00'",
        "INSERT INTO b.t (d, n) SETTINGS async_insert = 0 VALUES ('2026-01-01', 2)",
        "ALTER TABLE b.t ADD COLUMN z String COMMENT 'what it holds'",
        "ALTER TABLE b.t COMMENT COLUMN z 'what it held'",
        "ALTER TABLE b.u ADD COLUMN z String",
        "ALTER TABLE b.t DELETE WHERE n = 2 SETTINGS mutations_sync = 1",
        "ALTER TABLE b.t UPDATE s = 'b' WHERE n = 1",
        "DELETE FROM b.t WHERE n = 5",
        "ALTER TABLE b.t MODIFY TTL e + INTERVAL 1 DAY",
        "ALTER TABLE b.t MODIFY SETTING old_parts_lifetime = 1",
        "ALTER TABLE b.t ADD PROJECTION p (SELECT s, count() GROUP BY s)",
        "ALTER TABLE b.t DROP PROJECTION p",
        "ALTER TABLE b.t MATERIALIZE TTL",
        "ALTER TABLE b.u MODIFY TTL e + INTERVAL 1 DAY",
        "ALTER TABLE b.u REPLACE PARTITION '2026-01-01' FROM b.t",
        "OPTIMIZE TABLE b.t FINAL",
        "OPTIMIZE TABLE b.t PARTITION '2026-01-01' FINAL SETTINGS optimize_throw_if_noop = 0",
        "ALTER TABLE b.t DROP PARTITION '2026-01-01'",
        "EXCHANGE TABLES b.t AND b.u",
        "RENAME TABLE b.u TO b.x",
        "SYSTEM STOP MERGES b.t",
        "SYSTEM START MERGES b.t",
        "SYSTEM STOP TTL MERGES b.t",
        "SYSTEM START TTL MERGES b.t",
        "SYSTEM FLUSH LOGS",
        "KILL QUERY WHERE query_id = 'none' SYNC",
        "KILL MUTATION WHERE table = 'none'",
        "SELECT count() FROM system.parts",
        "SELECT count() FROM system.mutations",
        "SELECT count() FROM system.merges",
        "SELECT count() FROM system.columns WHERE database = 'b'",
        "SELECT count() FROM system.processes",
        "SHOW CREATE TABLE b.t",
        "TRUNCATE TABLE b.x",
        "DROP VIEW b.v",
        "DROP TABLE b.x SYNC",
        "DROP DATABASE b SYNC",
    ] {
        engine.sql(sql).await;
    }
}

#[tokio::test]
async fn nothing_but_ping_is_answered_without_the_key() {
    let engine = Engine::start();
    for key in ["", "wrong", &engine.key().expose()[1..]] {
        let reply = engine
            .send("", &[("X-ClickHouse-Key", key)], "SELECT 1")
            .await;
        assert_eq!((reply.status, reply.code()), (StatusCode::FORBIDDEN, 516));
    }
    let headers = [("X-ClickHouse-User", "admin")];
    assert_eq!(
        engine.send("", &headers, "SELECT 1").await.code(),
        516,
        "there is one user"
    );
}

#[tokio::test]
async fn socket_and_key_belong_to_the_user_alone() {
    let engine = Engine::start();
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&engine.socket()), 0o600);
    assert_eq!(mode(engine.socket().parent().unwrap()), 0o700);
    assert_eq!(mode(&engine.data().join("engine.key")), 0o600);
}

#[tokio::test]
async fn tcp_is_loopback_only() {
    let dir = tempfile::tempdir().unwrap();
    let mut command = crate::support::engine_command(dir.path());
    let output = command.args(["--listen", "0.0.0.0:0"]).output().unwrap();
    assert!(!output.status.success());
    assert!(String::from_utf8_lossy(&output.stderr).contains("is not loopback"));
}

#[tokio::test]
async fn key_that_others_could_read_is_refused() {
    let mut engine = Engine::start();
    engine.terminate();
    let key = engine.data().join("engine.key");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
    let output = crate::support::engine_command(engine.data())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("has mode 644, must be 600"), "{said}");
}
