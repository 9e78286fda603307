use super::*;

fn at(slot: i64) -> Timestamp {
    Timestamp::from_second(slot * SLOT_S + 300).unwrap()
}

fn open(directory: &Path, most: usize, slot: i64) -> EventIds {
    EventIds::open(directory, &Secret::from_bytes([5; 32]), most, at(slot)).unwrap()
}

fn known(ids: &EventIds, id: EventId) -> bool {
    match ids.claim(id) {
        Claim::Repeated => true,
        Claim::New => {
            ids.release([id]);
            false
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn an_id_is_of_one_site_and_one_sender_and_boundaries_matter() {
    let directory = tempfile::tempdir().unwrap();
    let ids = open(directory.path(), 100, 1_000);
    let name = |site, sender: &[u8], id| ids.name(site, sender, id, at(1_000), BATCH_SLOTS);
    let base = name("windows", b"c1", "17");
    assert_eq!(base, name("windows", b"c1", "17"));
    for other in [
        name("ios", b"c1", "17"),
        name("windows", b"c2", "17"),
        name("windows", b"c1", "18"),
        name("windows", b"c11", "7"),
    ] {
        assert_ne!(base.hash, other.hash);
    }
}

/// Ids are in the spool and in the log: whoever hashes otherwise counts twice.
#[test]
fn an_id_is_hashed_alike_however_long_it_is() {
    let key = Secret::from_bytes([5; 32]);
    for n in (0..200).chain(350..400).chain([1_000, 5_000]) {
        let (site, sender, id) = (vec![b's'; n / 3], vec![b'v'; n / 2], vec![b'i'; n]);
        let mut hasher = blake3::Hasher::new_keyed(key.expose());
        for field in [&site, &sender, &id] {
            hasher.update(&(field.len() as u64).to_le_bytes());
            hasher.update(field);
        }
        assert_eq!(keyed(&key, [&site, &sender, &id]), hasher.finalize(), "{n}");
    }
}

#[test]
fn ids_of_a_batch_are_remembered_across_restarts_for_72_hours_and_then_gone_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let ids = open(directory.path(), 100, 1_000);
    let batch = ids.name("windows", b"c", "a", at(1_000), BATCH_SLOTS);
    let single = ids.name("windows", b"c", "b", at(1_000), SINGLE_SLOTS);
    for id in [batch, single] {
        assert!(matches!(ids.claim(id), Claim::New));
        assert!(matches!(ids.claim(id), Claim::Claimed));
        ids.remember(id);
    }
    ids.persist(vec![single, batch]).unwrap();

    let ids = open(directory.path(), 100, 1_001);
    assert!(known(&ids, batch) && known(&ids, single));
    assert_eq!(ids.sweep(at(1_432)).unwrap(), 0);
    assert!(known(&ids, batch) && !known(&ids, single));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    ids.sweep(at(1_433)).unwrap();
    assert!(!known(&ids, batch));
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
}

#[test]
fn a_torn_tail_and_a_flipped_bit_cost_their_entry_alone() {
    let directory = tempfile::tempdir().unwrap();
    let ids = open(directory.path(), 100, 1_000);
    let id = |n: u64| EventId {
        until_slot: 1_073,
        hash: n,
    };
    ids.persist(vec![id(1), id(2), id(3)]).unwrap();
    let path = ids.log().path(1_073);
    let mut bytes = fs::read(&path).unwrap();
    bytes[ENTRY_BYTES] ^= 1;
    bytes.extend_from_slice(b"torn");
    fs::write(&path, &bytes).unwrap();
    let ids = open(directory.path(), 100, 1_000);
    ids.persist(vec![id(4)]).unwrap();
    let ids = open(directory.path(), 100, 1_000);
    assert!(known(&ids, id(1)) && known(&ids, id(3)) && known(&ids, id(4)));
    assert!(!known(&ids, id(2)));
}

#[test]
fn too_many_are_bounded_in_memory_and_on_disk_and_the_soonest_over_go_first() {
    let directory = tempfile::tempdir().unwrap();
    let most = 1_600;
    let ids = open(directory.path(), most, 1_000);
    let hash = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let batch: Vec<EventId> = (0..1_000)
        .map(|n| EventId {
            until_slot: 1_073,
            hash: hash(n),
        })
        .collect();
    let single: Vec<EventId> = (1_000..11_000)
        .map(|n| EventId {
            until_slot: 1_002,
            hash: hash(n),
        })
        .collect();
    for id in batch.iter().chain(&single) {
        ids.remember(*id);
    }
    ids.persist(single.clone()).unwrap();
    ids.persist(batch.clone()).unwrap();
    assert!(ids.sweep(at(1_000)).unwrap() > 9_000);
    assert!(ids.len() <= most, "{}", ids.len());
    assert!(batch.iter().all(|id| known(&ids, *id)));
    // The file of the single ones alone was too much.
    let ids = open(directory.path(), most, 1_000);
    assert_eq!(ids.len(), batch.len());
}
