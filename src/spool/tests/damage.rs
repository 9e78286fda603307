//! Tails that a crash tore, and files that were altered behind our back.

use super::super::segment::HEADER_BYTES;
use super::super::*;
use super::disk::{Call, Fault, SimDisk};
use super::support::{Bench, flip, payload};

/// Bytes of a group of one record with the `n`th payload.
fn group_bytes(n: u32) -> usize {
    record::FRAME_HEADER_BYTES + RECORD_HEADER_BYTES + payload(n).len()
}

/// A closed spool with one segment of groups 0, 1, 2: its path and where each group starts.
async fn three_groups(bench: &Bench) -> (PathBuf, [usize; 3]) {
    let spool = bench.open();
    let segment = spool.put(0).await.unwrap().segment;
    spool.put_all(1..3).await;
    spool.close().await;
    let first = HEADER_BYTES;
    let second = first + group_bytes(0);
    (
        spool.path_of(segment),
        [first, second, second + group_bytes(1)],
    )
}

/// A crash in the middle of the write of group 2, after 0 and 1 were acknowledged.
async fn torn_disk(survives: impl FnMut(usize) -> usize) -> (SimDisk, Bench) {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    spool.put_all(0..2).await;
    disk.fail(Call::SyncData, 0, Fault::PowerCut);
    spool.put(2).await.unwrap_err();
    drop(spool);
    disk.crash(survives);
    let bench = Bench::simulated(&disk);
    (disk, bench)
}

#[tokio::test]
async fn torn_tail_is_cut_counted_and_kept_as_evidence() {
    for torn_bytes in 1..group_bytes(2) {
        // Of the choices made by the crash only the length of the torn write is not 0.
        let (disk, bench) = torn_disk(|n| {
            if n == group_bytes(2) + 1 {
                torn_bytes
            } else {
                0
            }
        })
        .await;
        let (spool, recovery) = bench.reopen();
        assert_eq!(
            (recovery.torn_tails, recovery.torn_bytes),
            (1, torn_bytes as u64)
        );
        assert_eq!(spool.numbers().await, [0, 1]);
        assert_eq!(disk.names(".tail").len(), 1);
        assert!(
            !spool.quarantined().unwrap()[0].replayable,
            "never acknowledged"
        );
        spool.put(3).await.unwrap();
        assert_eq!(spool.numbers().await, [0, 1, 3]);
    }
}

#[tokio::test]
async fn whole_unacknowledged_group_may_come_back_once() {
    let (_, bench) = torn_disk(|n| n - 1).await;
    let (spool, recovery) = bench.reopen();
    assert_eq!(recovery.torn_tails, 0);
    assert_eq!(spool.numbers().await, [0, 1, 2]);
}

#[tokio::test]
async fn many_come_back_together_or_not_at_all() {
    let payloads: Vec<_> = (0..4).map(payload).collect();
    let records: Vec<_> = payloads
        .iter()
        .map(|p| (RecordKind(1), p.as_slice()))
        .collect();
    let length = 24
        + payloads
            .iter()
            .map(|p| p.len() + RECORD_HEADER_BYTES)
            .sum::<usize>();
    for torn_bytes in 0..=length {
        let disk = SimDisk::default();
        let spool = Bench::simulated(&disk).open();
        spool.put(9).await.unwrap();
        disk.fail(Call::SyncData, 0, Fault::PowerCut);
        spool
            .append_many(&records, crate::spool::always)
            .await
            .unwrap_err();
        drop(spool);
        disk.crash(|n| if n == length + 1 { torn_bytes } else { 0 });
        let numbers = Bench::simulated(&disk).reopen().0.numbers().await;
        match torn_bytes == length {
            true => assert_eq!(numbers, [9, 0, 1, 2, 3]),
            false => assert_eq!(numbers, [9], "{torn_bytes} of {length} bytes"),
        }
    }
}

#[tokio::test]
async fn damaged_record_is_reported_and_its_neighbours_are_delivered() {
    let bench = Bench::on_disk().with(|settings| settings.group_delay = Duration::from_secs(60));
    let spool = bench.open();
    let payloads: Vec<_> = (0..5).map(payload).collect();
    let records: Vec<_> = payloads
        .iter()
        .map(|p| (RecordKind(1), p.as_slice()))
        .collect();
    let (clone, ready) = (
        spool.clone(),
        spool.append_many(&records, crate::spool::always),
    );
    let (range, ()) = tokio::join!(ready, clone.seal_now());
    let path = spool.path_of(range.unwrap().first.segment);
    let third = HEADER_BYTES + 24 + 2 * RECORD_HEADER_BYTES + payload(0).len() + payload(1).len();

    flip(&path, third + RECORD_HEADER_BYTES + 3);
    let (numbers, damages) = spool.contents().await;
    assert_eq!(numbers, [0, 1, 3, 4]);
    assert_eq!((damages.len(), damages[0].indexes.clone()), (1, 2..3));
    assert_eq!(damages[0].bytes.start, third as u64);

    // A length that cannot be followed takes the rest of its group along.
    flip(&path, third + 2);
    let (numbers, damages) = spool.contents().await;
    assert_eq!(numbers, [0, 1]);
    assert_eq!((damages.len(), damages[0].indexes.clone()), (1, 2..5));
}

