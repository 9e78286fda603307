//! Calls that fail, power that goes, room that runs out.

use std::io::{self, ErrorKind};

use super::super::*;
use super::disk::{Call, Fault, SimDisk};
use super::support::{Bench, payload};
use crate::event_ids::{Claim, EventIds};

/// Everything the crash may choose, in turn: nothing, all, and something in between.
fn choices() -> Vec<Box<dyn FnMut(usize) -> usize>> {
    let mut mixed = 0;
    vec![
        Box::new(|_| 0),
        Box::new(|n| n - 1),
        Box::new(move |n| {
            mixed += 1;
            mixed % n
        }),
    ]
}

/// 0 and 1 are durable, 2 fails at `call`, 3 follows.
async fn failed_group(disk: &SimDisk, call: Call, kind: ErrorKind) -> Spool {
    let spool = Bench::simulated(disk).open();
    spool.put_all(0..2).await;
    disk.fail(call, 0, Fault::Error(kind));
    let error = spool.put(2).await.unwrap_err();
    match kind {
        ErrorKind::StorageFull => {
            assert!(
                matches!(error, AppendError::Full(FullCause::Disk)),
                "{error}"
            );
        }
        _ => assert!(matches!(error, AppendError::Failed(_)), "{error}"),
    }
    assert!(error.is_retryable() && error.is_ours());
    let after = spool.put(3).await.unwrap();
    assert_eq!(after.index, 0, "in a new segment");
    spool
}

/// Whoever brings an event again while it is on its way learns what became of it, and may bring it once it failed.
#[tokio::test]
async fn a_ticket_tells_everybody_what_became_of_its_group() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    let directory = tempfile::tempdir().unwrap();
    let key = crate::secret::Secret::from_bytes([5; 32]);
    let now = jiff::Timestamp::UNIX_EPOCH;
    let ids = EventIds::open(directory.path(), &key, 100, now).unwrap();
    let id = ids.name("windows", b"c", "1", now, 1);
    let submit = || {
        assert!(matches!(ids.claim(id), Claim::New));
        let bytes = payload(7);
        let ticket = spool
            .submit_many(&[(RecordKind(1), &bytes)], crate::spool::always)
            .unwrap();
        ids.submitted([id], &ticket);
        ticket
    };
    disk.fail(Call::SyncData, 0, Fault::Error(ErrorKind::Other));
    let ticket = submit();
    match ids.claim(id) {
        Claim::Submitted(theirs) => assert!(theirs.committed().await.is_err()),
        // It has failed by now.
        Claim::New => ids.release([id]),
        Claim::Claimed | Claim::Repeated => panic!("neither on its way nor failed"),
    }
    assert!(ticket.committed().await.is_err());
    assert_eq!(ticket.is_durable(), Some(false));
    let ticket = submit();
    ticket.committed().await.unwrap();
    assert_eq!(ticket.is_durable(), Some(true));
    assert!(matches!(ids.claim(id), Claim::Repeated));
    assert_eq!(spool.numbers().await, [7]);
}

#[tokio::test]
async fn failed_group_does_not_come_back_and_the_others_stay() {
    for call in [Call::SyncData, Call::Write] {
        for kind in [ErrorKind::StorageFull, ErrorKind::Other] {
            let spool = failed_group(&SimDisk::default(), call, kind).await;
            assert_eq!(spool.numbers().await, [0, 1, 3]);
            assert_eq!(spool.stats().failures, 1);

            for choice in choices() {
                let disk = SimDisk::default();
                drop(failed_group(&disk, call, kind).await);
                disk.crash(choice);
                let (spool, _) = Bench::simulated(&disk).reopen();
                assert_eq!(
                    spool.numbers().await,
                    [0, 1, 3],
                    "{call:?} {kind:?}, power cut"
                );
            }
            let disk = SimDisk::default();
            let spool = failed_group(&disk, call, kind).await;
            disk.kill();
            drop(spool);
            let (spool, _) = Bench::simulated(&disk).reopen();
            assert_eq!(
                spool.numbers().await,
                [0, 1, 3],
                "{call:?} {kind:?}, killed"
            );
        }
    }
}

#[derive(Default)]
struct Heard(Mutex<Vec<String>>);

impl SpoolObserver for Heard {
    fn group_committed(&self, n_records: u32, bytes: u64, _: Duration) {
        self.0
            .lock()
            .unwrap()
            .push(format!("committed {n_records} in {bytes} bytes"));
    }

    fn segment_sealed(&self, segment: SegmentId, n_records: u32, _: u64) {
        self.0
            .lock()
            .unwrap()
            .push(format!("sealed {segment} with {n_records}"));
    }

    fn write_failed(&self, n_records: u32, error: &io::Error) {
        self.0
            .lock()
            .unwrap()
            .push(format!("failed {n_records}: {:?}", error.kind()));
    }
}

