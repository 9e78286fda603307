//! README, "What is missing is said": getting the engine library.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use tempfile::TempDir;

fn fetch(cache: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_brine"));
    command.args(["engine", "fetch", "--cache"]).arg(cache);
    command
}

fn refusal(command: &mut Command) -> String {
    let output = command.output().unwrap();
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Leaves nothing at the library's path, and nothing half done beside it.
fn expect_nothing_left(cache: &Path) {
    let left: Vec<_> = std::fs::read_dir(cache.join("brine/engine"))
        .unwrap()
        .collect();
    assert_eq!(left.len(), 1, "more than the lock: {left:?}");
}

#[test]
fn missing_npm_is_named() {
    let cache = TempDir::new().unwrap();
    let said = refusal(fetch(cache.path()).env("PATH", cache.path()));
    assert!(said.contains("npm is needed to fetch the engine"), "{said}");
    expect_nothing_left(cache.path());
}

/// The real npm, and a registry that nobody serves.
#[test]
fn missing_network_is_named() {
    let cache = TempDir::new().unwrap();
    let said = refusal(
        fetch(cache.path())
            .env("npm_config_registry", "http://127.0.0.1:9/")
            .env("npm_config_fetch_retries", "0"),
    );
    assert!(said.contains("is there a network"), "{said}");
    expect_nothing_left(cache.path());
}

/// A registry or proxy that hands out something else, played by an npm that does.
#[test]
fn package_that_is_not_the_pinned_one_is_thrown_away() {
    let cache = TempDir::new().unwrap();
    let bin = TempDir::new().unwrap();
    let npm = bin.path().join("npm");
    std::fs::write(&npm, "#!/bin/sh\necho other > other.tgz\n").unwrap();
    std::fs::set_permissions(&npm, std::fs::Permissions::from_mode(0o755)).unwrap();
    let said = refusal(fetch(cache.path()).env("PATH", bin.path()));
    assert!(
        said.contains("expected XP97mMqnc5tZpKQywR8N7cLTsHNiTmHr30pC5mzo3jWmukjKn2IBa60c2B"),
        "{said}"
    );
    expect_nothing_left(cache.path());
}

/// The one in the cache is checked, too, each time it is asked for.
#[test]
fn fetched_library_is_found_and_is_the_pinned_one() {
    let library = crate::support::library();
    if std::env::var_os("BRINE_ENGINE_LIB").is_some() {
        println!("skipped: BRINE_ENGINE_LIB names a library of its own");
        return;
    }
    let cache = library.ancestors().nth(4).unwrap();
    // Without npm: nothing needs to be downloaded.
    let output = fetch(cache).env("PATH", "/nonexistent").output().unwrap();
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert_eq!(
        String::from_utf8_lossy(&output.stdout).trim_end(),
        library.display().to_string()
    );
}

/// A disk of ten megabytes, which is too small before anything is downloaded.
#[test]
fn full_disk_is_named() {
    let dir = TempDir::new().unwrap();
    let mounted = Command::new("mount")
        .args(["-t", "tmpfs", "-o", "size=10m", "none"])
        .arg(dir.path())
        .output();
    if !mounted.is_ok_and(|output| output.status.success()) {
        println!("skipped: this user may not mount a small disk");
        return;
    }
    let said = refusal(&mut fetch(dir.path()));
    let unmounted = Command::new("umount").arg(dir.path()).status().unwrap();
    assert!(unmounted.success());
    assert!(
        said.contains("disk full: fetching the engine needs"),
        "{said}"
    );
}
