//! ClickHouse's own directories, where they are on this machine.
//!
//! Comes in: the paths that ClickHouse names for a table. Goes out: the directories of parts whose partition must be
//! gone, in use, not in use, detached or half removed. Reads names, nothing else.

use std::fs;
use std::path::Path;

/// Returns the directories of partitions (`YYYYMMDD`) up to `today` that are not among `kept`; none where the paths are
/// not on this machine or not ours to read.
pub(super) fn expired(paths: &[String], today: &str, kept: &[String]) -> Option<Vec<String>> {
    let mut found = Vec::new();
    for path in paths {
        let path = Path::new(path);
        look(path, today, kept, &mut found)?;
        let detached = path.join("detached");
        if detached.exists() {
            look(&detached, today, kept, &mut found)?;
        }
    }
    (!paths.is_empty()).then_some(found)
}

fn look(path: &Path, today: &str, kept: &[String], found: &mut Vec<String>) -> Option<()> {
    for entry in fs::read_dir(path).ok()? {
        let Ok(name) = entry.ok()?.file_name().into_string() else {
            continue;
        };
        // `20260101_1_1_0`; in front of it may stand what is being done to it: `delete_tmp_…`, `broken_…`.
        let partition = name
            .split('_')
            .find(|word| word.len() == 8 && word.bytes().all(|b| b.is_ascii_digit()));
        let Some(partition) = partition else { continue };
        if partition <= today && !kept.iter().any(|kept| kept == partition) {
            found.push(path.join(&name).display().to_string());
        }
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_an_expired_partition_is_found_wherever_it_lies() {
        let directory = tempfile::tempdir().unwrap();
        for name in [
            "20260101_1_1_0",
            "20260103_4_4_0",
            "20260102_2_2_0",
            "delete_tmp_20260101_7_7_0",
            "detached/broken_20260101_3_3_0",
            "detached/20260909_3_3_0",
        ] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let paths = [directory.path().display().to_string()];
        let mut found: Vec<String> = expired(&paths, "20260102", &["20260102".into()])
            .unwrap()
            .iter()
            .map(|path| path[paths[0].len() + 1..].to_owned())
            .collect();
        found.sort();
        assert_eq!(
            found,
            [
                "20260101_1_1_0",
                "delete_tmp_20260101_7_7_0",
                "detached/broken_20260101_3_3_0"
            ]
        );
        assert_eq!(expired(&["/nowhere/at/all".into()], "20260102", &[]), None);
        assert_eq!(expired(&[], "20260102", &[]), None);
    }
}
