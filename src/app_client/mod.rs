//! A small client for apps: the reference for README, "Apps", and what its tests send with.
//!
//! It is made to be embedded or copied: the standard library, serde_json, getrandom and nothing else of brine. The app
//! brings the time (milliseconds since 1970) and, through [`transport::Transport`], its own HTTP client with TLS;
//! [`transport::Plain`] speaks to a collector on the same machine. Calls block; use a thread of your own.
//!
//! Comes in: the person's choice, events, the time. Goes out: requests of README's wire. Promises:
//!
//! - Before a yes nothing is sent and nothing is written but the choice itself; after a no, a withdrawal or a consent that
//!   has lapsed the queue is emptied first, and everything else comes after.
//! - An event that [`Client::record`] has taken is on the disk, and is sent until the collector has answered, through crashes of
//!   either side; its id makes it count once however often it is sent.
//! - Disk is bounded: [`MAX_QUEUED`] events, [`MAX_RECEIPTS`] receipts. The oldest go first, and are counted.
//! - A withdrawal that found no network is sent before anything else, for as long as it takes.
//!
//! May be lost: events older than 72 hours, events beyond the bound, and what a collector refuses for good.
//!
//! ```no_run
//! use brine::app_client::{Client, Delivered, Event, Settings, transport::Plain};
//! # fn now_ms() -> i64 { 0 }
//! # fn main() -> Result<(), brine::app_client::ClientError> {
//! let settings = Settings::new("windows", "PortalApp/4.2 (Windows 11; desktop)", "app-data/brine");
//! let mut client = Client::open(settings, Plain::to("127.0.0.1:8080"))?;
//! client.grant(now_ms())?;                      // after the person said yes
//! client.record(Event::screen("/orders/list"), now_ms())?;
//! match client.deliver(now_ms())? {
//!     Delivered::Later { wait_ms } => println!("again in {wait_ms} ms"),
//!     Delivered::Ended { outcome } => println!("ask the person anew: {outcome}"),
//!     Delivered::Idle | Delivered::Sent { .. } => {}
//! }
//! # Ok(())
//! # }
//! ```

mod choices;
pub mod queue;
pub mod transport;

use std::io;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use thiserror::Error;

use self::queue::{Queue, write_whole};
use self::transport::{Response, Transport};

/// Most events kept; the oldest go first.
pub const MAX_QUEUED: usize = 500;

/// Most receipts kept: a request to `/api/subject` takes no more.
pub const MAX_RECEIPTS: usize = 800;

/// Events older than this are refused by the collector.
const MAX_AGE_MS: i64 = 72 * 3_600_000;

/// A batch's events take no more than this, so that it stays below the collector's limit.
const BATCH_BYTES: usize = 512 * 1024;

/// First wait after a failure, doubled up to the last.
const FIRST_WAIT_MS: i64 = 10_000;
const LAST_WAIT_MS: i64 = 3_600_000;

/// Why a call did not do what it was asked to.
#[derive(Debug, Error)]
pub enum ClientError {
    /// The app's own disk.
    #[error("the client's directory")]
    Disk(#[from] io::Error),
    /// No answer, or one that says to come back: try again later.
    #[error("the collector cannot be reached now: {reason}")]
    Unreachable {
        /// What happened.
        reason: String,
    },
    /// The collector does not want this request, now or ever.
    #[error("refused: {outcome}")]
    Refused {
        /// Its stable code, or the status where it gave none.
        outcome: String,
    },
}

/// Who sends.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub struct Settings {
    pub site: String,
    /// Without a name of its own an app is a bot.
    pub user_agent: String,
    /// For the client alone; made if missing.
    pub directory: PathBuf,
    pub device: Device,
}

impl Settings {
    /// Settings of an app that says nothing of its device.
    pub fn new(site: &str, user_agent: &str, directory: impl Into<PathBuf>) -> Settings {
        Settings {
            site: site.to_owned(),
            user_agent: user_agent.to_owned(),
            directory: directory.into(),
            device: Device::default(),
        }
    }
}

