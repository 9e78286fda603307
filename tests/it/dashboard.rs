//! README, "Dashboard": its numbers are the query API's, nothing in it comes from elsewhere, and nothing that a
//! visitor sent is more than text.

use hyper::Method;
use serde_json::{Value, json};

use crate::support::{Answer, Brine, Builder};

/// What a hostile page, referrer, campaign, property or event would try.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(1)>'";

async fn get(brine: &Brine, path: &str) -> Answer {
    brine.admin(Method::GET, path, &[], "").await
}

async fn visitors(brine: &Brine, n: usize, body: impl Fn(usize) -> Value) {
    for visitor in 0..n {
        let token = brine.consent("portal").await;
        let mut body = body(visitor);
        body["d"] = json!("portal");
        body["c"] = json!(token);
        brine.event(&body.to_string()).await.expect(202, "accepted");
    }
}

#[tokio::test]
async fn the_dashboard_shows_the_numbers_of_the_query_api() {
    let brine = Brine::start();
    visitors(&brine, 12, |i| {
        let page = if i < 7 { "/a" } else { "/b" };
        json!({ "n": "pageview", "u": format!("https://portal.example.test{page}") })
    })
    .await;
    brine.wait_for("SELECT count() FROM events", 12);
    let query = json!({
        "site_id": "portal", "metrics": ["visitors", "pageviews"], "date_range": "28d",
        "dimensions": ["event:page"],
    });
    let json = [("content-type", "application/json")];
    let api = brine
        .admin(Method::POST, "/api/v1/query", &json, &query.to_string())
        .await
        .json();
    assert_eq!(
        api["results"],
        json!([
            { "dimensions": ["/a"], "metrics": [7, 7] },
            { "dimensions": ["/b"], "metrics": [5, 5] },
        ])
    );
    let page = get(&brine, "/d/portal?lang=en").await;
    assert_eq!(page.status, 200);
    let text = page.text().replace('\n', "");
    for shown in [
        "<span class=\"name\">Visitors</span><strong>12</strong>",
        ">/a</a></th><td>7</td><td>7</td>",
        ">/b</a></th><td>5</td><td>5</td>",
    ] {
        assert!(text.contains(shown), "{shown}: {text}");
    }
    let csv = get(&brine, "/d/portal/pages.csv").await.text();
    assert!(
        csv.starts_with("event:page,visitors,visits,pageviews"),
        "{csv}"
    );
    assert!(csv.contains("\r\n/a,7,7,7,"), "{csv}");

    // A filter narrows everything; one that singles out few shows nothing.
    let filtered = get(&brine, "/d/portal?lang=en&f=is,event:page,/b")
        .await
        .text();
    assert!(filtered.contains("<strong>5</strong>"), "{filtered}");
    assert!(!filtered.contains(">/a</a>"), "{filtered}");
    let all = get(&brine, "/?lang=en").await.text();
    assert!(all.contains("<dd>12</dd>"), "{all}");
    let refused = get(&brine, "/d/portal?f=is,event:nothing,x").await;
    assert_eq!(refused.status, 400);
    assert!(
        refused.text().contains("is no dimension"),
        "{}",
        refused.text()
    );
    assert_eq!(get(&brine, "/d/nowhere").await.status, 404);
    assert_eq!(get(&brine, "/d/portal/nothing").await.status, 404);
    // In words for whoever reads it.
    for path in ["/d/nowhere", "/d/portal/nothing", "/nothing"] {
        let browser = [("accept", "text/html,*/*"), ("accept-language", "da")];
        let lost = brine.admin(Method::GET, path, &browser, "").await;
        assert_eq!(lost.status, 404, "{path}");
        assert!(lost.text().contains("Siden findes ikke"), "{}", lost.text());
    }
    // The public listener knows nothing of it.
    assert_eq!(
        brine
            .request(Method::GET, "/d/portal", &[], "")
            .await
            .status,
        404
    );
}

