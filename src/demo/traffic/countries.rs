//! Where made-up visitors are: addresses of the documentation range, and a small database that says which country
//! each block of it is in.
//!
//! No real address can be looked up in that file: it holds `2001:db8::/32` (RFC 3849) and nothing else.

use std::net::{IpAddr, Ipv6Addr};
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use ipnet::{IpNet, Ipv6Net};
use jiff::Timestamp;
use mmdb_writer::{Value, Writer};

use super::TrafficError;
use crate::secret::write_private;

/// A country, and the languages that browsers there ask for.
#[derive(Debug)]
pub(super) struct Country {
    pub(super) code: &'static str,
    pub(super) languages: &'static [(&'static str, u32)],
    /// How much longer pages take there than beside the server.
    pub(super) distance: f64,
}

const ENGLISH: &str = "en-GB,en;q=0.9";
const DANISH: &str = "da-DK,da;q=0.9,en-US;q=0.8,en;q=0.7";

/// In the order of their blocks of addresses.
pub(super) const COUNTRIES: [Country; 16] = [
    country(
        "DK",
        &[(DANISH, 88), (ENGLISH, 9), ("de-DE,de;q=0.9", 3)],
        1.0,
    ),
    country(
        "SE",
        &[("sv-SE,sv;q=0.9,en;q=0.8", 84), (ENGLISH, 16)],
        1.05,
    ),
    country(
        "NO",
        &[("nb-NO,nb;q=0.9,no;q=0.8,en;q=0.7", 86), (ENGLISH, 14)],
        1.1,
    ),
    country("DE", &[("de-DE,de;q=0.9,en;q=0.8", 89), (ENGLISH, 11)], 1.1),
    country(
        "FI",
        &[
            ("fi-FI,fi;q=0.9,en;q=0.8", 78),
            ("sv-FI,sv;q=0.9", 12),
            (ENGLISH, 10),
        ],
        1.2,
    ),
    country("GB", &[(ENGLISH, 96), ("pl-PL,pl;q=0.9", 4)], 1.15),
    country("NL", &[("nl-NL,nl;q=0.9,en;q=0.8", 80), (ENGLISH, 20)], 1.1),
    country("FO", &[("fo-FO,fo;q=0.9,da;q=0.8", 60), (DANISH, 40)], 1.3),
    country("GL", &[("kl-GL,kl;q=0.9,da;q=0.8", 45), (DANISH, 55)], 1.9),
    country("IS", &[("is-IS,is;q=0.9,en;q=0.8", 80), (ENGLISH, 20)], 1.4),
    country("PL", &[("pl-PL,pl;q=0.9,en;q=0.8", 92), (ENGLISH, 8)], 1.2),
    country("FR", &[("fr-FR,fr;q=0.9,en;q=0.8", 93), (ENGLISH, 7)], 1.15),
    country("ES", &[("es-ES,es;q=0.9", 92), (ENGLISH, 8)], 1.3),
    country("US", &[("en-US,en;q=0.9", 95), ("es-US,es;q=0.9", 5)], 1.7),
    country("IN", &[("en-IN,en;q=0.9,hi;q=0.8", 100)], 2.4),
    country("JP", &[("ja-JP,ja;q=0.9,en;q=0.8", 100)], 2.1),
];

const fn country(
    code: &'static str,
    languages: &'static [(&'static str, u32)],
    distance: f64,
) -> Country {
    Country {
        code,
        languages,
        distance,
    }
}

/// The block of a country: `2001:db8:<index>00::/40`, which is 16 million networks of one household each.
fn block(index: usize) -> Ipv6Net {
    let third = (index as u16) << 8;
    // 40 is a prefix length that every IPv6 network may have.
    Ipv6Net::new(Ipv6Addr::new(0x2001, 0xdb8, third, 0, 0, 0, 0, 0), 40)
        .expect("a valid prefix length")
}

/// Returns the address of a household in a country.
pub(super) fn address(country: usize, household: u64) -> IpAddr {
    let network = u128::from(block(country).network());
    // The 24 bits between the block and a household's /64.
    IpAddr::V6(Ipv6Addr::from(
        network | (u128::from(household & 0xff_ffff) << 64) | 1,
    ))
}

/// Writes the database, as if built at `now`.
pub(super) fn write_database(path: &Path, now: Timestamp) -> Result<(), TrafficError> {
    let fault = |reason: String| TrafficError::Database {
        path: path.to_owned(),
        reason,
    };
    let mut writer = Writer::builder("Demo-Country")
        .description(&[("en", "brine demo: documentation addresses, no real places")])
        .build_epoch(UNIX_EPOCH + Duration::from_secs(now.as_second().max(0).unsigned_abs()))
        .build();
    for (index, country) in COUNTRIES.iter().enumerate() {
        writer
            .insert_value(
                IpNet::V6(block(index)),
                Value::map([("country_code", Value::from(country.code))]),
            )
            .map_err(|e| fault(e.to_string()))?;
    }
    let bytes = writer.to_bytes().map_err(|e| fault(e.to_string()))?;
    write_private(path, &bytes).map_err(|e| fault(e.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::enrich::geo::{Geo, GeoDetail};

    #[test]
    fn every_made_up_address_is_in_its_country_and_no_real_one_is_anywhere() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("countries.mmdb");
        write_database(&path, "2026-11-24T12:00:00Z".parse().unwrap()).unwrap();
        let geo = Geo::open(Some(path), None).unwrap();
        let place = |address| geo.lookup(address, GeoDetail::CountryOnly).country;
        for (index, country) in COUNTRIES.iter().enumerate() {
            for household in [0, 1, 0xff_ffff, u64::MAX] {
                assert_eq!(place(address(index, household)).as_str(), country.code);
            }
        }
        for real in ["2a02:fc40::1", "130.225.1.1", "127.0.0.1", "192.0.2.1"] {
            assert_eq!(place(real.parse().unwrap()).as_str(), "", "{real}");
        }
    }
}
