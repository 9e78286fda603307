//! The life of a salt: made, out of use, destroyed, whatever clock and disk do.

mod collectors;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::thread;
use std::time::Duration;

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

/// The day that a week or a month begins with has a salt of its own, which was promised to go with the day.
#[test]
fn a_salt_of_a_day_is_not_that_of_the_week_or_month_that_begins_with_it() {
    // A Monday that is the first of a month; then by restart, and within the day's grace.
    for (moment, later) in [
        ("2026-06-01T12:00:00Z", "2026-06-01T12:00:01Z"),
        ("2026-06-01T12:00:00Z", "2026-06-01T22:30:00Z"),
    ] {
        for (from, to) in [
            ("day", "week"),
            ("day", "month"),
            ("week", "month"),
            ("month", "day"),
        ] {
            for restarts in [false, true] {
                let directory = tempfile::tempdir().unwrap();
                let mut kept = Kept::new(from, directory.path());
                assert_eq!(kept.at(moment), ["2026-06-01"]);
                let salt = |kept: &Kept| {
                    let living = kept.keeper.living();
                    let (_, salts) = living.iter().next().expect("one site");
                    salts.of(20_605).cloned()
                };
                let before = salt(&kept).expect("lives");
                if restarts {
                    kept = Kept::new(to, directory.path());
                }
                kept.sites = sites(to);
                let mut records = Vec::new();
                kept.keeper
                    .tick(&kept.sites, at(later), &mut records)
                    .unwrap();
                let changed = records
                    .iter()
                    .filter(|step| step.reason == "rotation_changed");
                assert_eq!(changed.count(), 1, "{from} {to} {records:?}");
                if let Some(after) = salt(&kept) {
                    assert_ne!(after.expose(), before.expose(), "{from} {to}");
                }
                assert_eq!(kept.at(later).len(), living(&kept.keeper).len());
            }
        }
    }
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
    // It is known, and tried again until the disk lets it go.
    let now = at("2026-06-12T12:00:01Z");
    let mut records = Vec::new();
    day.keeper
        .tick(&day.sites, now, &mut records)
        .expect_err("still there");
    assert!(day.keeper.ages(&day.sites, now).overdue_s > 0);
    assert!(records.is_empty(), "{records:?}");
    fs::remove_dir(&path).unwrap();
    fs::write(&path, [1; 32]).unwrap();
    day.keeper.tick(&day.sites, now, &mut records).unwrap();
    assert!(!path.exists());
    assert_eq!(day.keeper.ages(&day.sites, now).overdue_s, 0);
    let steps: Vec<&str> = records.iter().map(|step| step.step.as_str()).collect();
    assert_eq!(steps, ["destroyed"]);
}

#[test]
fn a_state_of_the_chain_that_cannot_be_destroyed_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let files = files::Files::open(&directory.path().join("salts"), None).unwrap();
    let (mut chain, _) = chain::Chain::open(&files, &[]).unwrap();
    let seed = chain::Seed {
        day: 20_000,
        link: chain::Link::of(Secret::random()),
    };
    chain.adopt(&files, seed).unwrap();
    let path = |name: &str| directory.path().join("salts").join(name);
    let states = || {
        let mut names = files.names().unwrap();
        names.sort();
        names
    };
    let first = states().remove(0);
    fs::remove_file(path(&first)).unwrap();
    fs::create_dir(path(&first)).unwrap();
    for _ in 0..2 {
        chain
            .walk(&files, 20_005, |_, _| Ok(()))
            .expect_err("it is still there");
    }
    fs::remove_dir(path(&first)).unwrap();
    fs::write(path(&first), [1; 32]).unwrap();
    chain.walk(&files, 20_005, |_, _| Ok(())).unwrap();
    assert!(!path(&first).exists());
    assert_eq!(chain.position(), Some(20_006));
    assert_eq!(states().len(), 1);
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
