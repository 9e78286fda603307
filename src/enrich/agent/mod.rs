//! Browser, operating system and device class out of a user agent and its client hints.
//!
//! In: the `User-Agent` header, the low-entropy client hints (`Sec-CH-UA`, `-Mobile`, `-Platform`),
//! and for one question the viewport width. Out: an [`Agent`], a small value of closed sets and major
//! versions. Closed on purpose: no sender can write a name of its own choosing into the store, and
//! names stay few enough to hide in.
//!
//! Promised: bounded work (the first 512 bytes are read) and bounded memory. The cache holds keyed
//! hashes, not user agents. Known limits of what user agents say:
//! - Windows 10 and 11 both say `NT 10.0`; only high-entropy hints tell them apart, and those are
//!   fingerprinting surface that brine does not ask for. Both are 10.
//! - macOS has said 10.15.7 since version 11; it counts as 10.
//! - iPadOS sends the user agent of a Mac; see [`Agent::with_viewport`].
//! - Brave is told by its brand hint only, and in-app web views that hide themselves not at all.
//!
//! The operator may name a pattern file of the ua-parser project (`regexes.yaml`), which then reads
//! browser and system in place of the rules of `agent/rules.rs`; names outside the sets become `Other`.

use std::hash::{BuildHasher, RandomState};
use std::path::Path;

use quick_cache::sync::Cache;

use crate::enrich::data_file::DataFileError;
use crate::filter::bots::{BotReason, Bots, USER_AGENT_MAX_BYTES};

use hints::Hints;
use names::{Browser, Device, Os};
use patterns::Patterns;

pub mod hints;
pub mod names;
mod patterns;
mod rules;

/// Agents remembered. Ten thousand real requests held 559 user agents; an entry has some 50 bytes.
const CACHE_ENTRIES: usize = 8_192;

/// What a user agent says, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// Family of the browser.
    pub browser: Browser,
    /// Its major version, 0 if unknown.
    pub browser_version: u16,
    /// Operating system.
    pub os: Os,
    /// Its major version, 0 if unknown; of macOS and Windows 10 stands for all later ones. XP is 5,
    /// Vista is 6.
    pub os_version: u16,
    /// Class of device.
    pub device: Device,
    /// Why this is a machine, if it is one.
    pub bot: Option<BotReason>,
}

impl Agent {
    /// Takes the viewport width (CSS pixels) into account, which tells some iPads from Macs.
    ///
    /// Safari on iPadOS sends the user agent of a Mac. Its full-screen widths are few and odd, and a
    /// window on a Mac seldom has exactly one of them; 1024 and 1366, which old Macs' screens have,
    /// count as Macs. iPads in split view and Macs dragged to such a width are misjudged.
    #[must_use]
    pub fn with_viewport(mut self, width_px: Option<u32>) -> Self {
        const IPAD_WIDTHS: [u32; 12] = [
            744, 768, 810, 820, 834, 1_032, 1_080, 1_112, 1_133, 1_180, 1_194, 1_210,
        ];
        let is_mac_safari = self.os == Os::MacOs && self.browser == Browser::Safari;
        if is_mac_safari && width_px.is_some_and(|width| IPAD_WIDTHS.contains(&width)) {
            self.os = Os::Ios;
            self.os_version = 0;
            self.device = Device::Tablet;
        }
        self
    }
}

/// Reads user agents; share one behind an `Arc`.
pub struct Agents {
    bots: Bots,
    patterns: Option<Patterns>,
    cache: Cache<u64, Agent>,
    /// Keyed by the operating system's randomness at start: nobody outside can make two user agents
    /// collide, and a cache key says nothing about the user agent. Cache keys only, never stored.
    hasher: RandomState,
}

impl Agents {
    /// Prepares the rules, and the pattern file if there is one (some 0.3 s and 27 MB for that of
    /// ua-parser).
    ///
    /// # Errors
    /// [`DataFileError`] if the pattern file cannot be read or does not compile.
    pub fn new(patterns: Option<&Path>, bots: Bots) -> Result<Self, DataFileError> {
        Ok(Self {
            bots,
            patterns: patterns.map(Patterns::open).transpose()?,
            cache: Cache::new(CACHE_ENTRIES),
            hasher: RandomState::new(),
        })
    }

    /// Reads a user agent, from the cache if it was seen before.
    pub fn parse(&self, user_agent: &str, hints: Hints<'_>) -> Agent {
        let user_agent = cut(user_agent);
        let hints = hints.cut();
        let key = self.hasher.hash_one((user_agent, hints));
        if let Some(agent) = self.cache.get(&key) {
            return agent;
        }
        let agent = self.read(user_agent, hints);
        self.cache.insert(key, agent);
        agent
    }

    fn read(&self, user_agent: &str, hints: Hints<'_>) -> Agent {
        let (browser, browser_version, os, os_version) = match &self.patterns {
            Some(patterns) => patterns.read(user_agent),
            None => {
                let (browser, browser_version) = rules::browser(user_agent);
                let (os, os_version) = rules::os(user_agent);
                (browser, browser_version, os, os_version)
            }
        };
        let device = rules::device(user_agent, os);
        let headless = || hints.are_headless().then_some(BotReason::Headless);
        let bot = self.bots.check(user_agent).or_else(headless);
        hints.improve(Agent {
            browser,
            browser_version,
            os,
            os_version,
            device,
            bot,
        })
    }
}

fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(USER_AGENT_MAX_BYTES)]
}

#[cfg(test)]
mod tests;
