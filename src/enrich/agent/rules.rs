//! Own rules for browser, system and device: ordered markers, first find wins.
//!
//! User agents are a history of pretending: every browser names those it wants to be taken for. So the
//! order of the tables is the rule, the most special first. Written from the vendors' documentation of
//! their user agents; agreement with ua-parser is measured in the tests.

use super::names::{Browser, Device, Os};

/// Marker, and the browser it means; the version follows the marker.
const BROWSERS: &[(&str, Browser)] = &[
    // In-app browsers name the system's web view as well.
    ("Instagram ", Browser::Instagram),
    ("Pinterest/", Browser::Pinterest),
    ("Pinterest for", Browser::Pinterest),
    ("[Pinterest", Browser::Pinterest),
    ("FBAV/", Browser::Facebook),
    ("FB_IAB/", Browser::Facebook),
    ("FBAN/", Browser::Facebook),
    ("musical_ly_", Browser::TikTok),
    ("BytedanceWebview/", Browser::TikTok),
    ("TikTok/", Browser::TikTok),
    ("TikTok ", Browser::TikTok),
    ("LinkedInApp", Browser::LinkedIn),
    ("Snapchat/", Browser::Snapchat),
    ("MicroMessenger/", Browser::WeChat),
    ("GSA/", Browser::Google),
    // Browsers that ran on phones whose maker comes first.
    ("Opera Mini/", Browser::Opera),
    ("UCBrowser/", Browser::Uc),
    ("UC Browser", Browser::Uc),
    ("UCMobile/", Browser::Uc),
    // Families outside the set that would otherwise pass for what they are built on.
    ("chromeframe/", Browser::Other),
    ("Electron/", Browser::Other),
    ("Puffin/", Browser::Other),
    ("Maxthon", Browser::Other),
    ("MetaSr", Browser::Other),
    ("coc_coc_browser/", Browser::Other),
    ("Avast/", Browser::Other),
    ("AVG/", Browser::Other),
    ("Iron/", Browser::Other),
    ("Iron ", Browser::Other),
    ("HeyTapBrowser/", Browser::Other),
    ("VivoBrowser/", Browser::Other),
    ("HonorBrowser/", Browser::Other),
    ("Quark/", Browser::Other),
    ("AlohaBrowser/", Browser::Other),
    ("Ladybird/", Browser::Other),
    ("SznProhlizec/", Browser::Other),
    ("PaleMoon/", Browser::Other),
    ("SeaMonkey/", Browser::Other),
    ("Waterfox/", Browser::Other),
    ("Camino/", Browser::Other),
    ("Iceweasel/", Browser::Other),
    ("Konqueror/", Browser::Other),
    ("Epiphany/", Browser::Other),
    ("QupZilla/", Browser::Other),
    ("Falkon/", Browser::Other),
    ("Otter/", Browser::Other),
    ("Midori/", Browser::Other),
    ("QtWebEngine/", Browser::Other),
    ("Dolphin", Browser::Other),
    ("Sleipnir/", Browser::Other),
    ("OmniWeb/", Browser::Other),
    ("NetFront", Browser::Other),
    ("NX/", Browser::Other),
    ("OculusBrowser/", Browser::Other),
    ("PlayStation", Browser::Other),
    ("Nintendo", Browser::Other),
    ("BlackBerry", Browser::Other),
    ("BB10", Browser::Other),
    ("Symbian", Browser::Other),
    ("Nokia", Browser::Other),
    ("webOS", Browser::Other),
    ("Web0S", Browser::Other),
    ("Tizen", Browser::Other),
    ("Kindle/", Browser::Other),
    ("AdobeAIR/", Browser::Other),
    ("Thunderbird/", Browser::Other),
    ("Microsoft Outlook", Browser::Other),
    ("Slack/", Browser::Other),
    ("Slack_SSB/", Browser::Other),
    // Browsers that name Chrome, Safari or Firefox too.
    ("Edg/", Browser::Edge),
    ("EdgA/", Browser::Edge),
    ("EdgiOS/", Browser::Edge),
    ("Edge/", Browser::Edge),
    ("OPR/", Browser::Opera),
    ("OPT/", Browser::Opera),
    ("OPX/", Browser::Opera),
    ("OPiOS/", Browser::Opera),
    ("Opera Tablet", Browser::Opera),
    ("Opera ", Browser::Opera),
    ("Opera/", Browser::Opera),
    ("SamsungBrowser/", Browser::Samsung),
    ("Vivaldi/", Browser::Vivaldi),
    ("YaBrowser/", Browser::Yandex),
    ("YaSearchBrowser/", Browser::Yandex),
    ("UCBrowser", Browser::Uc),
    ("UBrowser/", Browser::Uc),
    ("UCWEB", Browser::Uc),
    ("DuckDuckGo/", Browser::DuckDuckGo),
    ("Ddg/", Browser::DuckDuckGo),
    ("HuaweiBrowser/", Browser::Huawei),
    ("MiuiBrowser/", Browser::Miui),
    ("MQQBrowser/", Browser::Qq),
    ("QQBrowser/", Browser::Qq),
    ("QQBrowserLite/", Browser::Qq),
    ("Whale/", Browser::Whale),
    ("Silk/", Browser::Silk),
    ("Brave Chrome/", Browser::Brave),
    ("Brave/", Browser::Brave),
    ("brave/", Browser::Brave),
    (" Brave", Browser::Brave),
    ("IEMobile/", Browser::InternetExplorer),
    ("IEMobile ", Browser::InternetExplorer),
    ("MSIE ", Browser::InternetExplorer),
    ("FxiOS/", Browser::Firefox),
    ("Focus/", Browser::Firefox),
    ("Klar/", Browser::Firefox),
    ("Firefox/", Browser::Firefox),
    ("CriOS/", Browser::Chrome),
    ("HeadlessChrome", Browser::Chrome),
    ("Chromium/", Browser::Chrome),
];

