//! Machines that say so in their user agent.
//!
//! In: a user agent. Out: the kind of machine, or nothing. Three layers, in this order: what is
//! empty; words of our own (all found in one pass, each with the company it must not keep); and, if
//! the operator names one, a crawler list in the format of crawler-user-agents.json. A machine that
//! poses as a browser is not found here.
//!
//! The words are chosen so that phones are not taken for robots: Cubot sells phones, `AP3A…` is an
//! Android build, WhatsApp, Sogou and Podimo are used by people.

use std::path::Path;

use aho_corasick::{AhoCorasick, MatchKind};
use regex::RegexSet;
use serde::Deserialize;

use crate::enrich::data_file::{self, DataFileError};

use words::{NOT_BEFORE_BOT, Place, WORDS};

mod words;

/// User agents are judged, and read, by this many first bytes.
pub const USER_AGENT_MAX_BYTES: usize = 512;

/// What kind of machine. A site chooses which kinds it counts; an app's own client speaks through
/// [`BotReason::AppLibrary`], a server that reports on somebody's behalf through [`BotReason::Library`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum BotReason {
    /// Network library of an app platform (CFNetwork, okhttp, Dart, Dalvik). Right for app sites; on a
    /// web site no browser sends it.
    AppLibrary,
    /// Search engines, archives, language-model crawlers and whatever calls itself a bot or spider.
    Crawler,
    /// No user agent at all, or only punctuation. Browsers always send one.
    Empty,
    /// Feed readers.
    Feed,
    /// A browser driven by a program: headless, PhantomJS, Selenium, Lighthouse.
    Headless,
    /// HTTP libraries and command line tools (curl, python-requests, Go-http-client, Java).
    Library,
    /// Matched by the operator's crawler list only.
    Listed,
    /// Uptime, speed and security checks.
    Monitor,
    /// Link previews of chats and social networks.
    Preview,
}

impl BotReason {
    /// All reasons, for counters that start at zero.
    pub const ALL: [Self; 9] = [
        Self::AppLibrary,
        Self::Crawler,
        Self::Empty,
        Self::Feed,
        Self::Headless,
        Self::Library,
        Self::Listed,
        Self::Monitor,
        Self::Preview,
    ];

    /// Stable name for outcome codes and counters; a name once released is never respelt.
    pub fn name(self) -> &'static str {
        match self {
            Self::AppLibrary => "app_library",
            Self::Crawler => "crawler",
            Self::Empty => "empty",
            Self::Feed => "feed",
            Self::Headless => "headless",
            Self::Library => "library",
            Self::Listed => "listed",
            Self::Monitor => "monitor",
            Self::Preview => "preview",
        }
    }
}

/// Patterns of the published crawler list that match people, with what they really are: an Android
/// build id, browsers and messengers in use, tablets of ViewSonic, a phone named Butterfly, players.
const LIST_EXCEPTIONS: [&str; 12] = [
    r"AP3A\.240617\.008",
    "Sogou",
    "WhatsApp",
    "Sonic",
    "Butterfly",
    "Fever",
    r"008\/",
    "Expanse",
    "Podimo",
    "Fluid",
    "Viber",
    r"Code\/1\.",
];

/// One entry of a crawler list; what else it says is not needed.
#[derive(Deserialize)]
struct ListEntry {
    pattern: String,
}

/// The compiled filter. Cheap to share behind an `Arc`, immutable.
#[derive(Debug)]
pub struct Bots {
    words: AhoCorasick,
    list: Option<RegexSet>,
}

impl Bots {
    /// Builds the filter from its own words and, if given, a crawler list: a JSON array of objects with
    /// a `pattern` (a regular expression, case sensitive), of which those known to match people are left
    /// out.
    ///
    /// # Errors
    /// [`DataFileError`] if the list cannot be read, is no such array, or holds a pattern that does not
    /// compile.
    pub fn new(list: Option<&Path>) -> Result<Self, DataFileError> {
        let words = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .match_kind(MatchKind::Standard)
            .build(WORDS.iter().map(|(word, ..)| word))
            .expect("a few hundred short words stay far below the automaton's limits");
        Ok(Self {
            words,
            list: list.map(compile).transpose()?,
        })
    }

    /// Judges a user agent by its first [`USER_AGENT_MAX_BYTES`].
    pub fn check(&self, user_agent: &str) -> Option<BotReason> {
        let cut = user_agent.floor_char_boundary(USER_AGENT_MAX_BYTES);
        let user_agent = user_agent[..cut].trim();
        if !user_agent.bytes().any(|b| b.is_ascii_alphanumeric()) {
            return Some(BotReason::Empty);
        }
        let first = self
            .words
            .find_overlapping_iter(user_agent)
            .filter(|found| {
                counts(
                    user_agent,
                    found.start(),
                    found.end(),
                    found.pattern().as_usize(),
                )
            })
            .map(|found| found.pattern().as_usize())
            .min();
        if let Some(index) = first {
            return Some(WORDS[index].2);
        }
        let listed = self
            .list
            .as_ref()
            .is_some_and(|list| list.is_match(user_agent));
        listed.then_some(BotReason::Listed)
    }
}

/// Whether a find stands where its word must stand.
fn counts(user_agent: &str, start: usize, end: usize, index: usize) -> bool {
    let bytes = user_agent.as_bytes();
    let letter = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_alphabetic);
    match WORDS[index].1 {
        Place::Anywhere => true,
        Place::Start => start == 0,
        Place::Word => start == 0 || !letter(start - 1),
        Place::WordEnd => {
            let before = &bytes[start.saturating_sub(NOT_BEFORE_BOT.len())..start];
            !bytes.get(end).is_some_and(u8::is_ascii_alphanumeric)
                && !before.eq_ignore_ascii_case(NOT_BEFORE_BOT.as_bytes())
        }
    }
}

fn compile(path: &Path) -> Result<RegexSet, DataFileError> {
    let entries: Vec<ListEntry> = serde_json::from_str(&data_file::text(path)?)
        .map_err(|e| DataFileError::content(path, e))?;
    let patterns = entries.iter().map(|entry| entry.pattern.as_str());
    RegexSet::new(patterns.filter(|pattern| !LIST_EXCEPTIONS.contains(pattern)))
        .map_err(|e| DataFileError::content(path, e))
}

#[cfg(test)]
mod tests;
