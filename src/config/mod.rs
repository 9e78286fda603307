//! From what was written ([`Settings`]) to what is meant ([`Config`]), checked as a whole.
//!
//! Comes in: the TOML file and the environment, both as text. Goes out: a [`Config`] in which every
//! value is in range and every name resolves, or the list of *all* faults with key, value and reason.

pub mod access;
pub mod load;
pub mod notice;
pub mod retention;
pub mod settings;
pub mod sites;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;

pub use self::access::Access;
use self::settings::{Settings, Tls};
pub use self::sites::{Site, SiteId, Sites};
use crate::client::canonical;
use crate::filter::step::SiteFilters;
use crate::salts::wrap::KeyPlace;

/// The configuration as documented, key by key.
pub const REFERENCE: &str = include_str!("reference.toml");

/// A checked configuration. SIGHUP may change the sites, the limits, the retention and the policy ([`Config::reloaded`]); the rest
/// lasts as long as the process.
#[derive(Clone, Debug)]
#[allow(missing_docs)] // The keys are documented in reference.toml.
pub struct Config {
    pub server: Server,
    pub directory: PathBuf,
    pub store: Store,
    pub spool: Spool,
    pub batch: Batch,
    pub limits: Limits,
    pub access: Access,
    pub consent: Consent,
    pub salts: Salts,
    pub enrich: settings::Enrich,
    pub query: settings::Query,
    pub policy: notice::Notice,
    pub retention: retention::Retention,
    pub sites: Sites,
}

/// Listeners and their limits.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Server {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub threads: usize,
    pub runtime: settings::Layout,
    pub max_connections: usize,
    pub header_timeout: Duration,
    pub body_timeout: Duration,
    pub idle_timeout: Duration,
    pub drain_timeout: Duration,
    pub max_body_bytes: usize,
    pub max_batch_bytes: usize,
    pub trusted_proxies: Vec<IpNet>,
    pub tls: Option<Tls>,
}

/// Where events are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Store {
    pub place: Place,
    pub database: String,
    pub timeout: Duration,
}

impl Store {
    /// Tells whether other collectors may store there, too: nobody but its own reaches an embedded engine.
    pub fn is_shared(&self) -> bool {
        match self.place {
            Place::Embedded { .. } => false,
            Place::Server { .. } => true,
        }
    }
}

/// Which ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Place {
    /// The engine that brine brings along, as a child process.
    Embedded {
        library: Option<PathBuf>,
        memory_mib: u64,
    },
    /// A ClickHouse server of the operator's.
    Server {
        url: String,
        user: String,
        password_file: Option<PathBuf>,
    },
}

/// The durable queue.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Spool {
    pub max_bytes: u64,
    pub reserve_bytes: u64,
    pub group_records: usize,
    pub group_delay: Duration,
}

/// Batches to ClickHouse.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Batch {
    pub max_rows: usize,
    pub max_age: Duration,
    pub retry_min: Duration,
    pub retry_max: Duration,
}

/// Rate limits.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub struct Limits {
    pub address_per_minute: u32,
    pub address_burst: u32,
    pub site_per_second: u32,
    pub site_burst: u32,
    pub consent_per_minute: u32,
    pub rights_per_minute: u32,
    pub max_addresses: usize,
    pub event_ids: usize,
}

/// Consent tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Consent {
    pub life_days: u16,
    pub ledger_days: u16,
    pub key_file: PathBuf,
}

/// How salts are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct Salts {
    pub directory: PathBuf,
    pub key: Option<KeyPlace>,
    /// Salts come from the chain, and a seed is looked for here.
    pub seed_file: Option<PathBuf>,
}

/// One thing wrong with the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Dotted key, with the site's id in brackets where there is one.
    pub key: String,
    /// The value as written.
    pub value: String,
    /// Why it will not do, and what would.
    pub reason: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}: {}", self.key, self.value, self.reason)
    }
}

