//! README, "Bind it to a version": what is served is what the sources say, and a page can hold it to that.

use std::process::Command;

use hyper::{Method, StatusCode};

use crate::browser::folder;
use crate::support::Brine;

/// The minified forms are checked in; nobody can have changed the one without the other.
#[test]
fn the_served_scripts_are_what_their_sources_give() {
    let output = Command::new("node")
        .arg(folder().join("minify.mjs"))
        .output()
        .expect("node runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
}

/// Each script by its name and by its hash; a hash of another version is told so, and by no cache kept.
#[tokio::test(flavor = "multi_thread")]
async fn an_address_with_a_hash_never_changes_its_content() {
    let brine = Brine::start();
    let get = async |path: String| brine.request(Method::GET, &path, &[], "").await;
    for script in brine::tracker::scripts() {
        let (named, pinned) = (get(script.path()).await, get(script.pinned_path()).await);
        assert_eq!(
            (named.status, pinned.status),
            (StatusCode::OK, StatusCode::OK)
        );
        assert_eq!((&named.body, &pinned.body), (&script.plain, &script.plain));
        assert_eq!(named.headers["cache-control"], "public, max-age=3600");
        assert_eq!(
            pinned.headers["cache-control"],
            "public, max-age=31536000, immutable"
        );
        let other = get(script
            .pinned_path()
            .replace(&script.hash, "0123456789abcdef"))
        .await;
        assert_eq!(other.status, StatusCode::NOT_FOUND);
        assert_eq!(other.headers["cache-control"], "no-store");
        assert!(other.text().contains(&script.integrity), "{}", other.text());
        let posted = brine.request(Method::POST, &script.path(), &[], "").await;
        assert_eq!(posted.status, StatusCode::METHOD_NOT_ALLOWED);
    }
}
