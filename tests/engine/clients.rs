//! The official Python and JavaScript clients, unchanged. The Rust one is in all other tests, and
//! its own suite in `conformance`.

use std::{
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use crate::support::Engine;

/// Where `tests/engine/setup` installs the clients; it is run if it has not been.
fn installed() -> &'static Path {
    static INSTALLED: OnceLock<PathBuf> = OnceLock::new();
    INSTALLED.get_or_init(|| {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let output = Command::new(root.join("tests/engine/setup"))
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let target =
            std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| root.join("target"), PathBuf::from);
        target.join("clients")
    })
}

fn expect_success(command: &mut Command) {
    let engine = Engine::start_with(&["--listen", "127.0.0.1:0"]);
    let output = command
        .arg(engine.address())
        .arg(engine.key().expose())
        .output()
        .unwrap();
    let (stdout, stderr) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}{stderr}");
}

#[test]
fn python_client_works_unchanged() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/connect.py");
    expect_success(Command::new(installed().join("venv/bin/python")).arg(script));
}

#[test]
fn javascript_client_works_unchanged() {
    // Modules are looked for beside the script, so it runs where they are.
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients/client.mjs");
    let beside = installed().join("client.mjs");
    std::fs::copy(script, &beside).unwrap();
    expect_success(Command::new("node").arg(beside));
}
