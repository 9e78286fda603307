//! The path, walked: one function a request, one outcome a beacon.
//!
//! Comes in: head and body of a request. Goes out: an [`Ended`], which [`crate::route`] turns into a
//! reply. [`Collector::event`] is the list of steps; each consumes the type of the one before. What a
//! reload (SIGHUP) may change stands in [`Live`], swapped as a whole under running requests.

mod client_gone;
pub mod delivery;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use jiff::Timestamp;

use self::client_gone::Unanswered;
pub(crate) use self::client_gone::UnansweredBatch;
pub use self::client_gone::Unread;
use self::delivery::Ready;
use crate::beacon::{self, Beacon, Refused};
use crate::client::Client;
use crate::clock::SharedClock;
use crate::config::{Config, Site, Sites};
use crate::consent::choice::{self, Choice, Desk, Erasure};
use crate::consent::revoked::Revocations;
use crate::consent::token::{LedgerId, Mint, Token};
use crate::consent::{self, Consented};
use crate::enrich::step::{Enrichers, enrich};
use crate::event::{self, kind};
use crate::event_ids::{EventIds, SINGLE_SLOTS};
use crate::filter::step::{SiteFilters, filter};
use crate::limit::Limiter;
use crate::metrics::{Metrics, NO_SITE, SiteCounters};
use crate::open_visits::OpenVisits;
use crate::outcome::Outcome;
use crate::policy::Policy;
use crate::pseudonym::pseudonymise;
use crate::rights::receipt::{Receipt, Receipts};
use crate::salts::Keeper;
use crate::salts::period::{next_period, period_of, start_of};
use crate::secret::random_bytes;
use crate::spool::{AppendError, RecordKind, Spool, always};

/// How long a client should wait after a 503.
const RETRY_AFTER: Duration = Duration::from_secs(10);

/// A withdrawal is on its way to ClickHouse, and so to the other collectors, by then.
const WITHDRAWAL_WAITS: Duration = Duration::from_secs(1);

/// Everything the path needs.
#[allow(missing_docs)]
pub struct Collector {
    pub clock: SharedClock,
    pub config: Config,
    pub live: ArcSwap<Live>,
    pub mint: Mint,
    pub receipts: Receipts,
    pub revocations: Arc<Revocations>,
    pub salts: Keeper,
    pub open_visits: OpenVisits,
    pub enrichers: Enrichers,
    pub spool: Spool,
    pub event_ids: Arc<EventIds>,
    pub metrics: Metrics,
    pub is_closing: AtomicBool,
}

impl std::fmt::Debug for Collector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Collector")
    }
}

/// What a reload replaces.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Live {
    pub sites: Sites,
    pub policy: Policy,
    pub retention: crate::config::retention::Retention,
    pub limiter: Limiter,
    pub filters: SiteFilters,
    counters: Vec<SiteCounters>,
    no_site: SiteCounters,
}

impl Live {
    /// Prepares the sites of `config` for requests, under the policy that it publishes at `now`.
    ///
    /// # Errors
    /// Which rule of which site cannot be compiled, or why the policy cannot be published.
    pub fn publish(config: &Config, now: Timestamp, metrics: &Metrics) -> Result<Live, String> {
        // Before the policy: what is not going to be in force must not be published.
        let filters = SiteFilters::new(&config.sites).map_err(|faults| {
            let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
            faults.join("; ")
        })?;
        let policy = Policy::publish(config, now)
            .map_err(|error| format!("{:#}", anyhow::Error::new(error)))?;
        let sites = config
            .sites
            .at_versions(|scope| (policy.version_of(scope), policy.in_force_since(scope)));
        Ok(Live {
            limiter: Limiter::new(&config.limits, &sites),
            filters,
            policy,
            retention: config.retention.clone(),
            counters: sites
                .iter()
                .map(|site| metrics.site_counters(site.id.as_str()))
                .collect(),
            no_site: metrics.site_counters(NO_SITE),
            sites,
        })
    }

    fn count(&self, site: Option<&Arc<Site>>, outcome: Outcome) {
        self.count_many(site, outcome, 1);
    }

    pub(crate) fn count_many(&self, site: Option<&Arc<Site>>, outcome: Outcome, n: u64) {
        site.map_or(&self.no_site, |site| &self.counters[site.index])
            .count_many(outcome, n);
    }
}

/// A request's end.
#[derive(Debug)]
#[allow(missing_docs)]
pub struct Ended {
    pub outcome: Outcome,
    pub detail: String,
    pub retry_after: Option<Duration>,
    /// The page may read the reply: its Origin is one of the site's own.
    pub is_own_origin: bool,
    /// The visitor's receipt and the seconds until its period ends, where it was asked for.
    pub receipt: Option<(String, i64)>,
}

