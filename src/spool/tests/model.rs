//! The spool against a model of its promises, under random use and random misfortune.
//!
//! After any sequence: what was acknowledged and not released comes back in order, exactly once, at
//! its position; what was refused or failed does not come back; nothing is invented; what damage
//! took is reported by index.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::super::segment::HEADER_BYTES;
use super::super::*;
use super::disk::{Call, Fault, SimDisk};
use super::support::{Bench, number, payload};

#[derive(Clone, Debug)]
enum Action {
    /// One call each, together.
    Append(u32),
    AppendMany(u32),
    Seal,
    ReadAndRelease,
    Verify,
    /// A call fails once.
    Fail(Call, usize, ErrorKind),
    /// Nothing can be created until `Mend`: new segments and cuts fail.
    BreakDown,
    Mend,
    /// The power goes at a call, during the next actions.
    PowerCutAt(Call, usize),
    PowerCut,
    Kill,
    CloseAndReopen,
    /// A bit of a sealed segment turns.
    Flip(Index, Index),
}

fn action() -> impl Strategy<Value = Action> {
    let call = || {
        prop_oneof![
            Just(Call::Create),
            Just(Call::Write),
            Just(Call::SyncData),
            Just(Call::SyncDir),
            Just(Call::Rename),
            Just(Call::Remove),
        ]
    };
    let kind = prop_oneof![Just(ErrorKind::Other), Just(ErrorKind::StorageFull)];
    prop_oneof![
        12 => (1..5u32).prop_map(Action::Append),
        4 => (1..5u32).prop_map(Action::AppendMany),
        2 => Just(Action::Seal),
        2 => Just(Action::ReadAndRelease),
        2 => Just(Action::Verify),
        3 => (call(), 0..4usize, kind).prop_map(|(call, nth, kind)| Action::Fail(call, nth, kind)),
        1 => Just(Action::BreakDown),
        2 => Just(Action::Mend),
        2 => (call(), 0..6usize).prop_map(|(call, nth)| Action::PowerCutAt(call, nth)),
        1 => Just(Action::PowerCut),
        1 => Just(Action::Kill),
        1 => Just(Action::CloseAndReopen),
        1 => (any::<Index>(), any::<Index>()).prop_map(|(file, bit)| Action::Flip(file, bit)),
    ]
}

/// What is known of a record.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    /// Must come back, from there.
    Acknowledged(Position),
    /// Not answered, or the disk could not cut it off: may come back.
    Open,
    /// Must not come back: answered as failed and cut off, or released.
    Gone,
}

struct Run {
    disk: SimDisk,
    spool: Option<Spool>,
    fates: BTreeMap<u32, Fate>,
    /// Segments a bit was flipped in.
    flipped: BTreeSet<SegmentId>,
    next: u32,
    chances: Vec<usize>,
    max_bytes: u64,
}

impl Run {
    fn new(chances: Vec<usize>, max_bytes: u64) -> Self {
        let disk = SimDisk::default();
        let (fates, flipped) = (BTreeMap::new(), BTreeSet::new());
        let mut run = Self {
            disk,
            spool: None,
            fates,
            flipped,
            next: 0,
            chances,
            max_bytes,
        };
        run.open();
        run
    }

    fn open(&mut self) {
        let max_bytes = self.max_bytes;
        let bench = Bench::simulated(&self.disk).with(|settings| {
            settings.segment_records = 7;
            settings.max_bytes = max_bytes;
        });
        self.spool = Some(bench.reopen().0);
    }

    fn spool(&self) -> Spool {
        self.spool
            .clone()
            .expect("the spool is open between actions")
    }

    async fn act(&mut self, action: &Action) {
        match action {
            Action::Append(count) => self.append(*count).await,
            Action::AppendMany(count) => self.append_many(*count).await,
            Action::Seal => self.spool().seal_now().await,
            Action::ReadAndRelease => self.release().await,
            Action::Verify => self.verify().await,
            Action::Fail(call, nth, kind) => self.disk.fail(*call, *nth, Fault::Error(*kind)),
            Action::BreakDown => self.disk.break_down(Call::Create, ErrorKind::Other),
            Action::Mend => self.disk.mend(),
            Action::PowerCutAt(call, nth) => self.disk.fail(*call, *nth, Fault::PowerCut),
            Action::PowerCut => self.power_cut(),
            Action::Kill => {
                self.disk.kill();
                self.spool = None;
                self.open();
            }
            Action::CloseAndReopen => {
                self.disk.mend();
                self.spool().close().await;
                self.spool = None;
                if self.disk.has_power() {
                    self.open()
                } else {
                    self.power_cut()
                }
            }
            Action::Flip(file, bit) => self.flip(file, bit),
        }
        if !self.disk.has_power() {
            self.power_cut();
        }
    }

    async fn append(&mut self, count: u32) {
        let numbers = self.next..self.next + count;
        self.next += count;
        let mut tasks = Vec::new();
        for n in numbers.clone() {
            self.fates.insert(n, Fate::Open);
            let spool = self.spool();
            tasks.push(tokio::spawn(async move { spool.put(n).await }));
        }
        for (n, task) in numbers.zip(tasks) {
            let answer = task.await.unwrap();
            self.answered(n, answer);
        }
    }

