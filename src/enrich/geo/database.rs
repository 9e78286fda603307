//! One MMDB file: checked as a whole, then asked.

use std::collections::HashSet;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use maxminddb::{LookupResult, MaxMindDbError, PathElement, Reader, WithinOptions, path};
use serde::de::IgnoredAny;

use super::{Country, GeoDetail, Place};

/// Longest stored name of a region or city, in bytes.
const NAME_MAX_BYTES: usize = 100;

/// Why a file is refused.
#[derive(Debug, thiserror::Error)]
pub(super) enum DatabaseError {
    #[error("no usable MMDB file: {0}")]
    Damaged(#[from] MaxMindDbError),
    #[error("database type {database_type:?}: no country found in {n_records} records")]
    NoCountries {
        database_type: String,
        n_records: usize,
    },
    #[error("no usable MMDB file: its search tree has a cycle")]
    Cycle,
}

/// Where a file keeps its countries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    /// `country.iso_code`, `subdivisions[0].iso_code`, `city.names.en`.
    Nested,
    /// `country_code`, `state1`, `city`.
    Flat,
    /// `country` as a text, `region`, `city`.
    FlatCountry,
}

impl Shape {
    const ALL: [Self; 3] = [Self::Nested, Self::Flat, Self::FlatCountry];

    fn country_path(self) -> &'static [PathElement<'static>] {
        use PathElement::Key;
        match self {
            Self::Nested => &[Key("country"), Key("iso_code")],
            Self::Flat => &[Key("country_code")],
            Self::FlatCountry => &[Key("country")],
        }
    }
}

/// A checked file, held in memory.
pub(super) struct Database {
    reader: Reader<Vec<u8>>,
    shape: Shape,
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let meta = self.reader.metadata();
        f.debug_struct("Database")
            .field("database_type", &meta.database_type)
            .field("build_epoch_s", &meta.build_epoch)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Database {
    /// Checks everything before anything is used.
    pub(super) fn new(content: Vec<u8>) -> Result<Self, DatabaseError> {
        let reader = Reader::from_source(content)?;
        match reader.verify() {
            Ok(()) => {}
            // Healthy files of some makers describe themselves with an empty map. The library says so
            // before it has looked at anything else, so the rest of its check is made up for here.
            Err(MaxMindDbError::InvalidDatabase { message, .. })
                if message.starts_with("description ") =>
            {
                walk(&reader)?;
            }
            Err(error) => return Err(error.into()),
        }
        let shape = shape_of(&reader)?;
        Ok(Self { reader, shape })
    }

    pub(super) fn build_epoch_s(&self) -> u64 {
        self.reader.metadata().build_epoch
    }

    /// An address the file cannot hold (IPv6 in an IPv4 file) or does not know is nowhere. So is one
    /// whose record fails to decode, which the check at opening has ruled out.
    pub(super) fn place(&self, address: IpAddr, detail: GeoDetail) -> Place {
        let Ok(found) = self.reader.lookup(address) else {
            return Place::default();
        };
        let country =
            text(&found, self.shape.country_path()).map_or_else(Country::default, Country::new);
        if detail == GeoDetail::CountryOnly {
            return Place {
                country,
                ..Place::default()
            };
        }
        let owned = |path: &[PathElement<'_>]| text(&found, path).map(cut).unwrap_or_default();
        let (region, city) = match self.shape {
            Shape::Nested => {
                let code = text(&found, &path!["subdivisions", 0, "iso_code"]);
                let region = match code.filter(|code| !code.is_empty()) {
                    Some(code) => cut(&format!("{}-{code}", country.as_str())),
                    None => owned(&path!["subdivisions", 0, "names", "en"]),
                };
                (region, owned(&path!["city", "names", "en"]))
            }
            Shape::Flat => (owned(&path!["state1"]), owned(&path!["city"])),
            Shape::FlatCountry => (owned(&path!["region"]), owned(&path!["city"])),
        };
        Place {
            country,
            region,
            city,
        }
    }
}

fn text<'a>(found: &LookupResult<'a, Vec<u8>>, path: &[PathElement<'_>]) -> Option<&'a str> {
    found.decode_path::<&'a str>(path).ok().flatten()
}

fn cut(name: &str) -> String {
    name[..name.floor_char_boundary(NAME_MAX_BYTES)].to_owned()
}

/// Walks the whole tree and decodes each record once.
fn walk(reader: &Reader<Vec<u8>>) -> Result<(), DatabaseError> {
    // A tree of n nodes has at most 2 n leaves.
    let most = 2 * u64::from(reader.metadata().node_count) + 2;
    let mut decoded = HashSet::new();
    let mut n_leaves = 0;
    for leaf in reader.networks(WithinOptions::default())? {
        let leaf = leaf?;
        if leaf.offset().is_some_and(|offset| decoded.insert(offset)) {
            leaf.decode::<IgnoredAny>()?;
        }
        n_leaves += 1;
        if n_leaves > most {
            return Err(DatabaseError::Cycle);
        }
    }
    Ok(())
}

/// Finds the shape by which most records of a sample have a country.
fn shape_of(reader: &Reader<Vec<u8>>) -> Result<Shape, DatabaseError> {
    const SAMPLE: usize = 500;
    let mut n_countries = Shape::ALL.map(|_| 0);
    let mut n_records = 0;
    let mut look = |found: &LookupResult<'_, Vec<u8>>| {
        n_records += usize::from(found.has_data());
        for (shape, n) in Shape::ALL.iter().zip(&mut n_countries) {
            let code = text(found, shape.country_path()).map(Country::new);
            *n += usize::from(code.is_some_and(|code| code != Country::default()));
        }
    };
    // The first networks of a file are alike; addresses strewn over the space are not.
    for network in reader.networks(WithinOptions::default())?.take(SAMPLE) {
        look(&network?);
    }
    for address in strewn_addresses().take(SAMPLE) {
        if let Ok(found) = reader.lookup(address) {
            found.decode::<IgnoredAny>()?;
            look(&found);
        }
    }
    let database_type = || reader.metadata().database_type.clone();
    Shape::ALL
        .into_iter()
        .zip(n_countries)
        .filter(|(_, n)| *n > 0)
        .max_by_key(|(_, n)| *n)
        .map(|(shape, _)| shape)
        .ok_or_else(|| DatabaseError::NoCountries {
            database_type: database_type(),
            n_records,
        })
}

/// The same addresses each time, half of them IPv4, half in the global unicast space of IPv6. Whoever
/// chose the file need not be surprised, so a fixed sequence does.
fn strewn_addresses() -> impl Iterator<Item = IpAddr> {
    (1..u64::MAX).map(|n| {
        // Weyl sequence of the golden ratio: any prefix of it covers the space evenly.
        let strewn = n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        if n.is_multiple_of(2) {
            IpAddr::V4(Ipv4Addr::from((strewn >> 32) as u32))
        } else {
            IpAddr::V6(Ipv6Addr::from(1_u128 << 125 | u128::from(strewn) << 61))
        }
    })
}
