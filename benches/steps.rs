//! What each step of the path costs on one thread, in nanoseconds; `enrich` and `spool` have benches of
//! their own. `cargo bench --bench steps`.

use std::hint::black_box;

use brine::beacon;
use brine::client::Client;
use brine::config::{Config, REFERENCE, load};
use brine::consent;
use brine::consent::revoked::Revocations;
use brine::consent::token::{Mint, Purpose, Purposes};
use brine::enrich::step::{Enrichers, enrich};
use brine::event::{self, Event, Record};
use brine::filter::step::{SiteFilters, filter};
use brine::limit::Limiter;
use brine::open_visits::OpenVisits;
use brine::pseudonym::{Domain, pseudonym, pseudonymise};
use brine::salts::{Keeper, Keeping};
use brine::secret::Secret;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use jiff::Timestamp;

/// The token in [`BODY`].
const BODY_TOKEN: &str = "AQEAAVErUd8tXgU16ZO1faD4B7-PysjG9x6DAA75CCPKTIuEvCDvz_RqrnY";

const BODY: &str = r#"{"n":"pageview","u":"https://portal.example.test/products/7/item-3?utm_source=news","d":"portal","r":"https://www.google.com/search","w":1280,"c":"AQEAAVErUd8tXgU16ZO1faD4B7-PysjG9x6DAA75CCPKTIuEvCDvz_RqrnY","s":{"id":"0123456789abcdef0123456789abcdef","started":1795370000000}}"#;

const AGENT: &str =
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:143.0) Gecko/20100101 Firefox/143.0";

fn config() -> Config {
    let loaded = load::from_text(REFERENCE, "reference", &Default::default());
    loaded.expect("the reference is sound").1
}

fn headers() -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("user-agent", AGENT),
        ("accept-language", "da-DK,da;q=0.9,en;q=0.8"),
        ("x-forwarded-for", "80.71.142.9"),
        ("origin", "https://portal.example.test"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    headers
}

fn steps(c: &mut Criterion) {
    let config = config();
    let headers = headers();
    let proxies = ["127.0.0.1/32".parse().expect("a network")];
    let peer = "127.0.0.1".parse().expect("an address");
    let client = Client::read(&headers, peer, &proxies);
    c.bench_function("client: who sent it", |b| {
        b.iter(|| Client::read(black_box(&headers), peer, &proxies));
    });
    let mut parse = c.benchmark_group("beacon");
    parse.throughput(Throughput::Bytes(BODY.len() as u64));
    parse.bench_function("parse", |b| {
        b.iter(|| {
            let client = client.clone();
            beacon::from_body(
                black_box(BODY.as_bytes()),
                None,
                client,
                &config.sites,
                Timestamp::UNIX_EPOCH,
            )
        });
    });
    parse.finish();

    let mint = Mint::new(&Secret::from_bytes([7; 32]));
    let purposes = Purposes::default().with(Purpose::Measurement);
    let (token, _) = mint.issue("portal", purposes, 1, 20_000..=20_180, [9; 16]);
    c.bench_function("consent: verify a token", |b| {
        b.iter(|| mint.verify(black_box(&token), "portal"))
    });

    let limiter = Limiter::new(&config.limits, &config.sites);
    c.bench_function("limit: one address, one site", |b| {
        b.iter(|| {
            (
                limiter.beacon(black_box(client.address)).is_ok(),
                limiter.site(0).is_ok(),
            )
        });
    });

    let salt = Secret::from_bytes([3; 32]);
    c.bench_function("pseudonym: visitor and visit", |b| {
        b.iter(|| {
            let visitor = pseudonym(&salt, Domain::Visitor, &[black_box(b"c0123456789abcdef")]);
            let visit = pseudonym(
                &salt,
                Domain::Visit,
                &[b"c0123456789abcdef", b"0123456789abcdef0123456789abcdef"],
            );
            (visitor, visit)
        });
    });

    let stored = Event {
        site: "portal",
        name: "pageview",
        hostname: "portal.example.test",
        path: "/products/7/item-3",
        source: "Google",
        channel: "Organic Search",
        browser: "Firefox",
        os: "Windows",
        ..Event::default()
    };
    let bytes = event::encode(&stored);
    let mut record = c.benchmark_group("event");
    record.throughput(Throughput::Bytes(bytes.len() as u64));
    record.bench_function("encode", |b| b.iter(|| event::encode(black_box(&stored))));
    record.bench_function("decode", |b| {
        b.iter(|| {
            matches!(
                event::decode(event::kind::EVENT, black_box(&bytes)),
                Ok(Record::Event(_))
            )
        });
    });
    record.bench_function("expires alone", |b| {
        b.iter(|| event::expires_of(event::kind::EVENT, black_box(&bytes)));
    });
    record.finish();
}

/// Everything between a body in memory and a payload for the spool: what a beacon costs beside hyper, spool and kernel.
fn all_steps(c: &mut Criterion) {
    let config = config();
    let directory = tempfile::tempdir().expect("a directory");
    #[allow(clippy::disallowed_methods)] // Any time will do.
    let now = Timestamp::now();
    let mint = Mint::new(&Secret::from_bytes([7; 32]));
    let today = consent::token_day(now);
    let purposes = Purposes::default().with(Purpose::Measurement);
    let portal = config.sites.find("portal").expect("it is there");
    let policy = portal.policy_version;
    let (token, _) = mint.issue("portal", purposes, policy, today..=today + 180, [9; 16]);
    let body = BODY
        .replace(BODY_TOKEN, &token)
        .replace("1795370000000", &now.as_millisecond().to_string());
    let revocations =
        Revocations::open(&directory.path().join("revocations.log"), today).expect("a log");
    let filters = SiteFilters::new(&config.sites).expect("sound rules");
    let enrichers = Enrichers::open(&config.enrich).expect("nothing to open");
    let salts =
        Keeper::open(&directory.path().join("salts"), Keeping::default()).expect("a directory");
    salts
        .tick(&config.sites, now, &mut Vec::new())
        .expect("salts are made");
    let open_visits = OpenVisits::new(1_000);
    let headers = headers();
    let proxies = ["127.0.0.1/32".parse().expect("a network")];
    let peer = "127.0.0.1".parse().expect("an address");
    c.bench_function("all steps: from a body to a payload", |b| {
        b.iter(|| {
            let client = Client::read(black_box(&headers), peer, &proxies);
            let beacon =
                beacon::from_body(black_box(body.as_bytes()), None, client, &config.sites, now);
            let consented = consent::gate(beacon.expect("sound"), None, &mint, &revocations);
            let filtered = filter(consented.expect("a yes"), &filters, &enrichers);
            let enriched = enrich(filtered.expect("it counts"), &enrichers);
            let living = salts.living();
            let event = pseudonymise(enriched, living.get(&portal.id), &open_visits);
            event::encode(&event.expect("a salt lives"))
        });
    });
}

criterion_group!(benches, steps, all_steps);
criterion_main!(benches);