/// README, "Dashboard": a day, week or hour that has begun is no fall: a dashed stretch leads to it, and its figure says
/// "so far", in the graph (without script, and on paper) and in the table; nothing that is over does.
#[tokio::test]
async fn what_is_not_over_is_dashed_and_says_so() {
    const NOON: i64 = 1_795_608_000_000; // 2026-11-25T12:00:00Z, a Wednesday
    const DAY: i64 = 86_400_000;
    let brine = Builder::new().clock(NOON - DAY).start();
    let view = |_| json!({ "n": "pageview", "u": "https://portal.example.test/a" });
    visitors(&brine, 9, view).await;
    brine.set_clock(NOON);
    brine.wait_for(
        "SELECT uniqExact(period) >= 2 FROM salt_events WHERE step = 'created'",
        1,
    );
    visitors(&brine, 6, view).await;
    brine.wait_for("SELECT count() FROM events", 15);
    let shown = async |query: &str| {
        let page = get(&brine, &format!("/d/portal?{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        page.text().replace('\n', "").replace("&#32;", " ")
    };
    let dashed = "<path class=\"line so-far\" d=\"M";
    for (query, drawn, told, row) in [
        (
            "lang=en&period=7d",
            true,
            "Wed 25 Nov so far: 6",
            "Wed 25 Nov</a> so far</th><td>6</td>",
        ),
        (
            "lang=da&period=7d",
            true,
            "ons 25. nov. indtil nu: 6",
            "ons 25. nov.</a> indtil nu</th><td>6</td>",
        ),
        (
            "lang=en&period=day",
            true,
            "25 Nov 13:00 so far: 6",
            "25 Nov 13:00 so far</th><td>6</td>",
        ),
        // There is nothing before it to draw from: no event is older.
        (
            "lang=en&period=7d&interval=week",
            false,
            "Mon 23 Nov so far: 15",
            "Mon 23 Nov</a> so far</th><td>15</td>",
        ),
        (
            "lang=en&period=month&interval=month",
            false,
            "Nov 2026 so far: 15",
            "Nov 2026</a> so far</th><td>15</td>",
        ),
    ] {
        let page = shown(query).await;
        assert_eq!(page.contains(dashed), drawn, "{query}: {page}");
        assert!(page.contains(&format!("<title>{told}")), "{query}: {page}");
        assert!(page.contains(row), "{query}: {page}");
        let legend = told.rsplit_once(": ").unwrap().0;
        assert!(
            page.contains(&format!("<span class=\"so-far\">{legend}</span>")),
            "{query}: {page}"
        );
    }
    // The line itself ends with the hour before; the page of all sites draws alike.
    let line = |page: &str, class: &str| {
        let rest = page
            .split_once(&format!("<path class=\"{class}\" d=\""))
            .unwrap()
            .1;
        rest.split_once('"').unwrap().0.to_owned()
    };
    let page = shown("lang=en&period=day").await;
    let (over, so_far) = (line(&page, "line"), line(&page, "line so-far"));
    let last = over.rsplit_once('L').unwrap().1;
    assert!(so_far.starts_with(&format!("M{last}L")), "{over} {so_far}");
    let all = get(&brine, "/?lang=en&period=7d").await.text();
    assert!(all.contains(dashed), "{all}");
    for over in [
        "from=2026-11-17&to=2026-11-24",
        "from=2026-11-24&to=2026-11-24",
    ] {
        let page = shown(&format!("lang=en&{over}")).await;
        assert!(
            !page.contains(dashed) && !page.contains("so far"),
            "{over}: {page}"
        );
    }
}

/// README, "Dashboard": which properties events carry, and the values of one; small ones hidden, every step a link.
#[tokio::test]
async fn properties_of_events_are_chosen_counted_and_filtered_by() {
    let brine = Brine::start();
    let empty = get(&brine, "/d/portal?lang=en").await.text();
    assert!(
        empty.contains("No event of this period carries properties"),
        "{empty}"
    );
    visitors(&brine, 20, |i| {
        let url = "https://portal.example.test/a";
        match i {
            0..9 => json!({ "n": "Signup", "u": url, "p": { "plan": "pro", "it's, \"so\"": "a" } }),
            9..15 => json!({ "n": "Signup", "u": url, "p": { "plan": "free & easy" } }),
            // Fewer than five of each: one row, with the next smallest.
            15..17 => json!({ "n": "Signup", "u": url, "p": { "plan": "rare-one" } }),
            17..19 => json!({ "n": "Signup", "u": url, "p": { "plan": "rare-two", "few": "x" } }),
            _ => json!({ "n": "pageview", "u": url }),
        }
    })
    .await;
    brine.wait_for("SELECT count() FROM events", 20);
    let panel = async |query: &str| {
        let page = get(&brine, &format!("/d/portal/props?lang=en{query}")).await;
        assert_eq!(page.status, 200, "{query}");
        page.text().replace('\n', "")
    };
    // All pairs; `few` is folded, and takes the next smallest along.
    let all = panel("").await;
    assert!(
        all.contains(
            "props=plan&#38;event=Signup&#38;lang=en\">Signup · plan</a></th><td>19</td><td>19</td>"
        ),
        "{all}"
    );
    assert!(
        all.contains("event=Signup&#38;lang=en\">Signup</a>"),
        "{all}"
    );
    assert!(
        !all.contains("· few") && all.contains("<span>(other)</span></th><td>11</td>"),
        "{all}"
    );
    // One event: gated, because a single visitor did not sign up.
    let gated = panel("&event=Signup").await;
    assert!(
        gated.contains("Not shown: fewer than 5 visitors"),
        "{gated}"
    );
    visitors(
        &brine,
        5,
        |_| json!({ "n": "pageview", "u": "https://portal.example.test/b" }),
    )
    .await;
    brine.wait_for("SELECT count() FROM events", 25);
    let of_event = panel("&event=Signup").await;
    assert!(
        of_event.contains(">plan</a></th><td>19</td><td>19</td>"),
        "{of_event}"
    );
    // One property.
    let values = panel("&event=Signup&props=plan").await;
    assert!(
        values.contains(">pro</a></th><td>9</td><td>9</td>"),
        "{values}"
    );
    assert!(
        values.contains("<span>(other)</span></th><td>10</td><td>10</td>"),
        "{values}"
    );
    assert!(
        !values.contains("rare") && !values.contains("free"),
        "{values}"
    );
    // A value filters the site's page by event and value, and its number is the row's.
    let href = "/d/portal?f=is%2Cevent%3Aname%2CSignup&f=is%2Cevent%3Aprops%3Aplan%2Cpro";
    assert!(values.contains(&href.replace('&', "&#38;")), "{values}");
    let filtered = get(&brine, &format!("{href}&lang=en"))
        .await
        .text()
        .replace('\n', "");
    assert!(
        filtered.contains("<span class=\"name\">Visitors</span><strong>9</strong>"),
        "{filtered}"
    );
    // The page of the site shows what is chosen, in either language, and other sites do not inherit it.
    let site = get(&brine, "/d/portal?lang=da&event=Signup&props=plan")
        .await
        .text();
    assert!(
        site.contains("Hændelsers egenskaber") && site.contains(">pro</a>"),
        "{site}"
    );
    assert!(site.contains("href=\"/d/ios?lang=da\""), "{site}");
    let csv = get(&brine, "/d/portal/props.csv?event=Signup&props=plan")
        .await
        .text();
    assert_eq!(
        csv,
        "event:props:plan,visitors,events\r\npro,9,9\r\n(other),10,10\r\n"
    );
    // Names are whatever a site's developers wrote.
    let odd: String = escaped("it's, \"so\"");
    let values = panel(&format!("&event=Signup&props={odd}")).await;
    assert!(values.contains("it&#39;s, &#34;so&#34;"), "{values}");
}

#[tokio::test]
async fn what_visitors_send_is_only_text_on_the_dashboard() {
    let brine = Brine::start();
    visitors(&brine, 6, |_| {
        let tag: String = url::form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
        json!({
            "n": HOSTILE,
            "u": format!("https://portal.example.test/{HOSTILE}?utm_source={tag}&utm_campaign={tag}&utm_medium={tag}"),
            "r": format!("https://elsewhere.example/{HOSTILE}"),
            "p": { (HOSTILE): HOSTILE },
        })
    })
    .await;
    brine.wait_for("SELECT count() FROM events", 6);
    let paths = [
        "/d/portal?lang=en".to_owned(),
        "/d/portal?sources=campaign&events=name&pages=entry".to_owned(),
        "/d/portal?sources=referrer&events=name&pages=exit".to_owned(),
        "/d/portal/sources?sources=utm_source".to_owned(),
        "/d/portal/events?events=goal".to_owned(),
        "/d/portal/props".to_owned(),
        format!("/d/portal/props?event={0}&props={0}", escaped(HOSTILE)),
        format!("/d/portal?lang=en&f=is,event:page,{}", escaped(HOSTILE)),
        format!("/d/portal?from={0}&to={0}", escaped(HOSTILE)),
        format!(
            "/d/portal?step={0}&metric={0}&interval={0}&pages={0}",
            escaped(HOSTILE)
        ),
    ];
    for path in &paths {
        let page = get(&brine, path).await;
        let text = page.text();
        // Two of them at most are ours, and neither has text within.
        assert_eq!(text.matches("<script").count(), 1, "{path}: {text}");
        assert!(!text.contains("<img"), "{path}: {text}");
        assert!(!text.contains(HOSTILE), "{path}: {text}");
        let policy = page.headers["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
    }
    let text = get(&brine, &paths[0]).await.text();
    assert!(text.contains("&#60;script&#62;"), "{text}");
}

/// README, "Dashboard": a note stands in the graph until it is removed, a segment brings its filters back, and the form
/// of a page elsewhere changes nothing.
#[tokio::test]
async fn notes_and_segments_are_kept_and_are_only_text() {
    let brine = Brine::start();
    let post = async |headers: &[(&str, &str)], fields: &[(&str, &str)]| {
        let mut form = url::form_urlencoded::Serializer::new(String::new());
        form.extend_pairs(fields);
        let kind = ("content-type", "application/x-www-form-urlencoded");
        let headers = [&[kind], headers].concat();
        brine
            .admin(Method::POST, "/d/portal/marks", &headers, &form.finish())
            .await
    };
    let filters = json!([["is", "visit:country", ["DK"]]]).to_string();
    let note = [
        ("kind", "note"),
        ("name", HOSTILE),
        ("back", "//elsewhere.example"),
    ];
    let segment = [
        ("kind", "segment"),
        ("name", "Danes"),
        ("filters", &filters),
    ];
    for elsewhere in [
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
        ("origin", "https://elsewhere.example"),
        ("origin", "null"),
    ] {
        assert_eq!(post(&[elsewhere], &note).await.status, 403, "{elsewhere:?}");
    }
    let kept = post(&[], &note).await;
    assert_eq!(kept.status, 303, "{}", kept.text());
    assert_eq!(kept.headers["location"], "/d/portal");
    assert_eq!(
        post(&[("sec-fetch-site", "same-origin")], &segment)
            .await
            .status,
        303
    );
    for wrong in [
        &[("kind", "note"), ("name", "")][..],
        &[("kind", "other"), ("name", "x")],
        &[("kind", "segment"), ("name", "x"), ("filters", "no")],
        &[("do", "remove"), ("kind", "note")],
    ] {
        assert_eq!(post(&[], wrong).await.status, 400, "{wrong:?}");
    }
    let page = get(&brine, "/d/portal?lang=en").await.text();
    assert!(!page.contains(HOSTILE) && !page.contains("<img"), "{page}");
    assert!(
        page.contains("onerror=alert(1)"),
        "the note is shown: {page}"
    );
    assert!(page.contains("f=is%2Cvisit%3Acountry%2CDK"), "{page}");
    for mark in brine.sql("SELECT toString(mark) FROM dashboard_marks WHERE kind = 'note'") {
        let fields = [("do", "remove"), ("kind", "note"), ("mark", mark.as_str())];
        assert_eq!(post(&[], &fields).await.status, 303);
    }
    let page = get(&brine, "/d/portal?lang=en").await.text();
    assert!(!page.contains("onerror"), "{page}");
    assert!(page.contains(">Danes</a>"), "{page}");
    // Each change is on record, and nothing of what was written.
    brine.wait_for("SELECT count() FROM access_log WHERE action = 'changed'", 3);
    assert_eq!(
        brine.sql("SELECT site, detail FROM access_log WHERE action = 'changed' ORDER BY ts, seq"),
        [
            "portal\tnote add",
            "portal\tsegment add",
            "portal\tnote remove"
        ]
    );
}

#[tokio::test]
async fn the_dashboard_loads_nothing_from_elsewhere_and_little_from_itself() {
    let brine = Brine::start();
    let gzip = [("accept-encoding", "gzip, br")];
    let mut n_bytes = 0;
    let mut paths = vec!["/d/portal".to_owned()];
    let page = get(&brine, "/d/portal").await.text();
    for attribute in ["src=\"", "href=\"/static"] {
        for (at, _) in page.match_indices(attribute) {
            let start = page[at..].find('"').unwrap() + at + 1;
            let end = page[start..].find('"').unwrap() + start;
            paths.push(page[start..end].to_owned());
        }
    }
    assert_eq!(paths.len(), 4, "{paths:?}");
    for path in &paths {
        assert!(path.starts_with('/'), "{path}");
        let answer = brine.admin(Method::GET, path, &gzip, "").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.headers["content-encoding"], "gzip");
        n_bytes += answer.body.len();
    }
    assert!(n_bytes < 60_000, "{n_bytes} bytes");
    assert!(
        !page.contains("http://") && !page.contains("https://"),
        "{page}"
    );
    assert!(
        !page.contains("style=\"") && !page.contains("<style"),
        "{page}"
    );
    let script = paths.iter().find(|path| path.ends_with(".js")).unwrap();
    let script = brine.admin(Method::GET, script, &gzip, "").await.body;
    assert!(script.len() < 3_000, "{} bytes of script", script.len());
}

fn escaped(text: &str) -> String {
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
