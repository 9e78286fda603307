//! What an app says about itself and the device it runs on, reduced to what may be stored.
//!
//! In: texts of the app's own choosing. Out: an [`App`] of closed sets and short versions: an app cannot write a name or
//! an identifier of its own choosing into the store by these fields. What is not known becomes `other`, or nothing.

use crate::enrich::agent::names::{Device, Os};

use super::mac::{Mac, MacFault, read_hash};

/// An app on a device.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct App {
    /// One of [`PLATFORMS`]; none where nothing was said.
    pub platform: Option<&'static str>,
    /// `major.minor.patch` and perhaps a short suffix; empty where nothing was said or it is no version.
    pub version: String,
    /// The system and its major version.
    pub os: Option<(Os, u16)>,
    /// Class of device.
    pub class: Option<Device>,
    /// BCP 47 tag as sent, at most 35 bytes; only its primary subtag is stored.
    pub locale: String,
    /// What tells the device apart, or why nothing does.
    pub hardware: Result<Hardware, Option<MacFault>>,
}

/// What tells a device apart. It goes into a hash and nowhere else.
#[derive(Clone)]
pub enum Hardware {
    /// Its MAC address.
    Mac(Mac),
    /// What the app made of it.
    Hash(Vec<u8>),
}

impl std::fmt::Debug for Hardware {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Hardware(hidden)")
    }
}

impl Hardware {
    /// Returns a byte for the kind and the bytes, for hashing.
    pub(crate) fn expose(&self) -> (u8, &[u8]) {
        match self {
            Hardware::Mac(mac) => (b'm', mac.expose()),
            Hardware::Hash(hash) => (b'h', hash),
        }
    }
}

/// How a device was taken, in replies and metrics: `counted`, `hashed`, `none`, or the name of the fault.
pub fn taken(hardware: &Result<Hardware, Option<MacFault>>) -> &'static str {
    match hardware {
        Ok(Hardware::Mac(_)) => "counted",
        Ok(Hardware::Hash(_)) => "hashed",
        Err(Some(fault)) => fault.name(),
        Err(None) => "none",
    }
}

/// Everything [`taken`] says.
pub fn all_taken() -> impl Iterator<Item = &'static str> {
    let words = ["counted", "hashed", "none"].into_iter();
    words.chain(MacFault::ALL.into_iter().map(MacFault::name))
}

/// Platforms, as stored.
pub const PLATFORMS: [&str; 9] = [
    "android", "ios", "linux", "macos", "tvos", "watchos", "web", "windows", "other",
];

/// What came, unread.
#[derive(Clone, Copy, Debug, Default)]
#[allow(missing_docs)] // README, "Apps".
pub struct Written<'a> {
    pub platform: &'a str,
    pub app_version: &'a str,
    pub os: &'a str,
    pub model_class: &'a str,
    pub locale: &'a str,
    pub mac: Option<&'a str>,
    pub mac_hash: Option<&'a str>,
}

impl App {
    /// Reads it. Whatever comes has a reading.
    pub fn read(written: Written<'_>) -> App {
        let hardware = match (written.mac, written.mac_hash) {
            (Some(mac), _) => Mac::read(mac.as_bytes()).map(Hardware::Mac).map_err(Some),
            (None, Some(hash)) => read_hash(hash).map(Hardware::Hash).map_err(Some),
            (None, None) => Err(None),
        };
        App {
            platform: platform(written.platform),
            version: version(written.app_version),
            os: os(written.os),
            class: class(written.model_class),
            locale: cut(written.locale, 35).to_owned(),
            hardware,
        }
    }
}

fn cut(text: &str, bytes: usize) -> &str {
    &text[..text.floor_char_boundary(bytes)]
}

fn platform(text: &str) -> Option<&'static str> {
    let text = text.trim();
    if text.is_empty() {
        return None;
    }
    let is = |name: &&str| text.eq_ignore_ascii_case(name);
    let alias = match cut(text, 16).to_ascii_lowercase().as_str() {
        "ipados" | "iphone" | "ipad" => Some("ios"),
        "mac" | "osx" | "darwin" => Some("macos"),
        "win" | "win32" | "uwp" | "winui" => Some("windows"),
        _ => None,
    };
    alias
        .or_else(|| PLATFORMS.into_iter().find(is))
        .or(Some("other"))
}