#[tokio::test]
async fn observer_hears_of_commits_failures_and_seals() {
    let disk = SimDisk::default();
    let heard = Arc::new(Heard::default());
    let spool = Bench::simulated(&disk)
        .open_observed(heard.clone())
        .unwrap()
        .0;
    spool
        .append(RecordKind(1), &[0; 67], crate::spool::always)
        .await
        .unwrap();
    disk.fail(Call::SyncData, 0, Fault::Error(ErrorKind::Other));
    spool.put(2).await.unwrap_err();
    spool
        .append(RecordKind(1), &[0; 67], crate::spool::always)
        .await
        .unwrap();
    spool.close().await;
    let expected = [
        "committed 1 in 100 bytes",
        "failed 1: Other",
        "sealed 000000000001 with 1",
        "committed 1 in 100 bytes",
        "sealed 000000000002 with 1",
    ];
    assert_eq!(*heard.0.lock().unwrap(), expected);
}

#[tokio::test]
async fn failed_first_group_leaves_no_segment() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    disk.fail(Call::Write, 2, Fault::Error(ErrorKind::StorageFull));
    // The identity with the ids reserved and the header are written before the group.
    spool.put(1).await.unwrap_err();
    assert_eq!(disk.names(".seg").len(), 0);
    assert_eq!(spool.stats().bytes, 0);
    disk.mend();
    spool.put(2).await.unwrap();
    assert_eq!(spool.numbers().await, [2]);
}

#[tokio::test]
async fn failed_seal_loses_nothing() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put_all(0..2).await;
    disk.fail(Call::SyncData, 0, Fault::Error(ErrorKind::Other));
    assert_eq!(spool.numbers().await, [0, 1]);
    drop(spool);
    disk.crash(|_| 0);
    let (spool, recovery) = Bench::simulated(&disk).reopen();
    assert_eq!(spool.numbers().await, [0, 1]);
    assert!(
        recovery.failed_bytes > 0,
        "the seal that was not durable: {recovery:?}"
    );
}

#[tokio::test]
async fn abandoned_segment_is_not_shown_before_its_end_is_written_down() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put_all(0..2).await;
    disk.fail(Call::SyncData, 0, Fault::Error(ErrorKind::Other));
    disk.break_down(Call::Create, ErrorKind::Other);
    spool.put(2).await.unwrap_err();
    assert!(spool.stats().failing);
    assert_eq!(spool.sealed(), []);
    assert!(matches!(spool.put(3).await, Err(AppendError::Failed(_))));
    disk.mend();
    let id = spool.next_sealed(None).await.unwrap();
    assert_eq!(spool.read(id).unwrap().count(), 2);
    while !spool.is_settled() {
        tokio::task::yield_now().await;
    }
    spool.put(4).await.unwrap();
    assert_eq!(spool.numbers().await, [0, 1, 4]);
}

/// Found by the model: a group whose sync failed was read from the page cache after a restart and
/// sealed; the sync of the seal did not make it durable, and it vanished from a sealed segment.
#[tokio::test]
async fn unsynced_group_found_after_a_restart_is_written_again() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put_all(0..2).await;
    disk.fail(Call::SyncData, 0, Fault::Error(ErrorKind::Other));
    disk.break_down(Call::Create, ErrorKind::Other);
    disk.fail(Call::Write, 1, Fault::Error(ErrorKind::Other));
    spool.put(2).await.unwrap_err();
    disk.kill();
    drop(spool);
    let (spool, _) = Bench::simulated(&disk).reopen();
    assert_eq!(spool.numbers().await, [0, 1, 2], "the disk refused the cut");
    drop(spool);
    disk.crash(|n| n - 1);
    let (spool, _) = Bench::simulated(&disk).reopen();
    assert_eq!(spool.numbers().await, [0, 1, 2]);
}

#[tokio::test]
async fn power_cut_at_any_call_loses_nothing_acknowledged() {
    for call in [
        Call::Create,
        Call::Write,
        Call::SyncData,
        Call::SyncDir,
        Call::Rename,
    ] {
        for nth in 0..40 {
            for choice in choices() {
                power_cut(call, nth, choice).await;
            }
        }
    }
}

/// Appends 20 records into segments of 3, the power goes at a call, the spool comes back.
async fn power_cut(call: Call, nth: usize, choice: impl FnMut(usize) -> usize) {
    let disk = SimDisk::default();
    let bench = Bench::simulated(&disk).with(|settings| settings.segment_records = 3);
    disk.fail(call, nth, Fault::PowerCut);
    let mut acknowledged = Vec::new();
    let mut asked = 0;
    if let Ok((spool, _)) = bench.try_open() {
        for n in 0..20 {
            asked = n + 1;
            match spool.put(n).await {
                Ok(_) => acknowledged.push(n),
                Err(_) => break,
            }
        }
    }
    disk.crash(choice);
    let (spool, _) = Bench::simulated(&disk).reopen();
    let numbers = spool.numbers().await;
    let unanswered = (numbers.len() > acknowledged.len()).then(|| asked - 1);
    let expected: Vec<_> = acknowledged.into_iter().chain(unanswered).collect();
    assert_eq!(numbers, expected, "{call:?} {nth}");
}

