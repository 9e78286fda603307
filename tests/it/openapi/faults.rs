//! What a brine answers that is ill, or whose client is: 408, 503, and the 202 of an erasure that takes long.

use std::time::Instant;

use hyper::{HeaderMap, Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::{AGENT, Caller, Description, JSON, ORIGIN, WEBSITE, app_token, wires};
use crate::support::standin::StandIn;
use crate::support::{Answer, Brine, PATIENCE};

/// Meets all of them, and holds each against the description.
pub(super) async fn meet(description: Description) -> Description {
    let store = StandIn::start().await;
    let brine = wires(store.builder())
        .set("SPOOL__MAX_MIB", "1")
        .set("SERVER__BODY_TIMEOUT_MS", "500")
        .start();
    let mut caller = Caller {
        description,
        brine: &brine,
    };
    halves(&mut caller).await;
    // Tokens first: nothing is granted once nothing can be kept.
    let portal = brine.consent("portal").await;
    let windows = app_token(&mut caller, "windows").await;
    let android = app_token(&mut caller, "android").await;
    brine.wait_drained().await;
    store.set_down(true);
    erasures(&mut caller).await;
    fill(&brine, &portal).await;
    full(&mut caller, [&portal, &windows, &android]).await;
    caller.description
}

/// A body that does not come to its end.
async fn halves(caller: &mut Caller<'_>) {
    for path in [
        "/api/event",
        "/api/events",
        "/api/consent",
        "/api/subject",
        "/matomo.php",
        "/piwik.php",
        "/api/send",
    ] {
        let mut stream = TcpStream::connect(caller.brine.public)
            .await
            .expect("a connection");
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: portal.example.test\r\ncontent-type: application/json\r\n\
             content-length: 100\r\nconnection: close\r\n\r\n{{"
        );
        stream.write_all(head.as_bytes()).await.expect("sent");
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.expect("an answer");
        let answer = parsed(&String::from_utf8_lossy(&bytes));
        assert_eq!(answer.status, 408, "{path}: {}", answer.text());
        caller.description.check(path, "POST", &answer);
    }
}

fn parsed(text: &str) -> Answer {
    let (head, body) = text.split_once("\r\n\r\n").expect("a head");
    let mut lines = head.lines();
    let status = lines.next().and_then(|line| line.split(' ').nth(1));
    let mut headers = HeaderMap::new();
    for (name, value) in lines.filter_map(|line| line.split_once(": ")) {
        let name: hyper::header::HeaderName = name.parse().expect("a name");
        headers.append(name, value.parse().expect("a value"));
    }
    Answer {
        status: StatusCode::from_bytes(status.expect("a status").as_bytes()).expect("a status"),
        headers,
        body: body.to_owned().into(),
    }
}

/// ClickHouse is away: an erasure is promised, and everything else that has to ask it is put off.
async fn erasures(caller: &mut Caller<'_>) {
    let brine = caller.brine;
    let mut tokens = Vec::new();
    for _ in 0..4 {
        tokens.push(brine.consent("portal").await);
    }
    let bearer: Vec<String> = tokens
        .iter()
        .map(|token| format!("Bearer {token}"))
        .collect();
    let ask = |token: &str, action: &str| {
        json!({ "site": "portal", "action": action, "token": token }).to_string()
    };
    let withdraw =
        json!({ "site": "portal", "choice": "withdraw", "token": tokens[2], "erase": true });
    let (by_post, by_delete, by_choice) = (
        ask(&tokens[0], "erase"),
        [("authorization", bearer[1].as_str())],
        withdraw.to_string(),
    );
    let subject = "/api/subject?site=portal";
    let headers = [JSON, AGENT, ORIGIN];
    // Each is waited for ten seconds: together.
    let (posted, deleted, chosen) = tokio::join!(
        brine.request(Method::POST, "/api/subject", &headers, &by_post),
        brine.request(Method::DELETE, subject, &by_delete, ""),
        brine.request(Method::POST, "/api/consent", &headers, &by_choice),
    );
    for (path, method, answer) in [
        ("/api/subject", "POST", posted),
        ("/api/subject", "DELETE", deleted),
        ("/api/consent", "POST", chosen),
    ] {
        assert_eq!(answer.status, 202, "{method} {path}: {}", answer.text());
        assert_eq!(answer.json()["done"], false, "{}", answer.text());
        caller.description.check(path, method, &answer);
    }
    let see = ask(&tokens[3], "see");
    caller
        .post("/api/subject", &[ORIGIN], &see)
        .await
        .expect(503, "store.unavailable");
    caller
        .get(subject, &[("authorization", &bearer[3])])
        .await
        .expect(503, "store.unavailable");
}

/// Sends until the spool is full.
async fn fill(brine: &Brine, token: &str) {
    // Words: a long word would be taken for a token, and masked.
    let long = "salt and water ".repeat(60);
    let page = format!(
        r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}","p":{{"k":"{long}"}}}}"#
    );
    let begun = Instant::now();
    // Once it is full it stays full: ClickHouse is away.
    loop {
        let send = || brine.event(&page);
        let (a, b, c, d) = tokio::join!(send(), send(), send(), send());
        if [&a, &b, &c, &d]
            .iter()
            .all(|answer| answer.outcome() == "spool.full")
        {
            return;
        }
        assert!(
            begun.elapsed() < PATIENCE,
            "the spool never fills: {}",
            a.text()
        );
    }
}

/// Nothing can be kept any more.
async fn full(caller: &mut Caller<'_>, [portal, windows, android]: [&str; 3]) {
    let event =
        format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{portal}"}}"#);
    let batch =
        format!(r#"{{"site":"windows","consent":"{windows}","events":[{{"screen":"/a"}}]}}"#);
    let umami = format!(
        r#"{{"type":"event","payload":{{"website":"{WEBSITE}","hostname":"portal.example.test","url":"/a","consent":"{portal}"}}}}"#
    );
    let deny = r#"{"site":"portal","choice":"grant","purposes":["measurement"],"source":"test"}"#;
    let cookie = format!("brine_consent={portal}");
    let pixel = "/pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2F";
    let view = |path: &str| {
        format!("{path}?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa&brine_consent={android}")
    };
    let (matomo, piwik) = (view("/matomo.php"), view("/piwik.php"));
    let subject = "/api/subject?site=portal";
    let bearer = format!("Bearer {portal}");
    for (template, method, path, body) in [
        ("/api/event", Method::POST, "/api/event", event.as_str()),
        ("/api/events", Method::POST, "/api/events", &batch),
        ("/api/send", Method::POST, "/api/send", &umami),
        ("/api/consent", Method::POST, "/api/consent", deny),
        ("/matomo.php", Method::GET, &matomo, ""),
        ("/matomo.php", Method::POST, &matomo, ""),
        ("/piwik.php", Method::GET, &piwik, ""),
        ("/piwik.php", Method::POST, &piwik, ""),
        ("/pixel.gif", Method::GET, pixel, ""),
        ("/ready", Method::GET, "/ready", ""),
        ("/api/subject", Method::DELETE, subject, ""),
    ] {
        let mut headers = vec![AGENT, ("cookie", cookie.as_str())];
        if method == Method::POST {
            headers.extend([JSON]);
        }
        if template == "/api/consent" {
            headers.push(ORIGIN);
        }
        if template == "/api/subject" {
            headers.push(("authorization", &bearer));
        }
        // What is small may still find room, for a while.
        let begun = Instant::now();
        loop {
            let answer = caller
                .at(template, method.clone(), path, &headers, body)
                .await;
            if answer.status == 503 {
                break;
            }
            let said = format!("{method} {path}: {} {}", answer.status, answer.text());
            assert!(begun.elapsed() < PATIENCE, "{said}");
        }
    }
}
