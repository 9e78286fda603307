//! `[access]`: who may look at the numbers, checked against the listeners.
//!
//! What is refused here cannot be run by mistake: numbers open to a network, passwords sent in the clear, a user's
//! name taken from a header that anybody could write.

use std::time::Duration;

use hyper::header::HeaderName;
use url::Url;

use super::Faults;
use super::settings::{Mode, Settings};

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
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Access {
    pub mode: Mode,
    /// Where people reach the admin listener: scheme, host and perhaps port.
    pub url: Option<Url>,
    pub proxy_header: HeaderName,
    pub session_idle: Duration,
    pub session_life: Duration,
    pub log_days: u16,
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
    match written.mode {
        Mode::Open if !is_local => faults.add(
            "access.mode",
            written.mode,
            "only where server.admin is a loopback address: everybody who reaches it may look",
        ),
        Mode::Password | Mode::Proxy if !is_local && !is_https && !written.allow_http => faults.add(
            "access.url",
            &written.url,
            "server.admin is reached from outside of this machine: name the https address that people use \
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
        session_idle: Duration::from_secs(u64::from(minutes) * 60),
        session_life: Duration::from_secs(u64::from(hours) * 3_600),
        log_days: faults.range("access.log_days", written.log_days, 1, 3_650),
    }
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
        let mode = |mode| ("ACCESS__MODE", mode);
        for (pairs, key) in [
            (vec![outside], "access.url"),
            (vec![outside, mode("open")], "access.mode"),
            (vec![outside, mode("open"), https], "access.mode"),
            (
                vec![outside, ("ACCESS__URL", "http://stats.example.test")],
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
    }
}
