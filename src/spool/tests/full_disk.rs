//! A real file system that is really full.

use std::process::Command;

use super::super::*;
use super::support::Bench;

/// A tmpfs of 4 MiB, if this process may mount one.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let mut command = Command::new("mount");
        command
            .args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"])
            .arg(dir.path());
        let mounted = command.output().is_ok_and(|output| output.status.success());
        mounted.then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount")
            .arg("--lazy")
            .arg(self.0.path())
            .output()
            .ok();
    }
}

#[tokio::test]
async fn disk_without_room_is_full_and_loses_nothing() {
    let Some(small) = SmallDisk::mount() else {
        println!("skipped: mounting a tmpfs needs root");
        return;
    };
    let mut bench = Bench::on_disk().with(|settings| settings.segment_bytes = 256 << 10);
    bench.dir = small.0.path().join("spool");
    let spool = bench.open();
    let mut acknowledged = 0u32;
    let error = loop {
        let mut payload = vec![9; 10_000];
        payload[..4].copy_from_slice(&acknowledged.to_le_bytes());
        match spool
            .append(RecordKind(1), &payload, crate::spool::always)
            .await
        {
            Ok(_) => acknowledged += 1,
            Err(error) => break error,
        }
    };
    assert!(
        matches!(error, AppendError::Full(FullCause::Disk)),
        "{error}"
    );
    assert!(acknowledged > 300, "{acknowledged}");

    // Releasing makes room, in the same process.
    let oldest = spool.sealed()[0];
    let released = spool.read(oldest).unwrap().count() as u32;
    spool.release(oldest).unwrap();
    let mut refused = 0;
    while spool
        .append(RecordKind(2), &[0; 100], crate::spool::always)
        .await
        .is_err()
    {
        refused += 1;
        tokio::time::sleep(Duration::from_millis(20)).await;
        assert!(refused < 500, "does not recover");
    }
    spool.close().await;
    drop(spool);

    let (spool, recovery) = bench.reopen();
    assert_eq!(recovery.torn_tails, 0, "{recovery:?}");
    let (mut first_kind, mut second_kind) = (Vec::new(), 0);
    for id in spool.sealed() {
        for record in spool.read(id).unwrap().map(Result::unwrap) {
            match record.kind {
                RecordKind(1) => {
                    first_kind.push(u32::from_le_bytes(record.payload[..4].try_into().unwrap()));
                }
                _ => second_kind += 1,
            }
        }
    }
    assert_eq!(first_kind, (released..acknowledged).collect::<Vec<_>>());
    assert_eq!(second_kind, 1);
}
