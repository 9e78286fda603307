//! README, "Consent".

use crate::support::{Brine, Builder};

const PAGE: &str = r#""n":"pageview","u":"https://portal.example.test/a","d":"portal""#;

/// "Nothing before yes": a beacon without a valid consent leaves no row.
#[tokio::test]
async fn nothing_is_stored_before_yes() {
    let brine = Brine::start();
    brine.event(&format!("{{{PAGE}}}")).await.expect(204, "consent.missing");
    brine.event(&format!(r#"{{{PAGE},"c":"nonsense"}}"#)).await.expect(204, "consent.malformed");
    let elsewhere = brine.consent("pernexus").await;
    brine.event(&format!(r#"{{{PAGE},"c":"{elsewhere}"}}"#)).await.expect(204, "consent.other_site");
    let token = brine.consent("portal").await;
    brine.event(&format!(r#"{{{PAGE},"c":"{token}"}}"#)).await.expect(202, "accepted");
    brine.wait_for("SELECT count() FROM events", 1);
    brine.wait_for("SELECT count() FROM consents", 2);
}

/// "No is heard everywhere": browser signals win over a token.
#[tokio::test]
async fn browser_signals_are_refusals() {
    let brine = Builder::new().start();
    let token = brine.consent("portal").await;
    let body = format!(r#"{{{PAGE},"c":"{token}"}}"#);
    brine.event_with(&[("sec-gpc", "1")], &body).await.expect(204, "signal.gpc");
    brine.event_with(&[("dnt", "1")], &body).await.expect(204, "signal.dnt");
    brine.event_with(&[("sec-gpc", "0")], &body).await.expect(202, "accepted");
}
