//! README, "A power cut loses nothing that was acknowledged": the disk as it is at one moment,
//! mounted again.
//!
//! The data directory lies on an ext4 of its own in an image file. The engine is stopped in
//! mid-write and the file system shut down without a flush (`EXT4_IOC_SHUTDOWN` with
//! `EXT4_GOING_FLAGS_NOLOGFLUSH`, which exists to test this): what was written and not synced never
//! reaches the image. Then it is mounted anew and an engine started on it. `commit=60` keeps the file
//! system from syncing by itself meanwhile. Copying the image of a mounted file system would not do:
//! the kernel writes on during the copy, which then is a disk that never was.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rustix::process::Signal;
use tempfile::TempDir;

use crate::{
    crash::{create, deliver, expect_exactly_once},
    support::{Engine, signal},
};

const ROUNDS: u64 = 3;

/// A file that is written and not synced: what a cut takes.
const UNSYNCED: &str = "unsynced";

/// How long a round writes. Long enough for merges, which are where unsynced parts were lost.
const WRITING: Duration = Duration::from_secs(6);

/// A mounted image, unmounted when dropped.
struct Disk {
    mounted: PathBuf,
}

impl Disk {
    fn mount(image: &Path, at: &Path) -> Result<Self, String> {
        std::fs::create_dir_all(at).unwrap();
        run(
            "mount",
            &[
                "-o",
                "loop,commit=60",
                &image.display().to_string(),
                &at.display().to_string(),
            ],
        )?;
        Ok(Self {
            mounted: at.to_owned(),
        })
    }

    /// From here on nothing reaches the image.
    fn cut(&self) {
        std::fs::write(self.mounted.join(UNSYNCED), "gone").unwrap();
        // _IOR('X', 125, __u32), EXT4_GOING_FLAGS_NOLOGFLUSH.
        const SHUT_DOWN: &str = "import fcntl, os, struct, sys\n\
            fcntl.ioctl(os.open(sys.argv[1], os.O_RDONLY), 0x8004587D, struct.pack('I', 2))";
        let at = self.mounted.display().to_string();
        run("python3", &["-c", SHUT_DOWN, &at]).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(reason) = run("umount", &[&self.mounted.display().to_string()]) {
            println!("{reason}");
        }
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(format!(
            "{program} fails: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )),
        Err(error) => Err(format!("{program} cannot run: {error}")),
    }
}

fn formatted(dir: &Path) -> Result<PathBuf, String> {
    if !rustix::process::geteuid().is_root() {
        return Err("mounting needs root".to_owned());
    }
    let image = dir.join("disk.img");
    std::fs::File::create(&image)
        .unwrap()
        .set_len(1 << 30)
        .unwrap();
    run("mkfs.ext4", &["-q", "-F", &image.display().to_string()])?;
    // Tried once, so that a machine without loop devices skips before it has an engine.
    Disk::mount(&image, &dir.join("try"))?;
    Ok(image)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn power_cut_loses_and_doubles_nothing() {
    for round in 0..ROUNDS {
        let dir = TempDir::new().unwrap();
        let image = match formatted(dir.path()) {
            Ok(image) => image,
            Err(reason) => return println!("skipped: {reason}"),
        };
        let disk = Disk::mount(&image, &dir.path().join("before")).unwrap();
        let (acknowledged, uncertain) = write_and_cut(&disk, round).await;
        drop(disk);
        let disk = Disk::mount(&image, &dir.path().join("after")).unwrap();
        // A commit under way may take its name along, not its content.
        let unsynced = std::fs::read(disk.mounted.join(UNSYNCED)).unwrap_or_default();
        assert!(unsynced.is_empty(), "the cut was none");
        let mut engine = Engine::start_in(TempDir::new().unwrap(), disk.mounted.join("d"), &[]);
        let client = engine.client().with_database("b");
        expect_exactly_once(&client, &acknowledged).await;
        // What was under way is found or sent again, with a first attempt that cannot commit any
        // more.
        let mut all = acknowledged.clone();
        for batch in uncertain {
            let count = client
                .query("SELECT count() FROM e WHERE batch = ?")
                .bind(batch);
            if count.fetch_one::<u64>().await.unwrap() == 0 {
                deliver(&client, batch, || std::future::ready(())).await;
            }
            all.insert(batch);
        }
        expect_exactly_once(&client, &all).await;
        println!(
            "round {round}: {} batches acknowledged before the cut, all there",
            acknowledged.len()
        );
        assert!(acknowledged.len() > 10, "the writers hardly ran");
        engine.kill();
    }
}

/// Writes for a while, stops the engine, cuts its disk off. Returns what was acknowledged before, and
/// what was under way.
async fn write_and_cut(disk: &Disk, round: u64) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let mut engine = Engine::start_in(TempDir::new().unwrap(), disk.mounted.join("d"), &[]);
    let client = engine.client().with_database("b");
    create(&client).await;
    let acknowledged = Arc::new(Mutex::new(BTreeSet::new()));
    let begun = Arc::new(Mutex::new(BTreeSet::new()));
    let stop = Arc::new(AtomicBool::new(false));
    let writers: Vec<_> = (0..2_u64)
        .map(|writer| {
            let (client, stop) = (client.clone(), Arc::clone(&stop));
            let (acknowledged, begun) = (Arc::clone(&acknowledged), Arc::clone(&begun));
            tokio::spawn(async move {
                for batch in (writer..).step_by(2) {
                    if stop.load(Ordering::SeqCst) {
                        return;
                    }
                    begun.lock().unwrap().insert(batch);
                    deliver(&client, batch, std::future::pending::<()>).await;
                    acknowledged.lock().unwrap().insert(batch);
                }
            })
        })
        .collect();
    tokio::time::sleep(WRITING + Duration::from_millis(137 * round)).await;
    let before: BTreeSet<u64> = acknowledged.lock().unwrap().clone();
    signal(&engine.child, Signal::STOP);
    stop.store(true, Ordering::SeqCst);
    disk.cut();
    writers.iter().for_each(tokio::task::JoinHandle::abort);
    engine.kill();
    let begun = begun.lock().unwrap().clone();
    (before.clone(), begun.difference(&before).copied().collect())
}
