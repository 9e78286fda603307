//! What was written: the configuration file, key by key, with its defaults.
//!
//! [`Settings`] mirrors the TOML file. Unknown keys are refused. Defaults stand here and nowhere else;
//! the reason for each is in `reference.toml`, which a test holds against this file.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::notice;

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // Section names; each section documents itself.
pub struct Settings {
    pub server: Server,
    pub data: Data,
    pub store: Store,
    pub spool: Spool,
    pub batch: Batch,
    pub limits: Limits,
    pub access: Access,
    pub consent: Consent,
    pub salts: Salts,
    pub policy: notice::Policy,
    pub controller: notice::Controller,
    pub processing: notice::Processing,
    #[serde(rename = "recipient")]
    pub recipients: Vec<notice::Recipient>,
    pub authority: notice::Authority,
    pub enrich: Enrich,
    pub query: Query,
    pub retention: Retention,
    #[serde(rename = "site")]
    pub sites: Vec<Site>,
}

/// Listeners and their limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)] // Each key is documented in reference.toml.
pub struct Server {
    pub listen: SocketAddr,
    pub admin: SocketAddr,
    pub threads: usize,
    pub runtime: Layout,
    pub max_connections: usize,
    pub header_timeout_ms: u64,
    pub body_timeout_ms: u64,
    pub idle_timeout_ms: u64,
    pub drain_timeout_ms: u64,
    pub max_body_bytes: usize,
    pub max_batch_bytes: usize,
    pub trusted_proxies: Vec<IpNet>,
    pub tls: Option<Tls>,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin: SocketAddr::from(([127, 0, 0, 1], 8081)),
            threads: 0,
            runtime: Layout::default(),
            max_connections: 8_192,
            header_timeout_ms: 5_000,
            body_timeout_ms: 5_000,
            idle_timeout_ms: 60_000,
            drain_timeout_ms: 10_000,
            max_body_bytes: 64 * 1024,
            max_batch_bytes: 1024 * 1024,
            trusted_proxies: Vec::new(),
            tls: None,
        }
    }
}

/// How the public listener's connections are spread over threads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// Each thread has a runtime and its share of the connections.
    PerCore,
    /// One runtime whose threads take work from each other.
    #[default]
    Shared,
}

/// Certificate and key files in PEM, re-read when they change.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Tls {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

/// Where brine keeps its files.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Data {
    pub directory: PathBuf,
}

impl Default for Data {
    fn default() -> Self {
        Self {
            directory: PathBuf::from("brine-data"),
        }
    }
}

/// Which ClickHouse keeps the events.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Store {
    pub url: String,
    pub database: String,
    pub user: String,
    pub password_file: Option<PathBuf>,
    pub timeout_ms: u64,
    pub engine_library: Option<PathBuf>,
    pub engine_memory_mib: u64,
}

impl Default for Store {
    fn default() -> Self {
        Self {
            url: "embedded".into(),
            database: "brine".into(),
            user: "default".into(),
            password_file: None,
            timeout_ms: 30_000,
            engine_library: None,
            engine_memory_mib: 2_048,
        }
    }
}

/// The durable queue in front of ClickHouse.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Spool {
    pub max_mib: u64,
    pub reserve_mib: u64,
    pub group_records: usize,
    pub group_delay_ms: u64,
}

impl Default for Spool {
    fn default() -> Self {
        Self {
            max_mib: 4_096,
            reserve_mib: 512,
            group_records: 48,
            group_delay_ms: 10,
        }
    }
}

/// How many rows go to ClickHouse at once, and how soon.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Batch {
    pub max_rows: usize,
    pub max_age_ms: u64,
    pub retry_min_ms: u64,
    pub retry_max_ms: u64,
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            max_rows: 20_000,
            max_age_ms: 5_000,
            retry_min_ms: 250,
            retry_max_ms: 30_000,
        }
    }
}

/// Rate limits.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
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

impl Default for Limits {
    fn default() -> Self {
        Self {
            address_per_minute: 600,
            address_burst: 120,
            site_per_second: 20_000,
            site_burst: 40_000,
            consent_per_minute: 60,
            rights_per_minute: 60,
            max_addresses: 100_000,
            event_ids: 4_000_000,
        }
    }
}

/// Who may look at the numbers.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Access {
    pub mode: Mode,
    pub url: Option<String>,
    pub allow_http: bool,
    pub proxy_header: String,
    pub oidc_issuer: Option<String>,
    pub oidc_client_id: Option<String>,
    pub oidc_secret_file: Option<PathBuf>,
    pub oidc_claim: OidcClaim,
    pub session_idle_minutes: u32,
    pub session_hours: u32,
    pub log_days: u16,
}

impl Default for Access {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            url: None,
            allow_http: false,
            proxy_header: "x-forwarded-user".into(),
            oidc_issuer: None,
            oidc_client_id: None,
            oidc_secret_file: None,
            oidc_claim: OidcClaim::default(),
            session_idle_minutes: 480,
            session_hours: 168,
            log_days: 365,
        }
    }
}

/// How the admin listener knows who is there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It does not ask; loopback only.
    Open,
    /// By name and password.
    #[default]
    Password,
    /// By the header of a trusted proxy.
    Proxy,
    /// By an OpenID Connect provider; in a build with the feature `oidc`.
    Oidc,
}

/// What of a provider's word is the user's name here (OpenID Connect Core 1.0, section 5.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OidcClaim {
    /// The e-mail address, where the provider says that it is verified.
    #[default]
    Email,
    /// A name that the provider lets nobody else have.
    PreferredUsername,
    /// The provider's own number for the person.
    Sub,
}