/// `4.12.1`, `4.12.1-beta.2`. Three numbers at most: a fourth is a build's, and four look like an IP address.
fn version(text: &str) -> String {
    let text = text.trim().trim_start_matches(['v', 'V']);
    let numbers = text.split(['-', '+', ' ', '(']).next().unwrap_or_default();
    let mut stored = String::new();
    for (n, number) in numbers.split('.').take(3).enumerate() {
        if number.is_empty() || number.len() > 5 || !number.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        if n > 0 {
            stored.push('.');
        }
        stored.push_str(number);
    }
    let suffix = text[numbers.len()..].strip_prefix('-').unwrap_or_default();
    let suffix = suffix.split(['+', ' ']).next().unwrap_or_default();
    let word = suffix.split('.').next().unwrap_or_default();
    let rest = suffix[word.len()..].trim_start_matches('.');
    let is_word = (1..=8).contains(&word.len()) && word.bytes().all(|b| b.is_ascii_lowercase());
    if !stored.is_empty() && is_word {
        stored.push('-');
        stored.push_str(word);
        if (1..=3).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit()) {
            stored.push('.');
            stored.push_str(rest);
        }
    }
    stored
}

/// `Windows 11`, `iOS 17.4.1`, `Android 15 (API 35)`: a name of the closed set and the first number.
fn os(text: &str) -> Option<(Os, u16)> {
    let text = cut(text, 64).trim();
    let at = text
        .find(|c: char| c.is_ascii_digit())
        .unwrap_or(text.len());
    let name = text[..at].trim_end_matches(|c: char| !c.is_ascii_alphanumeric());
    if name.is_empty() {
        return None;
    }
    let all = Os::ALL.iter().copied();
    let os = all
        .into_iter()
        .find(|os| os.name().eq_ignore_ascii_case(name))
        .unwrap_or_else(|| Os::from_name(name));
    let digits = text[at..].split(|c: char| !c.is_ascii_digit()).next();
    let version = digits.and_then(|digits| digits.parse().ok()).unwrap_or(0);
    Some((os, version))
}

fn class(text: &str) -> Option<Device> {
    match cut(text.trim(), 16).to_ascii_lowercase().as_str() {
        "" => None,
        "phone" | "mobile" | "handset" => Some(Device::Mobile),
        "tablet" => Some(Device::Tablet),
        "desktop" | "laptop" | "pc" => Some(Device::Desktop),
        "tv" => Some(Device::Tv),
        "console" => Some(Device::Console),
        _ => Some(Device::Other),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn versions_are_short_and_never_an_address() {
        for (text, stored) in [
            ("4.12.1", "4.12.1"),
            ("v4.12", "4.12"),
            ("10.0.19045.3803", "10.0.19045"),
            ("4.12.1-beta.2+771", "4.12.1-beta.2"),
            ("4.12.1-6f9c1e7b3d58", "4.12.1"),
            ("2.1 (118)", "2.1"),
            ("", ""),
            ("mikkel@example.org", ""),
            ("31415926535", ""),
        ] {
            assert_eq!(version(text), stored, "{text}");
        }
    }

    #[test]
    fn systems_platforms_and_classes_are_of_closed_sets() {
        assert_eq!(os("Windows 11"), Some((Os::Windows, 11)));
        assert_eq!(os("iOS 17.4.1"), Some((Os::Ios, 17)));
        assert_eq!(os("iPadOS 18"), Some((Os::Ios, 18)));
        assert_eq!(os("android-15"), Some((Os::Android, 15)));
        assert_eq!(os("macOS"), Some((Os::MacOs, 0)));
        assert_eq!(os("MikkelOS 7"), Some((Os::Other, 7)));
        assert_eq!(os(""), None);
        assert_eq!(platform("iPadOS"), Some("ios"));
        assert_eq!(platform("Windows"), Some("windows"));
        assert_eq!(platform("mikkel"), Some("other"));
        assert_eq!(platform(" "), None);
        assert_eq!(class("Laptop"), Some(Device::Desktop));
        assert_eq!(class("watch"), Some(Device::Other));
    }

    proptest! {
        #[test]
        fn whatever_an_app_says_has_a_reading(a: String, b in "[-v0-9a-zA-Z.+( æ]{0,40}") {
            for text in [a.as_str(), b.as_str()] {
                let app = App::read(Written {
                    platform: text,
                    app_version: text,
                    os: text,
                    model_class: text,
                    locale: text,
                    mac: Some(text),
                    mac_hash: None,
                });
                prop_assert!(app.version.len() <= 30 && app.locale.len() <= 35);
                prop_assert!(app.version.bytes().all(|b| b.is_ascii_alphanumeric() || b".-".contains(&b)));
            }
        }
    }
}
