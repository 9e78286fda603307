//! What is not counted although it may be: machines, referrer spam, and what a site itself excludes.
//!
//! In: user agent, referrer host, and where a beacon came from. Out: nothing, or the reason for which
//! the beacon ends here; each reason has a stable name that outcome codes and counters are made of.
//! Promised: a reason is never given for a person's browser on the corpora named in the tests beyond
//! the rates stated there. May be lost: people behind rare user agents that call themselves bots.

pub mod bots;
pub mod referrer_spam;
pub mod rules;
pub mod step;
