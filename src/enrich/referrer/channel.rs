//! Channels: by what kind of way visitors come.
//!
//! The rules follow the usual definitions of web analytics (GA4's default channel group and Plausible's
//! reading of it), top down, the first that fits:
//!
//! | channel | evidence, in this order |
//! |---|---|
//! | Display | `dclid`; medium `display`, `banner`, `expandable`, `interstitial`, or `cpm` from no known kind of source |
//! | Paid Search | `gclid`, `gbraid`, `wbraid`, `msclkid`; or paid medium from a search engine |
//! | Paid Social, Paid Video | paid medium from a social network, a video site |
//! | Paid Other | paid medium from anywhere else |
//! | Affiliates | medium `affiliate`, `affiliates` |
//! | Email | medium or source `email`, `e-mail`, `e_mail`, `mail`, `newsletter`; or a webmail referrer |
//! | SMS | medium or source `sms` |
//! | Push | medium `push`, `mobile`, `notification` or one that ends in `push`; source `firebase` |
//! | Audio | medium `audio`, `podcast` |
//! | AI Assistants | an AI assistant as source or referrer; medium `ai`, `llm` |
//! | Organic Video | medium `video`; a video site as source or referrer |
//! | Organic Social | medium `social`, `social-network`, `social-media`, `sm`; a social network as source or referrer |
//! | Organic Search | medium `organic`; a search engine as source or referrer |
//! | Referral | medium `referral`, `app`, `link`; any other source or referrer |
//! | Internal | the site itself as referrer and no campaign: no beginning of a visit, but a page within it |
//! | Direct | nothing of it |
//!
//! A medium is paid if it is `ppc`, `retargeting`, contains `cp` (`cpc`, `cpa`, `cpv`) or begins with
//! `paid`. Text is compared in lower case.

use std::borrow::Cow;

use crate::enrich::url::{PaidClick, Utm};

/// The way a visitor came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the module's table says when each applies")]
pub enum Channel {
    Affiliates,
    AiAssistants,
    Audio,
    Direct,
    Display,
    Email,
    Internal,
    OrganicSearch,
    OrganicSocial,
    OrganicVideo,
    PaidOther,
    PaidSearch,
    PaidSocial,
    PaidVideo,
    Push,
    Referral,
    Sms,
}

impl Channel {
    /// Every channel, by name.
    pub const ALL: [Self; 17] = [
        Self::Affiliates,
        Self::AiAssistants,
        Self::Audio,
        Self::Direct,
        Self::Display,
        Self::Email,
        Self::Internal,
        Self::OrganicSearch,
        Self::OrganicSocial,
        Self::OrganicVideo,
        Self::PaidOther,
        Self::PaidSearch,
        Self::PaidSocial,
        Self::PaidVideo,
        Self::Push,
        Self::Referral,
        Self::Sms,
    ];

    /// The name that is stored and shown; never respelt.
    pub fn name(self) -> &'static str {
        match self {
            Self::Affiliates => "Affiliates",
            Self::AiAssistants => "AI Assistants",
            Self::Audio => "Audio",
            Self::Direct => "Direct",
            Self::Display => "Display",
            Self::Email => "Email",
            Self::Internal => "Internal",
            Self::OrganicSearch => "Organic Search",
            Self::OrganicSocial => "Organic Social",
            Self::OrganicVideo => "Organic Video",
            Self::PaidOther => "Paid Other",
            Self::PaidSearch => "Paid Search",
            Self::PaidSocial => "Paid Social",
            Self::PaidVideo => "Paid Video",
            Self::Push => "Push",
            Self::Referral => "Referral",
            Self::Sms => "SMS",
        }
    }
}

/// What kind of site a source is, where it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Chat with a language model.
    AiAssistant,
    /// Webmail.
    Email,
    /// Search engine.
    Search,
    /// Social network, forum, chat.
    Social,
    /// Video site.
    Video,
}

/// Where somebody came from, as far as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Origin {
    /// No referrer and no source named.
    None,
    /// The site itself.
    Own,
    /// Somewhere; its kind may be known.
    Elsewhere(Option<Kind>),
}

/// Applies the table.
pub(super) fn channel(origin: Origin, utm: &Utm, click: Option<PaidClick>) -> Channel {
    let kind = match origin {
        Origin::Elsewhere(kind) => kind,
        Origin::None | Origin::Own => None,
    };
    let medium = lowercase(&utm.medium);
    let source = lowercase(&utm.source);
    by_payment(&medium, kind, click)
        .or_else(|| by_name(&medium, &source))
        .or_else(|| kind.map(organic))
        .unwrap_or(match origin {
            _ if !medium.is_empty() || !utm.campaign.is_empty() => Channel::Referral,
            Origin::None => Channel::Direct,
            Origin::Own => Channel::Internal,
            Origin::Elsewhere(_) => Channel::Referral,
        })
}

/// Lower case; a copy only of what has capitals.
pub(super) fn lowercase(text: &str) -> Cow<'_, str> {
    let is_plain = |b: u8| b.is_ascii() && !b.is_ascii_uppercase();
    match text.bytes().all(is_plain) {
        true => Cow::Borrowed(text),
        false => Cow::Owned(text.to_lowercase()),
    }
}

