//! From beacons to numbers, through the real binary: the admin listener and `brine query` count alike.

use hyper::Method;
use serde_json::{Value, json};

use super::running::{Answer, Brine};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

async fn ask(brine: &Brine, query: &Value) -> Answer {
    brine
        .admin(Method::POST, "/api/v1/query", &JSON, &query.to_string())
        .await
}

#[tokio::test]
async fn beacons_become_numbers_on_the_listener_and_the_command_line() {
    let brine = Brine::start();
    for visitor in 0..6 {
        let token = brine.consent("portal").await;
        for page in ["/a", "/b"].iter().take(1 + visitor % 2) {
            let url = format!("https://portal.example.test{page}");
            let body = json!({ "n": "pageview", "u": url, "d": "portal", "c": token });
            brine.event(&body.to_string()).await.expect(202, "accepted");
        }
    }
    brine.wait_for("SELECT count() FROM events", 9);

    let query = json!({
        "site_id": "portal.example.test", "metrics": ["visitors", "pageviews", "bounce_rate"],
        "date_range": "7d",
    });
    let answer = ask(&brine, &query).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(
        answer.json()["results"],
        json!([{ "dimensions": [], "metrics": [6, 9, 50.0] }])
    );
    assert_eq!(answer.json()["meta"]["consent"]["grants"], 6);

    let as_csv = [JSON[0], ("accept", "text/csv")];
    let csv = brine
        .admin(Method::POST, "/api/v1/query", &as_csv, &query.to_string())
        .await;
    assert_eq!(csv.text(), "visitors,pageviews,bounce_rate\r\n6,9,50.0\r\n");
    let schema = brine
        .admin(Method::GET, "/api/v1/query/schema.json", &[], "")
        .await;
    assert_eq!(schema.json()["title"], "brine query");

    let arguments = [
        "query",
        "portal",
        "--metrics",
        "visitors,pageviews,bounce_rate",
        "--range",
        "7d",
    ];
    let run = |format: &str| {
        let output = brine.command(&[&arguments[..], &["--format", format]].concat());
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap()
    };
    let same: Value = serde_json::from_str(&run("json")).unwrap();
    assert_eq!(same["results"], answer.json()["results"]);
    assert_eq!(run("csv"), "visitors,pageviews,bounce_rate\r\n6,9,50.0\r\n");
    assert!(
        run("table")
            .starts_with("visitors  pageviews  bounce_rate\n       6          9         50.0\n")
    );

    let refused = brine.command(&["query", "portal", "--metrics", "visitor"]);
    assert!(!refused.status.success());
    let words = String::from_utf8(refused.stderr).unwrap();
    assert!(
        words.contains("metrics[0] = \"visitor\": is no metric"),
        "{words}"
    );
}

#[tokio::test]
async fn the_listener_refuses_with_a_problem_that_names_the_key() {
    let brine = Brine::start();
    let answer = ask(
        &brine,
        &json!({ "site_id": "portal", "metrics": [7], "date_range": "7d" }),
    )
    .await;
    assert_eq!(answer.status, 400);
    assert_eq!(answer.headers["content-type"], "application/problem+json");
    let problem = answer.json();
    assert_eq!(
        (&problem["key"], &problem["value"]),
        (&json!("metrics[0]"), &json!("7"))
    );
    assert_eq!(problem["status"], 400);

    let unknown = json!({ "site_id": "nowhere", "metrics": ["visits"], "date_range": "7d" });
    assert_eq!(ask(&brine, &unknown).await.status, 404);
    let at = "/api/v1/query";
    let large = " ".repeat((64 << 10) + 1);
    assert_eq!(
        brine.admin(Method::POST, at, &JSON, &large).await.status,
        413
    );
    let text = [("content-type", "text/plain")];
    assert_eq!(brine.admin(Method::POST, at, &text, "{}").await.status, 415);
    assert_eq!(brine.admin(Method::GET, at, &[], "").await.status, 405);
    // Numbers are for the admin listener alone.
    let public = brine.request(Method::POST, at, &JSON, "{}").await;
    assert_eq!(public.status, 404);
}