/// Collects faults, so that one run names them all.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn add(
        &mut self,
        key: impl Into<String>,
        value: impl fmt::Debug,
        reason: impl Into<String>,
    ) {
        self.0.push(Fault {
            key: key.into(),
            value: format!("{value:?}"),
            reason: reason.into(),
        });
    }

    fn range<T: PartialOrd + fmt::Debug>(&mut self, key: &str, value: T, low: T, high: T) -> T {
        if value < low || value > high {
            self.add(key, &value, format!("must be from {low:?} to {high:?}"));
        }
        value
    }

    fn millis(&mut self, key: &str, value: u64, low: u64, high: u64) -> Duration {
        Duration::from_millis(self.range(key, value, low, high))
    }
}

impl Config {
    /// Checks `settings` as a whole.
    ///
    /// # Errors
    /// Every fault found, not only the first; the operator mends the file and tries again.
    pub fn check(settings: &Settings) -> Result<Config, Vec<Fault>> {
        let mut faults = Faults::default();
        let config = Config {
            server: check_server(&settings.server, &mut faults),
            directory: check_directory(&settings.data.directory, &mut faults),
            store: check_store(&settings.store, &mut faults),
            spool: check_spool(&settings.spool, &mut faults),
            batch: check_batch(&settings.batch, &mut faults),
            limits: check_limits(&settings.limits, &mut faults),
            access: access::check(settings, &mut faults),
            consent: check_consent(settings, &mut faults),
            salts: check_salts(settings, &mut faults),
            enrich: settings.enrich.clone(),
            query: check_query(&settings.query, &mut faults),
            policy: notice::check(settings, &mut faults),
            retention: retention::check(settings, &mut faults),
            sites: sites::check(settings, &mut faults),
        };
        // Compiled here as well as when it takes effect, so that a check says what a start would.
        if let Err(said) = SiteFilters::new(&config.sites) {
            faults.0.extend(said);
        }
        if faults.0.is_empty() {
            Ok(config)
        } else {
            Err(faults.0)
        }
    }

    /// Returns what is in effect once a running brine has read `new`: what SIGHUP may change from there, the rest
    /// as it was started. The policy is published from this, so that it says what is done.
    #[must_use]
    pub fn reloaded(&self, new: Config) -> Config {
        Config {
            sites: new.sites,
            limits: new.limits,
            retention: new.retention,
            policy: notice::Notice {
                directory: self.policy.directory.clone(),
                ..new.policy
            },
            ..self.clone()
        }
    }

    /// Returns what `new` says otherwise and [`Config::reloaded`] leaves as it was: the tables of the file, or keys.
    pub fn needs_restart(&self, new: &Config) -> Vec<&'static str> {
        let differs = [
            ("server", self.server != new.server),
            ("data", self.directory != new.directory),
            ("store", self.store != new.store),
            ("spool", self.spool != new.spool),
            ("batch", self.batch != new.batch),
            (
                "limits.event_ids",
                self.limits.event_ids != new.limits.event_ids,
            ),
            ("access", self.access != new.access),
            ("consent", self.consent != new.consent),
            ("salts", self.salts != new.salts),
            ("enrich", self.enrich != new.enrich),
            ("query", self.query != new.query),
            (
                "policy.directory",
                self.policy.directory != new.policy.directory,
            ),
        ];
        let named = differs.iter().filter(|(_, differs)| *differs);
        named.map(|(name, _)| *name).collect()
    }
}

