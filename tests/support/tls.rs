//! TLS from outside: certificates, and a client that says what it was shown. Needs openssl.

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};

/// Makes a self-signed certificate and its key.
#[track_caller]
pub fn make_certificate(name: &str, certificate: &Path, key: &Path) {
    let kind = [
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ];
    let made = Command::new("openssl")
        .args(["req", "-x509", "-days", "2"])
        .args(kind)
        .args(["-subj", &format!("/CN={name}")])
        .args(["-addext", "subjectAltName=IP:127.0.0.1"])
        .arg("-out")
        .arg(certificate)
        .arg("-keyout")
        .arg(key)
        .stderr(Stdio::null())
        .status();
    assert!(made.expect("openssl runs").success());
}

/// Sends `request` from an address of this machine; returns the reply, and what openssl says of the certificate.
#[track_caller]
pub fn talk(from: &str, to: SocketAddr, request: &[u8]) -> String {
    let mut client = Command::new("openssl")
        .args([
            "s_client",
            "-quiet",
            "-ign_eof",
            "-bind",
            &format!("{from}:0"),
        ])
        .args(["-connect", &to.to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("openssl runs");
    let mut input = client.stdin.take().expect("a pipe");
    input.write_all(request).expect("written");
    // Open until the server has ended the connection.
    let output = client.wait_with_output().expect("it ends");
    drop(input);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}
