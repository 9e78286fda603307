//! Who runs a command, as the operating system knows it.
//!
//! Goes out: the name of the process's user; behind it, in brackets, whoever signed in to the machine (proc(5),
//! `loginuid`), where that is another: `root (anna)`. The environment is not asked, because anybody can set it.

use std::fs;
use std::os::unix::fs::MetadataExt;

/// What the kernel says of a process that nobody signed in for.
const NOBODY_SIGNED_IN: u32 = u32::MAX;

pub(super) fn os_user() -> String {
    let acting = fs::metadata("/proc/self").map(|found| found.uid()).ok();
    let login = fs::read_to_string("/proc/self/loginuid").ok();
    let login = login.and_then(|text| text.trim().parse().ok());
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    told(acting, login.filter(|uid| *uid != NOBODY_SIGNED_IN), &users)
}

fn told(acting: Option<u32>, login: Option<u32>, users: &str) -> String {
    match (acting, login) {
        (Some(acting), Some(login)) if acting != login => {
            format!("{} ({})", name(acting, users), name(login, users))
        }
        (Some(uid), _) | (None, Some(uid)) => name(uid, users),
        (None, None) => "unknown".into(),
    }
}

fn name(uid: u32, users: &str) -> String {
    let named = users.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        let is_it = fields.nth(1)?.parse() == Ok(uid);
        is_it.then(|| name.to_owned())
    });
    named.unwrap_or_else(|| format!("uid {uid}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_told_by_name_and_whoever_became_root_too() {
        let users = "root:x:0:0:root:/root:/bin/bash\nanna:x:1000:1000::/home/anna:/bin/sh\n";
        assert_eq!(told(Some(1_000), Some(1_000), users), "anna");
        assert_eq!(told(Some(0), Some(1_000), users), "root (anna)");
        assert_eq!(told(Some(7), None, users), "uid 7");
        assert_eq!(told(None, None, users), "unknown");
        assert!(!os_user().is_empty());
    }
}
