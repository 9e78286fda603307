//! README, "Dashboard": everybody can use it, by keyboard, on a phone, in the dark, without script; and what visitors
//! sent runs nowhere.

use serde_json::json;

use crate::browser::{my_turn, run_with};
use crate::support::{Brine, Builder};

const HOSTILE: &str =
    "\"><img src=x onerror=document.title='run'><script>document.title='run'</script>";

/// A brine whose admin listener asks nobody, with visitors of a portal.
fn with_visitors() -> Brine {
    let brine = Builder::new().set("ACCESS__MODE", "open").start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        for visitor in 0..14 {
            let token = brine.consent("portal").await;
            let path = if visitor % 2 == 0 { "/a".to_owned() } else { format!("/{HOSTILE}") };
            let mut bodies = vec![json!({
                "n": "pageview", "u": format!("https://portal.example.test{path}?utm_campaign={HOSTILE}"),
                "r": "https://www.google.com/",
            })];
            if visitor % 2 == 0 {
                bodies.push(json!({ "n": "Signup", "u": "https://portal.example.test/a", "p": { "plan": HOSTILE } }));
                bodies.push(json!({ "n": HOSTILE, "u": "https://portal.example.test/a" }));
            }
            for mut body in bodies {
                body["d"] = json!("portal");
                body["c"] = json!(token);
                brine.event(&body.to_string()).await.expect(202, "accepted");
            }
        }
    });
    brine.wait_for("SELECT count() FROM events", 28);
    brine
}

#[test]
fn the_dashboard_has_no_barriers() {
    let _turn = my_turn();
    let brine = with_visitors();
    run_with("dashboard_no_barriers", brine.admin, &json!({}));
}

#[test]
fn the_dashboard_filters_compares_zooms_and_needs_no_script() {
    let _turn = my_turn();
    let brine = with_visitors();
    run_with(
        "dashboard_is_used",
        brine.admin,
        &json!({ "hostile": HOSTILE }),
    );
}