/// What a consent choice gets.
#[derive(Debug)]
#[allow(missing_docs)]
pub enum ChoiceReply {
    Granted {
        token: String,
        policy: u16,
        expires: Timestamp,
    },
    Noted,
    /// Withdrawn; this is to be erased.
    Erase(Erasure),
    Standing {
        standing: Result<(), Outcome>,
        policy: u16,
        current_policy: u16,
        expires: Timestamp,
        purposes: Vec<&'static str>,
    },
    Refused,
}

/// How a beacon came.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub enum Carrier<'a> {
    /// `POST /api/event`.
    Body(&'a [u8]),
    /// `GET /pixel.gif`: its query and its `Referer`.
    Pixel {
        query: &'a str,
        referer: Option<&'a str>,
    },
}

/// A beacon on the threshold of the spool.
struct Prepared {
    site: Arc<Site>,
    record: Ready,
    payload: Vec<u8>,
    receipt: Option<(String, i64)>,
}

impl Collector {
    /// Walks one beacon from parse to spool. Counts its end, also where the client leaves before it.
    pub async fn event(
        &self,
        carrier: Carrier<'_>,
        origin: Option<&str>,
        cookie: Option<&str>,
        client: Client,
    ) -> Ended {
        let live = self.live.load_full();
        let now = self.clock.now();
        let parsed = match carrier {
            Carrier::Body(body) => beacon::from_body(body, origin, client, &live.sites, now),
            Carrier::Pixel { query, referer } => {
                beacon::from_query(query, referer, client, &live.sites, now)
            }
        };
        let prepared = parsed.and_then(|beacon| self.prepare(beacon, cookie, &live));
        let Prepared {
            site,
            record,
            payload,
            receipt,
        } = match prepared {
            Ok(prepared) => prepared,
            Err(refused) => return self.refuse(&live, refused, origin),
        };
        // From here on the record may become durable although nobody waits for the answer any more.
        let mut unanswered = Unanswered {
            live: &live,
            site: &site,
            is_answered: false,
        };
        let outcome = self.store_one(record, &payload).await;
        unanswered.is_answered = true;
        let ended = self.end(&live, Some(&site), outcome, String::new(), origin);
        let is_stored = matches!(outcome, Outcome::Accepted | Outcome::EventRepeated);
        let receipt = receipt.filter(|_| is_stored);
        Ended { receipt, ..ended }
    }

    /// The steps between parse and spool; all of them run without waiting for anything.
    fn prepare(
        &self,
        beacon: Box<Beacon>,
        cookie: Option<&str>,
        live: &Live,
    ) -> Result<Prepared, Refused> {
        if self.is_closing.load(Ordering::Relaxed) {
            return Err(Refused::plain(Outcome::ServerClosing, &beacon.site));
        }
        let consented = consent::gate(beacon, cookie, &self.mint, &self.revocations)?;
        let site = consented.beacon().site.clone();
        let ledger = consented.ledger();
        // Not to senders that name their visitor themselves: whoever knows such an id could fetch another's.
        let wants_receipt = consented.beacon().wants_receipt
            && consented.beacon().visitor_id.is_none()
            && ledger.is_some();
        let received = consented.beacon().received;
        limit(&consented, &live.limiter)?;
        let filtered = filter(consented, &live.filters, &self.enrichers)?;
        let enriched = enrich(filtered, &self.enrichers);
        let id = enriched.event_id(&self.event_ids, SINGLE_SLOTS);
        let event = pseudonymise(
            enriched,
            self.salts.living().get(&site.id),
            &self.open_visits,
        )
        .map_err(|outcome| Refused::plain(outcome, &site))?;
        let receipt = wants_receipt.then(|| {
            let period = period_of(event.day, site.rotation);
            let after = next_period(period, site.rotation);
            let receipt = Receipt {
                days: period..after,
                visitor: event.visitor,
            };
            let end = start_of(after, &site.time_zone).duration_since(received);
            let text = self.receipts.issue(site.id.as_str(), &receipt);
            (text, end.as_secs().max(0))
        });
        let (kind, payload) = event::encode_event(&event, id);
        Ok(Prepared {
            site,
            record: Ready {
                kind,
                payload: 0..payload.len(),
                id,
                ledger,
            },
            payload,
            receipt,
        })
    }

