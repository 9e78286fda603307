//! Opening, appending, sealing, handing on, closing.

use std::sync::atomic::{AtomicU32, Ordering};

use tokio::runtime;

use super::super::*;
use super::disk::SimDisk;
use super::support::{Bench, NOW_UNIX_MS, payload};

#[tokio::test]
async fn acknowledged_records_come_back_in_order_after_reopening() {
    let bench = Bench::on_disk().with(|settings| settings.segment_records = 3);
    let spool = bench.open();
    let mut positions = Vec::new();
    for n in 0..10 {
        positions.push(spool.put(n).await.unwrap());
    }
    spool.close().await;
    drop(spool);
    let (spool, recovery) = bench.reopen();
    assert_eq!((recovery.records, recovery.segments), (10, 4));
    assert_eq!(spool.numbers().await, (0..10).collect::<Vec<_>>());
    assert!(positions.is_sorted());
    for (n, position) in positions.iter().enumerate() {
        let mut records = spool.read(position.segment).unwrap();
        let record = records.nth(position.index as usize).unwrap().unwrap();
        assert_eq!(
            (record.kind, record.payload),
            (RecordKind(1), payload(n as u32))
        );
    }
}

#[tokio::test]
async fn second_open_is_told_who_holds_the_lock() {
    let bench = Bench::on_disk();
    let first = bench.open();
    match bench.try_open() {
        Err(OpenError::Locked { pid, .. }) => assert_eq!(pid, Some(std::process::id())),
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
    first.close().await;
    drop(first);
    bench.try_open().unwrap();
}

#[tokio::test]
async fn files_are_readable_by_their_owner_only() {
    use std::os::unix::fs::PermissionsExt;
    let bench = Bench::on_disk();
    let spool = bench.open();
    let segment = spool.put(1).await.unwrap().segment;
    let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&bench.dir), 0o700);
    for path in [
        spool.path_of(segment),
        bench.dir.join("identity"),
        bench.dir.join("lock"),
    ] {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[tokio::test]
async fn ids_are_never_used_again_although_everything_was_released() {
    let bench = Bench::on_disk();
    let mut last = None;
    for n in 0..3 {
        let spool = bench.open();
        let position = spool.put(n).await.unwrap();
        assert!(Some(position.segment) > last);
        last = Some(position.segment);
        spool.close().await;
        spool.release_all();
    }
}

#[tokio::test]
async fn incarnation_stays_with_the_directory_and_goes_with_it() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let first = spool.incarnation();
    spool.put(1).await.unwrap();
    spool.close().await;
    drop(spool);
    let spool = bench.open();
    assert_eq!(spool.incarnation(), first);
    let segment = spool.sealed()[0];
    assert_eq!(spool.read(segment).unwrap().incarnation(), first);
    spool.close().await;
    drop(spool);
    std::fs::remove_dir_all(&bench.dir).unwrap();
    assert_ne!(bench.open().incarnation(), first);
}

#[tokio::test]
async fn damaged_identity_gives_a_new_incarnation_and_keeps_the_records() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let before = spool.put(1).await.unwrap().segment;
    let first = spool.incarnation();
    spool.close().await;
    drop(spool);
    super::support::flip(&bench.dir.join("identity"), 30);
    let (spool, recovery) = bench.reopen();
    assert!(recovery.new_incarnation);
    assert_ne!(spool.incarnation(), first);
    assert_eq!(
        spool.read(before).unwrap().incarnation(),
        first,
        "batch ids must not change"
    );
    assert!(spool.put(2).await.unwrap().segment > before);
    assert_eq!(spool.numbers().await, [1, 2]);
}

