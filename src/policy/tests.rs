use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;

use super::*;
use crate::config::settings::{Environment, Settings};
use crate::config::{REFERENCE, load};

fn settings(directory: &Path) -> Settings {
    let (mut settings, _) = load::from_text(REFERENCE, "reference", &Environment::new()).unwrap();
    settings.policy.directory = Some(directory.to_owned());
    settings
}

fn publish(settings: &Settings) -> Policy {
    let config = Config::check(settings).unwrap();
    Policy::publish(&config, "2026-11-22T12:00:00Z".parse().unwrap()).unwrap()
}

fn numbers(policy: &Policy, scope: &str) -> Vec<(u16, u16)> {
    let editions = &policy.scopes[scope].editions;
    editions.iter().map(|e| (e.version, e.revision)).collect()
}

#[test]
fn a_number_rises_with_what_changed_and_is_never_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    publish(&settings);
    // Saying the same again publishes nothing.
    assert_eq!(numbers(&publish(&settings), "portal"), [(1, 0)]);
    settings.sites[0].retention_days = Some(100);
    settings.controller.phone = "+45 1".into();
    assert_eq!(numbers(&publish(&settings), "portal"), [(1, 0), (1, 1)]);
    settings.sites[0].retention_days = Some(395);
    let policy = publish(&settings);
    assert_eq!(numbers(&policy, "portal"), [(1, 0), (1, 1), (2, 0)]);
    // The other sites had a new phone number alone.
    assert_eq!(numbers(&policy, "veriloc"), [(1, 0), (1, 1)]);
    // Back again is a further edition, not an earlier number.
    settings.sites[0].retention_days = Some(100);
    assert_eq!(numbers(&publish(&settings), "portal")[3..], [(2, 1)]);
    assert_eq!(policy.version_of("portal"), 2);
    assert_eq!(policy.version_of("nobody"), 0);
}

#[test]
fn the_floor_raises_by_hand_and_never_lowers() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.policy.version = 7;
    assert_eq!(numbers(&publish(&settings), "portal"), [(7, 0)]);
    settings.policy.version = 9;
    let policy = publish(&settings);
    assert_eq!(numbers(&policy, "portal"), [(7, 0), (9, 0)]);
    assert_eq!(
        policy.scopes["portal"].latest.changes[0],
        Change::by_hand(7, 9)
    );
    settings.policy.version = 1;
    assert_eq!(publish(&settings).version_of("portal"), 9);
    // A material change goes on from there.
    settings.sites[0].retention_days = Some(396);
    assert_eq!(publish(&settings).version_of("portal"), 10);
}

#[test]
fn a_former_version_reads_as_it_read_then() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    settings.sites[0].retention_days = Some(111);
    let before = publish(&settings).scopes["portal"].latest.clone();
    settings.sites[0].retention_days = Some(222);
    settings.controller.name = "Another A/S".into();
    let policy = publish(&settings);
    let read = policy.archive.read("portal", 1, 0).unwrap();
    assert_eq!(read, before);
    let text = read.documents.da.markdown();
    assert!(
        text.contains("111 dage") && text.contains("Saltholm Systemer"),
        "{text}"
    );
    assert!(!text.contains("222"));
    // A site that is gone keeps its past.
    settings.sites.remove(0);
    let policy = publish(&settings);
    assert!(!policy.scopes["portal"].is_configured);
    assert_eq!(policy.archive.read("portal", 1, 0).unwrap(), before);
}

#[test]
fn a_chain_of_salts_is_said_where_there_is_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut settings = settings(directory.path());
    let said = |settings: &Settings| {
        let documents = &publish(settings).scopes["portal"].latest.documents;
        [&documents.en, &documents.da].map(|document| document.markdown())
    };
    let sentences = [
        "From the state that is left nobody can compute an earlier salt.",
        "Af den tilstand, der er tilbage, kan ingen beregne et tidligere salt.",
    ];
    for (text, sentence) in said(&settings).iter().zip(sentences) {
        assert!(!text.contains(sentence), "{text}");
    }
    settings.salts.chain = true;
    for (text, sentence) in said(&settings).iter().zip(sentences) {
        assert!(text.contains(sentence), "{text}");
    }
}

