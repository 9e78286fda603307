//! What is erased on request: from the quarantine, and by waiting until a segment is gone.

use std::time::Duration;

use super::super::segment::HEADER_BYTES;
use super::super::*;
use super::disk::{Call, Fault, SimDisk};
use super::support::{Bench, flip, number, payload};

fn is_two(record: &Record) -> bool {
    number(&record.payload) == 2
}

#[tokio::test]
async fn drained_means_that_the_segment_under_way_is_gone_too() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let position = spool.put(0).await.unwrap();
    let is_drained = async || {
        let drained = spool.drained_through(position.segment);
        tokio::time::timeout(Duration::from_millis(20), drained)
            .await
            .is_ok()
    };
    assert!(!is_drained().await, "still being written");
    spool.seal_now().await;
    assert_eq!(spool.newest(), position.segment);
    assert!(!is_drained().await, "sealed, and not taken");
    spool.put(1).await.unwrap();
    spool.release(position.segment).unwrap();
    assert!(is_drained().await, "a later one is not waited for");
}

#[tokio::test]
async fn one_record_leaves_the_quarantine_and_its_neighbours_stay() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(0..6).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    spool.quarantine_records(id, &[1, 2, 4], "refused").unwrap();
    spool.release(id).unwrap();
    let erased = spool
        .erase_quarantined(Removal::Request, &is_two, &[])
        .unwrap();
    assert_eq!((erased.records, erased.files), (1, 0));
    assert_eq!(
        spool
            .erase_quarantined(Removal::Request, &is_two, &[])
            .unwrap(),
        Erased::default()
    );
    assert_eq!(spool.replay_quarantine().await.unwrap().records, 2);
    assert_eq!(spool.numbers().await, [1, 4]);
}

#[tokio::test]
async fn damaged_bytes_that_hold_a_mark_are_dropped_and_others_are_kept() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put_all(1..4).await;
    spool.seal_now().await;
    let id = spool.sealed()[0];
    flip(&spool.path_of(id), HEADER_BYTES + 26);
    spool.quarantine_records(id, &[0], "damaged").unwrap();
    spool.release(id).unwrap();
    let damaged = spool.quarantined().unwrap();
    assert_eq!(damaged.len(), 1);
    let elsewhere =
        spool.erase_quarantined(Removal::Request, &|_| false, &[b"nowhere in it".to_vec()]);
    assert_eq!(elsewhere.unwrap(), Erased::default());
    let mark = payload(1)[4..14].to_vec();
    let erased = spool
        .erase_quarantined(Removal::Request, &|_| false, &[mark])
        .unwrap();
    assert_eq!((erased.records, erased.files), (0, 1));
    assert_eq!(spool.quarantined().unwrap(), []);
    assert_eq!(spool.stats().quarantine_bytes, 0);
}

/// Whatever the disk refuses on the way: the file is the old one or the new one, and doing it again ends it.
#[tokio::test]
async fn an_erasure_that_the_disk_cuts_short_loses_nothing_else() {
    for call in [Call::Write, Call::SyncData, Call::Rename, Call::SyncDir] {
        for nth in 0..4 {
            let disk = SimDisk::default();
            let bench = Bench::simulated(&disk);
            let spool = bench.open();
            spool.put_all(0..4).await;
            spool.seal_now().await;
            let id = spool.sealed()[0];
            spool.quarantine_records(id, &[1, 2], "refused").unwrap();
            spool.release(id).unwrap();
            disk.fail(call, nth, Fault::Error(std::io::ErrorKind::Other));
            spool.erase_quarantined(Removal::Request, &is_two, &[]).ok();
            disk.mend();
            spool
                .erase_quarantined(Removal::Request, &is_two, &[])
                .unwrap();
            assert_eq!(spool.replay_quarantine().await.unwrap().records, 1);
            assert_eq!(spool.numbers().await, [1], "{call:?} {nth}");
        }
    }
}
