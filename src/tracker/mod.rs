//! The scripts that a site puts into its pages: the tracker, the banner, the adapters for consent managers.
//!
//! Comes in: nothing, they are part of the binary. Goes out: each script's text, its content hash and its
//! Subresource Integrity value. [`serve`] answers requests for them, `brine tracker` prints what to paste.
//!
//! The sources in this folder are for readers. What is served stands in `min/`, made from them by
//! `tests/browser/minify.mjs`; a test fails when it is not what the sources give. The minified form is
//! checked in so that the product builds without node, and so that the bytes whose hash a site has pasted
//! do not change with the machine that built brine.

pub mod serve;

use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha384};

/// Every script by name, the tracker first, then the banner, then the adapters.
const MINIFIED: [(&str, &str); 8] = [
    ("brine", include_str!("min/brine.js")),
    ("banner", include_str!("min/banner.js")),
    ("consent-mode", include_str!("min/consent-mode.js")),
    (
        "cookie-information",
        include_str!("min/cookie-information.js"),
    ),
    ("cookiebot", include_str!("min/cookiebot.js")),
    ("klaro", include_str!("min/klaro.js")),
    ("tcf", include_str!("min/tcf.js")),
    (
        "vanilla-cookieconsent",
        include_str!("min/vanilla-cookieconsent.js"),
    ),
];

/// One script as it is served.
#[derive(Debug)]
pub struct Script {
    /// Its name without ending; for an adapter the word that `data-with` takes.
    pub name: &'static str,
    /// Its text, ES2018.
    pub plain: Bytes,
    /// The same, compressed as well as gzip can.
    pub gzip: Bytes,
    /// 16 hexadecimal digits of its SHA-384: enough to tell versions apart, short enough for an address.
    pub hash: String,
    /// Its Subresource Integrity value, `sha384-…`.
    pub integrity: String,
}

static SCRIPTS: LazyLock<Vec<Script>> = LazyLock::new(|| {
    let script = |&(name, text): &(&'static str, &'static str)| Script::new(name, text);
    MINIFIED.iter().map(script).collect()
});

/// Returns all scripts, the tracker first.
pub fn scripts() -> &'static [Script] {
    &SCRIPTS
}

impl Script {
    fn new(name: &'static str, text: &'static str) -> Script {
        let digest = Sha384::digest(text);
        let mut hash = String::new();
        for byte in &digest[..8] {
            // Writing to a string cannot fail.
            write!(hash, "{byte:02x}").expect("a string takes every byte");
        }
        Script {
            name,
            plain: Bytes::from_static(text.as_bytes()),
            gzip: gzip(text.as_bytes()),
            hash,
            integrity: format!("sha384-{}", STANDARD.encode(digest)),
        }
    }

    /// Returns the path under which the present version is always found.
    pub fn path(&self) -> String {
        format!("{}.js", self.stem())
    }

    /// Returns the path that only ever gives this very text.
    pub fn pinned_path(&self) -> String {
        format!("{}.{}.js", self.stem(), self.hash)
    }

    fn stem(&self) -> String {
        match self.name {
            "brine" => "/brine".to_owned(),
            name => format!("/brine/{name}"),
        }
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    // Writing to memory cannot fail.
    encoder
        .write_all(bytes)
        .and_then(|()| encoder.finish())
        .expect("a vector takes every byte")
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The sizes that README states, in bytes gzipped.
    #[test]
    fn the_tracker_is_at_most_2500_bytes_gzipped() {
        for script in scripts() {
            let limit = match script.name {
                "brine" => 2_500,
                "banner" => 4_500,
                _ => 1_000,
            };
            let n_bytes = script.gzip.len();
            println!(
                "{}: {} bytes, {n_bytes} gzipped",
                script.name,
                script.plain.len()
            );
            assert!(
                n_bytes <= limit,
                "{} has {n_bytes} bytes gzipped",
                script.name
            );
        }
    }

    /// What no browser older than ES2018 reads, and what a strict policy forbids, would show in the text.
    #[test]
    fn no_script_needs_eval_or_an_inline_style() {
        for script in scripts() {
            let text = std::str::from_utf8(&script.plain).unwrap();
            for mark in [
                "eval(",
                "new Function",
                "innerHTML",
                ".cssText",
                "setAttribute(\"style\"",
            ] {
                assert!(!text.contains(mark), "{}: {mark}", script.name);
            }
        }
    }
}
