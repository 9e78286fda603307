//! README, "Retention": what is set aside goes when it is due, of every kind; and days that lose everybody come back.

use serde_json::json;

use super::{START, change, done, noon};
use crate::erasure::{holding, spellings};
use crate::rights::{done as asked, view};
use crate::support::Builder;

/// A pseudonym stands in a restriction, too: it has an end, also in quarantine.
#[tokio::test(flavor = "multi_thread")]
async fn records_of_every_kind_leave_the_quarantine_when_they_are_due() {
    let brine = Builder::new().clock(noon(START)).start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    brine.wait_drained().await;
    for table in ["restrictions", "consents"] {
        change(
            &brine,
            &format!("ALTER TABLE brine.{table} ADD CONSTRAINT never CHECK site = 'nobody'"),
        )
        .await;
    }
    let restrict = json!({ "site": "portal", "action": "restrict", "receipts": [receipt] });
    crate::rights::ask(&brine, &restrict).await;
    brine.consent("portal").await;
    brine.wait_drained().await;
    let set_aside = || {
        let held = holding(&brine, &spellings(&receipt));
        held.iter()
            .filter(|path| path.contains("/quarantine/"))
            .count()
    };
    let bytes = "brine_spool_quarantine_bytes";
    assert!(set_aside() > 0, "the control");
    // The events and the restriction: 395 days. The ledger's row: five years and the token's days.
    brine.set_clock(noon(START + 394));
    done(&brine, json!({ "action": "run" })).await;
    assert!(set_aside() > 0, "not due yet");
    brine.set_clock(noon(START + 395));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    assert_eq!(set_aside(), 0);
    assert!(
        brine.metric(bytes).await > 0.0,
        "the ledger's row is still owed"
    );
    brine.set_clock(noon(START + 180 + 1_825 + 2));
    let run = done(&brine, json!({ "action": "run" })).await;
    assert_eq!(run["findings"], json!([]), "{run}");
    brine.wait_metric(bytes, |bytes| bytes == 0.0).await;
}

/// Counted with nobody, a day is counted again when they are back.
#[tokio::test(flavor = "multi_thread")]
async fn a_day_whose_only_visitor_is_counted_again_is_counted_again() {
    let brine = Builder::new().clock(noon(START)).start();
    let token = brine.consent("portal").await;
    let receipt = view(&brine, &token, "/mine").await;
    brine.wait_drained().await;
    brine.set_clock(noon(START + 3));
    let restrict =
        |action: &str| json!({ "site": "portal", "action": action, "receipts": [receipt] });
    let counted = "SELECT sum(visitors) FROM daily WHERE site = 'portal' AND dimension = ''";
    for _ in 0..2 {
        done(&brine, json!({ "action": "run" })).await;
        assert_eq!(brine.count(counted), 1);
        assert_eq!(brine.count("SELECT count() FROM visits"), 1);
        asked(&brine, restrict("restrict")).await;
        done(&brine, json!({ "action": "run" })).await;
        assert_eq!(brine.count(counted), 0);
        asked(&brine, restrict("unrestrict")).await;
    }
    done(&brine, json!({ "action": "run" })).await;
    assert_eq!(brine.count(counted), 1);
}
