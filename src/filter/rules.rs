//! What a site itself does not want counted: paths, host names, networks, countries.
//!
//! In: the rules as written, checked once; then, for each beacon, where it came from and what it is
//! about. Out: the first rule that excludes it. Promised: a rule that cannot work is refused when the
//! configuration is read, and named.
//!
//! A path rule is a glob over the whole path: `*` is anything but `/`, `**` anything. `/admin/**` is
//! everything below `/admin/`, `**/edit` every page that ends in `/edit`, `/*` the first level only.

use std::net::IpAddr;

use ipnet::IpNet;
use regex::RegexSet;
use url::Host;

use crate::client::canonical;

/// The rules of one site, as written.
#[derive(Clone, Debug, Default)]
pub struct RuleTexts {
    /// Path globs.
    pub paths: Vec<String>,
    /// Host names, exact (`test.example.dk`) or everything below (`*.example.dk`).
    pub hostnames: Vec<String>,
    /// Networks in CIDR notation, or single addresses: the office, the monitoring.
    pub networks: Vec<String>,
    /// Countries, ISO 3166-1 alpha-2.
    pub countries: Vec<String>,
}

/// A rule that cannot work.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RuleError {
    /// Does not begin with `/` or `**`, is longer than 512 bytes, or has `***`.
    #[error("excluded path: {reason}")]
    Path {
        /// The rule as written.
        rule: String,
        /// What is wrong with it.
        reason: String,
    },
    /// No host name.
    #[error("excluded hostname: not a host name or *.domain")]
    Hostname {
        /// The rule as written.
        rule: String,
    },
    /// No network.
    #[error("excluded network: not an address or CIDR network")]
    Network {
        /// The rule as written.
        rule: String,
    },
    /// No country code.
    #[error("excluded country: not two capital letters (ISO 3166-1)")]
    Country {
        /// The rule as written.
        rule: String,
    },
}

impl RuleError {
    /// Returns the rule as written.
    pub fn rule(&self) -> &str {
        match self {
            Self::Path { rule, .. }
            | Self::Hostname { rule }
            | Self::Network { rule }
            | Self::Country { rule } => rule,
        }
    }
}

/// Which kind of rule excluded a beacon; the rule's text stays out of counters, it may name a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RuleName {
    /// [`RuleTexts::countries`].
    Country,
    /// [`RuleTexts::hostnames`].
    Hostname,
    /// [`RuleTexts::networks`].
    Network,
    /// [`RuleTexts::paths`].
    Path,
}

impl RuleName {
    /// Stable name for outcome codes and counters.
    pub fn name(self) -> &'static str {
        match self {
            Self::Country => "country",
            Self::Hostname => "hostname",
            Self::Network => "network",
            Self::Path => "path",
        }
    }
}

/// What the rules look at.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Path of the page as it is stored.
    pub path: &'a str,
    /// Host name of the page as it is stored.
    pub hostname: &'a str,
    /// The client's address.
    pub address: IpAddr,
    /// ISO 3166-1 alpha-2 in upper case; empty if unknown, which no rule excludes.
    pub country: &'a str,
}

/// Checked rules of one site.
#[derive(Clone, Debug, Default)]
pub struct Rules {
    paths: RegexSet,
    /// Sorted; `*.example.dk` as `.example.dk`.
    hostnames: Vec<String>,
    networks: Vec<IpNet>,
    /// Sorted.
    countries: Vec<String>,
}

impl Rules {
    /// Checks the rules.
    ///
    /// # Errors
    /// Every rule that cannot work, in the order of [`RuleTexts`].
    pub fn new(texts: &RuleTexts) -> Result<Self, Vec<RuleError>> {
        let mut errors = Vec::new();
        let globs = collect(&texts.paths, glob, &mut errors);
        let mut hostnames = collect(&texts.hostnames, hostname, &mut errors);
        let networks = collect(&texts.networks, network, &mut errors);
        let mut countries = collect(&texts.countries, country, &mut errors);
        hostnames.sort_unstable();
        countries.sort_unstable();
        let paths = RegexSet::new(globs).map_err(|e| {
            // Each glob alone is a valid expression, so this is the size of all together.
            vec![RuleError::Path {
                rule: texts.paths.join(" "),
                reason: e.to_string(),
            }]
        });
        match paths {
            Ok(paths) if errors.is_empty() => Ok(Self {
                paths,
                hostnames,
                networks,
                countries,
            }),
            Ok(_) => Err(errors),
            Err(too_large) => Err(errors.into_iter().chain(too_large).collect()),
        }
    }

