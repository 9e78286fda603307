//! What is put aside, and what comes back from there.

use std::io::ErrorKind;

use super::super::segment::HEADER_BYTES;
use super::super::*;
use super::disk::{Call, Fault, SimDisk};
use super::support::{Bench, NOW_UNIX_MS, flip, number};

/// What a replay asks of the disk.
const CALLS: [Call; 6] = [
    Call::Create,
    Call::Write,
    Call::SyncData,
    Call::SyncDir,
    Call::Rename,
    Call::Remove,
];

/// Records 0 to 5 in two quarantined segments, 6 in the spool.
async fn two_set_aside(spool: &Spool) {
    for numbers in [0..3, 3..6] {
        spool.put_all(numbers).await;
        spool.seal_now().await;
        spool.quarantine(spool.sealed()[0], "refused").unwrap();
    }
    spool.put(6).await.unwrap();
}

#[tokio::test]
async fn quarantined_segment_is_listed_with_its_reason_and_can_be_replayed() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(0..3).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    spool
        .quarantine(id, "refused by the store: code 117")
        .unwrap();
    assert!(matches!(spool.read(id), Err(SegmentError::Unknown(_))));
    assert!(spool.numbers().await.is_empty());
    let files = spool.quarantined().unwrap();
    assert_eq!(files.len(), 1);
    assert_eq!(files[0].reason, "refused by the store: code 117\n");
    assert_eq!(files[0].created_unix_ms, Some(NOW_UNIX_MS));
    assert!(spool.stats().quarantine_bytes >= files[0].bytes);

    spool.put(3).await.unwrap();
    let replayed = spool.replay_quarantine().await.unwrap();
    assert_eq!(
        (replayed.files, replayed.records, replayed.damaged),
        (1, 3, 0)
    );
    assert_eq!(spool.numbers().await, [3, 0, 1, 2], "behind what was there");
    assert_eq!(spool.quarantined().unwrap(), []);
    assert_eq!(spool.stats().quarantine_bytes, 0);
    assert!(spool.sealed().into_iter().all(|later| later > id));
}

#[tokio::test]
async fn quarantined_records_are_copied_once_however_often_asked() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(0..6).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    let set_aside = spool.quarantine_records(id, &[1, 4], "first").unwrap();
    assert_eq!((set_aside.records, set_aside.damaged), (2, 0));
    // As after a crash before the release, with one more found.
    spool.quarantine_records(id, &[1, 2, 4], "second").unwrap();
    spool.release(id).unwrap();
    let files = spool.quarantined().unwrap();
    assert_eq!(
        (files.len(), files[0].reason.as_str()),
        (1, "first\nsecond\n")
    );
    assert_eq!(spool.replay_quarantine().await.unwrap().records, 3);
    assert_eq!(spool.numbers().await, [1, 2, 4]);
}

#[tokio::test]
async fn damaged_records_are_kept_as_evidence_and_the_rest_is_replayed() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(0..3).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    flip(&spool.path_of(id), HEADER_BYTES + 26);
    let set_aside = spool
        .quarantine_records(id, &[0, 2], "damaged and refused")
        .unwrap();
    assert_eq!((set_aside.records, set_aside.damaged), (1, 1));
    spool.quarantine(id, "whole").unwrap();
    let replayable: Vec<_> = spool
        .quarantined()
        .unwrap()
        .into_iter()
        .map(|file| file.replayable)
        .collect();
    assert_eq!(
        replayable.iter().filter(|replayable| **replayable).count(),
        2
    );
    let replayed = spool.replay_quarantine().await.unwrap();
    assert_eq!(
        (replayed.records, replayed.damaged),
        (3, 1),
        "2 from one file, 1 and 2 from one"
    );
    let left = spool.quarantined().unwrap();
    assert_eq!(left.len(), 1);
    assert!(left[0].reason.contains("checksum"), "{}", left[0].reason);
    spool.drop_quarantined(&left[0].name).unwrap();
    assert_eq!(spool.stats().quarantine_bytes, 0);
    assert!(spool.drop_quarantined("../identity").is_err());
    assert!(bench.dir.join("identity").exists());
}

#[tokio::test]
async fn failed_move_to_quarantine_may_be_repeated() {
    for nth in 0..6 {
        let disk = SimDisk::default();
        let spool = Bench::simulated(&disk).open();
        spool.put_all(0..3).await;
        spool.seal_now().await;
        let id = spool.sealed()[0];
        for call in [Call::SyncDir, Call::Rename] {
            disk.fail(call, nth, Fault::Error(std::io::ErrorKind::Other));
        }
        while spool.quarantine(id, "refused").is_err() {}
        disk.mend();
        assert_eq!(spool.stats().segments, 0);
        assert_eq!(spool.replay_quarantine().await.unwrap().records, 3, "{nth}");
        assert_eq!(spool.numbers().await, [0, 1, 2]);
    }
}

#[tokio::test]
async fn quarantine_counts_against_the_size_limit() {
    let bench = Bench::on_disk().with(|settings| settings.max_bytes = 3000);
    let spool = bench.open();
    spool
        .append(RecordKind(1), &[1; 2500], crate::spool::always)
        .await
        .unwrap();
    spool.seal_now().await;
    spool.quarantine(spool.sealed()[0], "refused").unwrap();
    let error = spool
        .append(RecordKind(1), &[1; 500], crate::spool::always)
        .await
        .unwrap_err();
    assert!(
        matches!(error, AppendError::Full(FullCause::Limit)),
        "{error}"
    );
    let name = spool.quarantined().unwrap()[0].name.clone();
    spool.drop_quarantined(&name).unwrap();
    spool
        .append(RecordKind(1), &[1; 500], crate::spool::always)
        .await
        .unwrap();
}

