//! README, "What 202 means": the power may fail at any moment.
//!
//! The data directory is a file system of its own in a file. Freezing both processes and copying that file
//! gives the disk as a power cut would leave it: what was not synced is not in the copy.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::chance::Chance;
use crate::support::load::{Load, STORED};
use crate::support::{Builder, process};

/// A mounted file system; unmounted when dropped.
struct Mount(PathBuf);

impl Mount {
    /// Mounts `image` on `place`. Commits of the file system's own come so rarely that none helps us.
    fn new(image: &Path, place: &Path) -> Result<Mount, String> {
        let (image, target) = (image.display().to_string(), place.display().to_string());
        run("mount", &["-o", "loop,commit=60", &image, &target])?;
        Ok(Mount(place.to_owned()))
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Lazily: a test that failed may have left a process in it.
        drop(run("umount", &["-l", &self.0.display().to_string()]));
    }
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .map_err(|e| format!("{program}: {e}"))?;
    if output.status.success() {
        return Ok(());
    }
    Err(format!(
        "{program}: {}",
        String::from_utf8_lossy(&output.stderr).trim()
    ))
}

/// Makes and mounts a file system; the reason where this machine does not let us.
fn prepare(image: &Path, place: &Path) -> Result<Mount, String> {
    std::fs::create_dir(place).map_err(|e| e.to_string())?;
    let name = image.display().to_string();
    run("truncate", &["-s", "512M", &name])?;
    run("mkfs.ext4", &["-q", "-F", &name])?;
    Mount::new(image, place)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_cut_loses_and_doubles_nothing() {
    let mut chance = Chance::new("power_cut");
    for round in 0..3 {
        let builder = Builder::new()
            .set("BATCH__MAX_ROWS", "300")
            .set("BATCH__MAX_AGE_MS", "50");
        let place = builder.directory().join("data");
        let (image, copy) = (
            builder.directory().join("image"),
            builder.directory().join("copy"),
        );
        let mount = match prepare(&image, &place) {
            Ok(mount) => mount,
            Err(reason) => {
                eprintln!(
                    "power cut: skipped, this machine cannot mount a file system in a file: {reason}"
                );
                return;
            }
        };
        let mut brine = builder.start();
        // Dropped before brine is, which deletes its directory.
        let mount = mount;
        let load = Load::start(&brine, 8).await;
        load.wait_accepted(500).await;
        tokio::time::sleep(chance.millis(500, 2_500)).await;
        let engine = brine.engine().expect("an engine");
        process::signal(engine, "STOP");
        brine.signal("STOP");
        let (from, to) = (image.display().to_string(), copy.display().to_string());
        run("cp", &["--sparse=always", &from, &to]).expect("the disk is copied");
        process::signal(engine, "KILL");
        brine.kill();
        let ledger = load.stop().await;
        process::wait_gone(engine);
        drop(mount);
        let _mount = Mount::new(&copy, &place).expect("the copy mounts");
        brine.restart();
        brine.wait_drained().await;
        ledger.expect_exactly_once(&brine.sql(STORED));
        let stored = brine.count("SELECT count() FROM events");
        eprintln!(
            "power cut {round}: {} accepted, {} stored",
            ledger.accepted.len(),
            stored
        );
        assert_eq!(brine.terminate(), Some(0), "{}", brine.log_tail());
    }
}
