//! `[access]`: who may look at the numbers, checked against the listeners.
//!
//! What is refused here cannot be run by mistake: numbers open to a network, passwords sent in the clear, a user's
//! name taken from a header that anybody could write.

use std::path::PathBuf;
use std::time::Duration;

use hyper::header::HeaderName;
use url::{Host, Url};

use super::Faults;
use super::settings::{self, Mode, OidcClaim, Settings};

/// Headers that mean something else already: a user's name is not taken from them.
const TAKEN: [&str; 8] = [
    "host",
    "cookie",
    "authorization",
    "origin",
    "referer",
    "forwarded",
    "x-forwarded-for",
    "user-agent",
];

/// Who may look.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Access {
    pub mode: Mode,
    /// Where people reach the admin listener: scheme, host and perhaps port.
    pub url: Option<Url>,
    pub proxy_header: HeaderName,
    /// In mode `oidc`.
    pub oidc: Option<Oidc>,
    pub session_idle: Duration,
    pub session_life: Duration,
    pub log_days: u16,
}

/// The OpenID provider that says who somebody is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // As above.
pub struct Oidc {
    /// As the provider spells it: a slash more or less is another issuer (OpenID Connect Discovery 1.0, section 4.3).
    pub issuer: String,
    pub host: String,
    pub client_id: String,
    pub secret_file: Option<PathBuf>,
    pub claim: OidcClaim,
}

impl Access {
    /// Returns host and port of [`Access::url`] as a browser writes them into `Host`.
    pub fn authority(&self) -> Option<String> {
        let url = self.url.as_ref()?;
        let host = url.host_str()?;
        Some(match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
    }

    /// Tells whether browsers reach the listener by https: cookies are then `Secure`.
    pub fn is_https(&self) -> bool {
        self.url.as_ref().is_some_and(|url| url.scheme() == "https")
    }
}

pub(super) fn check(settings: &Settings, faults: &mut Faults) -> Access {
    let written = &settings.access;
    let url = written.url.as_ref().and_then(|text| {
        let url = Url::parse(text).ok().filter(|url| {
            let is_bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
            let has_user = !url.username().is_empty() || url.password().is_some();
            matches!(url.scheme(), "http" | "https") && url.has_host() && is_bare && !has_user
        });
        if url.is_none() {
            faults.add(
                "access.url",
                text,
                "must be http(s)://host, perhaps with a port, and nothing behind it",
            );
        }
        url
    });
    let is_local = settings.server.admin.ip().is_loopback();
    let is_https = url.as_ref().is_some_and(|url| url.scheme() == "https");
    // A proxy may stand between: what counts is how people get here.
    let is_local = is_local && url.as_ref().is_none_or(is_loopback);
    match written.mode {
        Mode::Open if !settings.server.admin.ip().is_loopback() => faults.add(
            "access.mode",
            written.mode,
            "only where server.admin is a loopback address: everybody who reaches it may look",
        ),
        Mode::Password | Mode::Proxy | Mode::Oidc if !is_local && !is_https && !written.allow_http => faults.add(
            "access.url",
            &written.url,
            "people come from outside of this machine: name the https address that people use \
             (of a proxy that ends TLS), so that no password and no session travels in the clear; or set \
             access.allow_http",
        ),
        _ => {}
    }
    if written.mode == Mode::Proxy {
        if settings.server.trusted_proxies.is_empty() {
            faults.add(
                "server.trusted_proxies",
                &settings.server.trusted_proxies,
                "access.mode = \"proxy\" believes these alone",
            );
        }
        if written.url.is_none() {
            faults.add(
                "access.url",
                &written.url,
                "access.mode = \"proxy\" needs the address that people use: requests to any other name are refused",
            );
        }
    }
    let oidc = match written.mode {
        Mode::Oidc => oidc(written, faults),
        Mode::Open | Mode::Password | Mode::Proxy => None,
    };
    let header = HeaderName::from_bytes(written.proxy_header.to_ascii_lowercase().as_bytes());
    let proxy_header = match header {
        Ok(header) if !TAKEN.contains(&header.as_str()) => header,
        _ => {
            faults.add(
                "access.proxy_header",
                &written.proxy_header,
                "is no header that a user's name could stand in",
            );
            HeaderName::from_static("x-forwarded-user")
        }
    };
    let minutes = faults.range(
        "access.session_idle_minutes",
        written.session_idle_minutes,
        1,
        10_080,
    );
    let hours = faults.range("access.session_hours", written.session_hours, 1, 2_160);
    Access {
        mode: written.mode,
        url,
        proxy_header,
        oidc,
        session_idle: Duration::from_secs(u64::from(minutes) * 60),
        session_life: Duration::from_secs(u64::from(hours) * 3_600),
        log_days: faults.range("access.log_days", written.log_days, 1, 3_650),
    }
}

/// Tells whether an address is of this machine alone.
fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(address)) => address.is_loopback(),
        Some(Host::Ipv6(address)) => address.is_loopback(),
        None => false,
    }
}

