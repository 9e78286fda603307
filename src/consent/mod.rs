//! [`Beacon`] → [`Consented`], or the end. There is no other way to make a [`Consented`].
//!
//! Comes in: a parsed beacon and, perhaps, the consent cookie; or, for a batch, its sender's yes once for all its beacons ([`check`]). Goes out: the beacon together with the
//! proof that its sender said yes to measurement, for this site, under the current policy, and did not
//! take it back. A refusal signal of the browser (Global Privacy Control, Do Not Track) wins over
//! every token. Nothing is stored about a beacon that ends here (GDPR Art. 6(1)(a), 7; ePrivacy
//! Directive Art. 5(3)).

pub mod choice;
pub mod elsewhere;
pub mod revoked;
pub mod token;

use std::sync::Arc;

use jiff::Timestamp;

use self::revoked::Revocations;
use self::token::{LedgerId, Mint, Purpose, Token, TokenFault};
use crate::beacon::{Beacon, Refused};
use crate::client::Client;
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
    beacon: Box<Beacon>,
    proof: Proof,
}

/// How a yes was shown.
#[derive(Clone, Debug)]
pub enum Proof {
    /// By a token of ours.
    Token(Arc<Token>),
    /// By the word of a sender whom the site trusts to have asked (`trust_sender_consent`); nothing of it can be
    /// verified or withdrawn here.
    Sender,
}

impl Proof {
    /// Returns the token, where there is one.
    pub fn token(&self) -> Option<&Token> {
        match self {
            Proof::Token(token) => Some(token),
            Proof::Sender => None,
        }
    }
}

impl Consented {
    /// Returns the beacon.
    pub fn beacon(&self) -> &Beacon {
        &self.beacon
    }

    /// Returns the key of the consent, for the last check before the spool; none without a token.
    pub fn ledger(&self) -> Option<LedgerId> {
        self.proof.token().map(Token::ledger)
    }

    /// Gives up beacon and proof, to the steps that follow.
    pub fn into_parts(self) -> (Box<Beacon>, Proof) {
        (self.beacon, self.proof)
    }
}

/// A sender's yes for one site, found good once for all beacons of one request.
#[derive(Debug)]
pub struct Grant {
    site: Arc<Site>,
    client: Arc<Client>,
    proof: Proof,
}

/// What a sender brings along to show that the visitor said yes.
#[derive(Clone, Copy, Debug)]
pub enum Claimed<'a> {
    /// This text, if any, is a token.
    Token(Option<&'a str>),
    /// The sender says so; good for sites that trust it.
    Word,
}

/// Checks a sender's yes.
///
/// # Errors
/// [`Refused`] with `signal.*` or `consent.*`.
pub fn check(
    site: &Arc<Site>,
    client: &Arc<Client>,
    claimed: Claimed<'_>,
    mint: &Mint,
    revocations: &Revocations,
    received: Timestamp,
) -> Result<Grant, Refused> {
    let refuse = |outcome| Err(Refused::plain(outcome, site));
    if site.honour_gpc && client.gpc {
        return refuse(Outcome::SignalGpc);
    }
    if site.honour_dnt && client.dnt {
        return refuse(Outcome::SignalDnt);
    }
    let grant = |proof| Grant {
        site: site.clone(),
        client: client.clone(),
        proof,
    };
    let text = match claimed {
        Claimed::Token(Some(text)) => text,
        Claimed::Word if site.trust_sender_consent => return Ok(grant(Proof::Sender)),
        Claimed::Token(None) | Claimed::Word => return refuse(Outcome::ConsentMissing),
    };
    let token = match mint.verify(text, &site.scope) {
        Ok(token) => token,
        Err(fault) => return refuse(fault_outcome(fault)),
    };
    match standing(&token, site, revocations, received) {
        Ok(()) => Ok(grant(Proof::Token(Arc::new(token)))),
        Err(outcome) => refuse(outcome),
    }
}

impl Grant {
    /// Returns how the yes was shown.
    pub fn proof(&self) -> &Proof {
        &self.proof
    }

    /// Returns the client whose yes it is.
    pub fn client(&self) -> &Arc<Client> {
        &self.client
    }

    /// Lets a beacon of the same sender and site through.
    ///
    /// # Errors
    /// [`Refused`] with `consent.later` for what happened before the day on which the visitor said yes.
    pub fn admit(&self, beacon: Box<Beacon>) -> Result<Consented, Refused> {
        let is_same =
            Arc::ptr_eq(&beacon.site, &self.site) && Arc::ptr_eq(&beacon.client, &self.client);
        if !is_same {
            return Err(Refused::plain(Outcome::ConsentMissing, &beacon.site));
        }
        // Tokens know days, in UTC. What happened earlier on that day than the yes, the app must not send.
        let is_later = |token: &Token| {
            beacon.happened.as_second().div_euclid(DAY_S) < i64::from(token.issued_day)
        };
        if beacon.happened < beacon.received && self.proof.token().is_some_and(is_later) {
            return Err(Refused::plain(Outcome::ConsentLater, &beacon.site));
        }
        Ok(Consented {
            beacon,
            proof: self.proof.clone(),
        })
    }
}

/// Lets a beacon through that carries a valid consent, in its body or as `cookie`.
///
/// # Errors
/// [`Refused`] with `signal.*` or `consent.*`.
pub fn gate(
    beacon: Box<Beacon>,
    cookie: Option<&str>,
    mint: &Mint,
    revocations: &Revocations,
) -> Result<Consented, Refused> {
    let claimed = Claimed::Token(beacon.consent.as_deref().or(cookie));
    check(
        &beacon.site,
        &beacon.client,
        claimed,
        mint,
        revocations,
        beacon.received,
    )?
    .admit(beacon)
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
