//! [`Beacon`] → [`Consented`], or the end. There is no other way to make a [`Consented`].
//!
//! Comes in: a parsed beacon and, perhaps, the consent cookie. Goes out: the beacon together with the
//! proof that its sender said yes to measurement, for this site, under the current policy, and did not
//! take it back. A refusal signal of the browser (Global Privacy Control, Do Not Track) wins over
//! every token. Nothing is stored about a beacon that ends here (GDPR Art. 6(1)(a), 7; ePrivacy
//! Directive Art. 5(3)).

pub mod choice;
pub mod revoked;
pub mod token;

use jiff::Timestamp;

use self::revoked::Revocations;
use self::token::{LedgerId, Mint, Purpose, Token, TokenFault};
use crate::beacon::{Beacon, Refused};
use crate::config::Site;
use crate::outcome::Outcome;

/// Cookie in which a site's pages may keep the token, on the registrable domain.
pub const COOKIE: &str = "brine_consent";

/// How far ahead of us another collector's clock may be when it issues a token.
const CLOCK_SKEW_S: i64 = 300;

const DAY_S: i64 = 86_400;

/// A beacon whose sender said yes.
#[derive(Debug)]
pub struct Consented {
    beacon: Beacon,
    token: Token,
}

impl Consented {
    /// Returns the beacon.
    pub fn beacon(&self) -> &Beacon {
        &self.beacon
    }

    /// Returns the key of the consent, for the last check before the spool.
    pub fn ledger(&self) -> LedgerId {
        self.token.ledger()
    }

    /// Gives up beacon and token, to the steps that follow.
    pub fn into_parts(self) -> (Beacon, Token) {
        (self.beacon, self.token)
    }
}

/// Lets a beacon through that carries a valid consent, in its body or as `cookie`.
///
/// # Errors
/// [`Refused`] with `signal.*` or `consent.*`.
pub fn gate(
    beacon: Beacon,
    cookie: Option<&str>,
    mint: &Mint,
    revocations: &Revocations,
) -> Result<Consented, Refused> {
    let site = &beacon.site;
    let refuse = |outcome| Err(Refused::plain(outcome, site));
    if site.honour_gpc && beacon.client.gpc {
        return refuse(Outcome::SignalGpc);
    }
    if site.honour_dnt && beacon.client.dnt {
        return refuse(Outcome::SignalDnt);
    }
    let Some(text) = beacon.consent.as_deref().or(cookie) else {
        return refuse(Outcome::ConsentMissing);
    };
    let token = match mint.verify(text, &site.scope) {
        Ok(token) => token,
        Err(fault) => return refuse(fault_outcome(fault)),
    };
    match standing(&token, site, revocations, beacon.received) {
        Ok(()) => Ok(Consented { beacon, token }),
        Err(outcome) => refuse(outcome),
    }
}

/// Tells whether a genuine token still holds for `site` at `now`.
///
/// # Errors
/// The outcome that a beacon with this token would have.
pub fn standing(
    token: &Token,
    site: &Site,
    revocations: &Revocations,
    now: Timestamp,
) -> Result<(), Outcome> {
    if i64::from(token.issued_day) * DAY_S > now.as_second() + CLOCK_SKEW_S {
        return Err(Outcome::ConsentFuture);
    }
    if i64::from(token.last_day) < now.as_second().div_euclid(DAY_S) {
        return Err(Outcome::ConsentExpired);
    }
    // Not only older ones: a policy that was rolled back is not the one the visitor was shown either.
    if token.policy_version != site.policy_version {
        return Err(Outcome::ConsentLapsed);
    }
    if !token.purposes.has(Purpose::Measurement) {
        return Err(Outcome::ConsentPurpose);
    }
    if revocations.contains(token.ledger()) {
        return Err(Outcome::ConsentWithdrawn);
    }
    Ok(())
}

/// Returns the outcome of a token that is not genuine.
pub fn fault_outcome(fault: TokenFault) -> Outcome {
    match fault {
        TokenFault::Malformed => Outcome::ConsentMalformed,
        TokenFault::OtherScope => Outcome::ConsentOtherSite,
        TokenFault::Forged => Outcome::ConsentForged,
    }
}

/// Returns the day of `now` as tokens count it: days since 1970-01-01 UTC, from 0 to 65535 (year 2149).
pub fn token_day(now: Timestamp) -> u16 {
    u16::try_from(now.as_second().div_euclid(DAY_S)).unwrap_or(if now.as_second() < 0 {
        0
    } else {
        u16::MAX
    })
}