/// What the app says about itself and its device.
#[derive(Clone, Debug, Default, Serialize)]
#[allow(missing_docs)] // README, "Apps", says what each is.
pub struct Device {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_version: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub os: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model_class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub locale: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mac: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug, Default)]
#[allow(missing_docs)]
pub struct Event {
    /// None: a view of the screen.
    pub name: Option<String>,
    pub screen: String,
    pub props: Map<String, Value>,
    pub is_passive: bool,
}

impl Event {
    /// A view of a screen.
    pub fn screen(path: &str) -> Event {
        Event {
            screen: path.to_owned(),
            ..Event::default()
        }
    }

    /// Something done on a screen.
    pub fn named(name: &str, path: &str) -> Event {
        Event {
            name: Some(name.to_owned()),
            ..Event::screen(path)
        }
    }

    /// With a property.
    #[must_use]
    pub fn with(mut self, property: &str, value: impl Into<Value>) -> Event {
        self.props.insert(property.to_owned(), value.into());
        self
    }
}

/// What the person has said.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Choice {
    /// No.
    Denied,
    /// Yes, as this token proves.
    Granted {
        /// The token.
        token: String,
    },
    /// Nothing yet, or a yes that has lapsed.
    #[default]
    Unasked,
}

/// What the client remembers besides the queue.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Memory {
    choice: Choice,
    receipts: Vec<String>,
    /// A withdrawal that is not delivered yet.
    owed: Option<Value>,
}

/// What became of a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Delivered {
    /// There is nothing to send, or no consent to send it with.
    Idle,
    /// Answered; these events are out of the queue.
    Sent {
        /// How many were stored.
        accepted: usize,
        /// Codes of the others, or of an erasure that was refused.
        refused: Vec<String>,
    },
    /// Not now.
    Later {
        /// Call again after this.
        wait_ms: i64,
    },
    /// The consent is over: the queue is empty, the person is to be asked anew.
    Ended {
        /// The code that says why.
        outcome: String,
    },
}

/// The client of one app on one device. One process, one directory.
#[derive(Debug)]
pub struct Client<T> {
    settings: Settings,
    transport: T,
    memory: Memory,
    queue: Queue,
    /// Failures in a row.
    failures: u32,
    /// Not before this.
    next_at_ms: i64,
    visit: Option<Visit>,
    /// Events dropped because of the bounds.
    pub n_dropped: u64,
}

#[derive(Clone, Debug)]
struct Visit {
    id: String,
    began_ms: i64,
    last_ms: i64,
}

