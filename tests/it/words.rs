//! README, "Dashboard": what people read where there is nothing to show yet, and where they are refused.

use hyper::Method;

use crate::support::{Answer, Brine, Builder};

/// As a browser that opens a page.
async fn open(brine: &Brine, path: &str, language: &str) -> Answer {
    let headers = [
        ("accept", "text/html,application/xhtml+xml,*/*;q=0.8"),
        ("accept-language", language),
    ];
    brine
        .try_request(brine.admin, Method::GET, path, &headers, "")
        .await
        .unwrap()
}

/// Each says what it would show and how its first line is made; once there is one, it says that no more.
#[tokio::test]
async fn an_empty_list_says_what_it_is_for_in_both_languages() {
    let brine = Builder::new().set("ACCESS__MODE", "open").start();
    let said: &[(&str, &[(&str, &str)])] = &[
        ("/users", &[("No users yet.", "Ingen brugere endnu.")]),
        ("/keys", &[("No keys yet.", "Ingen nøgler endnu.")]),
        (
            "/links",
            &[("No shared links yet.", "Ingen delte links endnu.")],
        ),
        (
            "/d/portal",
            &[
                ("No segments yet.", "Ingen segmenter endnu."),
                ("No notes yet.", "Ingen noter endnu."),
                ("No funnel yet.", "Ingen tragt endnu."),
                ("Nobody has chosen in this period.", "Ingen har valgt"),
                ("No page was seen", "Ingen side er set"),
                ("No goal was reached", "Intet mål er nået"),
                ("No beacon of this site has come", "Ingen måling fra"),
            ],
        ),
        (
            "/d/portal/events?events=revenue",
            &[("No revenue in this period.", "Ingen omsætning")],
        ),
        (
            "/d/portal/pages?f=is,event:page,/a",
            &[("under these filters", "under disse filtre")],
        ),
    ];
    for (path, words) in said {
        let (en, da) = (
            open(&brine, path, "en").await.text(),
            open(&brine, path, "da").await.text(),
        );
        for (english, danish) in *words {
            assert!(en.contains(english), "{path}, {english}: {en}");
            assert!(da.contains(danish), "{path}, {danish}: {da}");
        }
    }
    brine.told(&["links", "add", "agency", "--site", "portal"]);
    let links = open(&brine, "/links", "en").await.text();
    assert!(
        links.contains("agency") && !links.contains("No shared links yet."),
        "{links}"
    );
}