#[test]
fn collectors_on_one_archive_never_give_a_number_to_two_contents() {
    let directory = tempfile::tempdir().unwrap();
    let n_collectors = 6;
    publish(&settings(directory.path()));
    let start = Arc::new(Barrier::new(n_collectors));
    let collectors: Vec<_> = (0..n_collectors)
        .map(|n| {
            let (start, mut settings) = (start.clone(), settings(directory.path()));
            settings.sites.truncate(1);
            settings.controller.name = format!("Company {n}");
            thread::spawn(move || {
                start.wait();
                publish(&settings);
            })
        })
        .collect();
    for collector in collectors {
        collector.join().unwrap();
    }
    let archive = Archive::open(directory.path()).unwrap();
    let editions = archive.editions("portal").unwrap();
    let versions: Vec<u16> = editions.iter().map(|e| e.version).collect();
    assert_eq!(versions, (1..=n_collectors as u16 + 1).collect::<Vec<_>>());
    let mut names: Vec<_> = editions[1..]
        .iter()
        .map(|e| e.statement.controller.name.clone())
        .collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), n_collectors);
    // Each says what changed against the one before it, whoever published that.
    for pair in editions.windows(2) {
        assert_eq!(
            pair[1].changes,
            compare(&pair[0].statement, &pair[1].statement)
        );
    }
    // Nothing half-made is left.
    let files = std::fs::read_dir(directory.path().join("portal")).unwrap();
    assert_eq!(files.count(), editions.len());
}

#[test]
fn a_damaged_archive_is_refused_and_not_numbered_over() {
    let directory = tempfile::tempdir().unwrap();
    let settings = settings(directory.path());
    publish(&settings);
    let path = directory.path().join("portal/00001.00000.json");
    let whole = std::fs::read_to_string(&path).unwrap();
    let config = Config::check(&settings).unwrap();
    let now = "2026-11-22T12:00:00Z".parse().unwrap();
    for damaged in [
        &whole[..whole.len() / 2],
        "",
        &whole.replace("\"version\": 1", "\"version\": 2"),
    ] {
        std::fs::write(&path, damaged).unwrap();
        let error = Policy::publish(&config, now).unwrap_err();
        assert!(error.to_string().contains("00001.00000.json"), "{error}");
    }
    assert_eq!(
        std::fs::read_dir(directory.path().join("portal"))
            .unwrap()
            .count(),
        1
    );
}

/// Design, promise 4: regulators disagree with the word. And what is said in one language is said in the other.
#[test]
fn the_policy_never_says_anonymous_and_both_languages_say_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let policy = publish(&settings(directory.path()));
    let (en, da) = (policy.whole.en.markdown(), policy.whole.da.markdown());
    assert!(!en.to_lowercase().contains("anonym") && !da.to_lowercase().contains("anonym"));
    assert!(en.contains("pseudonymised, and linkable for at most one period"));
    assert!(da.contains("pseudonymiseret og kan højst sammenkædes inden for én periode"));
    let shape = |document: &Document| -> Vec<(String, Vec<usize>)> {
        let size = |block: &document::Block| match block {
            document::Block::Facts(e) | document::Block::Actions(e) => e.len(),
            document::Block::List(items) => items.len(),
            document::Block::Table { rows, .. } => rows.len(),
            document::Block::Paragraph(_) | document::Block::Heading(_) => 1,
        };
        let sections = document.sections.iter();
        sections
            .map(|s| (s.id.clone(), s.blocks.iter().map(size).collect()))
            .collect()
    };
    assert_eq!(shape(&policy.whole.en), shape(&policy.whole.da));
    assert_eq!(policy.whole.en.sections.len(), 12);
}
