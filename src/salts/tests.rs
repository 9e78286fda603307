use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::*;
use crate::config::load;
use crate::secret;

fn sites(rotation: &str) -> Sites {
    let text = format!(
        "[[site]]\nid = \"portal\"\ndomains = [\"portal.example.test\"]\ntime_zone = \"Europe/Copenhagen\"\nrotation = \"{rotation}\"\n"
    );
    load::from_text(&text, "test", &Default::default())
        .unwrap()
        .1
        .sites
}

fn tick(keeper: &Keeper, sites: &Sites, now: Timestamp) -> Vec<SaltStep> {
    let mut records = Vec::new();
    keeper.tick(sites, now, &mut records).unwrap();
    records
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn living(keeper: &Keeper) -> Vec<String> {
    keeper
        .living()
        .values()
        .flat_map(|salts| {
            salts
                .by_period
                .keys()
                .map(|p| date_of(*p).to_string())
                .collect::<Vec<_>>()
        })
        .collect()
}

fn files(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_salt_is_made_before_midnight_and_destroyed_after_the_grace() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salts");
    let keeper = Keeper::open(&path, Keeping::default()).unwrap();
    let sites = sites("day");

    let records = tick(&keeper, &sites, at("2026-06-10T12:00:00Z"));
    assert_eq!(
        (records[0].step.as_str(), records[0].reason.as_str()),
        ("created", "first_start")
    );
    assert_eq!(living(&keeper), ["2026-06-10"]);

    tick(&keeper, &sites, at("2026-06-10T21:55:00Z")); // 23:55 in Copenhagen
    assert_eq!(living(&keeper), ["2026-06-10", "2026-06-11"]);

    assert!(tick(&keeper, &sites, at("2026-06-10T23:59:59Z")).is_empty());
    let records = tick(&keeper, &sites, at("2026-06-11T00:00:01Z")); // 02:00:01, two hours after
    assert_eq!(
        (records[0].step.as_str(), records[0].reason.as_str()),
        ("destroyed", "grace_over")
    );
    assert_eq!(living(&keeper), ["2026-06-11"]);
    assert_eq!(files(&path), ["portal@2026-06-11.salt"]);
}

#[test]
fn a_salt_survives_a_restart_and_a_machine_asleep_for_days_destroys_it_on_waking() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salts");
    let sites = sites("day");
    let keeper = Keeper::open(&path, Keeping::default()).unwrap();
    tick(&keeper, &sites, at("2026-06-10T12:00:00Z"));
    let period = period::local_day(
        at("2026-06-10T12:00:00Z"),
        &sites.find("portal").unwrap().time_zone,
    );
    let before = keeper
        .living()
        .values()
        .next()
        .unwrap()
        .of(period)
        .unwrap()
        .clone();

    let keeper = Keeper::open(&path, Keeping::default()).unwrap();
    assert!(tick(&keeper, &sites, at("2026-06-10T13:00:00Z")).is_empty());
    assert_eq!(
        keeper
            .living()
            .values()
            .next()
            .unwrap()
            .of(period)
            .unwrap()
            .expose(),
        before.expose()
    );

    let records = tick(&keeper, &sites, at("2026-06-14T12:00:00Z"));
    assert_eq!(records.last().unwrap().reason, "found_late");
    assert_eq!(living(&keeper), ["2026-06-14"]);
}

#[test]
fn a_clock_set_back_never_brings_a_destroyed_salt_back() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(&directory.path().join("salts"), Keeping::default()).unwrap();
    let sites = sites("day");
    tick(&keeper, &sites, at("2026-06-10T12:00:00Z"));
    let first = keeper
        .living()
        .values()
        .next()
        .unwrap()
        .by_period
        .values()
        .next()
        .unwrap()
        .secret
        .clone();
    tick(&keeper, &sites, at("2026-06-12T12:00:00Z"));
    tick(&keeper, &sites, at("2026-06-10T12:00:00Z"));
    assert_eq!(living(&keeper), ["2026-06-10", "2026-06-12"]);
    let again = keeper
        .living()
        .values()
        .next()
        .unwrap()
        .by_period
        .values()
        .next()
        .unwrap()
        .secret
        .clone();
    assert_ne!(first.expose(), again.expose());
}

#[test]
fn weeks_months_and_removed_sites() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(&directory.path().join("salts"), Keeping::default()).unwrap();
    tick(&keeper, &sites("week"), at("2026-06-10T12:00:00Z"));
    assert_eq!(living(&keeper), ["2026-06-08"]);
    tick(&keeper, &sites("month"), at("2026-06-10T12:00:00Z"));
    assert!(living(&keeper).contains(&"2026-06-01".to_owned()));
    let other = "[[site]]\nid = \"other\"\ndomains = [\"other.test\"]\n";
    let other = load::from_text(other, "test", &Default::default())
        .unwrap()
        .1
        .sites;
    tick(&keeper, &other, at("2026-06-10T12:00:00Z"));
    assert!(keeper.living().keys().all(|id| id.as_str() == "other"));
}