#[tokio::test]
async fn replay_interrupted_anywhere_neither_doubles_nor_loses() {
    for call in CALLS {
        for nth in 0..12 {
            for survives in [0, 1] {
                interrupted_replay(call, nth, survives).await;
            }
        }
    }
}

/// Records 0 to 5 in two quarantined segments, 6 in the spool; the power goes during the replay.
async fn interrupted_replay(call: Call, nth: usize, survives: usize) {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    two_set_aside(&spool).await;
    disk.fail(call, nth, Fault::PowerCut);
    spool.replay_quarantine().await.ok();
    drop(spool);
    disk.crash(|n| (n - 1) * survives);

    let (spool, _) = Bench::simulated(&disk).reopen();
    let mut numbers = spool.numbers().await;
    spool.release_all();
    spool.replay_quarantine().await.unwrap();
    numbers.extend(spool.numbers().await);
    numbers.sort_unstable();
    assert_eq!(
        numbers,
        (0..7).collect::<Vec<_>>(),
        "{call:?} {nth} {survives}"
    );
}

/// The disk fails in the middle of a replay and brine goes on: an erasure then finds the record, or says that it cannot.
#[tokio::test]
async fn replay_that_fails_anywhere_hides_nothing_from_an_erasure() {
    for call in CALLS {
        for nth in 0..12 {
            let disk = SimDisk::default();
            let spool = Bench::simulated(&disk).open();
            two_set_aside(&spool).await;
            disk.fail(call, nth, Fault::Error(ErrorKind::Other));
            spool.replay_quarantine().await.ok();
            disk.mend();
            let is_two = |record: &Record| number(&record.payload) == 2;
            let erased = spool.erase_quarantined(Removal::Request, &is_two, &[]);
            let mut expected: Vec<u32> = (0..7).collect();
            if let Ok(erased) = erased {
                let is_in_spool = spool.numbers().await.contains(&2);
                assert_eq!(erased.records == 1, !is_in_spool, "{call:?} {nth}");
                assert_eq!(erased.files, 0, "{call:?} {nth}");
                expected.retain(|n| *n != 2 || is_in_spool);
            }
            spool.close().await;
            drop(spool);
            let (spool, _) = Bench::simulated(&disk).reopen();
            let mut numbers = spool.numbers().await;
            spool.release_all();
            spool.replay_quarantine().await.unwrap();
            numbers.extend(spool.numbers().await);
            numbers.sort_unstable();
            assert_eq!(numbers, expected, "{call:?} {nth}");
        }
    }
}

/// It may get more records, and what is in it is not to be delivered with the segment any more.
#[tokio::test]
async fn records_of_a_segment_under_way_are_not_replayed() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(0..4).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    assert_eq!(spool.set_aside(id).unwrap().len(), 0);
    spool.quarantine_records(id, &[1, 3], "refused").unwrap();
    assert_eq!(spool.set_aside(id).unwrap(), [1, 3].into());
    assert_eq!(spool.replay_quarantine().await.unwrap().records, 0);
    // After a crash, too.
    drop(spool);
    let (spool, _) = bench.reopen();
    assert_eq!(spool.set_aside(id).unwrap(), [1, 3].into());
    assert_eq!(spool.replay_quarantine().await.unwrap().records, 0);
    spool.release(id).unwrap();
    assert_eq!(spool.replay_quarantine().await.unwrap().records, 2);
    assert_eq!(spool.numbers().await, [1, 3]);
}

#[tokio::test]
async fn moving_to_quarantine_interrupted_anywhere_neither_doubles_nor_loses() {
    for call in [
        Call::Create,
        Call::Write,
        Call::SyncData,
        Call::SyncDir,
        Call::Rename,
    ] {
        for nth in 0..4 {
            for survives in [0, 1] {
                let disk = SimDisk::default();
                let spool = Bench::simulated(&disk).open();
                spool.put_all(0..3).await;
                spool.seal_now().await;
                let id = spool.sealed()[0];
                disk.fail(call, nth, Fault::PowerCut);
                spool.quarantine(id, "refused").ok();
                drop(spool);
                disk.crash(|n| (n - 1) * survives);
                let (spool, _) = Bench::simulated(&disk).reopen();
                spool.replay_quarantine().await.unwrap();
                let numbers = spool.numbers().await;
                assert_eq!(numbers, [0, 1, 2], "{call:?} {nth} {survives}");
            }
        }
    }
}

#[tokio::test]
async fn replayed_records_keep_kind_and_age() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool
        .append(
            RecordKind(9),
            &super::support::payload(1),
            crate::spool::always,
        )
        .await
        .unwrap();
    spool.seal_now().await;
    spool.quarantine(spool.sealed()[0], "refused").unwrap();
    spool.replay_quarantine().await.unwrap();
    let mut reader = spool.read(spool.sealed()[0]).unwrap();
    assert_eq!(reader.created_unix_ms(), NOW_UNIX_MS);
    let record = reader.next().unwrap().unwrap();
    assert_eq!((record.kind, number(&record.payload)), (RecordKind(9), 1));
}