fn by_payment(medium: &str, kind: Option<Kind>, click: Option<PaidClick>) -> Option<Channel> {
    match click {
        Some(PaidClick::GoogleDisplay) => return Some(Channel::Display),
        // A click id of a video advertisement comes from the same network as one of a search.
        Some(PaidClick::Google) if kind == Some(Kind::Video) => return Some(Channel::PaidVideo),
        Some(PaidClick::Google | PaidClick::Microsoft) => return Some(Channel::PaidSearch),
        None => {}
    }
    if matches!(medium, "display" | "banner" | "expandable" | "interstitial") {
        return Some(Channel::Display);
    }
    let is_paid = matches!(medium, "ppc" | "retargeting")
        || medium.contains("cp")
        || medium.starts_with("paid");
    is_paid.then_some(match kind {
        Some(Kind::Search) => Channel::PaidSearch,
        Some(Kind::Social) => Channel::PaidSocial,
        Some(Kind::Video) => Channel::PaidVideo,
        _ if medium == "cpm" => Channel::Display,
        _ => Channel::PaidOther,
    })
}

fn by_name(medium: &str, source: &str) -> Option<Channel> {
    let is_mail = |name| matches!(name, "email" | "e-mail" | "e_mail" | "mail" | "newsletter");
    match medium {
        "affiliate" | "affiliates" => Some(Channel::Affiliates),
        _ if is_mail(medium) || is_mail(source) => Some(Channel::Email),
        _ if medium == "sms" || source == "sms" => Some(Channel::Sms),
        "push" | "mobile" | "notification" => Some(Channel::Push),
        _ if medium.ends_with("push") || source == "firebase" => Some(Channel::Push),
        "audio" | "podcast" => Some(Channel::Audio),
        "ai" | "llm" => Some(Channel::AiAssistants),
        "video" => Some(Channel::OrganicVideo),
        "social" | "social-network" | "social-media" | "sm" => Some(Channel::OrganicSocial),
        "organic" => Some(Channel::OrganicSearch),
        "referral" | "app" | "link" => Some(Channel::Referral),
        _ => None,
    }
}

fn organic(kind: Kind) -> Channel {
    match kind {
        Kind::AiAssistant => Channel::AiAssistants,
        Kind::Email => Channel::Email,
        Kind::Search => Channel::OrganicSearch,
        Kind::Social => Channel::OrganicSocial,
        Kind::Video => Channel::OrganicVideo,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One line a rule of the module's table, and those where two rules could apply.
    #[test]
    fn the_table_is_followed() {
        use Kind::{AiAssistant, Email, Search, Social, Video};
        let elsewhere = |kind| Origin::Elsewhere(Some(kind));
        let unknown = Origin::Elsewhere(None);
        for (origin, medium, source, click, expected) in [
            (Origin::None, "", "", None, "Direct"),
            (Origin::Own, "", "", None, "Internal"),
            (Origin::Own, "email", "", None, "Email"),
            (Origin::Own, "", "", Some(PaidClick::Google), "Paid Search"),
            (unknown, "", "", None, "Referral"),
            (unknown, "referral", "", None, "Referral"),
            (Origin::None, "qr", "", None, "Referral"),
            (
                Origin::None,
                "",
                "",
                Some(PaidClick::GoogleDisplay),
                "Display",
            ),
            (Origin::None, "Banner", "", None, "Display"),
            (unknown, "cpm", "", None, "Display"),
            (elsewhere(Search), "cpm", "", None, "Paid Search"),
            (
                elsewhere(Search),
                "",
                "",
                Some(PaidClick::Google),
                "Paid Search",
            ),
            (
                Origin::None,
                "",
                "",
                Some(PaidClick::Microsoft),
                "Paid Search",
            ),
            (elsewhere(Search), "CPC", "", None, "Paid Search"),
            (elsewhere(Social), "paid_social", "", None, "Paid Social"),
            (elsewhere(Video), "cpv", "", None, "Paid Video"),
            (
                elsewhere(Video),
                "",
                "",
                Some(PaidClick::Google),
                "Paid Video",
            ),
            (unknown, "ppc", "", None, "Paid Other"),
            (unknown, "affiliate", "", None, "Affiliates"),
            (unknown, "newsletter", "", None, "Email"),
            (Origin::None, "", "e-mail", None, "Email"),
            (elsewhere(Email), "", "", None, "Email"),
            (Origin::None, "sms", "", None, "SMS"),
            (Origin::None, "web-push", "", None, "Push"),
            (Origin::None, "", "firebase", None, "Push"),
            (Origin::None, "podcast", "", None, "Audio"),
            (elsewhere(AiAssistant), "", "", None, "AI Assistants"),
            (elsewhere(Video), "", "", None, "Organic Video"),
            (elsewhere(Social), "", "", None, "Organic Social"),
            (unknown, "social", "", None, "Organic Social"),
            (elsewhere(Search), "", "", None, "Organic Search"),
            (unknown, "organic", "", None, "Organic Search"),
        ] {
            let utm = Utm {
                medium: medium.into(),
                source: source.into(),
                ..Utm::default()
            };
            let read = channel(origin, &utm, click).name();
            assert_eq!(read, expected, "{origin:?} {medium:?} {source:?} {click:?}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let mut names = Channel::ALL.map(Channel::name);
        names.sort_unstable();
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
    }
}
