//! Books kept beside the counters, and what holds for every reply.

use std::collections::BTreeMap;

use super::{Answer, Brine};

/// Headers that a reply may carry; anything else would have to be thought about first.
const ALLOWED_HEADERS: [&str; 14] = [
    "access-control-allow-headers",
    "access-control-allow-methods",
    "access-control-allow-origin",
    "access-control-expose-headers",
    "access-control-max-age",
    "allow",
    "brine-outcome",
    "cache-control",
    "connection",
    "content-length",
    "content-type",
    "date",
    "retry-after",
    "vary",
];

/// What was answered, to be held against the counters.
#[derive(Default)]
pub struct Books {
    counts: BTreeMap<(String, String), u64>,
}

impl Books {
    /// Notes the end of a beacon and checks everything that holds for every reply.
    #[track_caller]
    pub fn note(&mut self, answer: &Answer, site: &str, status: u16, outcome: &str) {
        answer.expect(status, outcome);
        check_reply(answer);
        *self
            .counts
            .entry((site.to_owned(), outcome.to_owned()))
            .or_default() += 1;
    }

    /// Notes an end that nobody was told of.
    pub fn note_unseen(&mut self, site: &str, outcome: &str) {
        *self
            .counts
            .entry((site.to_owned(), outcome.to_owned()))
            .or_default() += 1;
    }

    pub async fn expect_balanced(self, brine: &Brine) {
        let counted: BTreeMap<_, _> = brine
            .outcomes()
            .await
            .into_iter()
            .map(|(site, outcome, n)| ((site, outcome), n))
            .collect();
        assert_eq!(counted, self.counts);
    }
}

/// Checks what holds for every reply: its headers, and what a problem says (RFC 9457).
#[track_caller]
pub fn check_reply(answer: &Answer) {
    for name in answer.headers.keys() {
        assert!(
            ALLOWED_HEADERS.contains(&name.as_str()),
            "{name} in {answer:?}"
        );
    }
    if answer.status.is_client_error() || answer.status.is_server_error() {
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        assert_eq!(problem["type"], "about:blank");
        assert_eq!(problem["status"], answer.status.as_u16());
        assert_eq!(
            problem["title"],
            answer.status.canonical_reason().expect("a usual status")
        );
        assert!(
            problem["detail"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{problem}"
        );
        if !answer.outcome().is_empty() {
            assert_eq!(problem["outcome"], answer.outcome());
        }
    } else {
        assert!(answer.status != 204 || answer.body.is_empty(), "{answer:?}");
    }
    if !answer.outcome().is_empty() {
        assert_eq!(answer.headers["cache-control"], "no-store");
    }
}
