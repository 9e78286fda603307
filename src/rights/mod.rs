//! What a visitor can do: see, correct, restrict, object, erase, withdraw (GDPR Art. 7(3), 15 to 21).
//!
//! Comes in: a request with what the visitor holds (`subject`). Goes out: an [`answer::Answer`] that says what was done, how
//! many rows, how that was verified, and which days nobody can link to them any more (Art. 11). Promises that a
//! request reaches the visitor's own events only, all of them that what they brought can open, in spool,
//! quarantine and ClickHouse; that an erasure is answered as done only when it is verified; and that neither a
//! pseudonym nor a receipt is in any log, metric, error, file of ours or statement text, but for `erasures.log` while
//! an erasure is under way and `restrictions` while a restriction holds.
//!
//! brine cannot do any of this without the visitor: it has no list of whose pseudonyms belong together. What it
//! may lose: a correction whose answer the visitor did not get, if ClickHouse dies meanwhile.
//!
//! # Receipts
//!
//! A beacon with `"rc":true` is answered with the header `Brine-Receipt: <receipt> <seconds>`, the seconds until its
//! period ends. Not where the sender names its visitor itself (`vid`): whoever knows such an id could send one
//! beacon and get the receipt of somebody else.

pub mod subject;

pub mod receipt;

pub mod desk;

pub mod answer;

pub mod http;

pub mod page;

pub mod log;

mod erasing;

pub(crate) mod settling;

mod elsewhere;

pub mod rows;

mod record;
