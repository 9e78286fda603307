//! The pattern file of the ua-parser project, if the operator names one: browser and system only.
//! The device patterns are the dear part (three quarters of the time) and the least needed.

use std::path::Path;

use serde::Deserialize;
use ua_parser::{os, user_agent};

use super::names::{Browser, Os};
use crate::enrich::data_file::{self, DataFileError};

/// What is read of the file; its device part is skipped.
#[derive(Deserialize)]
struct PatternFile {
    user_agent_parsers: Vec<user_agent::Parser<'static>>,
    os_parsers: Vec<os::Parser<'static>>,
}

/// Compiled patterns.
pub(super) struct Patterns {
    browsers: user_agent::Extractor<'static>,
    systems: os::Extractor<'static>,
}

impl Patterns {
    pub(super) fn open(path: &Path) -> Result<Self, DataFileError> {
        let file: PatternFile = data_file::yaml(path)?;
        let refused = |reason: String| DataFileError::content(path, reason);
        let browsers = user_agent::Builder::new()
            .push_all(file.user_agent_parsers)
            .map_err(|e| refused(e.to_string()))?
            .build()
            .map_err(|e| refused(e.to_string()))?;
        let systems = os::Builder::new()
            .push_all(file.os_parsers)
            .map_err(|e| refused(e.to_string()))?
            .build()
            .map_err(|e| refused(e.to_string()))?;
        Ok(Self { browsers, systems })
    }

    pub(super) fn read(&self, user_agent: &str) -> (Browser, u16, Os, u16) {
        let (browser, browser_version) = match self.browsers.extract(user_agent) {
            // A version without its browser would say more than "Other" means to.
            Some(found) => match Browser::from_name(&found.family) {
                Browser::Other => (Browser::Other, 0),
                browser => (browser, number(found.major)),
            },
            None => (Browser::Other, 0),
        };
        let (os, os_version) = match self.systems.extract(user_agent) {
            Some(found) => {
                let os = Os::from_name(&found.os);
                (os, os_version(os, found.major.as_deref()))
            }
            None => (Os::Other, 0),
        };
        (browser, browser_version, os, os_version)
    }
}

fn number(text: Option<&str>) -> u16 {
    text.and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// The project names Windows versions; here they count.
pub(super) fn os_version(os: Os, major: Option<&str>) -> u16 {
    match (os, major) {
        (Os::Windows, Some("XP")) => 5,
        (Os::Windows, Some("Vista")) => 6,
        (Os::Windows, Some("8.1")) => 8,
        (Os::Windows, Some("95" | "98" | "2000" | "ME" | "NT" | "CE")) => 0,
        _ => number(major),
    }
}
