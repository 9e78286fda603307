//! The wires of other clients: Matomo's and Umami's.

use hyper::Method;

use super::{AGENT, Caller, JSON, ORIGIN, WEBSITE};

pub(super) async fn other_wires(caller: &mut Caller<'_>) {
    let token = caller.brine.consent("portal").await;
    let packed = ("content-encoding", "br");
    for path in ["/matomo.php", "/piwik.php"] {
        let view = format!("{path}?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa");
        caller.at(path, Method::GET, &view, &[AGENT], "").await;
        caller
            .at(
                path,
                Method::GET,
                &format!("{view}&send_image=0"),
                &[AGENT],
                "",
            )
            .await;
        caller
            .at(path, Method::GET, &view.replace("=7", "=8"), &[AGENT], "")
            .await
            .expect(404, "site.unknown");
        caller.at(path, Method::POST, &view, &[AGENT], "").await;
        caller
            .at(
                path,
                Method::POST,
                &format!("{view}&send_image=0"),
                &[AGENT],
                "",
            )
            .await;
        let bulk = r#"{"requests":["?idsite=7&rec=1&url=app%3A%2F%2Fandroid%2Fa"]}"#;
        caller
            .at(path, Method::POST, path, &[JSON, AGENT], bulk)
            .await;
        caller
            .at(
                path,
                Method::POST,
                path,
                &[JSON, AGENT],
                r#"{"requests":[]}"#,
            )
            .await
            .expect(400, "beacon.malformed");
        caller
            .at(path, Method::POST, &view.replace("=7", "=8"), &[AGENT], "")
            .await
            .expect(404, "site.unknown");
        caller
            .at(
                path,
                Method::POST,
                path,
                &[AGENT, JSON],
                &"x".repeat(100_000),
            )
            .await
            .expect(413, "beacon.too_large");
        caller
            .at(path, Method::POST, path, &[AGENT, JSON, packed], "x")
            .await
            .expect(415, "beacon.encoding");
        let elsewhere = [AGENT, ("origin", "https://elsewhere.test")];
        for method in [Method::GET, Method::POST] {
            let view = view.replace("=7", "=6");
            caller.at(path, method, &view, &elsewhere, "").await;
        }
    }
    let path = "/api/send";
    let payload = |website: &str| {
        format!(
            r#"{{"type":"event","payload":{{"website":"{website}","hostname":"portal.example.test","url":"/a","consent":"{token}"}}}}"#
        )
    };
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], &payload(WEBSITE))
        .await;
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], "{}")
        .await
        .expect(400, "beacon.malformed");
    caller
        .at(path, Method::POST, path, &[JSON, AGENT], &payload("nobody"))
        .await
        .expect(404, "site.unknown");
    let elsewhere = [JSON, AGENT, ("origin", "https://elsewhere.test")];
    caller
        .at(path, Method::POST, path, &elsewhere, &payload(WEBSITE))
        .await
        .expect(403, "site.origin");
    caller
        .at(
            path,
            Method::POST,
            path,
            &[JSON, AGENT],
            &"x".repeat(100_000),
        )
        .await
        .expect(413, "beacon.too_large");
    caller
        .at(path, Method::POST, path, &[JSON, AGENT, packed], "x")
        .await
        .expect(415, "beacon.encoding");
    caller.at(path, Method::OPTIONS, path, &[ORIGIN], "").await;
}