impl<T: Transport> Client<T> {
    /// Opens the client's directory; what a crash left is taken up.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub fn open(settings: Settings, transport: T) -> Result<Client<T>, ClientError> {
        std::fs::create_dir_all(&settings.directory)?;
        let memory = match std::fs::read(settings.directory.join("consent.json")) {
            // Written whole or not at all; one that cannot be read is no yes.
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Memory::default(),
            Err(error) => return Err(error.into()),
        };
        let mut queue = Queue::open(&settings.directory)?;
        if !matches!(memory.choice, Choice::Granted { .. }) {
            queue.clear()?;
        }
        Ok(Client {
            settings,
            transport,
            memory,
            queue,
            failures: 0,
            next_at_ms: i64::MIN,
            visit: None,
            n_dropped: 0,
        })
    }

    /// Returns what the person has said.
    pub fn choice(&self) -> &Choice {
        &self.memory.choice
    }

    /// Returns the receipts: the person's key to what is stored about them.
    pub fn receipts(&self) -> &[String] {
        &self.memory.receipts
    }

    /// Returns how many events wait.
    pub fn n_queued(&self) -> usize {
        self.queue.len()
    }

    /// Takes an event; on the disk when it returns. False: there is no consent, and nothing was kept.
    ///
    /// # Errors
    /// [`ClientError::Disk`].
    pub fn record(&mut self, event: Event, now_ms: i64) -> Result<bool, ClientError> {
        if !matches!(self.memory.choice, Choice::Granted { .. }) {
            return Ok(false);
        }
        let (visit, began_ms) = self.visit(now_ms)?;
        let mut value = json!({
            "id": random_id()?,
            "ts": now_ms,
            "screen": event.screen,
            "visit": { "id": visit, "started": began_ms },
        });
        if let Some(name) = event.name {
            value["name"] = name.into();
        }
        if !event.props.is_empty() {
            value["props"] = Value::Object(event.props);
        }
        if event.is_passive {
            value["interactive"] = false.into();
        }
        self.queue.push(value)?;
        let too_many = self.queue.len().saturating_sub(MAX_QUEUED);
        if too_many > 0 {
            self.queue.drop_front(too_many)?;
            self.n_dropped += too_many as u64;
        }
        Ok(true)
    }

    /// Sends what is due: a withdrawal first, otherwise the oldest events.
    ///
    /// # Errors
    /// [`ClientError::Disk`]. Trouble with the network is [`Delivered::Later`].
    pub fn deliver(&mut self, now_ms: i64) -> Result<Delivered, ClientError> {
        if now_ms < self.next_at_ms {
            let wait_ms = self.next_at_ms - now_ms;
            // A clock that was set back must not silence the client for long.
            if wait_ms <= LAST_WAIT_MS {
                return Ok(Delivered::Later { wait_ms });
            }
        }
        if let Some(owed) = self.memory.owed.clone() {
            return self.deliver_owed(&owed, now_ms);
        }
        let Choice::Granted { token } = &self.memory.choice else {
            return Ok(Delivered::Idle);
        };
        let n_old = self.queue.count_front(|event| {
            event["ts"]
                .as_i64()
                .is_none_or(|ts| now_ms - ts > MAX_AGE_MS)
        });
        let token = token.clone();
        if n_old > 0 {
            self.queue.drop_front(n_old)?;
            self.n_dropped += n_old as u64;
        }
        let events = self.queue.front(MAX_QUEUED, BATCH_BYTES);
        if events.is_empty() {
            return Ok(Delivered::Idle);
        }
        let n_sent = events.len();
        let body = json!({
            "site": self.settings.site,
            "consent": token,
            "sent_at": now_ms,
            "receipts": true,
            "device": self.settings.device,
            "events": events,
        });
        let response = match self.post("/api/events", &body) {
            Ok(response) => response,
            Err(ClientError::Unreachable { .. }) => return Ok(self.later(None, now_ms)),
            Err(error) => return Err(error),
        };
        if response.is_worth_retrying() {
            return Ok(self.later(response.retry_after_ms(), now_ms));
        }
        self.settled(&response, n_sent)
    }

    /// An answer that will not change: the batch is out of the queue.
    fn settled(&mut self, response: &Response, n_sent: usize) -> Result<Delivered, ClientError> {
        self.failures = 0;
        let outcome = outcome(response);
        let over = [
            "consent.expired",
            "consent.lapsed",
            "consent.withdrawn",
            "consent.forged",
            "consent.malformed",
            "consent.other_site",
        ];
        if over.contains(&outcome.as_str()) {
            self.forget(Choice::Unasked)?;
            return Ok(Delivered::Ended { outcome });
        }
        let answer = response.json();
        for receipt in answer["receipts"].as_array().into_iter().flatten() {
            if let Some(text) = receipt["receipt"].as_str() {
                self.keep_receipt(text);
            }
        }
        // Receipts before the events they are about leave the queue: after a crash they come again.
        self.remember()?;
        self.queue.drop_front(n_sent)?;
        let results = answer["results"].as_array().cloned().unwrap_or_default();
        let mut refused: Vec<String> = results
            .iter()
            .filter_map(|result| result["outcome"].as_str())
            .filter(|outcome| !["accepted", "event.repeated"].contains(outcome))
            .map(str::to_owned)
            .collect();
        if results.is_empty() {
            refused = vec![outcome; n_sent];
        }
        Ok(Delivered::Sent {
            accepted: n_sent - refused.len().min(n_sent),
            refused,
        })
    }

    /// Waits twice as long after each failure, a random part of it, so that many devices do not come back as one.
    fn later(&mut self, retry_after_ms: Option<i64>, now_ms: i64) -> Delivered {
        let longest = FIRST_WAIT_MS
            .saturating_mul(1 << self.failures.min(20))
            .min(LAST_WAIT_MS);
        self.failures = self.failures.saturating_add(1);
        let part = random_part().unwrap_or(0.5);
        let wait_ms = longest / 2 + (longest as f64 / 2.0 * part) as i64;
        let wait_ms = wait_ms.max(retry_after_ms.unwrap_or(0)).min(LAST_WAIT_MS);
        self.next_at_ms = now_ms.saturating_add(wait_ms);
        Delivered::Later { wait_ms }
    }

    /// A visit is over after 30 minutes' silence.
    fn visit(&mut self, now_ms: i64) -> io::Result<(String, i64)> {
        let is_open = |visit: &&mut Visit| (0..30 * 60_000).contains(&(now_ms - visit.last_ms));
        if let Some(visit) = self.visit.as_mut().filter(is_open) {
            visit.last_ms = now_ms;
            return Ok((visit.id.clone(), visit.began_ms));
        }
        let id = random_id()?;
        self.visit = Some(Visit {
            id: id.clone(),
            began_ms: now_ms,
            last_ms: now_ms,
        });
        Ok((id, now_ms))
    }

    fn keep_receipt(&mut self, text: &str) {
        let receipts = &mut self.memory.receipts;
        if !receipts.iter().any(|kept| kept == text) {
            receipts.push(text.to_owned());
            let too_many = receipts.len().saturating_sub(MAX_RECEIPTS);
            receipts.drain(..too_many);
        }
    }

    /// Takes note of the choice, then empties the queue. Both are tried: a no is in force even where the disk takes neither.
    /// In this order, because whoever opens a queue without a consent empties it.
    fn forget(&mut self, choice: Choice) -> Result<(), ClientError> {
        self.visit = None;
        self.memory.choice = choice;
        let noted = self.remember();
        self.queue.clear()?;
        noted
    }

    fn remember(&self) -> Result<(), ClientError> {
        let bytes = serde_json::to_vec(&self.memory).map_err(io::Error::other)?;
        Ok(write_whole(
            &self.settings.directory,
            "consent.json",
            &bytes,
        )?)
    }

    fn post(&self, path: &str, body: &Value) -> Result<Response, ClientError> {
        let body = body.to_string();
        let sent = self
            .transport
            .post(path, &self.settings.user_agent, body.as_bytes());
        sent.map_err(|error| ClientError::Unreachable {
            reason: error.to_string(),
        })
    }
}

fn outcome(response: &Response) -> String {
    match response.header("brine-outcome") {
        Some(code) => code.to_owned(),
        None => response.status.to_string(),
    }
}

fn fault(response: &Response) -> ClientError {
    match response.is_worth_retrying() {
        true => ClientError::Unreachable {
            reason: outcome(response),
        },
        false => ClientError::Refused {
            outcome: outcome(response),
        },
    }
}

/// 120 random bits as text. No hexadecimal digits: 32 of them look like a UUID of version 1 in 3 % of cases.
fn random_id() -> io::Result<String> {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut bytes = [0_u8; 20];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes
        .iter()
        .map(|byte| char::from(LETTERS[usize::from(byte & 63)]))
        .collect())
}

fn random_part() -> Option<f64> {
    let mut bytes = [0_u8; 4];
    getrandom::fill(&mut bytes).ok()?;
    Some(f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests;
