//! The three client hints that browsers send unasked (User-Agent Client Hints, section 3): brands,
//! mobile, platform. Only secure origins and Chromium browsers send them.

use super::Agent;
use super::names::{Browser, Device, Os};

/// Longest hint that is read, in bytes; real ones stay under 120.
const HINT_MAX_BYTES: usize = 256;

/// Header values as received; empty where absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hints<'a> {
    /// `Sec-CH-UA`: brands with their major versions.
    pub brands: &'a str,
    /// `Sec-CH-UA-Mobile`: `?1` or `?0`.
    pub mobile: &'a str,
    /// `Sec-CH-UA-Platform`: a quoted name.
    pub platform: &'a str,
}

impl Hints<'_> {
    pub(super) fn cut(self) -> Self {
        let cut = |text: &str| text.floor_char_boundary(HINT_MAX_BYTES);
        Self {
            brands: &self.brands[..cut(self.brands)],
            mobile: &self.mobile[..cut(self.mobile)],
            platform: &self.platform[..cut(self.platform)],
        }
    }

    /// Whether a brand admits that no person looks at the page.
    pub(super) fn are_headless(&self) -> bool {
        self.brands.contains("\"HeadlessChrome\"")
    }

    /// Lets the hints decide where the user agent is known to be silent or frozen: which Chromium
    /// browser this is, Chromebooks, and Android in desktop mode.
    pub(super) fn improve(&self, mut agent: Agent) -> Agent {
        if matches!(agent.browser, Browser::Chrome | Browser::Other)
            && let Some((browser, version)) = self.brand()
        {
            agent.browser = browser;
            agent.browser_version = version;
        }
        let Some(os) = self.os() else { return agent };
        // A native app's own user agent says more than the platform of its network library.
        if os == agent.os || agent.browser == Browser::App {
            return agent;
        }
        let desktop_mode = os == Os::Android && agent.os == Os::Linux;
        if desktop_mode || os == Os::ChromeOs || agent.os == Os::Other {
            agent.os = os;
            agent.os_version = 0;
            agent.device = match (os, self.mobile) {
                (Os::Android | Os::Ios, "?1") => Device::Mobile,
                (Os::Android, _) => Device::Tablet,
                (Os::Ios, _) => Device::Mobile,
                _ => Device::Desktop,
            };
        }
        agent
    }

    /// The most telling brand: any that is not Chromium, Chrome or filler, else Chrome.
    fn brand(&self) -> Option<(Browser, u16)> {
        let mut chrome = None;
        for item in self.brands.split(',') {
            let mut quoted = item.split('"').skip(1).step_by(2);
            let (Some(name), Some(version)) = (quoted.next(), quoted.next()) else {
                continue;
            };
            let browser = match name {
                "Android WebView" => Browser::WebView,
                "Brave" => Browser::Brave,
                "DuckDuckGo" => Browser::DuckDuckGo,
                "Microsoft Edge" | "Microsoft Edge WebView2" => Browser::Edge,
                "Opera" | "Opera GX" | "OperaMobile" | "Opera Mobile" => Browser::Opera,
                "Samsung Internet" => Browser::Samsung,
                "Vivaldi" => Browser::Vivaldi,
                "Whale" => Browser::Whale,
                "Yandex" | "YaBrowser" => Browser::Yandex,
                "Google Chrome" | "Chromium" => Browser::Chrome,
                _ => continue,
            };
            let major = version
                .split('.')
                .next()
                .and_then(|v| v.parse().ok())
                .unwrap_or(0);
            if browser != Browser::Chrome {
                return Some((browser, major));
            }
            chrome = Some((browser, major));
        }
        chrome
    }

    fn os(&self) -> Option<Os> {
        match self.platform.trim_matches('"') {
            "Android" => Some(Os::Android),
            "Chrome OS" | "Chromium OS" => Some(Os::ChromeOs),
            "iOS" => Some(Os::Ios),
            "Linux" => Some(Os::Linux),
            "macOS" => Some(Os::MacOs),
            "Windows" => Some(Os::Windows),
            _ => None,
        }
    }
}
