//! The chain: several collectors derive the same salts, forwards only.

use super::*;

/// A collector of a chain.
struct Member {
    keeper: Keeper,
    directory: std::path::PathBuf,
    sites: Sites,
}

impl Member {
    fn start(directory: &Path) -> Member {
        let keeping = Keeping {
            key: None,
            seed_file: Some(directory.join("seed")),
        };
        Member {
            keeper: Keeper::open(&directory.join("salts"), keeping).unwrap(),
            directory: directory.to_owned(),
            sites: three(),
        }
    }

    fn give(&self, seed: &Seed) {
        secret::write_private(&self.directory.join("seed"), seed.text().as_bytes()).unwrap();
    }

    fn at(&self, now: &str) -> Vec<SaltStep> {
        tick(&self.keeper, &self.sites, at(now))
    }

    /// Salts of the three sites' present periods.
    fn salts(&self, now: &str) -> Vec<([u8; 32], Origin)> {
        let living = self.keeper.living();
        self.sites
            .iter()
            .map(|site| {
                let period = period_of(local_day(at(now), &site.time_zone), site.rotation);
                let salt = &living[&site.id].by_period[&period];
                (*salt.secret.expose(), salt.origin)
            })
            .collect()
    }
}

/// Sites of all rotations, around the world.
fn three() -> Sites {
    let site = |id: &str, zone: &str, rotation: &str| {
        format!(
            "[[site]]\nid = \"{id}\"\ndomains = [\"{id}.test\"]\ntime_zone = \"{zone}\"\nrotation = \"{rotation}\"\n"
        )
    };
    let text = site("a", "Europe/Copenhagen", "day")
        + &site("b", "Pacific/Kiritimati", "week")
        + &site("c", "Pacific/Pago_Pago", "month");
    load::from_text(&text, "test", &Default::default())
        .unwrap()
        .1
        .sites
}

fn seed(from: &str) -> Seed {
    Seed {
        day: day_number(from.parse().unwrap()),
        link: Link::of(Secret::random()),
    }
}

fn again(seed: &Seed) -> Seed {
    Seed {
        day: seed.day,
        link: seed.link.clone(),
    }
}

#[test]
fn two_collectors_agree_without_talking_and_one_that_joins_agrees_too() {
    let homes: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let seed = seed("2026-05-10");
    let (one, two) = (
        Member::start(homes[0].path()),
        Member::start(homes[1].path()),
    );
    one.give(&seed);
    two.give(&again(&seed));
    one.at("2026-06-10T12:00:00Z");
    assert!(
        !homes[0].path().join("seed").exists(),
        "the seed is taken over and destroyed"
    );
    // The other starts two days later, sleeps, and is looked at a minute off.
    two.at("2026-06-12T07:00:00Z");
    let mut days = 0;
    for now in [
        "2026-06-12T12:00:00Z",
        "2026-06-13T21:58:00Z",
        "2026-06-19T12:00:00Z",
        "2026-07-01T12:00:00Z",
    ] {
        one.at(now);
        two.at(&now.replace(":00Z", ":01Z"));
        let salts = one.salts(now);
        assert_eq!(salts, two.salts(now), "{now}");
        assert!(salts.iter().all(|(_, origin)| *origin == Origin::Shared));
        days += 1;
    }
    assert_eq!(days, 4);
    // One that joins with a member's state agrees from the next period on, and is alone until then.
    let exported = chain::export(&homes[0].path().join("salts"), None).unwrap();
    let three = Member::start(homes[2].path());
    three.give(&exported);
    let records = three.at("2026-07-01T12:00:00Z");
    assert!(
        records.iter().all(|record| record.reason == "off_chain"),
        "{records:?}"
    );
    assert_ne!(
        three.salts("2026-07-01T12:00:00Z")[0],
        one.salts("2026-07-01T12:00:00Z")[0]
    );
    for member in [&one, &three] {
        member.at("2026-08-01T12:00:00Z");
    }
    assert_eq!(
        three.salts("2026-08-01T12:00:00Z"),
        one.salts("2026-08-01T12:00:00Z")
    );
}

#[test]
fn a_collector_without_state_or_with_a_wrong_clock_is_alone_says_so_and_comes_back() {
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let seed = seed("2026-05-10");
    let (one, two) = (
        Member::start(homes[0].path()),
        Member::start(homes[1].path()),
    );
    one.give(&seed);
    two.give(&again(&seed));
    let now = "2026-06-10T12:00:00Z";
    one.at(now);
    two.at(now);
    // Its clock is three days ahead for a while.
    two.at("2026-06-13T12:00:00Z");
    let records = two.at("2026-06-10T12:00:05Z");
    assert!(
        records
            .iter()
            .any(|r| r.site == "a" && r.reason == "off_chain"),
        "{records:?}"
    );
    assert_eq!(two.keeper.ages(&two.sites, at(now)).off_chain, 1);
    assert_ne!(two.salts(now)[0], one.salts(now)[0]);
    for now in ["2026-06-13T12:00:00Z", "2026-06-14T12:00:00Z"] {
        one.at(now);
        two.at(now);
        assert_eq!(two.salts(now), one.salts(now), "it has caught up: {now}");
    }
    // Its state is lost with its directory.
    fs::remove_dir_all(homes[1].path().join("salts")).unwrap();
    let two = Member::start(homes[1].path());
    two.at("2026-06-14T13:00:00Z");
    assert_eq!(
        two.keeper
            .ages(&two.sites, at("2026-06-14T13:00:00Z"))
            .off_chain,
        3
    );
    assert_eq!(
        two.keeper.report(&two.sites, at(now)).chain.unwrap().from,
        None
    );
    // Years ahead: the chain is not driven there, and is found where it was.
    let far = one
        .keeper
        .tick(&one.sites, at("2031-01-01T12:00:00Z"), &mut Vec::new());
    assert!(matches!(far, Err(SaltError::TooFar { .. })), "{far:?}");
    one.at("2026-06-16T12:00:00Z");
    assert_eq!(one.salts("2026-06-16T12:00:00Z")[0].1, Origin::Shared);
}