    /// Stores one record; without an id, and so without a memory of it, the short way.
    async fn store_one(&self, record: Ready, payload: &[u8]) -> Outcome {
        if record.id.is_some() {
            let ends = self.store(&[record], payload).await;
            return ends.first().copied().unwrap_or(Outcome::SpoolFailed);
        }
        let is_withdrawn = || {
            record
                .ledger
                .is_some_and(|ledger| self.revocations.contains(ledger))
        };
        let appended = self
            .spool
            .append(RecordKind(record.kind), payload, || !is_withdrawn())
            .await;
        match appended {
            Ok(_) => Outcome::Accepted,
            Err(error) => spool_outcome(&error),
        }
    }

    /// Takes one consent choice. What the ledger must hold is durable before this returns.
    pub async fn choose(
        &self,
        body: &[u8],
        origin: Option<&str>,
        client: Client,
    ) -> (Ended, ChoiceReply) {
        let live = self.live.load_full();
        let now = self.clock.now();
        let desk = Desk {
            sites: &live.sites,
            mint: &self.mint,
            revocations: &self.revocations,
            config: &self.config.consent,
        };
        let limited = live.limiter.consent(client.address);
        let choice = match limited {
            Ok(()) => choice::read(desk, body, origin, &client, now, random_bytes()),
            Err(wait) => Err(limited_for(Outcome::LimitAddress, None, wait)),
        };
        match choice {
            Ok(choice) => self.keep(choice, origin).await,
            Err(refused) => {
                let site = refused
                    .site
                    .as_ref()
                    .map_or(NO_SITE, |site| site.id.as_str());
                self.count_choice(site, "refused", refused.outcome);
                (ended(refused, origin), ChoiceReply::Refused)
            }
        }
    }

    /// Takes a consent back on its visitor's request. Durable before this returns, where it is accepted.
    pub async fn withdraw(&self, site: &Arc<Site>, token: &Token, source: &str) -> Outcome {
        let live = self.live.load_full();
        let desk = Desk {
            sites: &live.sites,
            mint: &self.mint,
            revocations: &self.revocations,
            config: &self.config.consent,
        };
        let now = self.clock.now();
        let choice = Choice::Withdraw {
            site: site.clone(),
            record: choice::withdraw(desk, site, token, source.to_owned(), now),
            token: token.clone(),
            erasure: None,
        };
        self.keep(choice, None).await.0.outcome
    }

    /// Records a choice.
    async fn keep(&self, choice: Choice, origin: Option<&str>) -> (Ended, ChoiceReply) {
        let mut withdrawn = None;
        let (site, word, kind, payload, reply) = match choice {
            Choice::Grant {
                site,
                record,
                text,
                token,
            } => {
                let reply = ChoiceReply::Granted {
                    token: text,
                    policy: token.policy_version,
                    expires: expiry(&token),
                };
                (site, "grant", kind::CONSENT, event::encode(&record), reply)
            }
            Choice::Withdraw {
                site,
                record,
                token,
                erasure,
            } => {
                withdrawn = Some((token.ledger(), token.last_day));
                let payload = event::encode(&record);
                let reply = erasure.map_or(ChoiceReply::Noted, ChoiceReply::Erase);
                (site, "withdraw", kind::CONSENT, payload, reply)
            }
            Choice::Deny { site, record } => (
                site,
                "deny",
                kind::DENIAL,
                event::encode(&record),
                ChoiceReply::Noted,
            ),
            Choice::Status {
                site,
                token,
                standing,
            } => {
                self.count_choice(site.id.as_str(), "status", Outcome::Accepted);
                let reply = ChoiceReply::Standing {
                    standing,
                    policy: token.policy_version,
                    current_policy: site.policy_version,
                    expires: expiry(&token),
                    purposes: token.purposes.names(),
                };
                return (answer(Outcome::Accepted, &site, origin), reply);
            }
        };
        // A withdrawal is appended behind every beacon of its token that was let in before it, and after
        // it none is let in: when it is answered, all of them are accounted for.
        let outcome = match self.spool.append(RecordKind(kind), &payload, always).await {
            Ok(_) => {
                if withdrawn.is_some() && self.config.store.is_shared() {
                    self.spool.seal_within(WITHDRAWAL_WAITS);
                }
                Outcome::Accepted
            }
            Err(error) => {
                if let Some(withdrawn) = withdrawn {
                    self.keep_withdrawal(withdrawn).await;
                }
                spool_outcome(&error)
            }
        };
        self.count_choice(site.id.as_str(), word, outcome);
        let reply = if outcome == Outcome::Accepted {
            reply
        } else {
            ChoiceReply::Refused
        };
        (answer(outcome, &site, origin), reply)
    }