#[tokio::test]
async fn released_segment_does_not_come_back_after_a_power_cut() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put(1).await.unwrap();
    spool.seal_now().await;
    spool.put(2).await.unwrap();
    spool.release(spool.sealed()[0]).unwrap();
    drop(spool);
    disk.crash(|_| 0);
    let (spool, _) = Bench::simulated(&disk).reopen();
    assert_eq!(spool.numbers().await, [2]);
}

#[tokio::test]
async fn failed_release_may_be_repeated() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put(1).await.unwrap();
    spool.seal_now().await;
    let id = spool.sealed()[0];
    disk.fail(Call::SyncDir, 0, Fault::Error(ErrorKind::Other));
    assert!(matches!(spool.release(id), Err(SegmentError::Io { .. })));
    assert_eq!(spool.stats().segments, 1, "not forgotten");
    assert!(
        matches!(spool.read(id), Err(SegmentError::Unknown(_))),
        "not to be sent again"
    );
    spool.release(id).unwrap();
    assert_eq!(spool.stats().segments, 0);
    assert!(matches!(spool.release(id), Err(SegmentError::Unknown(_))));
}

/// Whoever waits until it is gone waits no longer than until the next one is.
#[tokio::test]
async fn failed_release_is_made_good_by_the_next_one() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    for n in 0..2 {
        spool.put(n).await.unwrap();
        spool.seal_now().await;
    }
    let ids = spool.sealed();
    disk.fail(Call::SyncDir, 0, Fault::Error(ErrorKind::Other));
    spool.release(ids[0]).unwrap_err();
    assert_eq!(spool.stats().segments, 2);
    spool.release(ids[1]).unwrap();
    assert_eq!((spool.stats().segments, spool.stats().bytes), (0, 0));
    spool.drained_through(ids[1]).await;
    assert!(matches!(
        spool.release(ids[0]),
        Err(SegmentError::Unknown(_))
    ));
}

#[tokio::test]
async fn full_spool_refuses_until_a_segment_is_released() {
    let disk = SimDisk::default();
    let bench = Bench::simulated(&disk).with(|settings| {
        settings.max_bytes = 10_000;
        settings.segment_bytes = 2_000;
    });
    let spool = bench.open();
    let mut n = 0;
    let error = loop {
        match spool
            .append(RecordKind(1), &[1; 500], crate::spool::always)
            .await
        {
            Ok(_) => n += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, AppendError::Full(FullCause::Limit)),
        "{error}"
    );
    assert!(n > 10, "{n}");
    spool.seal_now().await;
    assert!(spool.stats().bytes <= 10_000, "{:?}", spool.stats());
    spool.release(spool.sealed()[0]).unwrap();
    spool
        .append(RecordKind(1), &[1; 500], crate::spool::always)
        .await
        .unwrap();
}

#[tokio::test]
async fn free_space_reserve_is_kept() {
    let disk = SimDisk::default();
    disk.set_free_bytes(1000);
    let bench = Bench::simulated(&disk).with(|settings| settings.reserve_bytes = 2000);
    let spool = bench.open();
    // The first group finds out.
    spool.put(1).await.unwrap();
    let error = spool.put(2).await.unwrap_err();
    assert!(
        matches!(error, AppendError::Full(FullCause::Reserve)),
        "{error}"
    );
    assert_eq!(spool.stats().full, Some(FullCause::Reserve));
    disk.set_free_bytes(5000);
    while spool.stats().full.is_some() {
        tokio::task::yield_now().await;
    }
    spool.put(3).await.unwrap();
    assert_eq!(spool.numbers().await, [1, 3]);
}

#[tokio::test]
async fn write_buffer_is_bounded_while_the_disk_stalls() {
    let disk = SimDisk::default();
    let bench = Bench::simulated(&disk).with(|settings| settings.buffer_bytes = 3 << 20);
    let spool = bench.open();
    spool.put(0).await.unwrap();
    let stall = disk.stall();
    let large = vec![1; 100_000];
    let mut accepted = Vec::new();
    let error = loop {
        let mut append = Box::pin(spool.append(RecordKind(1), &large, crate::spool::always));
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match append.as_mut().poll(&mut context) {
            std::task::Poll::Pending => accepted.push(append),
            std::task::Poll::Ready(Err(error)) => break error,
            std::task::Poll::Ready(Ok(position)) => panic!("{position:?} on a stalled disk"),
        }
    };
    assert!(
        matches!(error, AppendError::Full(FullCause::Buffer)),
        "{error}"
    );
    assert!(
        accepted.len() <= 30,
        "{} of 100 kB in 3 MiB",
        accepted.len()
    );
    drop(stall);
    for append in accepted {
        append.await.unwrap();
    }
    spool
        .append(RecordKind(1), &payload(1), crate::spool::always)
        .await
        .unwrap();
}
