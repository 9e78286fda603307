//! When an event happened, by a clock that is off.
//!
//! In: when the app says it happened, when the app says it sent the batch, when it arrived. Out: when it happened by
//! our clock. A device's clock may be off by minutes or years, but it runs at the right speed: how long before the sending
//! something happened is right even so. Events are placed by that, and the device's idea of the date is never used.
//! What is lost is the time the batch took to arrive, which is counted as if it were none.
//!
//! A device that was asleep, or whose clock was set, between event and sending is wrong by that much. Events that are
//! thereby older than [`MAX_AGE`] or not yet there are refused, each by itself, with the reason.

use jiff::{SignedDuration, Timestamp};

use crate::outcome::Outcome;

/// Oldest event of a batch. As long as its id is remembered ([`crate::event_ids`]), so that none counts twice.
pub const MAX_AGE: SignedDuration = SignedDuration::from_hours(72);

/// An event that seems to have happened after the sending by less is one of rounding, or of a clock being set.
const SLACK: SignedDuration = SignedDuration::from_mins(1);

/// Places an event. `at` and `sent_at` are the device's clock.
///
/// # Errors
/// [`Outcome::EventTooOld`], [`Outcome::EventFuture`].
pub fn happened(
    at: Option<Timestamp>,
    sent_at: Option<Timestamp>,
    received: Timestamp,
) -> Result<Timestamp, Outcome> {
    let Some(at) = at else {
        return Ok(received);
    };
    let age = sent_at.unwrap_or(received).duration_since(at);
    if age > MAX_AGE {
        return Err(Outcome::EventTooOld);
    }
    if age < -SLACK {
        return Err(Outcome::EventFuture);
    }
    Ok(received - age.max(SignedDuration::ZERO))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn ms(ms: i64) -> Timestamp {
        Timestamp::from_millisecond(ms).unwrap()
    }

    proptest! {
        /// However far off the device's clock is, an event is placed by its age.
        #[test]
        fn skew_is_corrected_from_sent_at(age in 0..259_200_000i64, skew in -1_500_000_000_000i64..1_500_000_000_000) {
            let received = 1_795_370_000_000;
            let sent = received + skew;
            let placed = happened(Some(ms(sent - age)), Some(ms(sent)), ms(received));
            prop_assert_eq!(placed, Ok(ms(received - age)));
        }
    }

    #[test]
    fn older_and_future_ones_are_refused_by_name() {
        let received = ms(1_795_370_000_000);
        let place = |age_ms: i64| happened(Some(ms(1_795_370_000_000 - age_ms)), None, received);
        assert_eq!(place(259_200_000), Ok(ms(1_795_370_000_000 - 259_200_000)));
        assert_eq!(place(259_200_001), Err(Outcome::EventTooOld));
        assert_eq!(place(-60_000), Ok(received));
        assert_eq!(place(-60_001), Err(Outcome::EventFuture));
        assert_eq!(happened(None, None, received), Ok(received));
        assert_eq!(
            happened(Some(ms(0)), Some(ms(253_402_000_000_000)), received),
            Err(Outcome::EventTooOld)
        );
    }
}