    /// A withdrawal that the spool had no room for is answered 503, for its ledger row is missing; it must
    /// hold through a restart all the same, and its 22 bytes go straight to the log.
    async fn keep_withdrawal(&self, withdrawn: (LedgerId, u16)) {
        let revocations = self.revocations.clone();
        let kept = tokio::task::spawn_blocking(move || revocations.persist(&[withdrawn])).await;
        if let Ok(Err(error)) = kept {
            tracing::error!(%error, "a withdrawal holds until the next restart only");
        }
    }

    /// Ends a request that did not get as far as a beacon.
    pub fn refuse_unread(&self, outcome: Outcome, detail: &str) -> Ended {
        let live = self.live.load();
        live.count(None, outcome);
        Ended {
            outcome,
            detail: detail.to_owned(),
            retry_after: None,
            is_own_origin: false,
            receipt: None,
        }
    }

    /// Ends a consent choice whose body could not be read.
    pub fn refuse_unread_choice(&self, outcome: Outcome, detail: String) -> Ended {
        self.count_choice(NO_SITE, "refused", outcome);
        Ended {
            outcome,
            detail,
            retry_after: None,
            is_own_origin: false,
            receipt: None,
        }
    }

    /// Tells whether a page of `origin` may talk to us at all: it belongs to some site.
    pub fn knows_origin(&self, origin: &str) -> bool {
        self.live
            .load()
            .sites
            .iter()
            .any(|site| beacon::is_own_origin(site, origin))
    }

    fn refuse(&self, live: &Live, refused: Refused, origin: Option<&str>) -> Ended {
        live.count(refused.site.as_ref(), refused.outcome);
        ended(refused, origin)
    }

    fn end(
        &self,
        live: &Live,
        site: Option<&Arc<Site>>,
        outcome: Outcome,
        detail: String,
        origin: Option<&str>,
    ) -> Ended {
        self.refuse(live, Refused::because(outcome, site, detail), origin)
    }

    fn count_choice(&self, site: &str, choice: &str, outcome: Outcome) {
        self.metrics
            .consents
            .with_label_values(&[site, choice, outcome.code()])
            .inc();
    }
}

fn limit(consented: &Consented, limiter: &Limiter) -> Result<(), Refused> {
    let beacon = consented.beacon();
    let refused = |outcome| move |wait| limited_for(outcome, Some(&beacon.site), wait);
    limiter
        .beacon(beacon.client.address)
        .map_err(refused(Outcome::LimitAddress))?;
    limiter
        .site(beacon.site.index)
        .map_err(refused(Outcome::LimitSite))
}

pub(crate) fn limited_for(outcome: Outcome, site: Option<&Arc<Site>>, wait: Duration) -> Refused {
    Refused {
        wait: Some(wait),
        ..Refused::because(outcome, site, "")
    }
}

fn answer(outcome: Outcome, site: &Arc<Site>, origin: Option<&str>) -> Ended {
    ended(Refused::plain(outcome, site), origin)
}

pub(crate) fn ended(refused: Refused, origin: Option<&str>) -> Ended {
    let is_own_origin = match (&refused.site, origin) {
        (Some(site), Some(origin)) => beacon::is_own_origin(site, origin),
        _ => false,
    };
    let retry_after = match refused.outcome {
        // Whole seconds (RFC 9110, section 10.2.3), rounded up: at the time named the request passes.
        Outcome::LimitAddress | Outcome::LimitSite => refused
            .wait
            .map(|wait| Duration::from_secs(wait.as_secs() + 1)),
        Outcome::SpoolFull
        | Outcome::SpoolFailed
        | Outcome::StoreUnavailable
        | Outcome::ServerClosing
        | Outcome::SaltUnavailable => Some(RETRY_AFTER),
        _ => None,
    };
    Ended {
        outcome: refused.outcome,
        detail: refused.detail,
        retry_after,
        is_own_origin,
        receipt: None,
    }
}

pub(crate) fn spool_outcome(error: &AppendError) -> Outcome {
    match error {
        AppendError::Full(_) => Outcome::SpoolFull,
        AppendError::Failed(_) => Outcome::SpoolFailed,
        AppendError::Closed => Outcome::ServerClosing,
        AppendError::Refused => Outcome::ConsentWithdrawn,
        AppendError::TooLarge { .. } => Outcome::BeaconTooLarge,
    }
}

fn expiry(token: &Token) -> Timestamp {
    // The first instant after the last valid day; day numbers end in the year 2149.
    Timestamp::from_second((i64::from(token.last_day) + 1) * 86_400).unwrap_or(Timestamp::MAX)
}