/// Browser family and major version.
pub(super) fn browser(user_agent: &str) -> (Browser, u16) {
    let has = |marker| user_agent.contains(marker);
    for &(marker, browser) in BROWSERS {
        if let Some(version) = after(user_agent, marker) {
            return match browser {
                Browser::Other => (Browser::Other, 0),
                // Presto froze its own token at 9.80 and moved the version to the back.
                Browser::Opera if marker == "Opera/" && has("Version/") => {
                    (browser, version_after(user_agent, "Version/"))
                }
                Browser::Facebook => (browser, version_after(user_agent, "FBAV/")),
                // In its compatibility view it gives itself out as 7; the engine tells the truth.
                Browser::InternetExplorer if marker == "MSIE " && has("Trident/") => {
                    (browser, version_after(user_agent, "Trident/") + 4)
                }
                _ => (browser, leading_number(version)),
            };
        }
    }
    let by_engine = || {
        if has("Trident/") {
            return Some((Browser::InternetExplorer, version_after(user_agent, "rv:")));
        }
        if let Some(chrome) = after(user_agent, "Chrome/") {
            let in_app = has("; wv)") || (has("Android") && has("Version/4.0 Chrome/"));
            let browser = if in_app {
                Browser::WebView
            } else {
                Browser::Chrome
            };
            return Some((browser, leading_number(chrome)));
        }
        let apple = is_ios(user_agent);
        if has("Android") && has("AppleWebKit/") && has("Version/") && !apple {
            return Some((Browser::Android, version_after(user_agent, "Android ")));
        }
        if has("AppleWebKit/") && has("Safari/") && has("Version/") {
            return Some((Browser::Safari, version_after(user_agent, "Version/")));
        }
        if has("AppleWebKit/") && apple {
            // A page saved to the home screen, or one inside an app.
            let browser = if has("Safari") {
                Browser::Safari
            } else {
                Browser::WebView
            };
            return Some((browser, 0));
        }
        None
    };
    by_engine()
        .or_else(|| app(user_agent))
        .unwrap_or((Browser::Other, 0))
}