    async fn append_many(&mut self, count: u32) {
        let numbers = self.next..self.next + count;
        self.next += count;
        let payloads: Vec<_> = numbers.clone().map(payload).collect();
        let records: Vec<_> = payloads
            .iter()
            .map(|p| (RecordKind(1), p.as_slice()))
            .collect();
        let answer = self
            .spool()
            .append_many(&records, crate::spool::always)
            .await;
        for (offset, n) in numbers.enumerate() {
            let position = answer.clone().map(|range| Position {
                segment: range.first.segment,
                index: range.first.index + offset as u32,
            });
            self.answered(n, position);
        }
    }

    fn answered(&mut self, n: u32, answer: Result<Position, AppendError>) {
        let fate = match answer {
            Ok(position) => Fate::Acknowledged(position),
            Err(AppendError::Full(FullCause::Limit)) => Fate::Gone,
            // Failed, and the cut is written down: the spool goes on.
            Err(_) if self.disk.has_power() && self.spool().is_settled() => Fate::Gone,
            Err(_) => Fate::Open,
        };
        self.fates.insert(n, fate);
    }

    /// Reads every sealed segment and compares; returns what damage took. None: the power went meanwhile, by a call of the
    /// spool's own thread.
    fn compare(&self) -> Option<Vec<u32>> {
        let spool = self.spool();
        // Asked first: it may be sealed at any moment, and is then read below.
        let open = spool.shared.lock().open.map(|open| open.header.id);
        let (mut seen, mut damaged) = (Vec::new(), BTreeSet::new());
        for segment in spool.sealed() {
            let records = match spool.read(segment) {
                Ok(records) => records,
                Err(_) if !self.disk.has_power() => return None,
                Err(error) => panic!("{error}"),
            };
            for item in records {
                match item {
                    Ok(record) => {
                        let position = Position {
                            segment,
                            index: record.index,
                        };
                        seen.push((number(&record.payload), position));
                    }
                    Err(ReadError::Damage(damage)) => {
                        assert!(self.flipped.contains(&segment), "undamaged: {damage}");
                        damaged.extend(damage.indexes.map(|index| Position { segment, index }));
                    }
                    Err(_) if !self.disk.has_power() => return None,
                    Err(error) => panic!("{error}"),
                }
            }
        }
        assert!(
            seen.is_sorted_by(|a, b| a.0 < b.0),
            "order, or doubled: {seen:?}"
        );
        let seen: BTreeMap<_, _> = seen.into_iter().collect();
        for (n, position) in &seen {
            match self.fates.get(n) {
                Some(Fate::Acknowledged(at)) => assert_eq!(position, at, "record {n}"),
                Some(Fate::Open) => {}
                other => panic!("record {n} came back: {other:?}"),
            }
        }
        let mut lost = Vec::new();
        for (n, fate) in &self.fates {
            if let Fate::Acknowledged(at) = fate
                && !seen.contains_key(n)
                && Some(at.segment) != open
            {
                // In a flipped segment that was the last one, the group may have been taken for a
                // torn tail; its bytes are then in quarantine.
                let explained = damaged.contains(at)
                    || (self.flipped.contains(&at.segment)
                        && self.disk.quarantine_has(&payload(*n)[..3]));
                assert!(explained, "record {n} at {at:?} is lost");
                lost.push(*n);
            }
        }
        Some(lost)
    }

    async fn verify(&mut self) {
        self.spool().seal_now().await;
        if self.disk.has_power() && self.spool().is_settled() {
            self.compare();
        }
    }

    async fn release(&mut self) {
        let spool = self.spool();
        let Some(lost) = self.compare() else {
            return;
        };
        for segment in spool.sealed() {
            let there = match spool.read(segment) {
                Ok(records) => records,
                Err(_) if !self.disk.has_power() => return,
                Err(error) => panic!("{error}"),
            };
            let there: Vec<_> = there.flatten().map(|r| number(&r.payload)).collect();
            // Until it is known to be done, a release may or may not have happened.
            let released = spool.release(segment).is_ok();
            let fate = if released { Fate::Gone } else { Fate::Open };
            for n in there {
                self.fates.insert(n, fate);
            }
            if !released {
                break;
            }
        }
        for n in lost {
            self.fates.insert(n, Fate::Gone);
        }
    }

    fn power_cut(&mut self) {
        self.spool = None;
        let mut chances = self.chances.iter().cycle();
        self.disk
            .crash(|n| chances.next().map_or(0, |chance| chance % n));
        self.chances.rotate_left(1);
        self.open();
    }

    fn flip(&mut self, file: &Index, bit: &Index) {
        let spool = self.spool();
        let sealed = spool.sealed();
        let last = spool
            .shared
            .lock()
            .open
            .is_none()
            .then(|| sealed.last().copied())
            .flatten();
        if sealed.is_empty() {
            return;
        }
        let id = *file.get(&sealed);
        // The very last one may lose its seal, and then its last group: `damage` tests that.
        if Some(id) == last || !self.flipped.insert(id) {
            return;
        }
        self.disk.edit(&spool.path_of(id), |bytes| {
            if bytes.len() > HEADER_BYTES {
                let bit = bit.index(bytes.len() * 8);
                bytes[bit / 8] ^= 1 << (bit % 8);
            }
        });
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 400,
        // A sequence that was found becomes a test with a name.
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn everything_acknowledged_and_unreleased_comes_back_once_and_in_order(
        actions in vec(action(), 1..60),
        chances in vec(0..1000usize, 1..20),
        max_bytes in prop_oneof![Just(5_000u64), Just(1 << 30)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut run = Run::new(chances, max_bytes);
            for action in &actions {
                run.act(action).await;
            }
            run.disk.mend();
            run.spool().close().await;
            run.spool = None;
            run.open();
            run.verify().await;
        });
    }
}
