use std::sync::LazyLock;

use ipnet::IpNet;
use mmdb_writer::{Value, Writer};
use proptest::prelude::*;

use super::*;
use crate::enrich::data_file::test_data;

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn open(path: &Path) -> Result<Geo, DataFileError> {
    Geo::open(None, Some(path.to_owned()))
}

/// A file of the flat shape with one country in `192.0.2.0/24`. Its description is empty.
fn flat(country: &str) -> Vec<u8> {
    let mut writer = Writer::new("Flat-City");
    let entries = [
        ("country_code", country),
        ("state1", "Hovedstaden"),
        ("city", "København"),
    ];
    let record = Value::map(entries.map(|(key, value)| (key, Value::from(value))));
    writer
        .insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), record.clone())
        .unwrap();
    writer
        .insert_value("2001:db8::/32".parse::<IpNet>().unwrap(), record)
        .unwrap();
    writer.to_bytes().unwrap()
}

#[test]
fn the_nested_shape_is_read_as_finely_as_asked() {
    let Some(path) = test_data("geo/GeoLite2-City-Test.mmdb") else {
        return;
    };
    let geo = open(&path).unwrap();
    let london = geo.lookup(ip("81.2.69.160"), GeoDetail::WithCity);
    assert_eq!(
        (london.country.as_str(), &*london.region, &*london.city),
        ("GB", "GB-ENG", "London")
    );
    assert_eq!(
        geo.lookup(ip("::ffff:81.2.69.160"), GeoDetail::WithCity),
        london
    );
    let coarse = geo.lookup(ip("81.2.69.160"), GeoDetail::CountryOnly);
    assert_eq!(
        coarse,
        Place {
            country: Country::new("GB"),
            ..Place::default()
        }
    );
    for danish in ["2a02:fc40::1", "2a02:fd80::1"] {
        assert_eq!(
            geo.lookup(ip(danish), GeoDetail::WithCity).country.as_str(),
            "DK"
        );
    }
    for unknown in ["130.225.1.1", "5.33.1.1", "127.0.0.1", "::1"] {
        assert_eq!(
            geo.lookup(ip(unknown), GeoDetail::WithCity),
            Place::default(),
            "{unknown}"
        );
    }
}

#[test]
fn each_file_stands_in_for_the_other() {
    let Some(city) = test_data("geo/GeoLite2-City-Test.mmdb") else {
        return;
    };
    let Some(country) = test_data("geo/GeoLite2-Country-Test.mmdb") else {
        return;
    };
    let code = |geo: &Geo, detail| {
        geo.lookup(ip("81.2.69.160"), detail)
            .country
            .as_str()
            .to_owned()
    };
    let only_country = Geo::open(Some(country.clone()), None).unwrap();
    assert_eq!(code(&only_country, GeoDetail::WithCity), "GB");
    let only_city = Geo::open(None, Some(city.clone())).unwrap();
    assert_eq!(code(&only_city, GeoDetail::CountryOnly), "GB");
    let both = Geo::open(Some(country), Some(city)).unwrap();
    assert_eq!(
        both.lookup(ip("81.2.69.160"), GeoDetail::WithCity).city,
        "London"
    );
    assert_eq!(both.files().count(), 2);
    assert_eq!(code(&Geo::default(), GeoDetail::WithCity), "");
}

#[test]
fn the_flat_shapes_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("flat.mmdb");
    std::fs::write(&path, flat("dk")).unwrap();
    let geo = open(&path).unwrap();
    for address in ["192.0.2.7", "2001:db8::7"] {
        let place = geo.lookup(ip(address), GeoDetail::WithCity);
        assert_eq!(
            (place.country.as_str(), &*place.region, &*place.city),
            ("DK", "Hovedstaden", "København")
        );
    }
    let mut writer = Writer::new("Flat-Country");
    let record = Value::map([("country", Value::from("SE"))]);
    writer
        .insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), record)
        .unwrap();
    std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
    let place = open(&path)
        .unwrap()
        .lookup(ip("192.0.2.7"), GeoDetail::WithCity);
    assert_eq!(
        place,
        Place {
            country: Country::new("SE"),
            ..Place::default()
        }
    );
}

#[test]
fn a_file_without_countries_is_refused_by_its_type() {
    let Some(path) = test_data("geo/GeoLite2-ASN-Test.mmdb") else {
        return;
    };
    let error = open(&path).unwrap_err().to_string();
    assert!(
        error.contains("GeoLite2-ASN") && error.contains("no country"),
        "{error}"
    );
}

