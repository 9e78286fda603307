//! What is stored: events and the few other records that travel through the spool.
//!
//! Comes in: what the steps before made. Goes out: bytes for the spool, and back. Nothing here can hold
//! an address, a user agent, a visitor id or a token: there is no field for them.
//!
//! **On disk.** Payloads are postcard (its wire format 1) under the record kind below. A kind's layout is
//! never edited: a changed struct gets a new kind, and [`decode`] learns both.

use compact_str::CompactString;
use postcard::ser_flavors::Flavor;
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// One event, as `events` keeps it (less `batch_id` and `seq`, which the batch step adds). Texts are owned on
/// the way in, and borrowed from the spool's bytes on the way out: no copies for rows that pass through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)] // The columns' COMMENTs in schema/ say what each holds, its unit and how long.
pub struct Event<S = String> {
    pub site: S,
    /// Milliseconds since 1970 UTC.
    pub ts_ms: i64,
    /// The site's local date: days since 1970-01-01.
    pub day: u16,
    /// First local date on which the event must be gone: days since 1970-01-01.
    pub expires: u16,
    pub name: S,
    pub visitor: u64,
    pub visit: u64,
    pub device_id: u64,
    pub is_interactive: bool,
    pub hostname: S,
    pub path: S,
    pub referrer: S,
    pub source: S,
    pub channel: S,
    pub utm_source: S,
    pub utm_medium: S,
    pub utm_campaign: S,
    pub utm_content: S,
    pub utm_term: S,
    pub country: S,
    pub region: S,
    pub city: S,
    pub browser: S,
    pub browser_version: S,
    pub os: S,
    pub os_version: S,
    pub device: S,
    pub language: S,
    pub screen: S,
    pub platform: S,
    pub app_version: S,
    pub days_since_last: S,
    pub props: Vec<(S, S)>,
    pub revenue: f64,
    pub currency: S,
    pub engagement_ms: u32,
    pub scroll_depth: u8,
    pub lcp_ms: Option<f32>,
    pub inp_ms: Option<f32>,
    pub cls: Option<f32>,
    pub ttfb_ms: Option<f32>,
    pub fcp_ms: Option<f32>,
}

/// A grant or a withdrawal, for the ledger.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct ConsentRecord {
    pub scope: String,
    pub site: String,
    pub ts_ms: i64,
    pub choice: ConsentChoice,
    pub policy_version: u16,
    pub purposes: Vec<String>,
    pub source: String,
    pub ledger: u128,
    /// Last day the token would have been valid: days since 1970-01-01 UTC.
    pub last_day: u16,
    /// First date on which the ledger row must be gone.
    pub expires: u16,
}

/// What the ledger records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ConsentChoice {
    /// Yes.
    Grant,
    /// Not any more.
    Withdraw,
}

impl ConsentChoice {
    /// Returns the word in the ledger.
    pub fn name(self) -> &'static str {
        match self {
            ConsentChoice::Grant => "grant",
            ConsentChoice::Withdraw => "withdraw",
        }
    }
}

/// A no. Site and day, nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct DenialRecord {
    pub site: String,
    /// The site's local date: days since 1970-01-01.
    pub day: u16,
}

/// A step in the life of a salt; neither the salt nor a hash of it. What a spool of before may still hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct SaltRecord {
    pub site: String,
    /// First local date of the salt's period: days since 1970-01-01.
    pub period: u16,
    pub ts_ms: i64,
    /// `created` or `destroyed`.
    pub step: String,
    /// Why, in a word: `rotation`, `first_start`, `grace_over`, `found_late`.
    pub reason: String,
}

/// A step in the life of a salt, and how it was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `salt_events` in schema/.
pub struct SaltStep {
    pub site: String,
    /// First local date of the salt's period: days since 1970-01-01.
    pub period: u16,
    pub ts_ms: i64,
    pub step: String,
    pub reason: String,
    pub how: String,
}

impl From<SaltRecord> for SaltStep {
    fn from(record: SaltRecord) -> SaltStep {
        SaltStep {
            site: record.site,
            period: record.period,
            ts_ms: record.ts_ms,
            step: record.step,
            reason: record.reason,
            how: String::new(),
        }
    }
}

