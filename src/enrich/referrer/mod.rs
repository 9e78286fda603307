//! Where a visitor came from: a name, a channel, and an address without secrets.
//!
//! In: the referrer of a beacon, the site's own hosts, the campaign and click read out of the page's
//! address. Out: a [`Source`]. Promised: the referrer's query, fragment and port are gone, its host and
//! path are masked, and search words are read by nobody. May be lost: the referrer as a whole, where it
//! is no web address or longer than an address may be.
//!
//! Built in are the sources most visitors come from (`builtin.rs`). The operator may name a directory with
//! the files `SearchEngines.yml`, `Socials.yml` and `AIAssistants.yml` in the format of Matomo's public
//! lists; they add names, and the built-in ones win.

mod builtin;
pub mod channel;
mod table;

use std::borrow::Cow;
use std::path::Path;

use compact_str::CompactString;

use super::data_file::DataFileError;
use super::mask;
use super::url::address::Address;
use super::url::{PaidClick, URL_MAX_BYTES, UTM_MAX_BYTES, Utm, hostname, scrub_path};
use channel::{Channel, Origin, channel};
use table::Table;

/// Where a visitor came from, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// Name of the source: of the campaign's `utm_source` if there is one, else of the referrer. Known
    /// ones by their proper name, others as host name; empty for [`Channel::Direct`] and
    /// [`Channel::Internal`].
    pub name: CompactString,
    /// The channel.
    pub channel: Channel,
    /// Host and path of the referrer, `example.dk/blog`, without a lone `/`; an Android app as its
    /// package name. Empty if there is none, or if it is the site itself.
    pub referrer: CompactString,
}

/// What is asked of [`Referrers::classify`] beside the referrer.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// Host name of the page, as it is stored.
    pub hostname: &'a str,
    /// Campaign parameters of the page.
    pub utm: &'a Utm,
    /// Click of an advertisement.
    pub click: Option<PaidClick>,
}

/// The known sources. Immutable; swap the whole to reload.
#[derive(Debug)]
pub struct Referrers {
    table: Table,
}

impl Referrers {
    /// Builds the table from the built-in sources and, if given, the lists in a directory.
    ///
    /// # Errors
    /// [`DataFileError`] if the directory holds none of the three files, or one that cannot be read or has
    /// another format.
    pub fn new(dir: Option<&Path>) -> Result<Self, DataFileError> {
        let mut table = Table::built_in();
        if let Some(dir) = dir {
            table.add_lists(dir)?;
        }
        Ok(Self { table })
    }

    /// Says where the visitor came from. `is_own` tells the site's other hosts (the page's own is known);
    /// it is asked with a host name in lower case without `www.`.
    pub fn classify(
        &self,
        referrer: Option<&str>,
        arrival: Arrival<'_>,
        is_own: impl Fn(&str) -> bool,
    ) -> Source {
        let url = referrer.and_then(parsed);
        let referrer = url.as_ref().and_then(Referrer::of);
        let own = referrer
            .as_ref()
            .is_some_and(|r| r.host == arrival.hostname || is_own(&r.host));
        let referrer = referrer.filter(|_| !own);
        let known = referrer
            .as_ref()
            .and_then(|r| self.table.find(&r.host, r.path));
        let named = &arrival.utm.source;
        let (name, origin) = if !named.is_empty() {
            match self.table.find_by_name(named) {
                Some((name, kind)) => (name.into(), Origin::Elsewhere(Some(kind))),
                // A source nobody knows, from a place that is known: the place tells the kind.
                None => (
                    named.clone(),
                    Origin::Elsewhere(known.map(|(_, kind)| kind)),
                ),
            }
        } else if let Some((name, kind)) = known {
            (name.into(), Origin::Elsewhere(Some(kind)))
        } else if let Some(referrer) = &referrer {
            (referrer.masked_host().into(), Origin::Elsewhere(None))
        } else {
            let origin = if own { Origin::Own } else { Origin::None };
            (CompactString::default(), origin)
        };
        Source {
            name: limited(name),
            channel: channel(origin, arrival.utm, arrival.click),
            referrer: referrer.map(|r| r.label()).unwrap_or_default(),
        }
    }
}

/// A source's name is as long as a campaign's value at most.
fn limited(mut name: CompactString) -> CompactString {
    name.truncate(name.floor_char_boundary(UTM_MAX_BYTES));
    name
}

/// Returns host and masked path of an address, as a referrer is stored; `None` where it is no web address.
pub(super) fn label(address: &str) -> Option<CompactString> {
    let url = parsed(address)?;
    Referrer::of(&url).map(|referrer| referrer.label())
}

/// Parses an address up to its query and fragment, which nobody reads.
fn parsed(referrer: &str) -> Option<Address<'_>> {
    if referrer.is_empty() {
        return None;
    }
    // What stands behind the question mark is often what makes it long.
    let end = referrer.find(['?', '#']).unwrap_or(referrer.len());
    let referrer = &referrer[..end];
    if referrer.len() > URL_MAX_BYTES {
        return None;
    }
    Address::read(referrer).ok()
}

/// A referrer that can be read, before masking.
struct Referrer<'a> {
    host: Cow<'a, str>,
    path: &'a str,
    is_address: bool,
}

impl<'a> Referrer<'a> {
    /// Reads web addresses and Android's `android-app://package/`; everything else is no referrer.
    fn of(url: &'a Address<'_>) -> Option<Referrer<'a>> {
        let host = hostname(url.host()?);
        let path = match url.scheme() {
            "http" | "https" => url.path(),
            "android-app" => "",
            _ => return None,
        };
        (!host.is_empty() && !host.ends_with('.')).then(|| Referrer {
            is_address: !url.has_name(),
            host,
            path,
        })
    }

    fn masked_host(&self) -> Cow<'_, str> {
        match self.is_address {
            true => Cow::Borrowed(mask::IP),
            false => masked_host(&self.host),
        }
    }

    fn label(&self) -> CompactString {
        let mut label = CompactString::from(self.masked_host());
        let path = scrub_path(self.path, None);
        if path != "/" {
            label.push_str(&path);
        }
        label
    }
}

/// Somebody else's host may hold anything: an intranet's address, a token as sub-domain. Punycode looks like a token and
/// is a name, so such labels stay; those between them are read as one text, because an address has several.
pub(super) fn masked_host(host: &str) -> Cow<'_, str> {
    // No host is named so; only schemes of apps' own take it for one.
    if host.contains('@') {
        return Cow::Borrowed(mask::EMAIL);
    }
    if !host.contains("xn--") {
        return mask::mask(host);
    }
    let is_name = |label: &str| label.starts_with("xn--");
    let labels: Vec<&str> = host.split('.').collect();
    let runs = labels.chunk_by(|a, b| !is_name(a) && !is_name(b));
    let masked = runs.map(|run| match is_name(run[0]) {
        true => run[0].to_owned(),
        false => mask::mask(&run.join(".")).into_owned(),
    });
    Cow::Owned(masked.collect::<Vec<_>>().join("."))
}

#[cfg(test)]
mod tests;