#[test]
fn a_replaced_file_is_taken_up_and_a_bad_one_refused_once() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("geo.mmdb");
    let replace = |content: &[u8]| {
        // As package managers and download scripts do it: written beside, then renamed.
        let beside = dir.path().join("new");
        std::fs::write(&beside, content).unwrap();
        std::fs::rename(&beside, &path).unwrap();
    };
    replace(&flat("DK"));
    let geo = open(&path).unwrap();
    let country = || {
        geo.lookup(ip("192.0.2.7"), GeoDetail::CountryOnly)
            .country
            .as_str()
            .to_owned()
    };
    let file = geo.files().next().unwrap();
    assert!(!file.reload_if_changed().unwrap());
    replace(&flat("SE"));
    // Same size within the same tick of the file system's clock is the one change that goes unnoticed.
    std::fs::File::open(&path)
        .unwrap()
        .set_modified(UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    assert!(file.reload_if_changed().unwrap());
    assert_eq!(country(), "SE");
    replace(&flat("NO")[..100]);
    let error = file.reload_if_changed().unwrap_err().to_string();
    assert!(error.contains("geo.mmdb: no usable MMDB file"), "{error}");
    assert!(!file.reload_if_changed().unwrap(), "reported once");
    assert_eq!(country(), "SE");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(
        file.reload_if_changed(),
        Err(DataFileError::Read { .. })
    ));
    assert_eq!(country(), "SE");
    replace(&flat("NO"));
    assert!(file.reload_if_changed().unwrap());
    assert_eq!(country(), "NO");
}

#[test]
fn the_age_of_a_file_is_told() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("geo.mmdb");
    let built = UNIX_EPOCH + Duration::from_secs(1_700_000_000);
    let mut writer = Writer::builder("Flat").build_epoch(built).build();
    let record = Value::map([("country_code", Value::from("DK"))]);
    writer
        .insert_value("192.0.2.0/24".parse::<IpNet>().unwrap(), record)
        .unwrap();
    std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
    let geo = open(&path).unwrap();
    let file = geo.files().next().unwrap();
    assert_eq!(file.build_epoch_s(), 1_700_000_000);
    assert_eq!(
        file.age(built + Duration::from_secs(60)),
        Duration::from_secs(60)
    );
    assert_eq!(file.age(UNIX_EPOCH), Duration::ZERO);
}

#[test]
fn country_codes_are_two_letters_or_unknown() {
    for (code, expected) in [
        ("dk", "DK"),
        ("DK", "DK"),
        ("", ""),
        ("DNK", ""),
        ("1A", ""),
        ("æ", ""),
    ] {
        assert_eq!(Country::new(code).as_str(), expected);
    }
}

/// Opens what may be damaged and, if it opens, asks it.
fn is_survived(content: Vec<u8>, address: u128) {
    if let Ok(database) = Database::new(content) {
        for detail in [GeoDetail::CountryOnly, GeoDetail::WithCity] {
            let place = database.place(IpAddr::from(address.to_be_bytes()), detail);
            assert!(place.city.len() <= 100);
            let _ = database.place(ip("192.0.2.7"), detail);
            let _ = database.place(ip("81.2.69.160"), detail);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(300) })]

    #[test]
    fn a_damaged_file_never_panics(
        cut in 0.0..1.0_f64, flips in proptest::collection::vec((0.0..1.0_f64, 1_u8..), 0..8), address: u128,
    ) {
        static FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
            let nested = test_data("geo/GeoLite2-City-Test.mmdb");
            let nested = nested.map(|path| std::fs::read(path).unwrap());
            nested.into_iter().chain([flat("DK")]).collect()
        });
        for file in FILES.clone() {
            let end = (cut * file.len() as f64) as usize;
            is_survived(file[..end].to_vec(), address);
            let mut flipped = file;
            for (place, bits) in &flips {
                let at = (place * flipped.len() as f64) as usize;
                flipped[at] ^= bits;
            }
            is_survived(flipped, address);
        }
    }

    #[test]
    fn any_bytes_are_survived(content in proptest::collection::vec(any::<u8>(), 0..300), address: u128) {
        is_survived([&content[..], b"\xab\xcd\xefMaxMind.com", &content[..]].concat(), address);
    }
}

/// The library's own check ends before the records where a description is empty.
#[test]
fn a_damaged_record_is_refused_although_the_description_is_empty() {
    let mut file = flat("DK");
    let first_key = file
        .windows(5)
        .position(|bytes| bytes == b"\x44city")
        .unwrap();
    // The map's head stands before its first key; a map of many entries ends too late.
    file[first_key - 1] = 0xff;
    let error = Database::new(file).unwrap_err();
    assert!(
        matches!(error, database::DatabaseError::Damaged(_)),
        "{error}"
    );
}

/// A cut file must be refused, not only survived: half a download is the commonest damage.
#[test]
fn a_truncated_file_is_refused() {
    let whole = flat("DK");
    for end in 0..whole.len() {
        assert!(
            Database::new(whole[..end].to_vec()).is_err(),
            "cut at {end} of {}",
            whole.len()
        );
    }
}