/// A step of a visitor's request; nothing of who asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `requests` in schema/.
pub struct RequestRecord {
    pub request: u64,
    pub site: String,
    pub ts_ms: i64,
    pub step: String,
    pub action: String,
    pub channel: String,
    pub periods: u32,
    pub affected: u64,
    pub verified: String,
    /// First date on which the row must be gone: days since 1970-01-01.
    pub expires: u16,
}

/// A pseudonym whose events are not to be counted, or are to be counted again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `restrictions` in schema/.
pub struct RestrictionRecord {
    pub site: String,
    pub day: u16,
    pub visitor: u64,
    pub is_restricted: bool,
    pub ts_ms: i64,
    pub expires: u16,
}

/// Who looked at what. About those who use brine; nothing of visitors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `access_log` in schema/.
pub struct AccessRecord {
    pub ts_ms: i64,
    pub who: String,
    pub via: String,
    pub action: String,
    pub site: String,
    pub detail: String,
    /// First date on which the row must be gone: days since 1970-01-01.
    pub expires: u16,
}

/// What is remembered of the id that a sender gave its event, so that the same event counts once. Not of the row: it
/// leaves the event when the spool does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventId {
    /// When it is forgotten: in ten minutes since 1970 UTC.
    pub until_slot: u32,
    /// Keyed hash of site, sender and id (see [`crate::event_ids`]).
    pub hash: u64,
}

/// What was purged, and what verified it; nothing personal. Or a note about a site that is not configured any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `purges` in schema/.
pub struct PurgeRecord {
    pub purge: u64,
    pub run: u64,
    pub site: String,
    pub table: String,
    pub rule: String,
    pub ts_ms: i64,
    pub first_day: u16,
    pub last_day: u16,
    pub rows: u64,
    pub bytes: u64,
    pub verified: String,
    pub version: String,
}

/// That the retention job ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)] // As the columns of `retention_runs` in schema/.
pub struct RunRecord {
    pub run: u64,
    pub collector: String,
    pub started_by: String,
    pub ts_ms: i64,
    pub ended_ms: i64,
    pub purges: u32,
    pub rows: u64,
    pub bytes: u64,
    pub days: u32,
    pub findings: Vec<String>,
    pub held: Vec<String>,
    pub version: String,
}

/// An event on its way in: names from closed sets stay borrowed, short texts are kept in place.
pub type Draft = Event<CompactString>;

/// Anything the spool carries.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Record<'a> {
    Event(Box<Event<&'a str>>),
    Consent(ConsentRecord),
    Denial(DenialRecord),
    Salt(SaltStep),
    Request(RequestRecord),
    Restriction(RestrictionRecord),
    Access(AccessRecord),
    Purge(PurgeRecord),
    Run(RunRecord),
}

/// Record kinds in the spool. Numbers are never reused.
pub mod kind {
    /// [`super::Event`].
    pub const EVENT: u8 = 1;
    /// [`super::ConsentRecord`].
    pub const CONSENT: u8 = 2;
    /// [`super::DenialRecord`].
    pub const DENIAL: u8 = 3;
    /// [`super::SaltRecord`].
    pub const SALT: u8 = 4;
    /// [`super::RequestRecord`].
    pub const REQUEST: u8 = 5;
    /// [`super::RestrictionRecord`].
    pub const RESTRICTION: u8 = 6;
    /// [`super::SaltStep`].
    pub const SALT_STEP: u8 = 12;
    /// [`super::AccessRecord`].
    pub const ACCESS: u8 = 13;
    /// [`super::EventId`], then [`super::Event`] as under [`EVENT`].
    pub const EVENT_WITH_ID: u8 = 9;
    /// [`super::PurgeRecord`].
    pub const PURGE: u8 = 7;
    /// [`super::RunRecord`].
    pub const RETENTION_RUN: u8 = 8;
}

/// Why a payload is no record.
#[derive(Debug, Error)]
pub enum RecordError {
    /// A kind this version does not know: written by a newer brine.
    #[error("unknown record kind {kind}")]
    Kind {
        /// The number found.
        kind: u8,
    },
    /// The bytes do not fit the kind.
    #[error("record of kind {kind} does not decode")]
    Payload {
        /// The record's kind.
        kind: u8,
        /// What the decoder said.
        source: postcard::Error,
    },
}

/// Encodes `value` into what the spool takes as payload.
pub fn encode<T: Serialize>(value: &T) -> Vec<u8> {
    append(value, Vec::with_capacity(USUAL_BYTES))
}

