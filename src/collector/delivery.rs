//! The second half of the path for several beacons at once: from the yes to the spool, with one group commit.
//!
//! Comes in: beacons whose consent was found good, or the refusal of those that are none. Goes out: one end each, counted.
//! Beacons with an id are claimed in the memory of events first ([`crate::event_ids`]); between claim and hand-over to the
//! spool nothing waits, so a claim lasts microseconds and is never left behind.

use std::ops::Range;
use std::sync::Arc;

use super::{Collector, Live, limited_for, spool_outcome};
use crate::beacon::Refused;
use crate::client::Client;
use crate::config::Site;
use crate::consent::Consented;
use crate::consent::token::LedgerId;
use crate::enrich::step::enrich;
use crate::event::{self, EventId};
use crate::event_ids::Claim;
use crate::filter::step::{Sender, filter_from};
use crate::outcome::Outcome;
use crate::pseudonym::{Run, pseudonymise_batched};
use crate::rights::receipt::Receipt;
use crate::salts::period::{next_period, period_of, start_of};
use crate::spool::{AppendError, RecordKind, Ticket};

/// How often a claim of somebody else's is looked at again, each time after everybody else had a turn.
const MAX_TURNS: u32 = 10_000;

/// Room for the payload of one event, which takes 100 to 300 bytes.
const USUAL_BYTES: usize = 192;

/// A beacon that may be stored, and what is known of its sender.
#[derive(Debug)]
pub(crate) struct Passed {
    pub(crate) consented: Consented,
    pub(crate) sender: Arc<Sender>,
}

/// How one of several beacons ended.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct End {
    pub outcome: Outcome,
    /// Which key and why; for the sender's eyes only.
    pub detail: String,
}

/// How all of them did.
#[derive(Debug)]
pub(crate) struct Delivered {
    pub(crate) ends: Vec<End>,
    /// Receipts, with the seconds until the period of each ends.
    pub(crate) receipts: Vec<(String, i64)>,
}

/// A record on the threshold of the spool.
#[derive(Debug)]
pub(crate) struct Ready {
    pub(crate) kind: u8,
    /// Where its payload lies among those of its request.
    pub(crate) payload: Range<usize>,
    pub(crate) id: Option<EventId>,
    /// Nothing is stored once this consent is withdrawn.
    pub(crate) ledger: Option<LedgerId>,
}

impl Collector {
    /// Walks beacons from the yes to the spool. Their ids are remembered for `slots` ([`crate::event_ids`]).
    pub(crate) async fn deliver(
        &self,
        live: &Live,
        beacons: impl IntoIterator<Item = Result<Passed, Refused>>,
        slots: u32,
        wants_receipts: bool,
    ) -> Delivered {
        let beacons = beacons.into_iter();
        let n_beacons = beacons.size_hint().0;
        let mut ends: Vec<Option<End>> = Vec::with_capacity(n_beacons);
        let mut sites = Vec::with_capacity(n_beacons);
        let mut ready = Vec::with_capacity(n_beacons);
        let mut receipts = Vec::new();
        let mut run = (None, Run::default());
        let mut payloads = Vec::with_capacity(n_beacons * USUAL_BYTES);
        // One after the other from its text to its bytes: the next one finds the memory of the one before still warm.
        for beacon in beacons {
            let prepared = beacon
                .and_then(|passed| self.make_ready(live, passed, slots, &mut run, &mut payloads));
            match prepared {
                Ok((site, record, receipt)) => {
                    let is_new = |(site, receipt): &(Arc<Site>, Receipt)| {
                        let same = |(other, known): &(Arc<Site>, Receipt)| {
                            other.index == site.index && known == receipt
                        };
                        wants_receipts && !receipts.iter().any(same)
                    };
                    if let Some(receipt) = receipt.filter(is_new) {
                        receipts.push(receipt);
                    }
                    sites.push((ends.len(), site));
                    ready.push(record);
                    ends.push(None);
                }
                Err(Refused {
                    outcome,
                    site,
                    detail,
                    ..
                }) => {
                    live.count(site.as_ref(), outcome);
                    ends.push(Some(End { outcome, detail }));
                }
            }
        }
        let mut unanswered = Unanswered {
            live,
            sites: &sites,
            is_answered: false,
        };
        let outcomes = self.store(&ready, &payloads).await;
        unanswered.is_answered = true;
        let mut is_stored = false;
        for ((at, site), outcome) in sites.iter().zip(outcomes) {
            live.count(Some(site), outcome);
            is_stored |= matches!(outcome, Outcome::Accepted | Outcome::EventRepeated);
            ends[*at] = Some(End {
                outcome,
                detail: String::new(),
            });
        }
        let issue = |(site, receipt): (Arc<Site>, Receipt)| {
            let end = start_of(receipt.days.end, &site.time_zone).duration_since(self.clock.now());
            (
                self.receipts.issue(site.id.as_str(), &receipt),
                end.as_secs().max(0),
            )
        };
        Delivered {
            // Every place was filled: refused, or stored at the place that was left for it.
            ends: ends.into_iter().flatten().collect(),
            receipts: if is_stored {
                receipts.into_iter().map(issue).collect()
            } else {
                Vec::new()
            },
        }
    }