#[tokio::test]
async fn format_of_the_future_is_refused_by_name() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let segment = spool.put(1).await.unwrap().segment;
    spool.close().await;
    let path = spool.path_of(segment);
    drop(spool);

    let mut bytes = std::fs::read(&path).unwrap();
    bytes[8] = 2;
    let checksum = crc32c::crc32c(&bytes[..44]);
    bytes[44..48].copy_from_slice(&checksum.to_le_bytes());
    std::fs::write(&path, &bytes).unwrap();
    match bench.try_open() {
        Err(OpenError::Version {
            path: named,
            found: 2,
            supported: 1,
        }) => assert_eq!(named, path),
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
    assert_eq!(std::fs::read(&path).unwrap(), bytes, "left as it was");

    std::fs::remove_file(&path).unwrap();
    let identity = bench.dir.join("identity");
    let text = std::fs::read_to_string(&identity).unwrap();
    std::fs::write(&identity, text.replace("brine spool 1", "brine spool 7")).unwrap();
    match bench.try_open() {
        Err(OpenError::Version { found: 7, .. }) => {}
        other => panic!("{:?}", other.map(|(_, recovery)| recovery)),
    }
}

#[tokio::test]
async fn settings_without_sense_are_refused_by_key() {
    for (key, change) in [
        (
            "segment_bytes",
            (|settings| settings.segment_bytes = 0) as fn(&mut SpoolSettings),
        ),
        ("segment_records", |settings| settings.segment_records = 0),
        ("group_records", |settings| settings.group_records = 0),
        ("buffer_bytes", |settings| settings.buffer_bytes = 1000),
        ("buffer_bytes", |settings| settings.buffer_bytes = 2 << 30),
    ] {
        match Bench::on_disk().with(change).try_open() {
            Err(OpenError::Settings { key: named, .. }) => assert_eq!(named, key),
            other => panic!("{key}: {:?}", other.map(|(_, recovery)| recovery)),
        }
    }
}

#[tokio::test]
async fn refused_record_is_nowhere() {
    let disk = SimDisk::default();
    let bench = Bench::simulated(&disk);
    let spool = bench.open();
    let refused = spool
        .append(RecordKind(1), b"a withdrawn visitor", || false)
        .await;
    assert!(matches!(refused, Err(AppendError::Refused)));
    spool.put(1).await.unwrap();
    assert_eq!(spool.numbers().await, [1]);
    assert!(!disk.contains(b"withdrawn visitor"));
}

#[tokio::test]
async fn admit_sees_appends_in_their_order() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let order = Arc::new(Mutex::new(Vec::new()));
    let tasks: Vec<_> = (0..50)
        .map(|n| {
            let (spool, order) = (spool.clone(), Arc::clone(&order));
            tokio::spawn(async move {
                let admit = || {
                    order.lock().unwrap().push(n);
                    n % 5 != 0
                };
                spool
                    .append(RecordKind(1), &payload(n), admit)
                    .await
                    .is_ok()
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let mut admitted = order.lock().unwrap().clone();
    admitted.retain(|n| n % 5 != 0);
    assert_eq!(spool.numbers().await, admitted);
}

#[tokio::test]
async fn panic_in_admit_breaks_nothing() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let clone = spool.clone();
    let panicked = tokio::spawn(async move {
        clone
            .append(RecordKind(1), b"x", || panic!("on purpose"))
            .await
            .is_ok()
    });
    assert!(panicked.await.is_err());
    spool.put_all(0..3).await;
    assert_eq!(spool.numbers().await, [0, 1, 2]);
}

#[tokio::test]
async fn oversized_appends_are_refused_and_the_largest_fits() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let largest = vec![7; MAX_PAYLOAD_BYTES];
    spool
        .append(RecordKind(1), &largest, crate::spool::always)
        .await
        .unwrap();
    let too_large = vec![7; MAX_PAYLOAD_BYTES + 1];
    let refused = spool
        .append(RecordKind(1), &too_large, crate::spool::always)
        .await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    let five = [(RecordKind(1), largest.as_slice()); 5];
    let refused = spool.append_many(&five, crate::spool::always).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    let refused = spool.append_many(&[], crate::spool::always).await;
    assert!(matches!(refused, Err(AppendError::TooLarge { .. })));
    spool.seal_now().await;
    let records: Vec<_> = spool
        .read(spool.sealed()[0])
        .unwrap()
        .map(Result::unwrap)
        .collect();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].payload, largest);
}

