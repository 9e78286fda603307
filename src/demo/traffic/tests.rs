use super::*;
use crate::config::{Config, REFERENCE};

fn traffic(fill: &Fill, until: &str) -> Traffic {
    let config = Config::check(&toml::from_str(REFERENCE).unwrap()).unwrap();
    Traffic::new(fill, &config.sites, until.parse().unwrap())
}

fn all(mut traffic: Traffic) -> Vec<Vec<Action>> {
    std::iter::from_fn(|| traffic.next_day()).collect()
}

const UNTIL: &str = "2026-11-24T15:30:00Z";

fn a_fill(days: u16, seed: u64) -> Fill {
    Fill {
        days,
        seed,
        scale: 0.1,
    }
}

#[test]
fn the_same_seed_makes_the_same_traffic_up() {
    let texts = |seed| format!("{:?}", all(traffic(&a_fill(3, seed), UNTIL)));
    let first = texts(1);
    assert!(first == texts(1), "the same seed");
    assert!(first != texts(2), "another seed");
}

#[test]
fn days_are_in_order_and_end_now() {
    let days = all(traffic(&a_fill(3, 1), UNTIL));
    assert_eq!(days.len(), 4);
    let until = UNTIL.parse::<Timestamp>().unwrap().as_millisecond();
    let times: Vec<i64> = days.iter().flatten().map(|action| action.at_ms).collect();
    assert!(times.is_sorted());
    assert!(times[times.len() - 1] < until);
    assert!(
        until - times[times.len() - 1] < 600_000,
        "it goes on until now"
    );
    let begins = traffic(&a_fill(3, 1), UNTIL).begins();
    assert_eq!(begins.to_string(), "2026-11-20T23:00:00Z");
    assert!(times[0] >= begins.as_millisecond());
}

/// What the README says of the made-up sites.
#[test]
fn weeks_have_their_shape_and_people_come_back() {
    let days = all(traffic(&a_fill(27, 1), UNTIL));
    let mut pages = [0u32; 7];
    let (mut asked, mut yes, mut back, mut sent) = (0, 0, 0, 0);
    for action in days[..27].iter().flatten() {
        match &action.step {
            Step::Ask { yes: said, .. } => {
                asked += 1;
                yes += i32::from(said.is_some());
            }
            Step::Send { body, .. } if body.n == "pageview" && action.site == 0 => {
                let day = Timestamp::from_millisecond(action.at_ms).unwrap();
                let zone = TimeZone::get("Europe/Copenhagen").unwrap();
                pages[zone.to_datetime(day).weekday().to_monday_zero_offset() as usize] += 1;
                sent += 1;
                back += i32::from(!body.s.ends_with(".new"));
            }
            _ => {}
        }
    }
    assert!(
        pages[5] * 2 < pages[1] && pages[6] * 2 < pages[1],
        "{pages:?}"
    );
    let share = f64::from(yes) / f64::from(asked);
    assert!((0.55..0.85).contains(&share), "{share}");
    assert!(back * 2 > sent, "{back} of {sent}");
}
