//! What is read: pages, scripts, health; and the limits of whoever asks too often.

use hyper::Method;

use super::{AGENT, Caller, JSON, WEBSITE, app_token};

pub(super) async fn pages(caller: &mut Caller<'_>) {
    for (template, path) in [
        ("/brine.js", "/brine.js"),
        ("/brine/{script}.js", "/brine/banner.js"),
        ("/policy", "/policy?site=portal&lang=da"),
        ("/policy.json", "/policy.json?site=portal"),
        ("/policy/versions", "/policy/versions"),
        ("/policy/{version}", "/policy/1?site=portal"),
        ("/my-data", "/my-data"),
        ("/.well-known/gpc.json", "/.well-known/gpc.json"),
    ] {
        let answer = caller.at(template, Method::GET, path, &[], "").await;
        let operation = &caller.description.root["paths"][template]["get"];
        if operation["responses"]["304"].is_null() {
            continue;
        }
        let tag = answer
            .headers
            .get("etag")
            .unwrap_or_else(|| panic!("{path} has no tag"));
        let known = [("if-none-match", tag.to_str().expect("ASCII"))];
        caller.at(template, Method::GET, path, &known, "").await;
    }
    caller
        .get("/policy", &[("accept", "application/json")])
        .await;
    for (template, path) in [
        ("/brine/{script}.js", "/brine/nothing.js"),
        ("/policy", "/policy?site=nobody"),
        ("/policy.json", "/policy.json?site=nobody"),
        ("/policy/versions", "/policy/versions?site=nobody"),
        ("/policy/{version}", "/policy/99?site=portal"),
    ] {
        caller.at(template, Method::GET, path, &[], "").await;
    }
    for path in ["/openapi.yaml", "/health", "/ready"] {
        caller.get(path, &[]).await;
    }
}

/// Asks until each limit is reached.
pub(super) async fn limits(caller: &mut Caller<'_>) {
    let windows = app_token(caller, "windows").await;
    let android = app_token(caller, "android").await;
    let from = [JSON, AGENT, ("x-forwarded-for", "203.0.113.9")];
    for (method, path, body) in [
        (Method::POST, "/api/subject", "[]"),
        (Method::GET, "/api/subject?site=portal", ""),
        (Method::DELETE, "/api/subject?site=portal", ""),
        (
            Method::POST,
            "/api/consent",
            r#"{"site":"portal","choice":"deny"}"#,
        ),
        (Method::POST, "/api/events", "batch"),
        (Method::POST, "/api/send", "umami"),
        (Method::GET, "/matomo.php", "matomo"),
        (Method::POST, "/matomo.php", "matomo"),
        (Method::GET, "/piwik.php", "matomo"),
        (Method::POST, "/piwik.php", "matomo"),
        (Method::POST, "/api/event", "event"),
        (Method::GET, "/pixel.gif", "event"),
    ] {
        let template = path.split('?').next().expect("a path");
        let token = caller.brine.consent("portal").await;
        let cookie = format!("brine_consent={token}");
        let event =
            format!(r#"{{"n":"a","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#);
        let query = "/pixel.gif?d=portal&u=https%3A%2F%2Fportal.example.test%2F";
        let view =
            format!("{path}?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa&brine_consent={android}");
        let batch =
            format!(r#"{{"site":"windows","consent":"{windows}","events":[{{"screen":"/a"}}]}}"#);
        let umami = format!(
            r#"{{"type":"event","payload":{{"website":"{WEBSITE}","hostname":"portal.example.test","url":"/a","consent":"{token}"}}}}"#
        );
        let (path, body) = match body {
            "event" if method == Method::POST => (path, event.as_str()),
            "event" => (query, ""),
            "batch" => (path, batch.as_str()),
            "umami" => (path, umami.as_str()),
            "matomo" => (view.as_str(), ""),
            _ => (path, body),
        };
        let headers = [&from[..], &[("cookie", &cookie)]].concat();
        let mut is_limited = false;
        for _ in 0..200 {
            let body = if method == Method::POST { body } else { "" };
            let answer = caller
                .at(template, method.clone(), path, &headers, body)
                .await;
            is_limited = answer.status == 429;
            if is_limited {
                break;
            }
        }
        assert!(is_limited, "{method} {path} has no limit");
    }
}