#[tokio::test]
async fn many_lie_side_by_side() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    spool.put(0).await.unwrap();
    let payloads: Vec<_> = (1..6).map(payload).collect();
    let records: Vec<_> = payloads
        .iter()
        .map(|p| (RecordKind(2), p.as_slice()))
        .collect();
    let range = spool
        .append_many(&records, crate::spool::always)
        .await
        .unwrap();
    assert_eq!((range.first.index, range.count), (1, 5));
    assert_eq!(spool.numbers().await, [0, 1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn dropped_append_harms_no_other() {
    let bench = Bench::on_disk().with(|settings| settings.group_delay = Duration::from_millis(20));
    let spool = bench.open();
    let (clone, after) = (spool.clone(), spool.clone());
    let first = tokio::spawn(async move { clone.put(1).await });
    tokio::task::yield_now().await;
    let second = tokio::spawn(async move { after.put(2).await });
    tokio::task::yield_now().await;
    first.abort();
    second.await.unwrap().unwrap();
    assert_eq!(
        spool.numbers().await,
        [1, 2],
        "accepted before it was dropped"
    );
}

#[tokio::test]
async fn segments_are_handed_on_in_order_and_end_with_the_spool() {
    let bench = Bench::on_disk().with(|settings| settings.segment_records = 1);
    let spool = bench.open();
    let clone = spool.clone();
    let reader = tokio::spawn(async move {
        let (mut seen, mut after) = (Vec::new(), None);
        while let Some(id) = clone.next_sealed(after).await {
            seen.push(id);
            after = Some(id);
        }
        seen
    });
    let mut written = Vec::new();
    for n in 0..20 {
        written.push(spool.put(n).await.unwrap().segment);
        tokio::task::yield_now().await;
    }
    spool.close().await;
    assert_eq!(reader.await.unwrap(), written);
}

#[tokio::test]
async fn segment_is_sealed_by_age_although_few_arrive() {
    let bench = Bench::on_disk().with(|settings| settings.segment_age = Duration::from_millis(5));
    let spool = bench.open();
    let position = spool.put(1).await.unwrap();
    assert_eq!(spool.next_sealed(None).await, Some(position.segment));
}

#[tokio::test]
async fn many_who_want_a_segment_sealed_soon_get_one_seal() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    let hour = Duration::from_secs(3600);
    for n in 0..20 {
        spool.put(n).await.unwrap();
        spool.seal_within(hour);
    }
    assert_eq!(spool.sealed().len(), 0);
    spool.seal_within(Duration::from_millis(5));
    // Asking again puts nothing off.
    spool.seal_within(hour);
    let first = spool.next_sealed(None).await;
    assert!(first.is_some());
    // What comes after it is in no hurry.
    for n in 20..40 {
        assert!(Some(spool.put(n).await.unwrap().segment) > first);
    }
    assert_eq!(spool.sealed().len(), 1);
    assert_eq!(spool.numbers().await, (0..40).collect::<Vec<_>>());
}

#[tokio::test]
async fn segment_is_sealed_by_size() {
    let bench = Bench::on_disk().with(|settings| settings.segment_bytes = 1000);
    let spool = bench.open();
    spool
        .append(RecordKind(1), &[1; 400], crate::spool::always)
        .await
        .unwrap();
    assert_eq!(spool.sealed().len(), 0);
    let position = spool
        .append(RecordKind(1), &[1; 600], crate::spool::always)
        .await
        .unwrap();
    assert_eq!(spool.next_sealed(None).await, Some(position.segment));
}

#[tokio::test]
async fn close_commits_what_was_accepted_and_lets_nothing_more_in() {
    let bench = Bench::on_disk().with(|settings| settings.group_delay = Duration::from_secs(60));
    let spool = bench.open();
    let tasks: Vec<_> = (0..10)
        .map(|n| {
            let spool = spool.clone();
            tokio::spawn(async move { spool.put(n).await })
        })
        .collect();
    while spool.stats().waiting_records < 10 {
        tokio::task::yield_now().await;
    }
    spool.close().await;
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    assert!(matches!(spool.put(99).await, Err(AppendError::Closed)));
    assert_eq!(spool.numbers().await, (0..10).collect::<Vec<_>>());
    assert_eq!(spool.next_sealed(Some(spool.sealed()[0])).await, None);
    spool.close().await;
    spool.seal_now().await;
    assert!(matches!(
        spool.replay_quarantine().await,
        Err(SegmentError::Closed)
    ));
}

#[tokio::test]
async fn dropping_the_last_handle_commits_too() {
    let bench = Bench::on_disk().with(|settings| settings.group_delay = Duration::from_secs(60));
    let spool = bench.open();
    let mut append = Box::pin(spool.put(5));
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(append.as_mut().poll(&mut context).is_pending());
    drop(append);
    drop(spool);
    assert_eq!(bench.reopen().0.numbers().await, [5]);
}

#[test]
fn several_runtimes_share_one_spool() {
    let bench = Bench::on_disk().with(|settings| settings.group_delay = Duration::from_millis(1));
    let spool = bench.open();
    let next = Arc::new(AtomicU32::new(0));
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let (spool, next) = (spool.clone(), Arc::clone(&next));
            thread::spawn(move || {
                let runtime = match thread {
                    0 => runtime::Builder::new_multi_thread()
                        .worker_threads(2)
                        .build(),
                    _ => runtime::Builder::new_current_thread().build(),
                };
                runtime.unwrap().block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for _ in 0..8 {
                        let (spool, next) = (spool.clone(), Arc::clone(&next));
                        tasks.spawn(async move {
                            for _ in 0..25 {
                                spool
                                    .put(next.fetch_add(1, Ordering::Relaxed))
                                    .await
                                    .unwrap();
                            }
                        });
                    }
                    while let Some(task) = tasks.join_next().await {
                        task.unwrap();
                    }
                });
            })
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
    let runtime = runtime::Builder::new_current_thread().build().unwrap();
    let mut numbers = runtime.block_on(spool.numbers());
    numbers.sort_unstable();
    assert_eq!(numbers, (0..800).collect::<Vec<_>>());
    let groups = spool.stats().groups;
    assert!(
        groups < 400,
        "{groups} groups for 800 records: they do not share their syncs"
    );
}