/// Encodes an event, with its id where it has one, and returns the kind it is to be read under. **On disk, never
/// edited:** 8 bytes hash and 4 bytes slot, little endian, stand before the event.
pub fn encode_event<T: Serialize>(event: &Event<T>, id: Option<EventId>) -> (u8, Vec<u8>) {
    let mut bytes = Vec::with_capacity(USUAL_BYTES);
    let kind = append_event(event, id, &mut bytes);
    (kind, bytes)
}

/// The same behind what is in `bytes` already.
pub fn append_event<T: Serialize>(
    event: &Event<T>,
    id: Option<EventId>,
    bytes: &mut Vec<u8>,
) -> u8 {
    if let Some(id) = id {
        bytes.extend_from_slice(&id.hash.to_le_bytes());
        bytes.extend_from_slice(&id.until_slot.to_le_bytes());
    }
    *bytes = append(event, std::mem::take(bytes));
    match id {
        Some(_) => kind::EVENT_WITH_ID,
        None => kind::EVENT,
    }
}

fn append<T: Serialize>(value: &T, bytes: Vec<u8>) -> Vec<u8> {
    // Serializing plain fields into a growing vector has no way to fail.
    postcard::serialize_with_flavor(value, Growing(bytes)).expect("records are plain data")
}

/// Bytes that grow. Most texts of an event are empty, and all have a length of one byte: postcard's own flavor calls
/// `memcpy` for each.
struct Growing(Vec<u8>);

impl Flavor for Growing {
    type Output = Vec<u8>;

    #[inline]
    fn try_push(&mut self, byte: u8) -> postcard::Result<()> {
        self.0.push(byte);
        Ok(())
    }

    #[inline]
    fn try_extend(&mut self, bytes: &[u8]) -> postcard::Result<()> {
        match bytes {
            [] => {}
            [byte] => self.0.push(*byte),
            _ => self.0.extend_from_slice(bytes),
        }
        Ok(())
    }

    fn finalize(self) -> postcard::Result<Vec<u8>> {
        Ok(self.0)
    }
}

const ID_BYTES: usize = 12;

/// Returns the event's id that a payload carries, if it is of the kind that does.
pub fn id_of(kind: u8, payload: &[u8]) -> Option<EventId> {
    if kind != kind::EVENT_WITH_ID {
        return None;
    }
    let (hash, rest) = payload.split_first_chunk()?;
    let (slot, _) = rest.split_first_chunk()?;
    Some(EventId {
        until_slot: u32::from_le_bytes(*slot),
        hash: u64::from_le_bytes(*hash),
    })
}

/// Events of the web log take 150 to 300 bytes: one allocation for nearly all.
const USUAL_BYTES: usize = 512;

/// Returns when the event must be gone, of a payload that holds one; `None` for other kinds. Takes exactly what [`decode`]
/// takes, without keeping any of the texts.
///
/// # Errors
/// As [`decode`].
pub fn expires_of(kind: u8, payload: &[u8]) -> Option<Result<u16, RecordError>> {
    let event = event_in(kind, payload)?;
    let read = postcard::from_bytes::<Event<Seen>>(event);
    Some(
        read.map(|event| event.expires)
            .map_err(|source| RecordError::Payload { kind, source }),
    )
}

/// The bytes of the event, where the kind is one of an event's.
fn event_in(kind: u8, payload: &[u8]) -> Option<&[u8]> {
    match kind {
        kind::EVENT => Some(payload),
        kind::EVENT_WITH_ID => Some(payload.get(ID_BYTES..).unwrap_or_default()),
        _ => None,
    }
}

/// A text that is there, and is UTF-8.
struct Seen;

impl<'de> Deserialize<'de> for Seen {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Seen, D::Error> {
        <&str>::deserialize(deserializer).map(|_| Seen)
    }
}