#[tokio::test]
async fn any_flipped_bit_costs_at_most_its_group_and_is_reported() {
    let bench = Bench::on_disk();
    let (path, starts) = three_groups(&bench).await;
    let sound = std::fs::read(&path).unwrap();
    let (spool, _) = bench.reopen();
    for byte in HEADER_BYTES..sound.len() {
        let mut bytes = sound.clone();
        bytes[byte] ^= 1 << (byte % 8);
        std::fs::write(&path, bytes).unwrap();
        let (numbers, damages) = spool.contents().await;
        let hit = starts.iter().rposition(|start| *start <= byte).unwrap() as u32;
        // The seal lies behind the third group; only framing is lost with it.
        if byte >= starts[2] + group_bytes(2) {
            assert_eq!(numbers, [0, 1, 2], "byte {byte}");
        } else {
            let others: Vec<_> = (0..3).filter(|n| *n != hit).collect();
            assert_eq!(numbers, others, "byte {byte}");
            assert_eq!(damages[0].indexes, hit..hit + 1, "byte {byte}");
        }
        assert_eq!(damages.len(), 1, "byte {byte}");
    }
}

#[tokio::test]
async fn damaged_header_costs_no_record() {
    for byte in 0..HEADER_BYTES {
        let bench = Bench::on_disk();
        let (path, _) = three_groups(&bench).await;
        flip(&path, byte);
        let (spool, recovery) = bench.reopen();
        assert_eq!(recovery.records, 3, "byte {byte}");
        assert_eq!(spool.numbers().await, [0, 1, 2], "byte {byte}");
    }
}

#[tokio::test]
async fn truncated_segment_says_what_is_missing() {
    let bench = Bench::on_disk();
    let (path, starts) = three_groups(&bench).await;
    let (spool, _) = bench.reopen();
    let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(starts[1] as u64 + 40).unwrap();
    let (numbers, damages) = spool.contents().await;
    assert_eq!(numbers, [0]);
    let lost: Vec<_> = damages
        .iter()
        .flat_map(|damage| damage.indexes.clone())
        .collect();
    assert_eq!(lost, [1, 2]);
}

#[tokio::test]
async fn damage_before_the_last_group_is_not_taken_for_a_torn_tail() {
    let disk = SimDisk::default();
    let spool = Bench::simulated(&disk).open();
    let segment = spool.put(0).await.unwrap().segment;
    spool.put_all(1..4).await;
    let path = spool.path_of(segment);
    disk.kill();
    drop(spool);
    disk.edit(&path, |bytes| {
        bytes[HEADER_BYTES + group_bytes(0) + 26] ^= 1
    });
    let (spool, recovery) = Bench::simulated(&disk).reopen();
    assert_eq!((recovery.torn_tails, recovery.records), (0, 4));
    let (numbers, damages) = spool.contents().await;
    assert_eq!(numbers, [0, 2, 3]);
    assert_eq!(damages[0].indexes, 1..2);
}

#[tokio::test]
async fn file_without_a_sound_group_goes_to_quarantine() {
    let bench = Bench::on_disk();
    let (path, _) = three_groups(&bench).await;
    std::fs::write(&path, vec![0xAB; 4000]).unwrap();
    let (spool, recovery) = bench.reopen();
    assert_eq!((recovery.quarantined, recovery.segments), (1, 0));
    let files = spool.quarantined().unwrap();
    assert_eq!((files.len(), files[0].bytes), (1, 4000));
    assert!(files[0].reason.contains("readable"), "{}", files[0].reason);
}

#[tokio::test]
async fn payload_that_looks_like_our_framing_is_only_a_payload() {
    let bench = Bench::on_disk();
    let (path, _) = three_groups(&bench).await;
    // A copy of a whole segment of another spool, so well-formed under its own incarnation.
    let mut forged = std::fs::read(&path).unwrap();
    let victim = Bench::on_disk();
    let spool = victim.open();
    forged.splice(..0, payload(7));
    let range = spool
        .append(RecordKind(1), &forged, crate::spool::always)
        .await
        .unwrap();
    spool
        .append(RecordKind(1), &payload(8), crate::spool::always)
        .await
        .unwrap();
    spool.seal_now().await;
    // Its own header is lost: the reader has to search through the payload.
    flip(&spool.path_of(range.segment), HEADER_BYTES + 1);
    let (numbers, damages) = spool.contents().await;
    assert_eq!(numbers, [8]);
    assert_eq!((damages.len(), damages[0].indexes.clone()), (1, 0..1));
}

#[tokio::test]
async fn reading_holds_little_in_memory() {
    let bench = Bench::on_disk();
    let spool = bench.open();
    for _ in 0..12 {
        spool
            .append(RecordKind(1), &[1; 500_000], crate::spool::always)
            .await
            .unwrap();
    }
    spool
        .append(RecordKind(1), &[1; MAX_PAYLOAD_BYTES], crate::spool::always)
        .await
        .unwrap();
    spool.seal_now().await;
    let mut reader = spool.read(spool.sealed()[0]).unwrap();
    let mut largest = 0;
    while let Some(record) = reader.next() {
        record.unwrap();
        largest = largest.max(reader.window_capacity());
    }
    assert!(
        largest <= 2 * (MAX_PAYLOAD_BYTES + (64 << 10)),
        "{largest} bytes"
    );
}