/// Whether this build can ask an OpenID provider.
const HAS_OIDC: bool = cfg!(feature = "oidc");

fn oidc(written: &settings::Access, faults: &mut Faults) -> Option<Oidc> {
    if !HAS_OIDC {
        faults.add(
            "access.mode",
            written.mode,
            "this brine was built without it: cargo build --release --features oidc",
        );
    }
    if written.url.is_none() {
        faults.add(
            "access.url",
            &written.url,
            "access.mode = \"oidc\" needs the address that people use: the provider sends them back to /oidc/callback there",
        );
    }
    let issuer = written.oidc_issuer.as_deref().unwrap_or_default();
    // Whoever can change what the provider says can be anybody here.
    let url = Url::parse(issuer).ok().filter(|url| {
        let is_safe = is_loopback(url);
        let is_bare =
            url.query().is_none() && url.fragment().is_none() && url.username().is_empty();
        is_bare
            && url.has_host()
            && (url.scheme() == "https" || (url.scheme() == "http" && is_safe))
    });
    if url.is_none() {
        faults.add(
            "access.oidc_issuer",
            &written.oidc_issuer,
            "must be the provider's issuer, an https address (http on this machine alone)",
        );
    }
    let client_id = written.oidc_client_id.clone().unwrap_or_default();
    if client_id.is_empty() {
        faults.add(
            "access.oidc_client_id",
            &written.oidc_client_id,
            "must be the name that brine is registered under at the provider",
        );
    }
    let host = url.as_ref()?.host_str()?.to_owned();
    Some(Oidc {
        issuer: issuer.to_owned(),
        host,
        client_id,
        secret_file: written.oidc_secret_file.clone(),
        claim: written.oidc_claim,
    })
}

#[cfg(test)]
mod tests {
    use crate::config::load::from_text;
    use crate::config::settings::{Environment, Mode};
    use crate::config::{Config, REFERENCE};

    fn with(pairs: &[(&str, &str)]) -> Result<Config, String> {
        let environment: Environment = pairs
            .iter()
            .map(|(key, value)| (format!("BRINE_{key}"), (*value).to_owned()))
            .collect();
        from_text(REFERENCE, "test", &environment)
            .map(|(_, config)| config)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn the_default_asks_for_a_password() {
        assert_eq!(with(&[]).unwrap().access.mode, Mode::Password);
    }

    #[test]
    fn nothing_is_open_to_a_network_and_no_password_travels_in_the_clear() {
        let outside = ("SERVER__ADMIN", "0.0.0.0:8081");
        let proxies = ("SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]");
        let https = ("ACCESS__URL", "https://stats.example.test");
        let issuer = ("ACCESS__OIDC_ISSUER", "https://login.example.test/realm/");
        let client = ("ACCESS__OIDC_CLIENT_ID", "brine");
        let mode = |mode| ("ACCESS__MODE", mode);
        for (pairs, key) in [
            (vec![outside], "access.url"),
            (vec![outside, mode("open")], "access.mode"),
            (vec![outside, mode("open"), https], "access.mode"),
            (
                vec![outside, ("ACCESS__URL", "http://stats.example.test")],
                "access.url",
            ),
            (
                vec![("ACCESS__URL", "http://stats.example.test")],
                "access.url",
            ),
            (vec![mode("proxy"), https], "server.trusted_proxies"),
            (vec![mode("proxy"), proxies], "access.url"),
            (
                vec![
                    mode("proxy"),
                    proxies,
                    https,
                    ("ACCESS__PROXY_HEADER", "Cookie"),
                ],
                "access.proxy_header",
            ),
            (vec![("ACCESS__URL", "https://x.test/path")], "access.url"),
            (vec![mode("oidc"), issuer, client], "access.url"),
            (vec![mode("oidc"), https, client], "access.oidc_issuer"),
            (
                vec![
                    mode("oidc"),
                    https,
                    client,
                    ("ACCESS__OIDC_ISSUER", "http://login.example.test"),
                ],
                "access.oidc_issuer",
            ),
            (vec![mode("oidc"), https, issuer], "access.oidc_client_id"),
            (vec![("ACCESS__SESSION_HOURS", "0")], "access.session_hours"),
        ] {
            let error = with(&pairs).expect_err(key);
            assert!(error.contains(key), "{pairs:?}: {error}");
        }
        for pairs in [
            vec![outside, https],
            vec![mode("open")],
            vec![outside, mode("proxy"), proxies, https],
        ] {
            with(&pairs).unwrap_or_else(|error| panic!("{pairs:?}: {error}"));
        }
        let by_oidc = with(&[outside, https, mode("oidc"), issuer, client]);
        match super::HAS_OIDC {
            true => assert_eq!(by_oidc.unwrap().access.oidc.unwrap().issuer, issuer.1),
            false => assert!(by_oidc.unwrap_err().contains("built without it")),
        }
    }
}
