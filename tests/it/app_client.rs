//! README, "Apps": the reference client against the real brine, with everything that goes wrong on a phone.

use std::cell::Cell;
use std::io;
use std::path::Path;
use std::rc::Rc;

use brine::app_client::transport::{Plain, Response, Transport};
use brine::app_client::{Choice, Client, Delivered, Device, Event, Settings};

use crate::support::Brine;

const AGENT: &str = "PortalApp/4.2 (Windows 11; desktop)";

/// What the network does to the next request.
#[derive(Clone, Copy, PartialEq)]
enum Network {
    Sound,
    /// Nothing gets through.
    Away,
    /// The collector has it, and its answer is lost.
    LosesAnswers,
}

#[derive(Clone)]
struct Flaky {
    plain: Plain,
    network: Rc<Cell<Network>>,
}

impl Transport for Flaky {
    fn post(&self, path: &str, user_agent: &str, body: &[u8]) -> io::Result<Response> {
        if self.network.get() == Network::Away {
            return Err(io::ErrorKind::NetworkUnreachable.into());
        }
        let response = self.plain.post(path, user_agent, body)?;
        match self.network.get() {
            Network::LosesAnswers => Err(io::ErrorKind::ConnectionReset.into()),
            _ => Ok(response),
        }
    }
}

fn open(directory: &Path, brine: &Brine, network: &Rc<Cell<Network>>) -> Client<Flaky> {
    let transport = Flaky {
        plain: Plain::to(&brine.public.to_string()),
        network: network.clone(),
    };
    let settings = Settings {
        device: Device {
            platform: Some("windows".into()),
            app_version: Some("4.2.1".into()),
            mac: Some("00:1b:44:11:3a:b7".into()),
            ..Device::default()
        },
        ..Settings::new("windows", AGENT, directory)
    };
    Client::open(settings, transport).expect("a directory")
}

/// 2026-11-21 12:00 in Copenhagen.
const NOON: i64 = 1_795_258_800_000;
const MINUTE: i64 = 60_000;

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_client_loses_and_doubles_nothing() {
    let brine = crate::support::Builder::new().clock(NOON).start();
    let home = tempfile::tempdir().expect("a directory");
    let network = Rc::new(Cell::new(Network::Sound));
    let mut now = NOON;
    let mut client = open(home.path(), &brine, &network);
    assert!(
        !client
            .record(Event::screen("/before"), now)
            .expect("a disk")
    );
    client.grant(now).expect("a yes");
    for n in 0..3 {
        now += 1_000;
        let event = Event::named("Export", "/orders/list").with("n", n);
        assert!(client.record(event, now).expect("a disk"));
    }
    // No network; then one that loses the answer; then a crash of the app; then all is well.
    network.set(Network::Away);
    assert!(matches!(client.deliver(now), Ok(Delivered::Later { .. })));
    network.set(Network::LosesAnswers);
    now += MINUTE;
    brine.set_clock(now);
    assert!(matches!(client.deliver(now), Ok(Delivered::Later { .. })));
    drop(client);
    network.set(Network::Sound);
    let mut client = open(home.path(), &brine, &network);
    assert_eq!(client.n_queued(), 3);
    let delivered = client.deliver(now).expect("a disk");
    assert!(matches!(delivered, Delivered::Sent { .. }), "{delivered:?}");
    assert_eq!((client.n_queued(), client.receipts().len()), (0, 1));
    brine.wait_drained().await;
    let rows = "SELECT count(), uniqExact(visitor), uniqExact(visit), min(path) FROM events WHERE site = 'windows'";
    assert_eq!(
        brine.sql(rows),
        ["3\t1\t1\t/orders/list"],
        "sent twice, counted once"
    );

    // The person takes it back where there is no network: in force at once, sent when there is one, and erased.
    network.set(Network::Away);
    client.record(Event::screen("/late"), now).expect("a disk");
    client.withdraw(true, now).expect("a disk");
    assert_eq!((client.choice(), client.n_queued()), (&Choice::Denied, 0));
    drop(client);
    network.set(Network::Sound);
    let mut client = open(home.path(), &brine, &network);
    assert!(!client.record(Event::screen("/after"), now).expect("a disk"));
    assert!(matches!(client.deliver(now), Ok(Delivered::Sent { .. })));
    brine.wait_for("SELECT count() FROM events WHERE site = 'windows'", 0);
    assert!(client.receipts().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_reference_client_stops_when_the_consent_is_over() {
    let brine = crate::support::Builder::new().clock(NOON).start();
    let home = tempfile::tempdir().expect("a directory");
    let network = Rc::new(Cell::new(Network::Sound));
    let mut client = open(home.path(), &brine, &network);
    client.grant(NOON).expect("a yes");
    client.record(Event::screen("/a"), NOON).expect("a disk");
    let Choice::Granted { token } = client.choice().clone() else {
        panic!("there is a yes");
    };
    // Withdrawn elsewhere: by the person at /my-data, for example.
    brine.choose("windows", "withdraw", Some(&token)).await;
    let delivered = client.deliver(NOON).expect("a disk");
    let ended = Delivered::Ended {
        outcome: "consent.withdrawn".into(),
    };
    assert_eq!(delivered, ended);
    assert_eq!((client.choice(), client.n_queued()), (&Choice::Unasked, 0));
    brine.wait_drained().await;
    assert_eq!(brine.sql("SELECT count() FROM events"), ["0"]);
}