fn check_server(written: &settings::Server, faults: &mut Faults) -> Server {
    if written.listen == written.admin && written.listen.port() != 0 {
        faults.add(
            "server.admin",
            written.admin,
            "is the public listener's address as well",
        );
    }
    if let Some(tls) = &written.tls {
        for (key, path) in [
            ("server.tls.certificate", &tls.certificate),
            ("server.tls.key", &tls.key),
        ] {
            if path.as_os_str().is_empty() {
                faults.add(key, path, "must name a PEM file");
            }
        }
    }
    Server {
        listen: written.listen,
        admin: written.admin,
        threads: faults.range("server.threads", written.threads, 0, 1_024),
        runtime: written.runtime,
        max_connections: faults.range(
            "server.max_connections",
            written.max_connections,
            1,
            1_000_000,
        ),
        header_timeout: faults.millis(
            "server.header_timeout_ms",
            written.header_timeout_ms,
            10,
            600_000,
        ),
        body_timeout: faults.millis(
            "server.body_timeout_ms",
            written.body_timeout_ms,
            10,
            600_000,
        ),
        idle_timeout: faults.millis(
            "server.idle_timeout_ms",
            written.idle_timeout_ms,
            10,
            3_600_000,
        ),
        drain_timeout: faults.millis(
            "server.drain_timeout_ms",
            written.drain_timeout_ms,
            0,
            600_000,
        ),
        max_batch_bytes: faults.range(
            "server.max_batch_bytes",
            written.max_batch_bytes,
            1_024,
            // All of a batch has to fit half of the spool's buffer.
            2 << 20,
        ),
        max_body_bytes: faults.range(
            "server.max_body_bytes",
            written.max_body_bytes,
            1_024,
            16 << 20,
        ),
        trusted_proxies: written
            .trusted_proxies
            .iter()
            .copied()
            .map(canonical)
            .collect(),
        tls: written.tls.clone(),
    }
}

fn check_directory(directory: &Path, faults: &mut Faults) -> PathBuf {
    if directory.as_os_str().is_empty() {
        faults.add("data.directory", directory, "must name a directory");
    }
    directory.to_owned()
}

fn check_store(written: &settings::Store, faults: &mut Faults) -> Store {
    let database = &written.database;
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if database.is_empty() || database.len() > 64 || !database.chars().all(plain) {
        faults.add(
            "store.database",
            database,
            "must be 1 to 64 letters, digits or underscores",
        );
    }
    let place = if written.url == "embedded" {
        faults.range(
            "store.engine_memory_mib",
            written.engine_memory_mib,
            256,
            1 << 20,
        );
        Place::Embedded {
            library: written.engine_library.clone(),
            memory_mib: written.engine_memory_mib,
        }
    } else {
        match url::Url::parse(&written.url) {
            Ok(url) if matches!(url.scheme(), "http" | "https") && url.has_host() => {
                if url.password().is_some() {
                    // The value is not repeated: it holds the password.
                    faults.add(
                        "store.url",
                        "…",
                        "must not hold a password; use store.password_file",
                    );
                }
            }
            _ => faults.add(
                "store.url",
                &written.url,
                "must be \"embedded\" or an http(s) URL",
            ),
        }
        if written.engine_library.is_some() {
            faults.add(
                "store.engine_library",
                &written.engine_library,
                "needs store.url = \"embedded\"",
            );
        }
        Place::Server {
            url: written.url.clone(),
            user: written.user.clone(),
            password_file: written.password_file.clone(),
        }
    };
    Store {
        place,
        database: database.clone(),
        timeout: faults.millis("store.timeout_ms", written.timeout_ms, 100, 600_000),
    }
}

fn check_spool(written: &settings::Spool, faults: &mut Faults) -> Spool {
    const MIB: u64 = 1 << 20;
    Spool {
        max_bytes: faults.range("spool.max_mib", written.max_mib, 1, 1 << 24) * MIB,
        reserve_bytes: faults.range("spool.reserve_mib", written.reserve_mib, 0, 1 << 24) * MIB,
        group_records: faults.range("spool.group_records", written.group_records, 1, 65_536),
        group_delay: faults.millis("spool.group_delay_ms", written.group_delay_ms, 0, 1_000),
    }
}

