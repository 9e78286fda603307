//! From host to name and kind, by hash: one look-up per label of the host.

use std::collections::HashMap;
use std::path::Path;

use rustc_hash::FxHashMap;
use serde::Deserialize;

use super::builtin::ENTRIES;
use super::channel::{Kind, lowercase};
use crate::enrich::data_file::{self, DataFileError};

/// Name and kind of a source.
pub(super) type Known<'a> = (&'a str, Kind);

/// How a host is matched, beside being equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reach {
    /// The host alone.
    Host,
    /// The host and all below it.
    Below,
}

#[derive(Debug)]
struct Row {
    name: Box<str>,
    kind: Kind,
    reach: Reach,
}

/// The known sources.
#[derive(Debug, Default)]
pub(super) struct Table {
    /// By host.
    hosts: FxHashMap<Box<str>, Row>,
    /// By host without its country: `google.*` stands as `google.`.
    any_country: FxHashMap<Box<str>, Row>,
    /// Hosts of which only a part of the pages is the source: beginning of the path, then the row.
    paths: FxHashMap<Box<str>, Vec<(Box<str>, Row)>>,
    /// By the name in lower case, and by other names.
    names: FxHashMap<Box<str>, (Box<str>, Kind)>,
}

impl Table {
    pub(super) fn built_in() -> Self {
        let mut table = Self::default();
        for (name, kind, hosts, aliases) in ENTRIES {
            for host in *hosts {
                table.add(name, *kind, host);
            }
            for alias in *aliases {
                table.names.insert((*alias).into(), ((*name).into(), *kind));
            }
        }
        table
    }

    /// Adds the lists that the directory holds.
    pub(super) fn add_lists(&mut self, dir: &Path) -> Result<(), DataFileError> {
        let mut n_lists = 0;
        for (file, kind) in [
            ("SearchEngines.yml", Kind::Search),
            ("Socials.yml", Kind::Social),
            ("AIAssistants.yml", Kind::AiAssistant),
        ] {
            let path = dir.join(file);
            if !path.exists() {
                continue;
            }
            n_lists += 1;
            for (name, urls) in data_file::yaml::<HashMap<String, Vec<Listed>>>(&path)? {
                for url in urls.iter().flat_map(Listed::urls) {
                    self.add_listed(&name, kind, url);
                }
            }
        }
        if n_lists == 0 {
            return Err(DataFileError::content(
                dir,
                "holds none of SearchEngines.yml, Socials.yml, AIAssistants.yml",
            ));
        }
        Ok(())
    }

    /// The lists write `{}` for a country: `google.{}`, `{}.search.yahoo.com`. A search engine's entry is
    /// the host of its searches alone; of the others, everything below is the source too.
    fn add_listed(&mut self, name: &str, kind: Kind, url: &str) {
        let host = url.trim().to_lowercase();
        if let Some(below) = host.strip_prefix("{}.") {
            self.add(name, kind, &format!(".{below}"));
        } else if let Some(before) = host.strip_suffix(".{}") {
            self.add(name, kind, &format!("{before}.*"));
        } else if kind == Kind::Search || host.contains('/') {
            self.add(name, kind, &host);
        } else {
            self.add(name, kind, &format!(".{host}"));
        }
    }

    /// Adds one pattern in the notation of the built-in table; the first to name a host keeps it.
    fn add(&mut self, name: &str, kind: Kind, pattern: &str) {
        let reach = if pattern.starts_with('.') {
            Reach::Below
        } else {
            Reach::Host
        };
        let host = bare(pattern.trim_start_matches('.'));
        let row = Row {
            name: name.into(),
            kind,
            reach,
        };
        self.names
            .entry(name.to_lowercase().into())
            .or_insert_with(|| (name.into(), kind));
        if let Some(any_country) = host.strip_suffix('*') {
            self.any_country.entry(any_country.into()).or_insert(row);
        } else if let Some((host, path)) = host.split_once('/') {
            let parts = self.paths.entry(host.into()).or_default();
            parts.push((format!("/{path}").into(), row));
        } else {
            self.hosts.entry(host.into()).or_insert(row);
        }
    }

    /// Finds the source of a referrer; the host in lower case, without `www.`.
    pub(super) fn find(&self, host: &str, path: &str) -> Option<Known<'_>> {
        let host = bare(host);
        if let Some(parts) = self.paths.get(host)
            && let Some((_, row)) = parts.iter().find(|(start, _)| path.starts_with(&**start))
        {
            return Some((&row.name, row.kind));
        }
        let in_country = || self.any_country.get(without_country(host)?);
        if let Some(row) = self.hosts.get(host).or_else(in_country) {
            return Some((&row.name, row.kind));
        }
        let mut above = host;
        // A single label is a top-level domain, and nobody's source.
        while let Some((_, rest)) = above.split_once('.')
            && rest.contains('.')
        {
            if let Some(row) = self.hosts.get(rest)
                && row.reach == Reach::Below
            {
                return Some((&row.name, row.kind));
            }
            above = rest;
        }
        None
    }

    /// Finds a source by what a campaign calls it: its name, another name, or its host.
    pub(super) fn find_by_name(&self, name: &str) -> Option<Known<'_>> {
        let name = lowercase(name.trim());
        if let Some((name, kind)) = self.names.get(&*name) {
            return Some((name, *kind));
        }
        if name.contains('.') {
            self.find(&name, "")
        } else {
            None
        }
    }
}

/// Without the sub-domains that say nothing about what a site is.
fn bare(host: &str) -> &str {
    ["www.", "m."]
        .iter()
        .find_map(|prefix| host.strip_prefix(prefix))
        .filter(|rest| rest.contains('.'))
        .unwrap_or(host)
}

/// `google.` of `google.dk` and `google.co.uk`, if what follows looks like a country's ending.
fn without_country(host: &str) -> Option<&str> {
    let (before, last) = host.rsplit_once('.')?;
    if !(2..=3).contains(&last.len()) || !last.bytes().all(|b| b.is_ascii_alphabetic()) {
        return None;
    }
    let name = match before.rsplit_once('.') {
        Some((name, "co" | "com" | "ne" | "or")) if last.len() == 2 => name,
        _ => before,
    };
    host.get(..=name.len())
}

/// Both formats of the lists: plain host names, or groups of them with what we do not need.
#[derive(Deserialize)]
#[serde(untagged)]
enum Listed {
    Url(String),
    Group { urls: Vec<String> },
}

impl Listed {
    fn urls(&self) -> &[String] {
        match self {
            Self::Url(url) => std::slice::from_ref(url),
            Self::Group { urls } => urls,
        }
    }
}