#[test]
fn a_directory_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salts");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        Keeper::open(&path, Keeping::default())
            .unwrap_err()
            .to_string()
            .contains("0755")
    );
}

/// Keeps the salts of a site with `rotation` in Copenhagen, by the clock it is given.
struct Kept {
    keeper: Keeper,
    sites: Sites,
}

impl Kept {
    fn new(rotation: &str, directory: &Path) -> Kept {
        Kept {
            keeper: Keeper::open(&directory.join("salts"), Keeping::default()).unwrap(),
            sites: sites(rotation),
        }
    }

    /// Lives until `now` and returns what lives then.
    fn at(&self, now: &str) -> Vec<String> {
        tick(&self.keeper, &self.sites, at(now));
        let mut dates = living(&self.keeper);
        dates.sort();
        dates
    }
}

#[test]
fn a_week_ends_at_the_midnight_before_monday_and_a_month_before_the_first() {
    let directory = tempfile::tempdir().unwrap();
    let week = Kept::new("week", directory.path());
    assert_eq!(week.at("2026-06-13T12:00:00Z"), ["2026-06-08"]); // a Saturday
    assert_eq!(week.at("2026-06-14T21:49:59Z"), ["2026-06-08"]);
    assert_eq!(
        week.at("2026-06-14T21:50:00Z"),
        ["2026-06-08", "2026-06-15"]
    );
    assert_eq!(
        week.at("2026-06-15T00:00:00Z"),
        ["2026-06-08", "2026-06-15"]
    );
    assert_eq!(week.at("2026-06-15T00:00:01Z"), ["2026-06-15"]);
    let directory = tempfile::tempdir().unwrap();
    let month = Kept::new("month", directory.path());
    assert_eq!(month.at("2028-02-28T12:00:00Z"), ["2028-02-01"]); // 2028 has a 29 February
    assert_eq!(
        month.at("2028-02-29T22:59:00Z"),
        ["2028-02-01", "2028-03-01"]
    );
    assert_eq!(
        month.at("2028-03-01T01:00:00Z"),
        ["2028-02-01", "2028-03-01"]
    );
    assert_eq!(month.at("2028-03-01T01:00:01Z"), ["2028-03-01"]);
}

/// The day that loses an hour lasts 23, the one that gains it 25: one salt each, the grace two real hours.
#[test]
fn a_day_of_23_or_25_hours_has_one_salt() {
    let directory = tempfile::tempdir().unwrap();
    let day = Kept::new("day", directory.path());
    for (now, dates) in [
        ("2026-03-28T23:00:00Z", vec!["2026-03-29"]),
        ("2026-03-29T21:49:59Z", vec!["2026-03-29"]),
        ("2026-03-29T22:00:00Z", vec!["2026-03-29", "2026-03-30"]),
        ("2026-03-30T00:00:00Z", vec!["2026-03-29", "2026-03-30"]),
        ("2026-03-30T00:00:01Z", vec!["2026-03-30"]),
        ("2026-10-24T22:00:00Z", vec!["2026-10-25"]),
        ("2026-10-25T22:49:59Z", vec!["2026-10-25"]),
        ("2026-10-25T23:00:00Z", vec!["2026-10-25", "2026-10-26"]),
        ("2026-10-26T01:00:01Z", vec!["2026-10-26"]),
        // 2016 ended with a leap second: 23:59:60 UTC is 23:59:59 or 00:00:00 to the system, one of the two days.
        ("2016-12-31T22:59:59Z", vec!["2016-12-31", "2017-01-01"]),
    ] {
        let found = day.at(now);
        assert!(
            dates.iter().all(|date| found.contains(&(*date).to_owned())),
            "{now}: {found:?}"
        );
        if !now.starts_with("2016") {
            assert_eq!(found, dates, "{now}");
        }
    }
}

#[test]
fn a_clock_far_ahead_and_put_right_leaves_no_salt_that_lives_for_years() {
    let directory = tempfile::tempdir().unwrap();
    let day = Kept::new("day", directory.path());
    day.at("2026-06-10T12:00:00Z");
    assert_eq!(day.at("2031-01-01T12:00:00Z"), ["2031-01-01"]);
    assert_eq!(day.at("2026-06-10T12:00:01Z"), ["2026-06-10"]);
    // A small step over midnight and back keeps what the next day needs.
    assert_eq!(day.at("2026-06-10T22:00:30Z"), ["2026-06-10", "2026-06-11"]);
    assert_eq!(day.at("2026-06-10T21:30:00Z"), ["2026-06-10", "2026-06-11"]);
}