fn check_batch(written: &settings::Batch, faults: &mut Faults) -> Batch {
    if written.retry_min_ms > written.retry_max_ms {
        faults.add(
            "batch.retry_min_ms",
            written.retry_min_ms,
            "is more than batch.retry_max_ms",
        );
    }
    Batch {
        // Half of ClickHouse's default max_insert_block_size: a batch must stay one block.
        max_rows: faults.range("batch.max_rows", written.max_rows, 1, 500_000),
        max_age: faults.millis("batch.max_age_ms", written.max_age_ms, 10, 3_600_000),
        retry_min: faults.millis("batch.retry_min_ms", written.retry_min_ms, 1, 600_000),
        retry_max: faults.millis("batch.retry_max_ms", written.retry_max_ms, 1, 3_600_000),
    }
}

fn check_limits(written: &settings::Limits, faults: &mut Faults) -> Limits {
    const MOST: u32 = 100_000_000;
    Limits {
        address_per_minute: faults.range(
            "limits.address_per_minute",
            written.address_per_minute,
            1,
            MOST,
        ),
        address_burst: faults.range("limits.address_burst", written.address_burst, 1, MOST),
        site_per_second: faults.range("limits.site_per_second", written.site_per_second, 1, MOST),
        site_burst: faults.range("limits.site_burst", written.site_burst, 1, MOST),
        consent_per_minute: faults.range(
            "limits.consent_per_minute",
            written.consent_per_minute,
            1,
            MOST,
        ),
        rights_per_minute: faults.range(
            "limits.rights_per_minute",
            written.rights_per_minute,
            1,
            MOST,
        ),
        event_ids: faults.range("limits.event_ids", written.event_ids, 1_000, 1_000_000_000),
        max_addresses: faults.range(
            "limits.max_addresses",
            written.max_addresses,
            16,
            100_000_000,
        ),
    }
}

fn check_consent(settings: &Settings, faults: &mut Faults) -> Consent {
    let written = &settings.consent;
    Consent {
        // Two years is beyond any authority's advice; a longer life would be no consent.
        life_days: faults.range("consent.life_days", written.life_days, 1, 730),
        ledger_days: faults.range("consent.ledger_days", written.ledger_days, 1, 36_500),
        key_file: written
            .key_file
            .clone()
            .unwrap_or_else(|| settings.data.directory.join("consent.key")),
    }
}

fn check_salts(settings: &Settings, faults: &mut Faults) -> Salts {
    let written = &settings.salts;
    let directory = settings.data.directory.join("salts");
    let mut places = Vec::new();
    if let Some(path) = &written.key_file {
        if path.starts_with(&directory) {
            faults.add("salts.key_file", path, "must not be beside the salts");
        }
        places.push(KeyPlace::File(path.clone()));
    }
    if let Some(name) = &written.key_credential {
        if name.is_empty() || name.contains('/') || name == ".." {
            faults.add("salts.key_credential", name, "must be a credential's name");
        }
        places.push(KeyPlace::Credential(name.clone()));
    }
    if let Some(name) = &written.key_variable {
        if name.is_empty() || name.contains('=') {
            faults.add("salts.key_variable", name, "must be a variable's name");
        }
        places.push(KeyPlace::Variable(name.clone()));
    }
    if places.len() > 1 {
        faults.add("salts", places.len(), "one place of the key, not several");
    }
    if written.seed_file.is_some() && !written.chain {
        faults.add(
            "salts.seed_file",
            &written.seed_file,
            "needs salts.chain = true",
        );
    }
    let seed_file = written.seed_file.clone();
    Salts {
        seed_file: written
            .chain
            .then(|| seed_file.unwrap_or_else(|| settings.data.directory.join("salts.seed"))),
        key: places.pop(),
        directory,
    }
}

fn check_query(written: &settings::Query, faults: &mut Faults) -> settings::Query {
    faults.range("query.k", written.k, 1, 1_000);
    faults.range("query.max_seconds", written.max_seconds, 1, 3_600);
    faults.range("query.max_memory_mib", written.max_memory_mib, 64, 1 << 20);
    written.clone()
}
