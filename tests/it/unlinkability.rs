//! README, "Salts": after its salt is destroyed nobody can link a pseudonym. Here the attacker has everything: the
//! data directory, the log, the memory of both processes as root reads it, and the list of everybody who may have
//! visited. What they do is what an attacker would: try everything they find as the key.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use brine::pseudonym::{Domain, pseudonym};
use brine::salts::chain::{Link, Seed};
use brine::salts::period::day_number;
use brine::secret::Secret;

use crate::retention::change;
use crate::support::markers::{Markers, files_below};
use crate::support::{Brine, Builder};

/// 2026-11-21 12:00 in Copenhagen.
const NOON: i64 = 1_795_258_800_000;
const DAY: i64 = 24 * 3_600_000;

/// Somebody who may have visited: what brine hashes for them.
struct Candidate {
    token: String,
    input: Vec<u8>,
}

async fn candidates(brine: &Brine) -> Vec<Candidate> {
    let mut all = Vec::new();
    for _ in 0..12 {
        let token = brine.consent("portal").await;
        let bytes = URL_SAFE_NO_PAD.decode(&token).expect("base64");
        let input = [b"c", &bytes[12..28]].concat();
        all.push(Candidate { token, input });
    }
    all
}

async fn visit(brine: &Brine, candidates: &[Candidate]) {
    for Candidate { token, .. } in candidates {
        let body = format!(
            r#"{{"n":"pageview","u":"https://portal.example.test/","d":"portal","c":"{token}"}}"#
        );
        brine.event(&body).await.expect(202, "accepted");
    }
}

fn pseudonyms(brine: &Brine, day: &str) -> HashSet<u64> {
    brine
        .sql(&format!(
            "SELECT DISTINCT visitor FROM events WHERE day = '{day}'"
        ))
        .iter()
        .map(|line| line.parse().expect("a number"))
        .collect()
}

/// Everything the attacker has, by name.
fn loot(brine: &Brine) -> Vec<(String, Vec<u8>)> {
    let mut all: Vec<_> = files_below(&brine.directory)
        .into_iter()
        .filter_map(|path| Some((path.display().to_string(), std::fs::read(path).ok()?)))
        .collect();
    all.extend(memory(brine.child.id(), "brine"));
    all.extend(memory(brine.engine().expect("the engine runs"), "engine"));
    all
}

/// Reads what a process has written into its memory (proc_pid_maps(5), proc_pid_mem(5)): heap, stacks, everything
/// writable. Only root may, of a process that is not dumpable.
fn memory(pid: u32, name: &str) -> Vec<(String, Vec<u8>)> {
    const CHUNK: usize = 4 << 20;
    let maps = std::fs::read_to_string(format!("/proc/{pid}/maps")).expect("root reads the map");
    let file = File::open(format!("/proc/{pid}/mem")).expect("root reads the memory");
    let mut all = Vec::new();
    for line in maps
        .lines()
        .filter(|line| line.split(' ').nth(1).is_some_and(|p| p.starts_with("rw")))
    {
        let range = line
            .split(' ')
            .next()
            .and_then(|range| range.split_once('-'));
        let (from, to) = range.expect("a range");
        let address = |text| usize::from_str_radix(text, 16).expect("hexadecimal");
        let (mut from, to) = (address(from), address(to));
        while from < to {
            let mut bytes = vec![0; CHUNK.min(to - from)];
            // A mapping that went away meanwhile has nothing any more.
            let n_read = file.read_at(&mut bytes, from as u64).unwrap_or(0);
            if n_read == 0 {
                break;
            }
            bytes.truncate(n_read);
            if bytes.iter().any(|byte| *byte != 0) {
                all.push((format!("memory of {name}: {line} at {from:x}"), bytes));
            }
            // Overlapping, so that nothing stands across an edge unseen.
            from += if n_read == CHUNK { CHUNK - 64 } else { n_read };
        }
    }
    assert!(!all.is_empty(), "{name} has memory");
    all
}

/// Tries every 32 bytes of `bytes` as the salt, and returns whom it tells the pseudonyms of.
fn linked(bytes: &[u8], pseudonyms: &HashSet<u64>, candidates: &[Candidate]) -> usize {
    let hash = |key: &[u8; 32], input: &[u8]| first_of(&blake3::keyed_hash(key, &framed(input)));
    let mut n_zeros = bytes.iter().take(32).filter(|byte| **byte == 0).count();
    for at in 0..bytes.len().saturating_sub(31) {
        let key: &[u8; 32] = bytes[at..].first_chunk().expect("32 bytes");
        // 256 random bits have more than seven zero bytes once in 10^12 times; pointers and texts are not worth a try.
        let is_random = n_zeros <= 7 && !key.iter().all(|byte| (9..127).contains(byte));
        if is_random && pseudonyms.contains(&hash(key, &candidates[0].input)) {
            let all = candidates.iter().map(|who| hash(key, &who.input));
            return all.filter(|found| pseudonyms.contains(found)).count();
        }
        n_zeros -= usize::from(bytes[at] == 0);
        n_zeros += usize::from(bytes.get(at + 32) == Some(&0));
    }
    0
}

