use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

use super::*;

const NOW: i64 = 1_795_258_800_000;

/// The withdrawal of before, answered by what stands between the app and the collector.
#[test]
fn an_answer_that_is_no_collectors_settles_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let script = Script::default();
    let mut client = granted(&directory, &script);
    script.sent();
    let page = |status| Response {
        status,
        headers: vec![("content-type".into(), "text/html".into())],
        body: b"<h1>Welcome</h1>".to_vec(),
    };
    script.0.borrow_mut().answers.push_back(page(200));
    let delivered = client.withdraw(true, NOW).unwrap();
    assert!(
        matches!(delivered, Delivered::Later { .. }),
        "{delivered:?}"
    );
    script.0.borrow_mut().answers.push_back(page(404));
    let delivered = client.deliver(NOW + 3_600_000).unwrap();
    assert!(
        matches!(delivered, Delivered::Later { .. }),
        "{delivered:?}"
    );
    script.answers(&[(204, "consent.withdrawn", Value::Null)]);
    client.deliver(NOW + 7_200_000).unwrap();
    let sent = script.sent();
    assert_eq!(sent.len(), 3);
    assert!(
        sent.iter()
            .all(|(path, body)| path == "/api/consent" && body["erase"] == true)
    );
}

/// A no is in force even where nothing can be written.
#[test]
fn a_no_is_in_force_where_the_disk_takes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let script = Script::default();
    let mut client = granted(&directory, &script);
    std::fs::remove_dir_all(directory.path()).unwrap();
    script.sent();
    assert!(client.withdraw(false, NOW).is_err());
    assert_eq!(script.sent()[0].1["choice"], "withdraw");
    assert!(!matches!(client.choice(), Choice::Granted { .. }));
}

/// Answers as told, and keeps what was sent.
#[derive(Clone, Default)]
struct Script(Rc<RefCell<Lines>>);

#[derive(Default)]
struct Lines {
    answers: VecDeque<Response>,
    sent: Vec<(String, Value)>,
}

impl Script {
    /// Statuses and bodies; 0 is no answer.
    fn answers(&self, answers: &[(u16, &str, Value)]) {
        for (status, outcome, body) in answers {
            let headers = vec![("brine-outcome".to_owned(), (*outcome).to_owned())];
            let body = body.to_string().into_bytes();
            self.0.borrow_mut().answers.push_back(Response {
                status: *status,
                headers,
                body,
            });
        }
    }

    fn sent(&self) -> Vec<(String, Value)> {
        std::mem::take(&mut self.0.borrow_mut().sent)
    }
}

impl Transport for Script {
    fn post(&self, path: &str, _: &str, body: &[u8]) -> io::Result<Response> {
        let mut script = self.0.borrow_mut();
        script
            .sent
            .push((path.to_owned(), serde_json::from_slice(body).expect("JSON")));
        match script.answers.pop_front() {
            Some(response) if response.status > 0 => Ok(response),
            _ => Err(io::ErrorKind::ConnectionRefused.into()),
        }
    }
}

fn client(directory: &tempfile::TempDir, script: &Script) -> Client<Script> {
    Client::open(
        Settings::new("windows", "Test/1", directory.path()),
        script.clone(),
    )
    .unwrap()
}

fn granted(directory: &tempfile::TempDir, script: &Script) -> Client<Script> {
    let mut client = client(directory, script);
    script.answers(&[(201, "accepted", json!({ "token": "T", "policy": 1 }))]);
    client.grant(NOW).unwrap();
    script.sent();
    client
}

#[test]
fn before_yes_nothing_is_sent_or_kept() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut client = client(&directory, &script);
    assert!(!client.record(Event::screen("/a"), NOW).unwrap());
    assert_eq!(client.deliver(NOW).unwrap(), Delivered::Idle);
    assert!(script.sent().is_empty());
    assert_eq!(
        std::fs::read(directory.path().join("queue.jsonl")).unwrap(),
        b""
    );
    // Without a network there is no consent, and still nothing is kept.
    assert!(matches!(
        client.grant(NOW),
        Err(ClientError::Unreachable { .. })
    ));
    assert!(!client.record(Event::screen("/a"), NOW).unwrap());
}