/// Consent tokens.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Consent {
    pub life_days: u16,
    pub ledger_days: u16,
    pub key_file: Option<PathBuf>,
}

impl Default for Consent {
    fn default() -> Self {
        Self {
            life_days: 180,
            ledger_days: 1_825,
            key_file: None,
        }
    }
}

/// How salts are kept and where they come from.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Salts {
    pub key_file: Option<PathBuf>,
    pub key_credential: Option<String>,
    pub key_variable: Option<String>,
    pub chain: bool,
    pub seed_file: Option<PathBuf>,
}

/// Optional data files; built-in rules serve without them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Enrich {
    pub geo_country: Option<PathBuf>,
    pub geo_city: Option<PathBuf>,
    pub agent_patterns: Option<PathBuf>,
    pub crawler_patterns: Option<PathBuf>,
    pub referrer_sources: Option<PathBuf>,
    pub referrer_spam: Option<PathBuf>,
}

/// Bounds of the query API.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Query {
    pub k: u32,
    pub max_seconds: u32,
    pub max_memory_mib: u64,
}

impl Default for Query {
    fn default() -> Self {
        Self {
            k: 5,
            max_seconds: 30,
            max_memory_mib: 1_024,
        }
    }
}

/// How long what is kept, and when what is due goes.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct Retention {
    pub run_at: String,
    pub removed_site_grace_days: u16,
    pub late_hours: u32,
    pub days: KeepDays,
    /// By name of the group.
    pub group: BTreeMap<String, KeepDays>,
}

impl Default for Retention {
    fn default() -> Self {
        Self {
            run_at: "00:20".into(),
            removed_site_grace_days: 30,
            late_hours: 30,
            days: KeepDays {
                events: Some(395),
                engagement: Some(395),
                web_vitals: Some(395),
                visits: Some(395),
                daily: Some(1_825),
                // As long as `consent.ledger_days`.
                consents: None,
                requests: None,
            },
            group: BTreeMap::new(),
        }
    }
}

/// Days by table and by kind of event; what is not said is inherited: site, group, `[retention.days]`, built-in.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct KeepDays {
    pub events: Option<u16>,
    pub engagement: Option<u16>,
    pub web_vitals: Option<u16>,
    pub visits: Option<u16>,
    pub daily: Option<u16>,
    pub consents: Option<u16>,
    pub requests: Option<u16>,
}

/// One site or app.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Site {
    pub id: String,
    pub name: Option<String>,
    #[serde(default)]
    pub kind: SiteKind,
    #[serde(default)]
    pub domains: Vec<String>,
    #[serde(default)]
    pub sub_domains: bool,
    pub group: Option<String>,
    #[serde(default = "utc")]
    pub time_zone: String,
    #[serde(default = "yes")]
    pub honour_gpc: bool,
    #[serde(default = "yes")]
    pub honour_dnt: bool,
    #[serde(default)]
    pub rotation: Rotation,
    #[serde(default = "two_hours")]
    pub salt_grace_minutes: u32,
    pub retention_days: Option<u16>,
    #[serde(default)]
    pub retention: KeepDays,
    pub legal_hold: Option<String>,
    #[serde(default)]
    pub geo: GeoDetail,
    #[serde(default)]
    pub query_allow: Vec<String>,
    #[serde(default)]
    pub hash_routing: bool,
    #[serde(default)]
    pub allow_http_libraries: bool,
    #[serde(default)]
    pub server_keys: Vec<String>,
    #[serde(default)]
    pub matomo_id: String,
    #[serde(default)]
    pub matomo_currency: String,
    #[serde(default)]
    pub umami_id: String,
    #[serde(default)]
    pub trust_sender_consent: bool,
    #[serde(default)]
    pub goals: Vec<String>,
    #[serde(default, rename = "funnel", skip_serializing_if = "Vec::is_empty")]
    pub funnels: Vec<Funnel>,
    #[serde(default)]
    pub rules: SiteRules,
}

/// `[[site.funnel]]`: goals in the order in which they are reached.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
#[allow(missing_docs)]
pub struct Funnel {
    pub name: String,
    pub steps: Vec<String>,
}

/// Rules of a site; a beacon that matches one is not stored.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs)]
pub struct SiteRules {
    pub exclude_paths: Vec<String>,
    pub exclude_hostnames: Vec<String>,
    pub exclude_networks: Vec<IpNet>,
    pub exclude_countries: Vec<String>,
}

/// What a site is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum SiteKind {
    /// Sends from apps: no Origin, screens instead of pages.
    App,
    /// Sends from web pages: every beacon's host must be one of the site's domains.
    #[default]
    Web,
}

/// How often a site's salt is replaced, at its local midnight.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Rotation {
    /// Every midnight.
    #[default]
    Day,
    /// Midnight before Monday (ISO 8601 weeks).
    Week,
    /// Midnight before the first of the month.
    Month,
}

impl Rotation {
    /// Returns its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Rotation::Day => "day",
            Rotation::Week => "week",
            Rotation::Month => "month",
        }
    }
}

/// How closely a beacon is placed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum GeoDetail {
    /// Country, region and city.
    City,
    /// Country only.
    #[default]
    Country,
    /// Nothing.
    None,
}

fn utc() -> String {
    "UTC".into()
}

fn yes() -> bool {
    true
}

fn two_hours() -> u32 {
    120
}

/// Names and values of the environment, as `main.rs` read them.
pub type Environment = BTreeMap<String, String>;