/// The attack: over the files, and what brine itself has in memory (the engine never gets a key to hash with).
fn attack(
    loot: &[(String, Vec<u8>)],
    pseudonyms: &HashSet<u64>,
    candidates: &[Candidate],
) -> Vec<(String, usize)> {
    let own = |name: &str| !name.contains("/engine/") && !name.starts_with("memory of engine");
    let (one, two) = loot.split_at(loot.len() / 2);
    let half = |part: &[(String, Vec<u8>)]| {
        part.iter()
            .filter(|(name, _)| own(name))
            .map(|(name, bytes)| (name.clone(), linked(bytes, pseudonyms, candidates)))
            .filter(|(_, n_linked)| *n_linked > 0)
            .collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(|| half(two));
        let mut all = half(one);
        all.extend(other.join().expect("it ends"));
        all
    })
}

/// A hash that needs nothing but the visitor, and its name.
type Unkeyed = (&'static str, fn(&[u8]) -> u64);

/// Hashes without a secret key: what an attacker tries who has the list alone.
const UNKEYED: [Unkeyed; 4] = [
    ("the input as it is", |input| first_of(&blake3::hash(input))),
    ("with its domain and length", |input| {
        first_of(&blake3::hash(&framed(input)))
    }),
    ("under a key of zeros", |input| {
        first_of(&blake3::keyed_hash(&[0; 32], &framed(input)))
    }),
    ("under a key that everybody knows", |input| {
        let key = blake3::derive_key("brine pseudonym", b"portal");
        first_of(&blake3::keyed_hash(&key, &framed(input)))
    }),
];

/// As brine frames what it hashes: domain, length, bytes.
fn framed(input: &[u8]) -> Vec<u8> {
    [&[1], &(input.len() as u64).to_le_bytes()[..], input].concat()
}

fn first_of(hash: &blake3::Hash) -> u64 {
    u64::from_le_bytes(*hash.as_bytes().first_chunk().expect("32 bytes"))
}

/// The attack without any loot: hashes every candidate in every usual way, and returns how many it finds again.
fn enumerated(pseudonyms: &HashSet<u64>, candidates: &[Candidate]) -> usize {
    let is_found = |who: &&Candidate| {
        UNKEYED
            .iter()
            .any(|(_, hash)| pseudonyms.contains(&hash(&who.input)))
    };
    candidates.iter().filter(is_found).count()
}

/// Every eight bytes of every secret, in every spelling: also what was overwritten in part is found.
fn needles(secrets: &[(String, [u8; 32])]) -> Markers {
    Markers::new(secrets.iter().flat_map(|(name, bytes)| {
        (0..=24)
            .step_by(4)
            .map(move |at| (name.as_str(), &bytes[at..at + 8]))
    }))
}

fn found<'a>(markers: &'a Markers, loot: &'a [(String, Vec<u8>)]) -> Vec<(&'a str, Vec<&'a str>)> {
    loot.iter()
        .map(|(place, bytes)| (place.as_str(), markers.within(bytes)))
        .filter(|(_, names)| !names.is_empty())
        .collect()
}

/// Salts of the day in the clear, as their files have them.
fn stored(brine: &Brine) -> Vec<(String, [u8; 32])> {
    files_below(&brine.data().join("salts"))
        .into_iter()
        .map(|path| {
            let bytes = std::fs::read(&path).expect("a salt");
            (
                path.display().to_string(),
                bytes.try_into().expect("32 bytes"),
            )
        })
        .collect()
}