#[test]
fn a_disk_that_fails_for_a_moment_does_not_throw_a_collector_off_the_chain() {
    let home = tempfile::tempdir().unwrap();
    let member = Member::start(home.path());
    member.give(&seed("2026-05-10"));
    // A directory where the salt's file is to be written.
    let obstacle = home.path().join("salts/a@2026-06-10.shared.new");
    fs::create_dir(&obstacle).unwrap();
    let now = at("2026-06-10T12:00:00Z");
    let failed = member.keeper.tick(&member.sites, now, &mut Vec::new());
    assert!(matches!(failed, Err(SaltError::Io { .. })), "{failed:?}");
    assert!(!member.keeper.living().keys().any(|id| id.as_str() == "a"));
    fs::remove_dir(&obstacle).unwrap();
    member.at("2026-06-10T12:00:01Z");
    let salts = member.salts("2026-06-10T12:00:01Z");
    assert!(salts.iter().all(|(_, origin)| *origin == Origin::Shared));
}

#[test]
fn a_new_seed_takes_over_on_its_date_and_heals_what_had_leaked() {
    let homes: Vec<_> = (0..2).map(|_| tempfile::tempdir().unwrap()).collect();
    let (first, second) = (seed("2026-05-10"), seed("2026-06-15"));
    let leaked = again(&first);
    let (one, two) = (
        Member::start(homes[0].path()),
        Member::start(homes[1].path()),
    );
    one.give(&first);
    two.give(&again(&first));
    one.at("2026-06-10T12:00:00Z");
    two.at("2026-06-10T12:00:00Z");
    one.give(&second);
    two.give(&again(&second));
    let from_leak = |date: &str| {
        let mut link = leaked.link.clone();
        for _ in leaked.day..day_number(date.parse().unwrap()) {
            link = link.next();
        }
        *link.salt("a", Rotation::Day).expose()
    };
    for (now, date, is_known) in [
        ("2026-06-11T12:00:00Z", "2026-06-11", true),
        ("2026-06-14T12:00:00Z", "2026-06-14", true),
        ("2026-06-15T12:00:00Z", "2026-06-15", false),
        ("2026-06-18T12:00:00Z", "2026-06-18", false),
    ] {
        one.at(now);
        two.at(now);
        assert_eq!(one.salts(now), two.salts(now), "{now}");
        assert_eq!(one.salts(now)[0].0 == from_leak(date), is_known, "{now}");
    }
    // A restart in between finds everything again.
    let one = Member::start(homes[0].path());
    one.at("2026-06-19T12:00:00Z");
    two.at("2026-06-19T12:00:00Z");
    assert_eq!(
        one.salts("2026-06-19T12:00:00Z"),
        two.salts("2026-06-19T12:00:00Z")
    );
    assert_eq!(
        files(&homes[0].path().join("salts"))
            .iter()
            .filter(|name| name.ends_with(".state"))
            .count(),
        1,
        "one state, that of tomorrow"
    );
}

#[test]
fn a_seed_that_others_can_read_or_that_is_none_is_refused_and_salts_are_made_all_the_same() {
    let home = tempfile::tempdir().unwrap();
    let member = Member::start(home.path());
    let path = home.path().join("seed");
    fs::write(&path, "brine-chain-1 2026-06-01 0011\n").unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
    for (mode, reason) in [(0o600, "none of"), (0o644, "salt file")] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        let mut records = Vec::new();
        let result = member
            .keeper
            .tick(&member.sites, at("2026-06-10T12:00:00Z"), &mut records);
        let error = result.unwrap_err().to_string();
        assert!(error.contains(reason), "{error}");
        assert!(path.exists());
    }
    assert_eq!(member.keeper.living().len(), 3);
}

mod property {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// README, "Salts": what can be computed from a state after rotation is the future alone. No key that the
        /// chain's functions give, however often they are applied, is one of before.
        #[test]
        fn from_the_state_after_rotation_nothing_before_is_computed(
            bits in any::<[u8; 32]>(),
            rotated_after in 1_usize..20,
            sites in proptest::collection::vec("[a-z]{1,8}", 1..4),
        ) {
            let mut links = vec![Link::of(Secret::from_bytes(bits))];
            for _ in 0..rotated_after {
                let next = links[links.len() - 1].next();
                links.push(next);
            }
            let state = links.pop().unwrap();
            let mut before = std::collections::HashSet::new();
            for link in &links {
                before.insert(*link.expose());
                before.extend(sites.iter().map(|site| *link.salt(site, Rotation::Day).expose()));
            }
            // No key twice: sites, dates and states never meet.
            let n_sites = sites.iter().collect::<std::collections::HashSet<_>>().len();
            prop_assert_eq!(before.len(), links.len() * (1 + n_sites));
            // Everything the functions reach from the state, and from each salt as if it were a state.
            let mut reached = vec![state];
            for step in 0..40 {
                let next = reached[step].next();
                for site in &sites {
                    let salt = reached[step].salt(site, Rotation::Day);
                    prop_assert!(!before.contains(salt.expose()));
                    prop_assert!(!before.contains(Link::of(salt).next().expose()));
                }
                prop_assert!(!before.contains(next.expose()));
                reached.push(next);
            }
            // And the way on is the same for everybody.
            let next = links[links.len() - 1].next();
            prop_assert_eq!(next.expose(), reached[0].expose());
        }
    }
}