#[tokio::test]
async fn stats_tell_what_is_there_and_how_old() {
    let bench = Bench::on_disk().with(|settings| settings.segment_records = 2);
    let spool = bench.open();
    let empty = spool.stats();
    assert_eq!(
        (empty.segments, empty.bytes, empty.records, empty.oldest),
        (0, 0, 0, None)
    );
    spool.put_all(0..3).await;
    while spool.sealed().is_empty() {
        tokio::task::yield_now().await;
    }
    let stats = spool.stats();
    let on_disk: u64 = spool
        .sealed()
        .into_iter()
        .chain(spool.shared.lock().open.map(|open| open.header.id))
        .map(|id| std::fs::metadata(spool.path_of(id)).unwrap().len())
        .sum();
    assert_eq!(
        (stats.segments, stats.bytes, stats.records),
        (2, on_disk, 3)
    );
    assert_eq!((stats.groups, stats.failures, stats.full), (3, 0, None));
    assert_eq!(stats.oldest, Some(Duration::ZERO));
    let created = spool.read(spool.sealed()[0]).unwrap().created_unix_ms();
    assert_eq!(created, NOW_UNIX_MS);
    spool.seal_now().await;
    spool.release_all();
    assert_eq!((spool.stats().segments, spool.stats().bytes), (0, 0));
}
