use super::*;
use crate::config::load;

fn sites(rotation: &str) -> Sites {
    let text = format!(
        "[[site]]\nid = \"portal\"\ndomains = [\"portal.example.test\"]\ntime_zone = \"Europe/Copenhagen\"\nrotation = \"{rotation}\"\n"
    );
    load::from_text(&text, "test", &Default::default())
        .unwrap()
        .1
        .sites
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
    let keeper = Keeper::open(&path).unwrap();
    let sites = sites("day");

    let records = keeper.tick(&sites, at("2026-06-10T12:00:00Z")).unwrap();
    assert_eq!(
        (records[0].step.as_str(), records[0].reason.as_str()),
        ("created", "first_start")
    );
    assert_eq!(living(&keeper), ["2026-06-10"]);

    keeper.tick(&sites, at("2026-06-10T21:55:00Z")).unwrap(); // 23:55 in Copenhagen
    assert_eq!(living(&keeper), ["2026-06-10", "2026-06-11"]);

    assert!(
        keeper
            .tick(&sites, at("2026-06-10T23:59:59Z"))
            .unwrap()
            .is_empty()
    );
    let records = keeper.tick(&sites, at("2026-06-11T00:00:01Z")).unwrap(); // 02:00:01, two hours after
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
    let keeper = Keeper::open(&path).unwrap();
    keeper.tick(&sites, at("2026-06-10T12:00:00Z")).unwrap();
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

    let keeper = Keeper::open(&path).unwrap();
    assert!(
        keeper
            .tick(&sites, at("2026-06-10T13:00:00Z"))
            .unwrap()
            .is_empty()
    );
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

    let records = keeper.tick(&sites, at("2026-06-14T12:00:00Z")).unwrap();
    assert_eq!(records.last().unwrap().reason, "found_late");
    assert_eq!(living(&keeper), ["2026-06-14"]);
}

#[test]
fn a_clock_set_back_never_brings_a_destroyed_salt_back() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(&directory.path().join("salts")).unwrap();
    let sites = sites("day");
    keeper.tick(&sites, at("2026-06-10T12:00:00Z")).unwrap();
    let first = keeper
        .living()
        .values()
        .next()
        .unwrap()
        .by_period
        .values()
        .next()
        .unwrap()
        .clone();
    keeper.tick(&sites, at("2026-06-12T12:00:00Z")).unwrap();
    keeper.tick(&sites, at("2026-06-10T12:00:00Z")).unwrap();
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
        .clone();
    assert_ne!(first.expose(), again.expose());
}

#[test]
fn weeks_months_and_removed_sites() {
    let directory = tempfile::tempdir().unwrap();
    let keeper = Keeper::open(&directory.path().join("salts")).unwrap();
    keeper
        .tick(&sites("week"), at("2026-06-10T12:00:00Z"))
        .unwrap();
    assert_eq!(living(&keeper), ["2026-06-08"]);
    keeper
        .tick(&sites("month"), at("2026-06-10T12:00:00Z"))
        .unwrap();
    assert!(living(&keeper).contains(&"2026-06-01".to_owned()));
    let other = "[[site]]\nid = \"other\"\ndomains = [\"other.test\"]\n";
    let other = load::from_text(other, "test", &Default::default())
        .unwrap()
        .1
        .sites;
    keeper.tick(&other, at("2026-06-10T12:00:00Z")).unwrap();
    assert!(keeper.living().keys().all(|id| id.as_str() == "other"));
}

#[test]
fn a_directory_that_others_can_read_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("salts");
    fs::create_dir(&path).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(
        Keeper::open(&path)
            .unwrap_err()
            .to_string()
            .contains("0755")
    );
}
