//! Referrer spam: sites that send made-up visits so that their address shows up in statistics.
//!
//! In: the host of a referrer. Out: whether it, or a domain above it, is on the list. A look-up costs
//! one hash per label, however long the list is.

use std::collections::HashSet;
use std::path::Path;

use url::Host;

use crate::enrich::data_file::{self, DataFileError};

/// Long-lived senders. The run-time list is the real remedy;
/// this one is for those who name none.
const BUILT_IN: [&str; 23] = [
    "100dollars-seo.com",
    "best-seo-offer.com",
    "best-seo-solution.com",
    "buttons-for-website.com",
    "buttons-for-your-website.com",
    "darodar.com",
    "econom.co",
    "event-tracking.com",
    "free-share-buttons.com",
    "free-social-buttons.com",
    "get-free-traffic-now.com",
    "hulfingtonpost.com",
    "ilovevitaly.com",
    "kambasoft.com",
    "make-money-online.com",
    "o-o-6-o-o.com",
    "priceg.com",
    "savetubevideo.com",
    "semalt.com",
    "simple-share-buttons.com",
    "social-buttons.com",
    "success-seo.com",
    "trafficmonetize.org",
];

/// The domains that spam. Immutable; swap the whole to reload.
#[derive(Debug)]
pub struct SpamReferrers {
    domains: HashSet<Box<str>>,
}

impl SpamReferrers {
    /// Collects the built-in domains and, if given, a list: one domain a line, `#` begins a comment,
    /// any case, unicode or punycode.
    ///
    /// # Errors
    /// [`DataFileError`] if the list cannot be read or a line is no domain; the line is named.
    pub fn new(list: Option<&Path>) -> Result<Self, DataFileError> {
        let mut domains: HashSet<Box<str>> = BUILT_IN.into_iter().map(Box::from).collect();
        if let Some(path) = list {
            for (index, line) in data_file::text(path)?.lines().enumerate() {
                let domain = line.split('#').next().unwrap_or_default().trim();
                if domain.is_empty() {
                    continue;
                }
                let domain = canonical(domain).ok_or_else(|| {
                    DataFileError::content(path, format!("line {}: not a domain", index + 1))
                })?;
                domains.insert(domain);
            }
        }
        Ok(Self { domains })
    }

    /// Number of domains on the list.
    pub fn n_domains(&self) -> usize {
        self.domains.len()
    }

    /// Whether the host, or any domain above it, is listed. The host is taken as `url::Url::host_str`
    /// gives it: lower case and punycode.
    pub fn contains(&self, host: &str) -> bool {
        let mut rest = host.trim_end_matches('.');
        // A single label is a top-level domain, and never listed.
        while rest.contains('.') {
            if self.domains.contains(rest) {
                return true;
            }
            rest = rest.split_once('.').map_or("", |(_, above)| above);
        }
        false
    }
}

/// Lower case and punycode, as URLs carry it; nothing for what is no domain of two labels.
fn canonical(domain: &str) -> Option<Box<str>> {
    match Host::parse(domain) {
        Ok(Host::Domain(name)) if name.contains('.') => Some(name.into()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_domain_and_what_is_below_it_are_spam_and_nothing_else() {
        let spam = SpamReferrers::new(None).unwrap();
        for host in [
            "semalt.com",
            "www.semalt.com",
            "42.semalt.com",
            "semalt.com.",
        ] {
            assert!(spam.contains(host), "{host}");
        }
        for host in [
            "notsemalt.com",
            "semalt.com.example.dk",
            "com",
            "",
            ".",
            "example.dk",
        ] {
            assert!(!spam.contains(host), "{host}");
        }
    }

    #[test]
    fn a_list_adds_domains_in_any_spelling() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("spammers.txt");
        std::fs::write(&path, "# ours\nSPAM.Example\n\nblåbær.dk # fruit\n").unwrap();
        let spam = SpamReferrers::new(Some(&path)).unwrap();
        assert!(spam.contains("a.spam.example"));
        assert!(spam.contains("xn--blbr-roah.dk"));
        assert!(spam.contains("semalt.com"));
        std::fs::write(&path, "ok.example\nnot a domain\n").unwrap();
        let error = SpamReferrers::new(Some(&path)).unwrap_err().to_string();
        assert!(error.contains("spammers.txt: line 2"), "{error}");
    }

    #[test]
    fn the_published_list_is_read_whole() {
        let Some(path) = data_file::test_data("referrer/spammers.txt") else {
            return;
        };
        let n_lines = data_file::text(&path).unwrap().lines().count();
        let spam = SpamReferrers::new(Some(&path)).unwrap();
        println!(
            "{n_lines} lines, {} domains with the built-in ones",
            spam.n_domains()
        );
        assert!(spam.n_domains() >= n_lines);
        assert!(spam.contains("www.0-0.fr"));
    }
}