#[test]
fn an_event_waits_through_failures_and_crashes_under_one_id() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut first = granted(&directory, &script);
    assert!(
        first
            .record(Event::named("Export", "/a").with("rows", 12), NOW)
            .unwrap()
    );
    let Delivered::Later { wait_ms } = first.deliver(NOW).unwrap() else {
        panic!("no network")
    };
    assert!((5_000..=10_000).contains(&wait_ms), "{wait_ms}");
    assert_eq!(
        first.deliver(NOW + 1).unwrap(),
        Delivered::Later {
            wait_ms: wait_ms - 1
        }
    );
    assert_eq!(script.sent().len(), 1, "not before its time");
    script.answers(&[(503, "spool.full", json!({}))]);
    let Delivered::Later { wait_ms } = first.deliver(NOW + 20_000).unwrap() else {
        panic!("full")
    };
    assert!(
        (10_000..=20_000).contains(&wait_ms),
        "twice as long: {wait_ms}"
    );
    let before = script.sent();
    drop(first);
    let mut second = client(&directory, &script);
    assert_eq!(second.n_queued(), 1);
    let receipts = json!([{ "receipt": "R1", "ends_in_s": 5 }]);
    script.answers(&[(
        202,
        "accepted",
        json!({ "results": [{ "outcome": "accepted" }], "receipts": receipts }),
    )]);
    let delivered = second.deliver(NOW + 60_000).unwrap();
    assert_eq!(
        delivered,
        Delivered::Sent {
            accepted: 1,
            refused: vec![]
        }
    );
    let after = script.sent();
    assert_eq!(
        before[0].1["events"], after[0].1["events"],
        "the same event, the same id"
    );
    assert_eq!(after[0].1["sent_at"], NOW + 60_000);
    assert_eq!(second.receipts(), ["R1"]);
    assert_eq!(client(&directory, &script).n_queued(), 0);
}

#[test]
fn a_consent_that_is_over_empties_the_queue() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut client = granted(&directory, &script);
    client.record(Event::screen("/a"), NOW).unwrap();
    script.answers(&[(204, "consent.lapsed", json!(null))]);
    let ended = Delivered::Ended {
        outcome: "consent.lapsed".into(),
    };
    assert_eq!(client.deliver(NOW).unwrap(), ended);
    assert_eq!((client.choice(), client.n_queued()), (&Choice::Unasked, 0));
    assert!(!client.record(Event::screen("/b"), NOW).unwrap());
}

#[test]
fn a_withdrawal_is_in_force_at_once_and_arrives_when_there_is_a_network() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut first = granted(&directory, &script);
    first.record(Event::screen("/a"), NOW).unwrap();
    first.memory.receipts.push("R1".into());
    assert!(matches!(
        first.withdraw(true, NOW).unwrap(),
        Delivered::Later { .. }
    ));
    assert_eq!(first.n_queued(), 0);
    drop(first);
    let mut second = client(&directory, &script);
    assert_eq!(second.choice(), &Choice::Denied);
    script.sent();
    script.answers(&[(200, "accepted", json!({ "done": true }))]);
    second.deliver(NOW + 90_000).unwrap();
    let sent = script.sent();
    assert_eq!(sent[0].0, "/api/consent");
    assert_eq!(sent[0].1["token"], "T");
    assert_eq!(sent[0].1["receipts"], json!(["R1"]));
    assert!(second.receipts().is_empty());
    assert_eq!(second.deliver(NOW + 90_001).unwrap(), Delivered::Idle);
}

#[test]
fn a_no_after_a_yes_takes_the_yes_back_also_later() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut client = granted(&directory, &script);
    script.sent();
    client.deny(NOW).unwrap();
    assert_eq!(client.choice(), &Choice::Denied);
    script.sent();
    script.answers(&[(204, "withdrawn", json!({}))]);
    client.deliver(NOW + 90_000).unwrap();
    let sent = script.sent();
    assert_eq!(sent[0].1["choice"], "withdraw");
    assert_eq!(sent[0].1["token"], "T");
    assert_eq!(client.deliver(NOW + 90_001).unwrap(), Delivered::Idle);
}