    #[allow(clippy::type_complexity)] // Said once.
    fn make_ready(
        &self,
        live: &Live,
        passed: Passed,
        slots: u32,
        (sender, run): &mut (Option<Arc<Sender>>, Run),
        payloads: &mut Vec<u8>,
    ) -> Result<(Arc<Site>, Ready, Option<(Arc<Site>, Receipt)>), Refused> {
        let site = passed.consented.beacon().site.clone();
        let ledger = passed.consented.ledger();
        if !sender
            .as_ref()
            .is_some_and(|last| Arc::ptr_eq(last, &passed.sender))
        {
            *sender = Some(passed.sender.clone());
            *run = Run::default();
        }
        let filtered = filter_from(
            passed.consented,
            &passed.sender,
            &live.filters,
            &self.enrichers,
        )?;
        let enriched = enrich(filtered, &self.enrichers);
        let id = enriched.event_id(&self.event_ids, slots);
        let living = self.salts.living();
        let event = pseudonymise_batched(enriched, living.get(&site.id), &self.open_visits, run)
            .map_err(|outcome| Refused::plain(outcome, &site))?;
        let receipt = ledger.is_some().then(|| {
            let period = period_of(event.day, site.rotation);
            let days = period..next_period(period, site.rotation);
            let visitor = event.visitor;
            (site.clone(), Receipt { days, visitor })
        });
        let start = payloads.len();
        let kind = event::append_event(&event, id, payloads);
        let ready = Ready {
            kind,
            payload: start..payloads.len(),
            id,
            ledger,
        };
        Ok((site, ready, receipt))
    }

    /// Stores records side by side; each comes to one end. Those that are new are durable together.
    pub(crate) async fn store(&self, records: &[Ready], payloads: &[u8]) -> Vec<Outcome> {
        let mut ends = vec![Outcome::EventRepeated; records.len()];
        let mut open: Vec<usize> = (0..records.len()).collect();
        // A claim lasts microseconds; one that does not end is a fault of ours, and must not become a loop.
        let mut n_turns = 0;
        while !open.is_empty() && n_turns < MAX_TURNS {
            let mut mine = Vec::with_capacity(open.len());
            let mut others = Vec::new();
            let mut wait = None;
            for at in open {
                match records[at]
                    .id
                    .map_or(Claim::New, |id| self.event_ids.claim(id))
                {
                    Claim::New => mine.push(at),
                    Claim::Repeated => ends[at] = Outcome::EventRepeated,
                    Claim::Claimed => others.push(at),
                    Claim::Submitted(ticket) => {
                        wait.get_or_insert(ticket);
                        others.push(at);
                    }
                }
            }
            if let Some(ticket) = self.submit(records, payloads, &mut mine, &mut ends) {
                let outcome = match ticket.committed().await {
                    Ok(()) => Outcome::Accepted,
                    Err(error) => spool_outcome(&error),
                };
                for at in mine {
                    ends[at] = outcome;
                }
            }
            match wait {
                // Whether it was stored shows when it is claimed again.
                Some(ticket) => drop(ticket.committed().await),
                None if !others.is_empty() => {
                    n_turns += 1;
                    tokio::task::yield_now().await;
                }
                None => {}
            }
            open = others;
        }
        for at in open {
            ends[at] = Outcome::SpoolFailed;
        }
        ends
    }

    /// Hands claimed records to the spool, all or none; those whose consent is withdrawn by then are left out.
    fn submit(
        &self,
        records: &[Ready],
        payloads: &[u8],
        mine: &mut Vec<usize>,
        ends: &mut [Outcome],
    ) -> Option<Ticket> {
        let ids = |places: &[usize]| -> Vec<EventId> {
            places.iter().filter_map(|at| records[*at].id).collect()
        };
        let is_withdrawn = |at: &usize| {
            records[*at]
                .ledger
                .is_some_and(|ledger| self.revocations.contains(ledger))
        };
        while !mine.is_empty() {
            let open: Vec<(RecordKind, &[u8])> = mine
                .iter()
                .map(|at| {
                    let Ready { kind, payload, .. } = &records[*at];
                    (RecordKind(*kind), &payloads[payload.clone()])
                })
                .collect();
            let mut ledgers: Vec<LedgerId> =
                mine.iter().filter_map(|at| records[*at].ledger).collect();
            ledgers.dedup();
            let admit = || {
                !ledgers
                    .iter()
                    .any(|ledger| self.revocations.contains(*ledger))
            };
            match self.spool.submit_many(&open, admit) {
                Ok(ticket) => {
                    self.event_ids.submitted(ids(mine), &ticket);
                    return Some(ticket);
                }
                Err(AppendError::Refused) => {
                    let (withdrawn, good) = mine.drain(..).partition(is_withdrawn);
                    let withdrawn: Vec<usize> = withdrawn;
                    self.event_ids.release(ids(&withdrawn));
                    for at in withdrawn {
                        ends[at] = Outcome::ConsentWithdrawn;
                    }
                    *mine = good;
                }
                Err(error) => {
                    self.event_ids.release(ids(mine));
                    for at in mine.drain(..) {
                        ends[at] = spool_outcome(&error);
                    }
                }
            }
        }
        None
    }

    /// Takes `n` beacons of one sender from the limits. A server that shows the site's key sends for everybody, and is
    /// bound by the site's limit alone.
    pub(crate) fn limit_many(
        &self,
        live: &Live,
        site: &Arc<Site>,
        client: &Client,
        n: usize,
    ) -> Result<(), Refused> {
        let n = u32::try_from(n).unwrap_or(u32::MAX);
        let refused = |outcome| move |wait| limited_for(outcome, Some(site), wait);
        if !client.is_server {
            live.limiter
                .beacons(client.address, n)
                .map_err(refused(Outcome::LimitAddress))?;
        }
        live.limiter
            .site_many(site.index, n)
            .map_err(refused(Outcome::LimitSite))
    }
}

/// Counts beacons whose client left while their records were on the way to the disk.
struct Unanswered<'a> {
    live: &'a Live,
    sites: &'a [(usize, Arc<Site>)],
    is_answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            for (_, site) in self.sites {
                self.live.count(Some(site), Outcome::ClientGone);
            }
        }
    }
}
