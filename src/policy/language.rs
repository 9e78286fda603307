//! The languages of the policy, and which one a reader gets.

use serde::{Deserialize, Serialize};

use crate::config::notice::Text;

/// A language of the policy page.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    clap::ValueEnum,
    Serialize,
    Deserialize,
)]
#[serde(rename_all = "lowercase")]
pub enum Language {
    /// English.
    #[default]
    En,
    /// Danish.
    Da,
}

impl Language {
    /// Both, in the order in which they are offered.
    pub const ALL: [Language; 2] = [Language::En, Language::Da];

    /// Returns the language that a tag names (BCP 47); its region does not matter.
    pub fn named(tag: &str) -> Option<Language> {
        let primary = tag.split('-').next().unwrap_or_default().trim();
        Language::ALL
            .into_iter()
            .find(|language| primary.eq_ignore_ascii_case(language.tag()))
    }

    /// Returns the language that `Accept-Language` likes best among ours (RFC 9110, section 12.5.4).
    pub fn accepted(header: &str) -> Option<Language> {
        let mut best: Option<(f32, Language)> = None;
        for range in header.split(',') {
            let (tag, parameters) = range.split_once(';').unwrap_or((range, ""));
            let weight = parameters
                .trim()
                .strip_prefix("q=")
                .map_or(1.0, |q| q.trim().parse().unwrap_or(0.0));
            if let Some(language) = Language::named(tag.trim())
                && weight > best.map_or(0.0, |(weight, _)| weight)
            {
                best = Some((weight, language));
            }
        }
        best.map(|(_, language)| language)
    }

    /// Returns its tag (BCP 47).
    pub fn tag(self) -> &'static str {
        self.pick("en", "da")
    }

    /// Returns the text in this language. Both stand side by side wherever something is said, so that neither can
    /// be forgotten.
    pub fn pick<T>(self, en: T, da: T) -> T {
        match self {
            Language::En => en,
            Language::Da => da,
        }
    }

    /// Returns the operator's own text in this language.
    pub fn of(self, text: &Text) -> &str {
        self.pick(&text.en, &text.da)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_liked_language_is_chosen() {
        for (header, expected) in [
            ("da", Some(Language::Da)),
            ("da-DK,da;q=0.9,en-US;q=0.8", Some(Language::Da)),
            ("de, en;q=0.5, da;q=0.7", Some(Language::Da)),
            ("en-GB", Some(Language::En)),
            ("da;q=0, en;q=0.1", Some(Language::En)),
            ("de", None),
            ("", None),
            ("da;q=oops", None),
        ] {
            assert_eq!(Language::accepted(header), expected, "{header}");
        }
    }
}
