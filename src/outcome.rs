//! The one end every beacon has.
//!
//! Each beacon that reaches the endpoint leaves with exactly one [`Outcome`]: in the reply header
//! `Brine-Outcome`, in the counter `brine_beacons_total{site,outcome}`, and in the tests. Codes are
//! stable: once released a code is never respelt, only added to. [`crate::route`] holds the one table
//! from outcome to HTTP status.

use std::fmt;

macro_rules! outcomes {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)+) => {
        /// How a beacon ended. Ordered by travel along the path.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Outcome {
            $($(#[doc = $doc])+ $variant,)+
        }

        impl Outcome {
            /// Every outcome, in the order of the path. Its index is [`Outcome::index`].
            pub const ALL: &'static [Outcome] = &[$(Outcome::$variant,)+];

            /// Returns the stable dotted code.
            pub const fn code(self) -> &'static str {
                match self {
                    $(Outcome::$variant => $code,)+
                }
            }

            /// Returns one sentence for README and for the problem body.
            pub fn meaning(self) -> &'static str {
                match self {
                    $(Outcome::$variant => concat!($($doc,)+).trim_ascii(),)+
                }
            }
        }
    };
}

// A macro because the code, the list and the sentence would otherwise stand in three places that a
// new outcome must keep in step.
outcomes! {
    /// The record is on disk and will be in ClickHouse exactly once.
    Accepted = "accepted",
    /// The body did not arrive in full or in time.
    BeaconIncomplete = "beacon.incomplete",
    /// The body is longer than the limit.
    BeaconTooLarge = "beacon.too_large",
    /// The content type is none that beacons come in.
    BeaconMediaType = "beacon.media_type",
    /// The content encoding is none of gzip, deflate and zstd.
    BeaconEncoding = "beacon.encoding",
    /// The beacon cannot be read, or breaks a documented limit.
    BeaconMalformed = "beacon.malformed",
    /// The page address is not an absolute http, https or app URL.
    BeaconUrl = "beacon.url",
    /// No configured site has this id or domain.
    SiteUnknown = "site.unknown",
    /// The request comes from a page that is not one of the site's own.
    SiteOrigin = "site.origin",
    /// The site does not take events in this wire; its configuration can change that.
    SiteWire = "site.wire",
    /// Only a sender with the site's key may say whose event it is.
    SiteKey = "site.key",
    /// The event is older than 72 hours, or than its site's retention.
    EventTooOld = "event.too_old",
    /// The event says that it has not happened yet.
    EventFuture = "event.future",
    /// The browser says Sec-GPC: 1, which is a refusal.
    SignalGpc = "signal.gpc",
    /// The browser says DNT: 1, which is a refusal.
    SignalDnt = "signal.dnt",
    /// No consent token came along.
    ConsentMissing = "consent.missing",
    /// The consent token cannot be read.
    ConsentMalformed = "consent.malformed",
    /// The consent token was not issued by this collector, or was altered.
    ConsentForged = "consent.forged",
    /// The consent token belongs to another site.
    ConsentOtherSite = "consent.other_site",
    /// The consent token is dated in the future.
    ConsentFuture = "consent.future",
    /// The consent token has run out.
    ConsentExpired = "consent.expired",
    /// The policy has changed since the consent was given.
    ConsentLapsed = "consent.lapsed",
    /// The event happened before the consent was given.
    ConsentLater = "consent.later",
    /// The consent does not cover measurement.
    ConsentPurpose = "consent.purpose",
    /// The consent was withdrawn.
    ConsentWithdrawn = "consent.withdrawn",
    /// The receipt cannot be read.
    ReceiptMalformed = "receipt.malformed",
    /// The receipt was not issued by this collector, or was altered.
    ReceiptForged = "receipt.forged",
    /// The receipt belongs to another site.
    ReceiptOtherSite = "receipt.other_site",
    /// This address sends too much.
    LimitAddress = "limit.address",
    /// This site receives too much.
    LimitSite = "limit.site",
    /// The user agent is a bot.
    FilterBot = "filter.bot",
    /// The referrer is known spam.
    FilterReferrerSpam = "filter.referrer_spam",
    /// The page's host is not one of the site's own.
    FilterHostname = "filter.hostname",
    /// A kind of message that is not measured, such as a profile of a person.
    FilterKind = "filter.kind",
    /// A rule of the site excludes this beacon.
    FilterRule = "filter.rule",
    /// No salt is at hand for this site and day.
    SaltUnavailable = "salt.unavailable",
    /// The same event was accepted before, and counts once.
    EventRepeated = "event.repeated",
    /// Some events of the batch were not stored; its results say which and why.
    BatchMixed = "batch.mixed",
    /// The spool has reached its size limit.
    SpoolFull = "spool.full",
    /// The disk under the spool failed.
    SpoolFailed = "spool.failed",
    /// ClickHouse cannot be asked now, or has not taken everything from the spool yet.
    StoreUnavailable = "store.unavailable",
    /// The client left before the answer; the record is stored if the disk took it.
    ClientGone = "client.gone",
    /// The collector is shutting down.
    ServerClosing = "server.closing",
}

impl Outcome {
    /// Number of outcomes.
    pub const COUNT: usize = Self::ALL.len();

    /// Tells whether the same may have another end a little later, through no change of its own.
    pub fn is_worth_retrying(self) -> bool {
        matches!(
            self,
            Outcome::BeaconIncomplete
                | Outcome::LimitAddress
                | Outcome::LimitSite
                | Outcome::SaltUnavailable
                | Outcome::SpoolFull
                | Outcome::SpoolFailed
                | Outcome::StoreUnavailable
                | Outcome::ClientGone
                | Outcome::ServerClosing
        )
    }

    /// Returns the position in [`Outcome::ALL`], for tables indexed by outcome.
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn codes_are_unique_and_indices_agree() {
        let codes: HashSet<_> = Outcome::ALL.iter().map(|o| o.code()).collect();
        assert_eq!(codes.len(), Outcome::COUNT);
        for (i, outcome) in Outcome::ALL.iter().enumerate() {
            assert_eq!(outcome.index(), i);
            assert!(outcome.meaning().ends_with('.'), "{outcome}");
        }
    }
}
