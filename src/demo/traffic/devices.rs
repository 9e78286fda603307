//! What made-up visitors look with.

use super::chance::Chance;

/// A browser on a system; its versions move with the calendar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Device {
    ChromeWindows,
    EdgeWindows,
    FirefoxWindows,
    ChromeMac,
    SafariMac,
    FirefoxLinux,
    ChromeAndroid,
    SamsungAndroid,
    TabletAndroid,
    SafariPhone,
    ChromePhone,
    SafariPad,
    AppPhone,
    AppAndroid,
    AppWindows,
}

use Device::{
    ChromeAndroid, ChromeMac, ChromePhone, ChromeWindows, EdgeWindows, FirefoxLinux,
    FirefoxWindows, SafariMac, SafariPad, SafariPhone, SamsungAndroid, TabletAndroid,
};

/// People at work: desks first.
pub(super) const AT_WORK: &[(Device, u32)] = &[
    (ChromeWindows, 33),
    (EdgeWindows, 27),
    (FirefoxWindows, 5),
    (ChromeMac, 5),
    (SafariMac, 6),
    (FirefoxLinux, 2),
    (ChromeAndroid, 6),
    (SamsungAndroid, 2),
    (SafariPhone, 11),
    (ChromePhone, 1),
    (SafariPad, 2),
];

/// People anywhere: phones first.
pub(super) const ANYWHERE: &[(Device, u32)] = &[
    (ChromeWindows, 20),
    (EdgeWindows, 9),
    (FirefoxWindows, 4),
    (ChromeMac, 5),
    (SafariMac, 7),
    (FirefoxLinux, 2),
    (ChromeAndroid, 15),
    (SamsungAndroid, 6),
    (TabletAndroid, 2),
    (SafariPhone, 25),
    (ChromePhone, 2),
    (SafariPad, 3),
];