#[test]
fn a_changed_rotation_leaves_no_salt_of_the_former_one() {
    let directory = tempfile::tempdir().unwrap();
    let mut kept = Kept::new("day", directory.path());
    assert_eq!(kept.at("2026-06-10T12:00:00Z"), ["2026-06-10"]); // a Wednesday
    kept.sites = sites("week");
    assert_eq!(kept.at("2026-06-10T12:00:01Z"), ["2026-06-08"]);
    kept.sites = sites("day");
    assert_eq!(kept.at("2026-06-10T12:00:02Z"), ["2026-06-10"]);
}

#[test]
fn what_cannot_be_destroyed_is_out_of_use_and_hinders_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let day = Kept::new("day", directory.path());
    day.at("2026-06-10T12:00:00Z");
    // A directory in place of the file: it can be neither overwritten nor unlinked.
    let path = directory.path().join("salts/portal@2026-06-10.salt");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    let mut records = Vec::new();
    let result = day
        .keeper
        .tick(&day.sites, at("2026-06-12T12:00:00Z"), &mut records);
    assert!(result.unwrap_err().to_string().contains("2026-06-10.salt"));
    assert_eq!(living(&day.keeper), ["2026-06-12"]);
    assert_eq!(records.len(), 1, "the new one is made: {records:?}");
}

#[test]
fn the_record_says_how_and_memory_is_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let day = Kept::new("day", directory.path());
    day.at("2026-06-10T12:00:00Z");
    let period = local_day(
        at("2026-06-10T12:00:00Z"),
        &day.sites.find("portal").unwrap().time_zone,
    );
    let held = day
        .keeper
        .living()
        .values()
        .next()
        .unwrap()
        .of(period)
        .unwrap()
        .clone();
    let trace = held.trace();
    let records = thread::scope(|scope| {
        scope.spawn(move || {
            thread::sleep(Duration::from_millis(50));
            drop(held);
        });
        tick(&day.keeper, &day.sites, at("2026-06-12T12:00:00Z"))
    });
    assert_eq!(records[1].how, "overwritten, unlinked, wiped");
    assert!(trace.is_wiped());
}

#[test]
fn sealed_salts_are_worth_nothing_without_their_key() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salts");
    let keep = |key: &Secret| {
        Keeper::open(
            &path,
            Keeping {
                key: Some(key.clone()),
                seed_file: None,
            },
        )
    };
    let (key, sites, now) = (Secret::random(), sites("day"), at("2026-06-10T12:00:00Z"));
    let bits = |keeper: &Keeper| {
        let living = keeper.living();
        let (_, salt) = living.values().next().unwrap().iter().next().unwrap();
        *salt.expose()
    };
    // Begun in the clear: sealed at the next start, and the clear blocks overwritten.
    let clear = Keeper::open(&path, Keeping::default()).unwrap();
    tick(&clear, &sites, now);
    let before = bits(&clear);
    let file = path.join("portal@2026-06-10.salt");
    assert_eq!(fs::read(&file).unwrap(), before);
    let sealed = keep(&key).unwrap();
    assert_eq!(bits(&sealed), before);
    let stored = fs::read(&file).unwrap();
    assert_eq!(stored.len(), wrap::SEALED_BYTES);
    assert!(!stored.windows(8).any(|window| window == &before[..8]));
    assert_eq!(bits(&keep(&key).unwrap()), before, "and again");
    // Without a key brine says what is missing, and leaves the files alone.
    let error = Keeper::open(&path, Keeping::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("salts.key_file") && error.contains("2026-06-10"),
        "{error}"
    );
    assert_eq!(fs::read(&file).unwrap(), stored);
    // With another one they are lost, which is recorded.
    let other = keep(&Secret::random()).unwrap();
    assert!(!file.exists());
    let records = tick(&other, &sites, now);
    let steps: Vec<_> = records
        .iter()
        .map(|r| (r.step.as_str(), r.reason.as_str()))
        .collect();
    assert_eq!(steps, [("destroyed", "key_lost"), ("created", "key_lost")]);
    assert_ne!(bits(&other), before);
}

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
        *link.salt("a").expose()
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
                before.extend(sites.iter().map(|site| *link.salt(site).expose()));
            }
            // No key twice: sites, dates and states never meet.
            let n_sites = sites.iter().collect::<std::collections::HashSet<_>>().len();
            prop_assert_eq!(before.len(), links.len() * (1 + n_sites));
            // Everything the functions reach from the state, and from each salt as if it were a state.
            let mut reached = vec![state];
            for step in 0..40 {
                let next = reached[step].next();
                for site in &sites {
                    let salt = reached[step].salt(site);
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