    /// Returns the first kind of rule that excludes the beacon: cheap ones are asked first.
    pub fn check(&self, candidate: &Candidate<'_>) -> Option<RuleName> {
        let has =
            |list: &[String], name: &str| list.binary_search_by(|l| l.as_str().cmp(name)).is_ok();
        if has(&self.countries, candidate.country) {
            return Some(RuleName::Country);
        }
        // An IPv4 client on a dual-stack socket must meet the rule written for its IPv4 network.
        let address = candidate.address.to_canonical();
        if self
            .networks
            .iter()
            .any(|network| network.contains(&address))
        {
            return Some(RuleName::Network);
        }
        let above = candidate
            .hostname
            .match_indices('.')
            .map(|(dot, _)| &candidate.hostname[dot..]);
        if !self.hostnames.is_empty()
            && (has(&self.hostnames, candidate.hostname)
                || above.into_iter().any(|domain| has(&self.hostnames, domain)))
        {
            return Some(RuleName::Hostname);
        }
        self.paths
            .is_match(candidate.path)
            .then_some(RuleName::Path)
    }
}

fn collect<T>(
    texts: &[String],
    check: impl Fn(&str) -> Result<T, RuleError>,
    errors: &mut Vec<RuleError>,
) -> Vec<T> {
    let mut checked = Vec::with_capacity(texts.len());
    for text in texts {
        match check(text.trim()) {
            Ok(rule) => checked.push(rule),
            Err(error) => errors.push(error),
        }
    }
    checked
}

/// Longest path rule, in bytes: as long as the longest path that is stored.
const GLOB_MAX_BYTES: usize = 512;

/// Turns a glob into an anchored expression.
fn glob(rule: &str) -> Result<String, RuleError> {
    let refused = |reason: &str| RuleError::Path {
        rule: rule.to_owned(),
        reason: reason.to_owned(),
    };
    if !rule.starts_with('/') && !rule.starts_with("**") {
        return Err(refused("must begin with / or **"));
    }
    if rule.len() > GLOB_MAX_BYTES {
        return Err(refused("longer than 512 bytes"));
    }
    if rule.contains("***") {
        return Err(refused("*** has no meaning"));
    }
    let mut expression = String::from(r"\A");
    for (index, part) in rule.split("**").enumerate() {
        if index > 0 {
            expression.push_str("(?s:.*)");
        }
        let literals: Vec<_> = part.split('*').map(regex::escape).collect();
        expression.push_str(&literals.join("[^/]*"));
    }
    expression.push_str(r"\z");
    Ok(expression)
}

/// Canonical host name without `www.`, as pages carry it; a domain with all below it keeps its dot.
fn hostname(rule: &str) -> Result<String, RuleError> {
    let refused = || RuleError::Hostname {
        rule: rule.to_owned(),
    };
    let below = rule.strip_prefix("*.");
    let host = Host::parse(below.unwrap_or(rule)).map_err(|_| refused())?;
    match (host, below) {
        (Host::Domain(name), Some(_)) => Ok(format!(".{name}")),
        (Host::Domain(name), None) => Ok(crate::enrich::url::hostname(&name).into_owned()),
        (address, None) => Ok(address.to_string()),
        (_, Some(_)) => Err(refused()),
    }
}

fn network(rule: &str) -> Result<IpNet, RuleError> {
    let address = || rule.parse::<IpAddr>().map(IpNet::from);
    let network = rule.parse::<IpNet>().or_else(|_| address());
    network
        .map(|network| canonical(network.trunc()))
        .map_err(|_| RuleError::Network {
            rule: rule.to_owned(),
        })
}