#[test]
fn an_erasure_asked_for_after_the_withdrawal_is_not_lost() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut first = granted(&directory, &script);
    first.memory.receipts.push("R1".into());
    // The withdrawal is owed still.
    first.withdraw(false, NOW).unwrap();
    first.withdraw(true, NOW + 1).unwrap();
    script.sent();
    script.answers(&[(200, "accepted", json!({ "done": true }))]);
    first.deliver(NOW + 90_000).unwrap();
    let (path, body) = script.sent().remove(0);
    assert_eq!(
        (path.as_str(), &body["choice"]),
        ("/api/consent", &json!("withdraw"))
    );
    assert_eq!(
        (&body["erase"], &body["receipts"]),
        (&json!(true), &json!(["R1"]))
    );
    assert!(first.receipts().is_empty());
    // Or it is delivered long since, and the receipts are what is left.
    first.memory.receipts.push("R2".into());
    first.withdraw(true, NOW + 100_000).unwrap();
    script.sent();
    script.answers(&[(200, "erased", json!({ "done": true }))]);
    first.deliver(NOW + 200_000).unwrap();
    let (path, body) = script.sent().remove(0);
    assert_eq!(
        (path.as_str(), &body["action"]),
        ("/api/subject", &json!("erase"))
    );
    assert_eq!(body["receipts"], json!(["R2"]));
    assert!(first.receipts().is_empty());
}

#[test]
fn a_withdrawal_that_is_owed_goes_before_a_new_yes() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut client = granted(&directory, &script);
    client.withdraw(true, NOW).unwrap();
    script.sent();
    // Still no network: a yes now would leave two to be owed one day.
    let refused = client.grant(NOW + 1);
    assert!(matches!(refused, Err(ClientError::Unreachable { .. })));
    assert_eq!(client.choice(), &Choice::Denied);
    assert_eq!(script.sent()[0].1["choice"], "withdraw");
    script.answers(&[
        (200, "accepted", json!({ "done": true })),
        (201, "accepted", json!({ "token": "U", "policy": 1 })),
    ]);
    client.grant(NOW + 2).unwrap();
    let sent: Vec<_> = script
        .sent()
        .into_iter()
        .map(|(_, body)| body["choice"].clone())
        .collect();
    assert_eq!(sent, ["withdraw", "grant"]);
    let token = "U".to_owned();
    assert_eq!(client.choice(), &Choice::Granted { token });
}

#[test]
fn the_disk_is_bounded_and_a_cut_line_is_no_event() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut first = granted(&directory, &script);
    for n in 0..MAX_QUEUED as i64 + 3 {
        first.record(Event::screen("/a"), NOW + n).unwrap();
    }
    assert_eq!((first.n_queued(), first.n_dropped), (MAX_QUEUED, 3));
    drop(first);
    let path = directory.path().join("queue.jsonl");
    let bytes = std::fs::read(&path).unwrap();
    std::fs::write(&path, &bytes[..bytes.len() - 5]).unwrap();
    let mut second = client(&directory, &script);
    assert_eq!(second.n_queued(), MAX_QUEUED - 1);
    // What is older than 72 hours is not worth sending.
    assert_eq!(
        second.deliver(NOW + 80 * 3_600_000).unwrap(),
        Delivered::Idle
    );
    assert_eq!(second.n_dropped, MAX_QUEUED as u64 - 1);
}

#[test]
fn what_will_never_be_right_is_dropped_and_a_mixed_answer_is_read() {
    let (directory, script) = (tempfile::tempdir().unwrap(), Script::default());
    let mut client = granted(&directory, &script);
    for _ in 0..2 {
        client.record(Event::screen("/a"), NOW).unwrap();
    }
    let results = json!([{ "outcome": "accepted" }, { "outcome": "event.too_old" }]);
    script.answers(&[(200, "batch.mixed", json!({ "results": results }))]);
    let sent = Delivered::Sent {
        accepted: 1,
        refused: vec!["event.too_old".into()],
    };
    assert_eq!(client.deliver(NOW).unwrap(), sent);
    client.record(Event::screen("/a"), NOW).unwrap();
    script.answers(&[(400, "beacon.malformed", json!({}))]);
    let sent = Delivered::Sent {
        accepted: 0,
        refused: vec!["beacon.malformed".into()],
    };
    assert_eq!(client.deliver(NOW).unwrap(), sent);
    assert_eq!(client.n_queued(), 0);
}