/// Native apps do not pretend to be Mozilla; they name a system or their network library.
fn app(user_agent: &str) -> Option<(Browser, u16)> {
    const SIGNS: [&str; 10] = [
        "CFNetwork",
        "okhttp/",
        "Dalvik/",
        "Dart/",
        "Darwin/",
        "iOS",
        "Android",
        "Windows NT",
        "Windows 1",
        "macOS",
    ];
    let is_app =
        !user_agent.starts_with("Mozilla/") && SIGNS.iter().any(|s| user_agent.contains(s));
    is_app.then(|| (Browser::App, version_after(user_agent, "/")))
}

/// System and major version.
pub(super) fn os(user_agent: &str) -> (Os, u16) {
    let has = |marker| user_agent.contains(marker);
    if has("Windows Phone") || has("WindowsPhone") || has("IEMobile") {
        return (
            Os::WindowsPhone,
            version_after(user_agent, "Windows Phone OS ")
                .max(version_after(user_agent, "Windows Phone ")),
        );
    }
    if has("Apple TV") || has("AppleTV") || has("tvOS") {
        return (
            Os::TvOs,
            version_after(user_agent, "tvOS ").max(version_after(user_agent, "OS ")),
        );
    }
    if has("watchOS") {
        return (Os::Other, 0);
    }
    if let Some(version) = after(user_agent, "KAIOS/").or_else(|| after(user_agent, "KaiOS/")) {
        return (Os::KaiOs, leading_number(version));
    }
    if is_ios(user_agent) {
        return (Os::Ios, ios_version(user_agent));
    }
    if has("Windows") || has("Win64") || has("Win98") {
        return (Os::Windows, windows_version(user_agent));
    }
    if has("Tizen") {
        return (
            Os::Tizen,
            version_after(user_agent, "Tizen ").max(version_after(user_agent, "Tizen/")),
        );
    }
    if has("HarmonyOS") || has("OpenHarmony") {
        return (
            Os::HarmonyOs,
            version_after(user_agent, "HarmonyOS ").max(version_after(user_agent, "OpenHarmony ")),
        );
    }
    if has("Android") || has("Adr ") || has("Dalvik/") || has("okhttp/") || has("Silk-Accelerated")
    {
        let version = version_after(user_agent, "Android").max(version_after(user_agent, "Adr"));
        return (Os::Android, version);
    }
    if has("CrOS") {
        return (Os::ChromeOs, 0);
    }
    if has("webOS") || has("Web0S") || has("hpwOS") {
        return (Os::WebOs, 0);
    }
    if has("Macintosh") || has("Mac OS X") || has("macOS") || has("Mac_PowerPC") {
        let version = ["Mac OS X", "Mac OS X Version", "macOS"]
            .iter()
            .map(|marker| version_after(user_agent, marker))
            .max();
        let version = version.unwrap_or(0);
        return (Os::MacOs, version);
    }
    // CFNetwork runs on Macs too, where it mostly names the processor.
    if let Some(darwin) = after(user_agent, "Darwin/") {
        let mac = has("x86_64") || has("i386");
        return if mac {
            (Os::MacOs, 0)
        } else {
            (Os::Ios, ios_of_darwin(leading_number(darwin)))
        };
    }
    if has("Linux") || has("X11; U") && !has("BSD") && !has("SunOS") {
        return (Os::Linux, 0);
    }
    (Os::Other, 0)
}

fn is_ios(user_agent: &str) -> bool {
    let named = ["iPhone", "iPad", "iPod", "iPh OS"];
    named.iter().any(|marker| user_agent.contains(marker)) || ios_word(user_agent).is_some()
}

/// What follows `iOS` as a word: Chrome, Edge and Firefox have it inside their tokens (`CriOS`).
fn ios_word(user_agent: &str) -> Option<&str> {
    let (before, after) = user_agent.split_once("iOS")?;
    let inside = |c: Option<char>| c.is_some_and(char::is_alphabetic);
    (!inside(before.chars().next_back()) && !inside(after.chars().next())).then_some(after)
}

