//! README, "By OpenID Connect", in the browser; in a build with the feature `oidc`.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;

use serde_json::json;

use crate::browser::{my_turn, run_with};
use crate::support::markers::Markers;
use crate::support::{Builder, free_port};

/// At a real provider: whom it vouches for gets in where brine knows them, by words of its own, once, in one browser.
#[test]
fn people_sign_in_at_an_openid_provider_and_brine_believes_its_word_alone() {
    let _turn = my_turn();
    let (provider, admin) = (free_port(), free_port());
    let secret = "client-secret-d1c8f2a09b7e4356";
    let directory = tempfile::tempdir().expect("temporary directory");
    let file = directory.path().join("oidc.secret");
    let mut options = std::fs::OpenOptions::new();
    let opened = options.write(true).create(true).mode(0o600).open(&file);
    let written = opened.and_then(|mut file| file.write_all(secret.as_bytes()));
    written.expect("the secret is written");
    let brine = Builder::new()
        .set("SERVER__ADMIN", &format!("127.0.0.1:{admin}"))
        .set("ACCESS__MODE", "oidc")
        .set("ACCESS__URL", &format!("http://127.0.0.1:{admin}"))
        .set(
            "ACCESS__OIDC_ISSUER",
            &format!("http://127.0.0.1:{provider}"),
        )
        .set("ACCESS__OIDC_CLIENT_ID", "brine")
        .set("ACCESS__OIDC_SECRET_FILE", file.to_str().expect("UTF-8"))
        .start();
    let user = ["users", "add", "anna@example.test"];
    let standing = ["--no-password", "--site", "portal"];
    let added = brine.command(&[&user[..], &standing].concat());
    assert!(added.status.success(), "{added:?}");
    let given = json!({ "port": provider, "secret": secret });
    let code = run_with("people_sign_in_by_a_provider", brine.admin, &given);
    let seen = "SELECT concat(who, ' ', via, ' ', action) FROM access_log WHERE action IN ('sign_in', 'refused', 'sign_out') GROUP BY 1 ORDER BY 1";
    let expected = [
        " session refused",
        "anna@example.test session sign_in",
        "anna@example.test session sign_out",
    ];
    let out = "SELECT count() FROM access_log WHERE action = 'sign_out'";
    brine.wait_for(out, 1);
    assert_eq!(brine.sql(seen), expected);
    // Each lie was refused for what it is.
    let log = brine.log();
    for reason in [
        "the ID token is of another sign-in",
        "the ID token is not signed\"",
        "the ID token is not signed by a public key",
        "the ID token's signature does not hold",
        "the ID token is for another client",
        "the ID token is of another issuer",
        "the ID token has expired",
        "does not say that the e-mail address is verified",
        "the OpenID provider cannot be asked",
    ] {
        assert!(log.contains(reason), "{reason}\n{log}");
    }
    // Who was not let in, the code, and the client's secret are nowhere.
    let code = code.as_str().expect("a text");
    let code = code.split('&').find_map(|pair| pair.strip_prefix("code="));
    let markers = Markers::new([
        ("somebody unknown", b"bo.unknown".as_slice()),
        ("an unverified address", b"unverified.anna"),
        ("the client's secret", secret.as_bytes()),
        ("a code", code.expect("a code").as_bytes()),
    ]);
    markers.expect_absent_below(&brine.directory);
}