/// Decodes a payload of the spool.
///
/// # Errors
/// [`RecordError`]; the caller moves the record to quarantine.
pub fn decode(kind: u8, payload: &[u8]) -> Result<Record<'_>, RecordError> {
    let bad = |source| RecordError::Payload { kind, source };
    if let Some(event) = event_in(kind, payload) {
        return postcard::from_bytes(event)
            .map(|event| Record::Event(Box::new(event)))
            .map_err(bad);
    }
    match kind {
        kind::CONSENT => postcard::from_bytes(payload)
            .map(Record::Consent)
            .map_err(bad),
        kind::DENIAL => postcard::from_bytes(payload)
            .map(Record::Denial)
            .map_err(bad),
        kind::SALT => postcard::from_bytes::<SaltRecord>(payload)
            .map(|record| Record::Salt(record.into()))
            .map_err(bad),
        kind::SALT_STEP => postcard::from_bytes(payload).map(Record::Salt).map_err(bad),
        kind::REQUEST => postcard::from_bytes(payload)
            .map(Record::Request)
            .map_err(bad),
        kind::RESTRICTION => postcard::from_bytes(payload)
            .map(Record::Restriction)
            .map_err(bad),
        kind::ACCESS => postcard::from_bytes(payload)
            .map(Record::Access)
            .map_err(bad),
        kind::PURGE => postcard::from_bytes(payload)
            .map(Record::Purge)
            .map_err(bad),
        kind::RETENTION_RUN => postcard::from_bytes(payload).map(Record::Run).map_err(bad),
        kind => Err(RecordError::Kind { kind }),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(5_000) })]

        /// The batch step sorts by the one and sends by the other: what only one of them took would be lost, or stop it.
        #[test]
        fn the_glance_takes_what_decode_takes(
            expires: u16,
            path in "\\PC{0,40}",
            props in proptest::collection::vec(("[a-z]{1,5}", "\\PC{0,9}"), 0..4),
            lcp_ms: Option<f32>,
            has_id: bool,
            damage in proptest::collection::vec((0usize..200, any::<u8>()), 0..3),
            cut in 0usize..400,
        ) {
            let event = Event { expires, path, props, lcp_ms, ..Event::default() };
            let id = has_id.then_some(EventId { until_slot: 1, hash: 2 });
            let (kind, mut bytes) = encode_event(&event, id);
            let own = postcard::to_stdvec(&event).unwrap();
            prop_assert_eq!(&bytes[if has_id { ID_BYTES } else { 0 }..], &own[..]);
            for (at, byte) in damage {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            bytes.truncate(cut.max(20));
            let whole = match decode(kind, &bytes) {
                Ok(Record::Event(event)) => Some(event.expires),
                _ => None,
            };
            let glance = expires_of(kind, &bytes).expect("a kind of an event");
            prop_assert_eq!(glance.ok(), whole);
            prop_assert!(expires_of(kind::CONSENT, &bytes).is_none());
        }
    }

    #[test]
    fn records_come_back_as_they_went_and_damage_is_an_error() {
        let event = Event {
            site: "portal",
            props: vec![("a", "b")],
            ..Event::default()
        };
        let bytes = encode(&event);
        assert_eq!(
            decode(kind::EVENT, &bytes).unwrap(),
            Record::Event(Box::new(event))
        );
        assert!(decode(kind::EVENT, &bytes[..bytes.len() - 1]).is_err());
        assert!(decode(99, &bytes).unwrap_err().to_string().contains("99"));
    }

    #[test]
    fn an_event_with_an_id_reads_as_the_event_and_as_the_id() {
        let event = Event {
            site: "windows",
            ..Event::default()
        };
        let id = EventId {
            until_slot: 500_000,
            hash: 0x0102_0304_0506_0708,
        };
        let (kind, bytes) = encode_event(&event, Some(id));
        assert_eq!((kind, id_of(kind, &bytes)), (kind::EVENT_WITH_ID, Some(id)));
        assert_eq!(
            bytes[..12],
            *b"\x08\x07\x06\x05\x04\x03\x02\x01\x20\xa1\x07\x00"
        );
        assert_eq!(
            decode(kind, &bytes).unwrap(),
            Record::Event(Box::new(event.clone()))
        );
        assert!(decode(kind, &bytes[..11]).is_err());
        let (kind, bytes) = encode_event(&event, None);
        assert_eq!((kind, id_of(kind, &bytes)), (kind::EVENT, None));
    }

    /// The bytes of a record that an older brine may have left on a disk.
    #[test]
    fn the_layout_of_a_stored_record_has_not_changed() {
        let denial = DenialRecord {
            site: "portal".into(),
            day: 20_000,
        };
        assert_eq!(encode(&denial), b"\x06portal\xa0\x9c\x01");
        assert_eq!(
            blake3::hash(&encode(&Event::<String>::default())).to_hex()[..16],
            *"7c07ce0688c62aa4"
        );
    }
}