fn ios_version(user_agent: &str) -> u16 {
    const MARKERS: [&str; 9] = [
        "iPhone OS",
        "iPhone+OS",
        "CPU OS",
        "CPU+OS",
        "iPad OS",
        "iPadOS",
        "iPh OS",
        "CPU iPhone",
        "CPU OS_",
    ];
    let named = MARKERS
        .iter()
        .map(|marker| version_after(user_agent, marker));
    let word = std::iter::once_with(|| ios_word(user_agent).map_or(0, leading_number));
    let kernel = std::iter::once_with(|| ios_of_darwin(version_after(user_agent, "Darwin/")));
    named
        .chain(word)
        .chain(kernel)
        .find(|version| *version > 0)
        .unwrap_or(0)
}

/// The kernel's major version against that of iOS: 8 was Darwin 14, and so on until Apple named 26
/// after the year.
fn ios_of_darwin(darwin: u16) -> u16 {
    match darwin {
        11 => 5,
        13 => 6,
        14..=24 => darwin - 6,
        25.. => darwin + 1,
        _ => 0,
    }
}

fn windows_version(user_agent: &str) -> u16 {
    let Some(version) = after(user_agent, "Windows NT ") else {
        let named = version_after(user_agent, "Windows ");
        return if named <= 11 { named } else { 0 };
    };
    match version.as_bytes() {
        [b'1', b'0' | b'1', ..] => 10,
        [b'6', b'.', b'0', ..] => 6,
        [b'6', b'.', b'1', ..] => 7,
        [b'6', b'.', b'2' | b'3', ..] => 8,
        [b'6', b'.', b'4', ..] => 10,
        [b'5', b'.', b'1' | b'2', ..] => 5,
        _ => 0,
    }
}

/// Class of the device that carries the system.
pub(super) fn device(user_agent: &str, os: Os) -> Device {
    const TVS: [&str; 15] = [
        "SmartTV",
        "Smart-TV",
        "SMART-TV",
        "Smart TV",
        "GoogleTV",
        "Google TV",
        "Android TV",
        "HbbTV",
        "BRAVIA",
        "NetCast",
        "Web0S",
        "Roku/",
        "CrKey/",
        " AFT",
        "TV Safari",
    ];
    let has = |marker| user_agent.contains(marker);
    if os == Os::TvOs || TVS.iter().any(|marker| user_agent.contains(marker)) {
        return Device::Tv;
    }
    if has("PlayStation") || has("Xbox") || has("Nintendo") {
        return Device::Console;
    }
    match os {
        Os::Ios if has("iPad") => Device::Tablet,
        Os::Ios | Os::KaiOs | Os::WindowsPhone => Device::Mobile,
        Os::Android | Os::HarmonyOs => {
            // Browsers on phones say Mobile, on tablets they do not; native apps say neither.
            let phone = has("Mobile") || has("Opera Mini") || has("Opera Mobi");
            let tablet = has("Tablet") || has("SM-T") || has("SM-X") || has("Kindle") || has("KF");
            let native = !user_agent.starts_with("Mozilla/");
            if (native || phone) && !tablet {
                Device::Mobile
            } else {
                Device::Tablet
            }
        }
        Os::Tizen | Os::WebOs | Os::Other => {
            if has("Tablet") || has("PlayBook") || has("Kindle") {
                Device::Tablet
            } else if has("Mobile") || has("BlackBerry") || has("Symbian") || has("MIDP") {
                Device::Mobile
            } else {
                Device::Other
            }
        }
        Os::ChromeOs | Os::Linux | Os::MacOs | Os::TvOs | Os::Windows => Device::Desktop,
    }
}

/// What follows the first occurrence of a marker.
fn after<'a>(user_agent: &'a str, marker: &str) -> Option<&'a str> {
    user_agent.split_once(marker).map(|(_, rest)| rest)
}

fn version_after(user_agent: &str, marker: &str) -> u16 {
    after(user_agent, marker).map_or(0, leading_number)
}

/// The number a text starts with, perhaps after one separator; 0 if it has none, or one that no
/// version has.
fn leading_number(text: &str) -> u16 {
    let text = text.strip_prefix([' ', '/', '-', ':', '+']).unwrap_or(text);
    let end = text.bytes().take(5).take_while(u8::is_ascii_digit).count();
    text[..end].parse().unwrap_or(0)
}
