//! Looks for what must not be there: markers, in every spelling in which they could have been kept.

use std::path::Path;

use aho_corasick::{AhoCorasick, AhoCorasickBuilder};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Needles, each with the name of what it is.
pub struct Markers {
    names: Vec<String>,
    needles: Vec<Vec<u8>>,
    search: AhoCorasick,
}

impl Markers {
    /// Takes markers of at least eight bytes: shorter ones turn up in random data.
    pub fn new<'a>(markers: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Markers {
        let (mut names, mut needles) = (Vec::new(), Vec::new());
        for (name, marker) in markers {
            assert!(
                marker.len() >= 8,
                "{name} is too short to be told from chance"
            );
            for (spelling, needle) in spellings(marker) {
                names.push(format!("{name}, {spelling}"));
                needles.push(needle);
            }
        }
        // Upper and lower case of any spelling are found as one.
        let search = AhoCorasickBuilder::new()
            .ascii_case_insensitive(true)
            .build(&needles)
            .expect("needles");
        Markers {
            names,
            needles,
            search,
        }
    }

    /// Returns which markers `bytes` holds.
    pub fn within(&self, bytes: &[u8]) -> Vec<&str> {
        let mut found: Vec<_> = self
            .search
            .find_overlapping_iter(bytes)
            .map(|hit| hit.pattern().as_usize())
            .collect();
        found.sort_unstable();
        found.dedup();
        found
            .into_iter()
            .map(|index| self.names[index].as_str())
            .collect()
    }

    /// Asserts that no file below `directory` holds one, in its bytes or its name.
    #[track_caller]
    pub fn expect_absent_below(&self, directory: &Path) {
        let mut n_files = 0;
        for path in files_below(directory) {
            // The store's files come and go while it merges.
            let Ok(bytes) = std::fs::read(&path) else {
                continue;
            };
            n_files += 1;
            self.expect_absent(&format!("{}", path.display()), &bytes);
            self.expect_absent("a file name", path.as_os_str().as_encoded_bytes());
        }
        assert!(n_files > 0, "{} has no files", directory.display());
    }

    #[track_caller]
    pub fn expect_absent(&self, place: &str, bytes: &[u8]) {
        let found = self.within(bytes);
        assert!(found.is_empty(), "{place} holds {found:?}");
    }

    /// Every needle as bytes, for controls.
    pub fn planted(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.names
            .iter()
            .map(String::as_str)
            .zip(self.needles.iter().map(Vec::as_slice))
    }
}

/// Returns every file below `directory`.
pub fn files_below(directory: &Path) -> Vec<std::path::PathBuf> {
    let mut files = Vec::new();
    let mut directories = vec![directory.to_owned()];
    while let Some(directory) = directories.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else {
            continue;
        };
        for entry in entries.flatten() {
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                Ok(kind) if kind.is_file() => files.push(entry.path()),
                _ => {}
            }
        }
    }
    files
}

fn spellings(marker: &[u8]) -> Vec<(String, Vec<u8>)> {
    let hex: String = marker.iter().map(|byte| format!("{byte:02x}")).collect();
    let percent: String = marker.iter().map(|byte| format!("%{byte:02x}")).collect();
    let mut spellings = vec![
        ("as it is".to_owned(), marker.to_vec()),
        (
            "reversed".to_owned(),
            marker.iter().rev().copied().collect(),
        ),
        ("hex".to_owned(), hex.into_bytes()),
        ("percent-encoded".to_owned(), percent.into_bytes()),
        (
            "UTF-16".to_owned(),
            marker.iter().flat_map(|byte| [*byte, 0]).collect(),
        ),
    ];
    let some: String = marker
        .iter()
        .map(|byte| match byte {
            b if b.is_ascii_alphanumeric() || b"-._~".contains(b) => char::from(*b).to_string(),
            b => format!("%{b:02X}"),
        })
        .collect();
    if some.as_bytes() != marker {
        spellings.push(("percent-encoded where needed".to_owned(), some.into_bytes()));
    }
    for alignment in 0..3 {
        // What stands before shifts the bits; characters that hold bits of a neighbour are left out.
        let shifted = [&vec![0; alignment], marker].concat();
        let text = STANDARD.encode(&shifted);
        let text = text.trim_end_matches('=');
        let first = (alignment * 8).div_ceil(6);
        let last = shifted.len() * 8 / 6;
        let middle = &text[first..last];
        spellings.push((format!("base64 at {alignment}"), middle.as_bytes().to_vec()));
        let url_safe = middle.replace('+', "-").replace('/', "_");
        if url_safe != middle {
            spellings.push((
                format!("URL-safe base64 at {alignment}"),
                url_safe.into_bytes(),
            ));
        }
    }
    spellings
}