impl Device {
    /// Returns the user agent on a day (days since 1970), of somebody who updates `lag` versions late.
    pub(super) fn user_agent(self, day: u16, lag: u16) -> String {
        // A version a month or so, as the vendors do.
        let months = day.saturating_sub(20_000) / 29;
        let chrome = (134 + months).saturating_sub(lag);
        let firefox = (136 + months).saturating_sub(lag);
        let safari = if day.saturating_sub(lag * 120) > 20_350 {
            26
        } else {
            18
        };
        let webkit = "AppleWebKit/537.36 (KHTML, like Gecko)";
        let apple = "AppleWebKit/605.1.15 (KHTML, like Gecko)";
        match self {
            ChromeWindows => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/{chrome}.0.0.0 Safari/537.36"
            ),
            EdgeWindows => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) {webkit} Chrome/{chrome}.0.0.0 Safari/537.36 Edg/{chrome}.0.0.0"
            ),
            FirefoxWindows => format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0"
            ),
            ChromeMac => format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {webkit} Chrome/{chrome}.0.0.0 Safari/537.36"
            ),
            SafariMac => format!(
                "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) {apple} Version/{safari}.0 Safari/605.1.15"
            ),
            FirefoxLinux => format!(
                "Mozilla/5.0 (X11; Linux x86_64; rv:{firefox}.0) Gecko/20100101 Firefox/{firefox}.0"
            ),
            ChromeAndroid => format!(
                "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/{chrome}.0.0.0 Mobile Safari/537.36"
            ),
            SamsungAndroid => format!(
                "Mozilla/5.0 (Linux; Android 10; K) {webkit} SamsungBrowser/{}.0 Chrome/{}.0.0.0 Mobile Safari/537.36",
                27 + months / 4,
                chrome - 6
            ),
            TabletAndroid => format!(
                "Mozilla/5.0 (Linux; Android 10; K) {webkit} Chrome/{chrome}.0.0.0 Safari/537.36"
            ),
            SafariPhone => format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS {safari}_1 like Mac OS X) {apple} Version/{safari}.1 Mobile/15E148 Safari/604.1"
            ),
            ChromePhone => format!(
                "Mozilla/5.0 (iPhone; CPU iPhone OS {safari}_1 like Mac OS X) {apple} CriOS/{chrome}.0.0.0 Mobile/15E148 Safari/604.1"
            ),
            SafariPad => format!(
                "Mozilla/5.0 (iPad; CPU OS {safari}_1 like Mac OS X) {apple} Version/{safari}.1 Mobile/15E148 Safari/604.1"
            ),
            Device::AppPhone => format!(
                "Saltholm/{} CFNetwork/3826.500.131 Darwin/24.5.0",
                app_version(day, lag)
            ),
            Device::AppAndroid => {
                format!("Saltholm/{} okhttp/4.12.0 Android", app_version(day, lag))
            }
            Device::AppWindows => format!(
                "Saltholm/{} (Windows NT 10.0; Win64; x64)",
                app_version(day, lag)
            ),
        }
    }

    /// Returns the width of the window in CSS pixels.
    pub(super) fn width(self, chance: &mut Chance) -> u32 {
        *match self {
            ChromeWindows | EdgeWindows | FirefoxWindows | FirefoxLinux | Device::AppWindows => {
                chance.pick(&[
                    (1_920, 46),
                    (1_536, 22),
                    (1_366, 12),
                    (2_560, 12),
                    (1_280, 8),
                ])
            }
            ChromeMac | SafariMac => {
                chance.pick(&[(1_440, 40), (1_512, 30), (1_728, 20), (1_280, 10)])
            }
            ChromeAndroid | SamsungAndroid | Device::AppAndroid => {
                chance.pick(&[(360, 45), (412, 35), (384, 20)])
            }
            TabletAndroid | SafariPad => chance.pick(&[(768, 30), (820, 40), (1_180, 30)]),
            SafariPhone | ChromePhone | Device::AppPhone => {
                chance.pick(&[(390, 50), (393, 30), (430, 20)])
            }
        }
    }

    /// Returns an app's platform; browsers have none.
    pub(super) fn platform(self) -> &'static str {
        match self {
            Device::AppPhone => "ios",
            Device::AppAndroid => "android",
            Device::AppWindows => "windows",
            _ => "",
        }
    }

    /// How much slower pages are than on a desk.
    pub(super) fn slowness(self) -> f64 {
        match self {
            ChromeAndroid | SamsungAndroid | TabletAndroid => 1.9,
            SafariPhone | ChromePhone | SafariPad => 1.4,
            _ => 1.0,
        }
    }

    /// Tells whether the browser measures layout shifts.
    pub(super) fn measures_shifts(self) -> bool {
        matches!(
            self,
            ChromeWindows
                | EdgeWindows
                | ChromeMac
                | ChromeAndroid
                | SamsungAndroid
                | TabletAndroid
        )
    }
}

/// Returns the version of the apps that was out on a day, `lag` releases late: one every three weeks.
pub(super) fn app_version(day: u16, lag: u16) -> String {
    let releases = (day.saturating_sub(19_900) / 21).saturating_sub(lag);
    format!("{}.{}.{}", 3 + releases / 12, releases % 12, day % 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::agent::Agents;
    use crate::enrich::agent::hints::Hints;
    use crate::filter::bots::{BotReason, Bots};

    #[test]
    fn every_device_is_a_persons_and_known() {
        let agents = Agents::new(None, Bots::new(None).unwrap()).unwrap();
        let hints = Hints {
            brands: "",
            mobile: "",
            platform: "",
        };
        for (device, _) in AT_WORK.iter().chain(ANYWHERE) {
            let agent = agents.parse(&device.user_agent(20_781, 1), hints);
            assert_eq!(agent.bot, None, "{device:?}");
            assert_ne!(agent.browser.name(), "Other", "{device:?}");
            assert!(
                agent.browser_version > 20 || agent.browser_version == 18,
                "{device:?}"
            );
        }
        for device in [Device::AppPhone, Device::AppAndroid, Device::AppWindows] {
            let agent = agents.parse(&device.user_agent(20_781, 0), hints);
            let is_app = matches!(
                agent.bot,
                None | Some(BotReason::AppLibrary | BotReason::Library)
            );
            assert!(is_app, "{device:?}: {:?}", agent.bot);
        }
    }
}