fn country(rule: &str) -> Result<String, RuleError> {
    if rule.len() == 2 && rule.bytes().all(|b| b.is_ascii_uppercase()) {
        return Ok(rule.to_owned());
    }
    Err(RuleError::Country {
        rule: rule.to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn texts(rules: &[&str]) -> Vec<String> {
        rules.iter().map(ToString::to_string).collect()
    }

    fn rules(paths: &[&str], hostnames: &[&str], networks: &[&str], countries: &[&str]) -> Rules {
        Rules::new(&RuleTexts {
            paths: texts(paths),
            hostnames: texts(hostnames),
            networks: texts(networks),
            countries: texts(countries),
        })
        .unwrap()
    }

    fn candidate() -> Candidate<'static> {
        Candidate {
            path: "/pricing",
            hostname: "example.dk",
            address: IpAddr::from([192, 0, 2, 1]),
            country: "DK",
        }
    }

    #[test]
    fn globs_stop_at_slashes_unless_doubled() {
        let excludes = |glob: &str, path: &'static str| {
            rules(&[glob], &[], &[], &[])
                .check(&Candidate {
                    path,
                    ..candidate()
                })
                .is_some()
        };
        for (glob, path, expected) in [
            ("/admin", "/admin", true),
            ("/admin", "/admin/", false),
            ("/admin/*", "/admin/users", true),
            ("/admin/*", "/admin/users/1", false),
            ("/admin/**", "/admin/users/1", true),
            ("/admin/**", "/admin", false),
            ("/admin**", "/admin", true),
            ("**/edit", "/a/b/edit", true),
            ("**/edit", "/a/b/edits", false),
            ("/a/*/c", "/a/b/c", true),
            ("/a.b", "/aXb", false),
            ("/søgning/*", "/søgning/æble", true),
            ("**", "/", true),
        ] {
            assert_eq!(excludes(glob, path), expected, "{glob} {path}");
        }
    }

    #[test]
    fn each_kind_of_rule_excludes_by_its_name() {
        let rules = rules(
            &["/admin/**"],
            &[
                "test.example.dk",
                "*.staging.example.dk",
                "www.old.example.dk",
            ],
            &["192.0.2.0/24", "2001:db8::/32", "198.51.100.7"],
            &["SE", "NO"],
        );
        let base = Candidate {
            address: IpAddr::from([203, 0, 113, 1]),
            ..candidate()
        };
        let check = |candidate| rules.check(&candidate).map(RuleName::name);
        let from = |address: &str| Candidate {
            address: address.parse().unwrap(),
            ..base
        };
        assert_eq!(check(base), None);
        assert_eq!(
            check(Candidate {
                path: "/admin/x",
                ..base
            }),
            Some("path")
        );
        assert_eq!(
            check(Candidate {
                hostname: "test.example.dk",
                ..base
            }),
            Some("hostname")
        );
        assert_eq!(
            check(Candidate {
                hostname: "a.b.staging.example.dk",
                ..base
            }),
            Some("hostname")
        );
        assert_eq!(
            check(Candidate {
                hostname: "staging.example.dk",
                ..base
            }),
            None
        );
        assert_eq!(
            check(Candidate {
                hostname: "old.example.dk",
                ..base
            }),
            Some("hostname")
        );
        assert_eq!(check(from("192.0.2.200")), Some("network"));
        assert_eq!(check(from("::ffff:192.0.2.200")), Some("network"));
        assert_eq!(check(from("2001:db8:1::1")), Some("network"));
        assert_eq!(check(from("198.51.100.7")), Some("network"));
        assert_eq!(
            check(Candidate {
                country: "SE",
                ..base
            }),
            Some("country")
        );
        assert_eq!(
            check(Candidate {
                country: "",
                ..base
            }),
            None
        );
    }

    #[test]
    fn every_rule_that_cannot_work_is_named() {
        let errors = Rules::new(&RuleTexts {
            paths: texts(&["admin", "/***", "/ok"]),
            hostnames: texts(&["", "a b", "*.10.0.0.1"]),
            networks: texts(&["10.0.0.0/33", "office"]),
            countries: texts(&["DNK", "D1", "dk"]),
        })
        .unwrap_err();
        assert_eq!(errors.len(), 10, "{errors:?}");
        assert_eq!(
            errors[0].to_string(),
            "excluded path: must begin with / or **"
        );
        assert_eq!(errors[6].rule(), "office");
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn any_glob_is_checked_or_refused_and_a_literal_one_matches_itself(
            glob in "/[a-zæ.+?()\\[\\]{}|^$\\\\*/-]{0,20}", path in "\\PC{0,30}",
        ) {
            if let Ok(rules) = Rules::new(&RuleTexts { paths: vec![glob.clone()], ..Default::default() }) {
                let excluded = rules.check(&Candidate { path: &path, ..candidate() }).is_some();
                prop_assert!(!excluded || glob.contains('*') || glob == path);
                let itself = Candidate { path: &glob, ..candidate() };
                prop_assert!(rules.check(&itself).is_some());
            }
        }
    }
}