/// Lets one day pass, and attacks before and after. `salts` are those of the day that is then over.
async fn a_day_passes(brine: &Brine, secrets: &[(String, [u8; 32])]) {
    let everybody = candidates(brine).await;
    visit(brine, &everybody).await;
    brine.wait_drained().await;
    let yesterday = pseudonyms(brine, "2026-11-21");
    assert_eq!(yesterday.len(), everybody.len());
    let markers = needles(secrets);

    // The control: while the salt lives, memory has it, and the attack links everybody. So it can.
    let before = loot(brine);
    assert!(
        !found(&markers, &before).is_empty(),
        "a living salt is found"
    );
    let links = attack(&before, &yesterday, &everybody);
    let in_memory = links
        .iter()
        .any(|(place, n)| place.starts_with("memory of brine") && *n == everybody.len());
    assert!(in_memory, "a living salt links everybody: {links:?}");
    drop(before);

    brine.set_clock(NOON + DAY);
    brine.wait_for(
        "SELECT count() FROM salt_events WHERE step = 'destroyed' AND how LIKE '%wiped'",
        6,
    );
    let after = loot(brine);
    assert_eq!(found(&markers, &after), [], "every byte of it is gone");
    assert_eq!(
        attack(&after, &yesterday, &everybody),
        [],
        "nobody is linked"
    );

    // The list of candidates alone does not do either. The control: it does where the pseudonyms of the same visitors
    // are hashes without a secret key, of whatever usual kind, stored in the same table.
    assert_eq!(
        enumerated(&yesterday, &everybody),
        0,
        "a hash without a key"
    );
    for (kind, hash) in UNKEYED {
        let rows: Vec<String> = everybody
            .iter()
            .map(|who| {
                format!(
                    "('portal', toDate('2026-11-20'), {}, '{kind}', today() + 90)",
                    hash(&who.input)
                )
            })
            .collect();
        change(
            brine,
            &format!(
                "INSERT INTO brine.events (site, day, visitor, name, expires) VALUES {}",
                rows.join(", ")
            ),
        )
        .await;
        let leaked = brine
            .sql(&format!(
                "SELECT visitor FROM events WHERE day = '2026-11-20' AND name = '{kind}'"
            ))
            .iter()
            .map(|line| line.parse().expect("a number"))
            .collect();
        assert_eq!(enumerated(&leaked, &everybody), everybody.len(), "{kind}");
    }
    // And with today's salt today's visitors are linked: the pseudonyms of both days are made alike.
    visit(brine, &everybody).await;
    brine.wait_drained().await;
    let today = pseudonyms(brine, "2026-11-22");
    assert_eq!(today.len(), everybody.len());
    assert!(today.is_disjoint(&yesterday));
}

#[tokio::test]
async fn nobody_can_link_a_pseudonym_once_its_salt_is_destroyed() {
    let brine = Builder::new().clock(NOON).start();
    let salts = stored(&brine);
    assert_eq!(salts.len(), 6, "one a site");
    a_day_passes(&brine, &salts).await;
    let of_today = stored(&brine);
    let (_, salt) = of_today
        .iter()
        .find(|(name, _)| name.contains("portal@"))
        .expect("one");
    let someone = brine.consent("portal").await;
    let bytes = URL_SAFE_NO_PAD.decode(&someone).expect("base64");
    let input = [b"c", &bytes[12..28]].concat();
    visit(
        &brine,
        &[Candidate {
            token: someone,
            input: input.clone(),
        }],
    )
    .await;
    brine.wait_drained().await;
    let expected = pseudonym(&Secret::from_bytes(*salt), Domain::Visitor, &[&input]);
    assert!(
        pseudonyms(&brine, "2026-11-22").contains(&expected),
        "the attack hashes as brine does"
    );
}

/// The same for a collector of a chain, its files sealed: neither the seed nor a state of before is left.
#[tokio::test]
async fn nobody_can_link_a_pseudonym_of_a_chain_from_the_state_that_is_left() {
    let seed = Seed {
        day: day_number("2026-11-01".parse().expect("a date")),
        link: Link::of(Secret::random()),
    };
    let builder = Builder::new()
        .clock(NOON)
        .set("SALTS__CHAIN", "true")
        .set("SALTS__KEY_VARIABLE", "\"TEST_SALT_KEY\"")
        .variable("TEST_SALT_KEY", &"5a".repeat(32));
    let file = builder.directory().join("data/salts.seed");
    std::fs::create_dir(builder.directory().join("data")).expect("made");
    brine::secret::write_private(&file, seed.text().as_bytes()).expect("written");
    let mut secrets = Vec::new();
    let mut link = seed.link;
    for day in 1..=22 {
        secrets.push((format!("state of the {day}th"), *link.expose()));
        let sites = ["portal", "pernexus", "veriloc", "ios", "android", "windows"];
        for site in sites.iter().filter(|_| day < 22) {
            secrets.push((
                format!("salt of {site}, the {day}th"),
                *link
                    .salt(site, brine::config::settings::Rotation::Day)
                    .expose(),
            ));
        }
        link = link.next();
    }
    let brine = builder.start();
    assert!(!file.exists(), "the seed is destroyed once taken over");
    a_day_passes(&brine, &secrets).await;
}
