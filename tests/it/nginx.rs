//! `deploy/nginx.conf` in a real nginx: what it passes on, and what it keeps. Needs nginx and openssl.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use crate::support::markers::Markers;
use crate::support::tls::{make_certificate, talk};
use crate::support::{Brine, Builder, FIREFOX, PATIENCE, free_port};

/// An nginx of its own; ended with the test.
struct Nginx {
    child: Child,
    home: tempfile::TempDir,
    plain: SocketAddr,
    tls: SocketAddr,
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // Its master ends the workers.
        drop(
            Command::new("kill")
                .arg(self.child.id().to_string())
                .status(),
        );
        drop(self.child.wait());
    }
}

impl Nginx {
    /// Starts one with the file as it is but for ports and paths.
    fn before(brine: &Brine) -> Nginx {
        let home = tempfile::tempdir().expect("temporary directory");
        let path = |name: &str| home.path().join(name).display().to_string();
        let at = || SocketAddr::from(([127, 0, 0, 1], free_port()));
        let (plain, tls) = (at(), at());
        make_certificate(
            "stats.example.test",
            &home.path().join("fullchain.pem"),
            &home.path().join("privkey.pem"),
        );
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/nginx.conf");
        let mut text = std::fs::read_to_string(file).expect("the file is there");
        for (written, here) in [
            (
                "server 127.0.0.1:8080;",
                format!("server {};", brine.public),
            ),
            ("listen 80;", format!("listen {plain};")),
            ("listen 443 ssl;", format!("listen {tls} ssl;")),
            ("    listen [::]:80;\n", String::new()),
            ("    listen [::]:443 ssl;\n", String::new()),
            ("/etc/ssl/stats/fullchain.pem", path("fullchain.pem")),
            ("/etc/ssl/stats/privkey.pem", path("privkey.pem")),
            ("/var/log/nginx/brine.log", path("brine.log")),
        ] {
            assert!(text.contains(written), "{written}");
            text = text.replace(written, &here);
        }
        std::fs::write(home.path().join("brine.conf"), text).expect("written");
        let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
            .map(|what| format!("{what}_temp_path {};", path(what)))
            .concat();
        let user = match std::fs::metadata("/proc/self")
            .map(|own| std::os::unix::fs::MetadataExt::uid(&own))
        {
            Ok(0) => "user root;",
            _ => "",
        };
        let main = format!(
            "{user} daemon off; pid {}; error_log {}; events {{}} http {{ access_log {} combined; {temporary} include {}; }}",
            path("pid"),
            path("error.log"),
            path("usual.log"),
            path("brine.conf")
        );
        std::fs::write(home.path().join("main.conf"), main).expect("written");
        let child = Command::new("nginx")
            .args([
                "-p",
                &path(""),
                "-c",
                &path("main.conf"),
                "-e",
                &path("error.log"),
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("nginx is there (tests/run installs it)");
        let nginx = Nginx {
            child,
            home,
            plain,
            tls,
        };
        let started = Instant::now();
        while std::net::TcpStream::connect(tls).is_err() {
            let said = std::fs::read_to_string(nginx.home.path().join("error.log"));
            assert!(started.elapsed() < PATIENCE, "{said:?}");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        nginx
    }

    /// Posts from an address of this machine; whatever else the client says stands in `more`.
    fn post(&self, from: &str, path: &str, more: &str, body: &str) -> String {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: stats.example.test\r\nuser-agent: {FIREFOX}\r\n{more}\
             content-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
            body.len()
        );
        talk(from, self.tls, request.as_bytes())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn behind_nginx_an_address_is_the_clients_own_and_stays_in_no_log() {
    let brine = Builder::new()
        .set("LIMITS__ADDRESS_PER_MINUTE", "1")
        .set("LIMITS__ADDRESS_BURST", "5")
        .start();
    let nginx = Nginx::before(&brine);
    let own = "origin: https://portal.example.test\r\n";
    let said = nginx.post(
        "127.0.0.1",
        "/api/consent",
        own,
        r#"{"site":"portal","choice":"grant","source":"banner"}"#,
    );
    assert!(said.contains("201 Created"), "{said}");
    let token = said
        .split("\"token\":\"")
        .nth(1)
        .and_then(|rest| rest.split('"').next())
        .expect("a token")
        .to_owned();
    let page = "https://portal.example.test/nginx-ZqMarkerPage";
    let beacon = format!(r#"{{"n":"pageview","u":"{page}","d":"portal","c":"{token}"}}"#);
    // Whoever they say they are, they are one client; and another one is another.
    let mut outcomes = Vec::new();
    for i in 0..7 {
        let claimed = format!("x-forwarded-for: 203.0.113.{i}\r\nforwarded: for=203.0.113.{i}\r\n");
        let said = nginx.post("127.0.0.7", "/api/event", &claimed, &beacon);
        outcomes.push(said.contains("202 Accepted"));
    }
    assert_eq!(outcomes, [true, true, true, true, true, false, false]);
    let said = nginx.post("127.0.0.8", "/api/event", "", &beacon);
    assert!(said.contains("202 Accepted"), "{said}");
    brine.wait_for("SELECT count() FROM events", 6);
    // The pixel carries its page in the query.
    let pixel = format!(
        "GET /pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2Fnginx-ZqMarkerPixel&c={token} HTTP/1.1\r\n\
         host: stats.example.test\r\nuser-agent: {FIREFOX}\r\nconnection: close\r\n\r\n"
    );
    let said = talk("127.0.0.9", nginx.tls, pixel.as_bytes());
    assert!(
        said.contains("image/gif") || said.contains("200 OK"),
        "{said}"
    );
    brine.wait_for("SELECT count() FROM events", 7);
    // What is too large is told so by brine, with its reason.
    let large = format!(r#"{{"n":"x","u":"{}"}}"#, "a".repeat(100_000));
    let said = nginx.post("127.0.0.10", "/api/event", "", &large);
    assert!(
        said.contains("413") && said.to_lowercase().contains("brine-outcome"),
        "{said}"
    );
    let batch = format!(r#"{{"events":["{}"]}}"#, "a".repeat(1_100_000));
    let said = nginx.post("127.0.0.10", "/api/events", "", &batch);
    assert!(
        said.contains("413") && said.to_lowercase().contains("brine-outcome"),
        "{said}"
    );
    // In the clear nobody is served.
    let mut plain = std::net::TcpStream::connect(nginx.plain).expect("nginx listens");
    let request = format!(
        "GET /health?u=nginx-ZqMarker&c={token} HTTP/1.1\r\nhost: stats.example.test\r\nuser-agent: {FIREFOX}\r\nconnection: close\r\n\r\n"
    );
    std::io::Write::write_all(&mut plain, request.as_bytes()).expect("written");
    let mut said = String::new();
    std::io::Read::read_to_string(&mut plain, &mut said).expect("read");
    assert!(
        said.contains("301") && said.contains("https://stats.example.test/health"),
        "{said}"
    );
    // nginx keeps nothing of anybody.
    let log = std::fs::read_to_string(nginx.home.path().join("brine.log")).expect("a log");
    assert!(
        log.lines().count() >= 11 && log.contains("POST /api/event 202"),
        "{log}"
    );
    let markers = Markers::new([
        ("agent", FIREFOX.as_bytes()),
        ("token", token.as_bytes()),
        ("page", b"nginx-ZqMarker"),
        ("address", b"127.0.0.7"),
        ("claimed address", b"203.0.113."),
    ]);
    for name in ["brine.log", "error.log", "usual.log"] {
        let kept = std::fs::read(nginx.home.path().join(name)).expect("a log");
        markers.expect_absent(name, &kept);
    }
}
