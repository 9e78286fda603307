//! Steps of filter and enrichment, each alone: nanoseconds per beacon.
//!
//! Inputs are fixed. Run with `cargo bench --bench enrich`.

use std::hint::black_box;
use std::net::IpAddr;

use brine::enrich::agent::Agents;
use brine::enrich::agent::hints::Hints;
use brine::enrich::geo::{Geo, GeoDetail};
use brine::enrich::language::language;
use brine::enrich::mask::mask;
use brine::enrich::referrer::{Arrival, Referrers};
use brine::enrich::screen::ScreenClass;
use brine::enrich::url::{QueryAllowList, UrlRules, Utm, scrub};
use brine::filter::bots::Bots;
use brine::filter::referrer_spam::SpamReferrers;
use brine::filter::rules::{Candidate, RuleTexts, Rules};
use criterion::{Criterion, criterion_group, criterion_main};
use ipnet::IpNet;
use mmdb_writer::{Value, Writer};

const CHROME: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
const SAFARI: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 17_4 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.4 Mobile/15E148 Safari/604.1";
const HINTS: Hints<'_> = Hints {
    brands: r#""Google Chrome";v="131", "Chromium";v="131", "Not_A Brand";v="24""#,
    mobile: "?0",
    platform: "\"Windows\"",
};

fn texts(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("enrich/text");
    let rules = UrlRules {
        query: QueryAllowList::new(["page"]).unwrap(),
        hash_routing: false,
    };
    let plain = "https://portal.example.dk/produkter/vaskemaskine-7kg";
    let campaign = "https://portal.example.dk/blog/2024/how-we-built-it?utm_source=nyhedsbrev\
                    &utm_medium=email&utm_campaign=uge-47&page=2&fbclid=IwAR0a1b2c3d4e5f";
    let personal = "https://portal.example.dk/bruger/jens%40firma.dk/ordre/12345678";
    for (name, url) in [
        ("plain", plain),
        ("campaign", campaign),
        ("personal", personal),
    ] {
        group.bench_function(format!("url_scrub/{name}"), |b| {
            b.iter(|| scrub(black_box(url), &rules))
        });
    }
    let referrers = Referrers::new(None).unwrap();
    let utm = Utm::default();
    let arrival = Arrival {
        hostname: "portal.example.dk",
        utm: &utm,
        click: None,
    };
    for (name, referrer) in [
        ("search", "https://www.google.com/"),
        ("own", "https://portal.example.dk/kurv"),
        ("unknown", "https://blog.other.dk/2024/how-we-built-it?x=1"),
    ] {
        group.bench_function(format!("referrer/{name}"), |b| {
            b.iter(|| referrers.classify(Some(black_box(referrer)), arrival, |_| false));
        });
    }
    group.bench_function("mask/slug", |b| {
        b.iter(|| mask(black_box("/blog/2024/how-we-built-it")).len());
    });
    group.bench_function("mask/longest_hostile", |b| {
        let hostile = "1.2.3.x:aa-12 @%40".repeat(110);
        b.iter(|| mask(black_box(&hostile)).len());
    });
    group.bench_function("language", |b| {
        b.iter(|| language(None, Some(black_box("da-DK,da;q=0.9,en-US;q=0.8,en;q=0.7"))));
    });
    group.bench_function("screen", |b| b.iter(|| ScreenClass::of(black_box(1_440))));
    group.finish();
}

fn agents(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("enrich/agent");
    let agents = Agents::new(None, Bots::new(None).unwrap()).unwrap();
    group.bench_function("hit", |b| b.iter(|| agents.parse(black_box(CHROME), HINTS)));
    group.bench_function("hit_without_hints", |b| {
        b.iter(|| agents.parse(black_box(SAFARI), Hints::default()));
    });
    let mut n = 0_u64;
    group.bench_function("miss", |b| {
        b.iter(|| {
            n += 1;
            agents.parse(black_box(&format!("{SAFARI} {n}")), Hints::default())
        });
    });
    let bots = Bots::new(None).unwrap();
    group.bench_function("bots_alone", |b| b.iter(|| bots.check(black_box(CHROME))));
    group.finish();
}

fn filters(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("filter");
    let spam = SpamReferrers::new(None).unwrap();
    group.bench_function("referrer_spam", |b| {
        b.iter(|| spam.contains(black_box("blog.other.dk")))
    });
    let list = |rules: &[&str]| rules.iter().map(ToString::to_string).collect();
    let rules = Rules::new(&RuleTexts {
        paths: list(&["/admin/**", "**/edit", "/internal/*"]),
        hostnames: list(&["test.example.dk", "*.staging.example.dk"]),
        networks: list(&["192.0.2.0/24", "2001:db8::/32"]),
        countries: list(&["SE"]),
    })
    .unwrap();
    let candidate = Candidate {
        path: "/produkter/vaskemaskine-7kg",
        hostname: "portal.example.dk",
        address: IpAddr::from([203, 0, 113, 7]),
        country: "DK",
    };
    group.bench_function("rules", |b| b.iter(|| rules.check(black_box(&candidate))));
    group.finish();
}

/// A file of 65,536 networks: deeper trees cost a few nanoseconds a level.
fn geo(criterion: &mut Criterion) {
    let mut writer = Writer::new("Bench-City");
    for n in 0..=u16::MAX {
        let [a, b] = n.to_be_bytes();
        let network: IpNet = format!("{a}.{b}.0.0/16").parse().unwrap();
        let country = Value::map([(
            "iso_code",
            Value::from(["DK", "SE", "NO"][usize::from(n % 3)]),
        )]);
        let names = Value::map([("en", Value::from(format!("City {}", n % 1_000)))]);
        let city = Value::map([("names", names)]);
        writer
            .insert_value(network, Value::map([("city", city), ("country", country)]))
            .unwrap();
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("city.mmdb");
    std::fs::write(&path, writer.to_bytes().unwrap()).unwrap();
    let geo = Geo::open(None, Some(path)).unwrap();
    let address = IpAddr::from([81, 2, 69, 160]);
    let mut group = criterion.benchmark_group("enrich/geo");
    group.bench_function("country", |b| {
        b.iter(|| geo.lookup(black_box(address), GeoDetail::CountryOnly));
    });
    group.bench_function("city", |b| {
        b.iter(|| geo.lookup(black_box(address), GeoDetail::WithCity))
    });
    group.finish();
}

criterion_group!(benches, texts, agents, filters, geo);
criterion_main!(benches);
