//! The closed sets of browsers, systems and devices, and what other lists call their members.

/// Declares a set: variant, the name that is stored and shown, and the family names of the ua-parser
/// project that mean it.
macro_rules! families {
    ($(#[$doc:meta])* $set:ident { $($(#[$about:meta])* $variant:ident = $name:literal [$($family:literal),*],)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $set {
            $($(#[$about])* $variant,)*
            /// Everything else, and what says nothing.
            Other,
        }

        impl $set {
            /// Every member, in the order of declaration.
            pub const ALL: &[Self] = &[$(Self::$variant,)* Self::Other];

            /// The name that is stored and shown; never respelt.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other => "Other",
                }
            }

            /// Reads a name back; also folds a family name of the ua-parser project into the set.
            pub fn from_name(family: &str) -> Self {
                match family {
                    $($name $(| $family)* => Self::$variant,)*
                    _ => Self::Other,
                }
            }
        }
    };
}

families! {
    /// Browser family. Mobile and desktop editions of a browser share a name; the device class tells
    /// them apart.
    Browser {
        /// The stock browser of Android 4 and before.
        Android = "Android Browser" ["Android"],
        /// A native app that speaks for itself: `PortalApp/3.2 (iOS 17.4; iPhone)`, CFNetwork, okhttp.
        App = "App" ["CFNetwork", "okhttp"],
        /// Known by its client hint, or by the rare builds that say so.
        Brave = "Brave" [],
        /// Chromium counts as Chrome.
        Chrome = "Chrome" ["Chrome Mobile", "Chrome Mobile iOS", "Chromium", "HeadlessChrome"],
        /// On Android, iOS, macOS and Windows.
        DuckDuckGo = "DuckDuckGo" ["DuckDuckGo Mobile"],
        /// Both engines.
        Edge = "Edge" ["Edge Mobile"],
        /// In-app browser, Messenger included.
        Facebook = "Facebook" ["Facebook Messenger"],
        /// Focus and Klar included.
        Firefox = "Firefox" [
            "Firefox Mobile", "Firefox iOS", "Firefox Beta", "Firefox Alpha", "Firefox Focus",
            "Firefox (Minefield)", "Firefox (Shiretoko)"
        ],
        /// The Google search app.
        Google = "Google App" ["Google"],
        /// Preinstalled on Huawei phones.
        Huawei = "Huawei Browser" ["HuaweiBrowser"],
        /// In-app browser.
        Instagram = "Instagram" [],
        /// Versions up to 11, and IEMobile.
        InternetExplorer = "Internet Explorer" ["IE", "IE Mobile"],
        /// In-app browser.
        LinkedIn = "LinkedIn" ["LinkedInApp"],
        /// Preinstalled on Xiaomi phones.
        Miui = "MIUI Browser" ["MiuiBrowser", "Mi Browser"],
        /// Mini, Mobile, Touch and GX included.
        Opera = "Opera" ["Opera Mini", "Opera Mobile", "Opera Touch", "Opera GX", "Opera Neon"],
        /// In-app browser.
        Pinterest = "Pinterest" [],
        /// Desktop and mobile.
        Qq = "QQ Browser" ["QQ Browser Mobile", "QQ Browser Mini"],
        /// On macOS, iOS and the Windows edition of old.
        Safari = "Safari" ["Mobile Safari", "WebKit Nightly"],
        /// Preinstalled on Samsung phones.
        Samsung = "Samsung Internet" [],
        /// On Fire tablets.
        Silk = "Silk" ["Amazon Silk"],
        /// In-app browser.
        Snapchat = "Snapchat" [],
        /// In-app browser.
        TikTok = "TikTok" [],
        /// UC Browser and UC Mini.
        Uc = "UC Browser" ["UC Browser Mini"],
        /// By its own token, which it seldom sends.
        Vivaldi = "Vivaldi" [],
        /// In-app browser.
        WeChat = "WeChat" ["WeChat Browser"],
        /// A web page inside some other app, on Android or iOS.
        WebView = "Web view" ["Chrome Mobile WebView", "Mobile Safari UI/WKWebView"],
        /// Naver's browser.
        Whale = "Whale" [],
        /// Desktop and mobile.
        Yandex = "Yandex Browser" ["Yandex.Browser"],
    }
}

families! {
    /// Operating system. iPadOS counts as iOS, all distributions as Linux.
    Os {
        /// Fire OS included.
        Android = "Android" ["Kindle"],
        /// By its own token or its client hint.
        ChromeOs = "ChromeOS" ["Chrome OS"],
        /// Where it does not pose as Android.
        HarmonyOs = "HarmonyOS" [],
        /// iPhone, iPod and, where they say so, iPads.
        Ios = "iOS" ["iPadOS"],
        /// Feature phones.
        KaiOs = "KaiOS" [],
        /// All distributions.
        Linux = "Linux" [
            "Ubuntu", "Fedora", "Debian", "Gentoo", "Red Hat", "CentOS", "Mint", "SUSE", "Mageia",
            "Arch Linux", "Slackware", "VectorLinux", "Kubuntu", "Mandriva", "Linux Mint", "Puppy"
        ],
        /// Any version; see the module for what the version says.
        MacOs = "macOS" ["Mac OS X", "Mac OS"],
        /// Televisions and watches of Samsung.
        Tizen = "Tizen" [],
        /// Apple TV.
        TvOs = "tvOS" ["ATV OS X"],
        /// Televisions of LG, and the phones of old.
        WebOs = "webOS" ["Web0S"],
        /// Any version; see the module for what the version says.
        Windows = "Windows" [],
        /// Phones of Microsoft and Nokia.
        WindowsPhone = "Windows Phone" [],
    }
}

families! {
    /// Device class.
    Device {
        /// Game consoles.
        Console = "Console" [],
        /// Computers, laptops and Chromebooks.
        Desktop = "Desktop" [],
        /// Phones.
        Mobile = "Mobile" [],
        /// Tablets and e-readers.
        Tablet = "Tablet" [],
        /// Televisions and what is plugged into them.
        Tv = "TV" [],
    }
}
