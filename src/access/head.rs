//! What a request's head says about where it comes from, and the cookies that come back with the next one.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::StatusCode;
use hyper::header::{HOST, HeaderName, HeaderValue, ORIGIN};
use hyper::http::request::Parts;

use super::gate::Gate;
use crate::config::settings::Mode;
use crate::route::{Reply, header, problem};

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

impl Gate {
    /// A page elsewhere can have its own name point to this machine (DNS rebinding); a browser then takes that page
    /// for one of ours. But it says the name: only ours, `localhost`, and addresses in digits are answered.
    pub(super) fn check_host(&self, head: &Parts) -> Result<(), Box<Reply>> {
        let host = header(head, &HOST).unwrap_or_default();
        let is_ours = self
            .rules
            .authority()
            .is_some_and(|own| own.eq_ignore_ascii_case(host));
        // In these modes whoever reaches the listener may be somebody: nothing but the very names.
        let is_strict = self.rules.mode != Mode::Password;
        if is_ours || is_local(host, is_strict) {
            return Ok(());
        }
        let reason = "this listener does not go by that name; see access.url in the configuration";
        Err(Box::new(problem(
            StatusCode::MISDIRECTED_REQUEST,
            None,
            reason,
        )))
    }

    /// Tells whether the browser says that one of our own pages sent this. One that says nothing is no browser of this
    /// decade; forms have their own proof besides.
    pub(super) fn is_own_page(&self, head: &Parts) -> bool {
        if let Some(site) = header(head, &SEC_FETCH_SITE) {
            return matches!(site, "same-origin" | "none");
        }
        match header(head, &ORIGIN) {
            None => true,
            Some(origin) => {
                let authority = origin.split_once("://").map(|(_, authority)| authority);
                authority.is_some() && authority == header(head, &HOST)
            }
        }
    }

    /// Returns the whole address of a path: what is handed to somebody else.
    pub(super) fn address(&self, head: &Parts, path: &str) -> String {
        match &self.rules.url {
            Some(url) => format!("{}{path}", url.as_str().trim_end_matches('/')),
            None => format!("http://{}{path}", header(head, &HOST).unwrap_or_default()),
        }
    }

    /// The name of a cookie. By https its prefix keeps other hosts of the domain from setting it
    /// (RFC 6265bis, section 4.1.3.2).
    pub(super) fn cookie_name(&self, what: &str) -> &'static str {
        match (self.rules.is_https(), what) {
            (true, "session") => "__Host-brine_session",
            (true, "link") => "__Host-brine_link",
            (true, "browser") => "__Host-brine_browser",
            (true, "sign_on") => "__Host-brine_sign_on",
            (true, _) => "__Host-brine_form",
            (false, "session") => "brine_session",
            (false, "link") => "brine_link",
            (false, "browser") => "brine_browser",
            (false, "sign_on") => "brine_sign_on",
            (false, _) => "brine_form",
        }
    }

    /// A cookie that no script reads and no other site sends along with anything but a link. Without an age it ends
    /// with the browser.
    pub(super) fn set_cookie(
        &self,
        what: &str,
        value: &str,
        age_s: Option<i64>,
    ) -> Option<HeaderValue> {
        let secure = if self.rules.is_https() {
            "; Secure"
        } else {
            ""
        };
        let age = age_s.map_or_else(String::new, |age_s| format!("; Max-Age={age_s}"));
        let name = self.cookie_name(what);
        let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Lax{secure}{age}");
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }
}

/// Tells whether a `Host` is this machine's own, whatever its port. An address in digits cannot be rebound: the page
/// of another origin has another one in its address bar.
fn is_local(host: &str, is_strict: bool) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let address = name
        .parse::<Ipv4Addr>()
        .map(IpAddr::V4)
        .or_else(|_| name.parse::<Ipv6Addr>().map(IpAddr::V6));
    address.is_ok_and(|address| !is_strict || address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_cannot_be_rebound_are_local() {
        for host in [
            "localhost",
            "LOCALHOST:8081",
            "127.0.0.1:1",
            "[::1]:8081",
            "127.9.9.9",
        ] {
            assert!(is_local(host, true), "{host}");
        }
        for host in [
            "",
            "evil.test",
            "localhost.evil.test",
            "127.0.0.1.evil.test:8081",
            "10.0.0.7:8081",
            "0x7f000001",
            "[fe80::1]",
        ] {
            assert!(!is_local(host, true), "{host}");
        }
        assert!(is_local("10.0.0.7:8081", false));
        assert!(!is_local("10.0.0.7.evil.test", false));
    }
}
