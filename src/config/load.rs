//! Reading the configuration: file, then environment.
//!
//! The environment arrives as a map (read once, in `main.rs`), so that tests pass their own.

use std::path::{Path, PathBuf};

use thiserror::Error;
use toml::{Table, Value};

use super::settings::{Environment, Settings};
use super::{Config, Fault};

const PREFIX: &str = "BRINE_";

/// Why a configuration could not be used.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The file could not be read; the operator checks path and rights.
    #[error("cannot read configuration {path}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The text is not TOML, or has a key that does not exist.
    #[error("configuration {origin} is not understood:\n{message}")]
    Parse {
        /// File name, or "environment".
        origin: String,
        /// The parser's message with line, column and an excerpt.
        message: String,
    },
    /// The values do not make sense; all faults at once.
    #[error("configuration has {} fault(s):\n{}", faults.len(), list(faults))]
    Faults {
        /// Each fault with key, value and reason.
        faults: Vec<Fault>,
    },
}

fn list(faults: &[Fault]) -> String {
    faults
        .iter()
        .map(|fault| format!("  {fault}"))
        .collect::<Vec<_>>()
        .join("\n")
}

/// Reads the file at `path`, lets the environment override it, and checks the whole.
///
/// # Errors
/// [`LoadError`]; nothing has been started yet, so the operator mends and tries again.
pub fn from_file(path: &Path, environment: &Environment) -> Result<(Settings, Config), LoadError> {
    let text = std::fs::read_to_string(path).map_err(|source| LoadError::Read {
        path: path.to_owned(),
        source,
    })?;
    from_text(&text, &path.display().to_string(), environment)
}

/// The same for a text already read; `origin` names it in errors.
///
/// # Errors
/// As [`from_file`].
pub fn from_text(
    text: &str,
    origin: &str,
    environment: &Environment,
) -> Result<(Settings, Config), LoadError> {
    let parse_error = |origin: &str, message: String| LoadError::Parse {
        origin: origin.to_owned(),
        message: message.trim_end().to_owned(),
    };
    // Parsed straight into Settings first: only then do errors carry line and column.
    let from_file: Settings =
        toml::from_str(text).map_err(|e| parse_error(origin, e.to_string()))?;
    let settings = if environment.keys().any(|name| override_key(name).is_some()) {
        let mut table: Table =
            toml::from_str(text).map_err(|e| parse_error(origin, e.to_string()))?;
        for (name, value) in environment {
            if let Some((section, key)) = override_key(name) {
                set(&mut table, &section, &key, value)
                    .map_err(|message| parse_error("environment", format!("{name}: {message}")))?;
            }
        }
        Settings::deserialize_table(table).map_err(|e| parse_error("environment", e))?
    } else {
        from_file
    };
    let config = Config::check(&settings).map_err(|faults| LoadError::Faults { faults })?;
    Ok((settings, config))
}

impl Settings {
    fn deserialize_table(table: Table) -> Result<Settings, String> {
        table.try_into().map_err(|e: toml::de::Error| e.to_string())
    }
}

/// Splits `BRINE_SERVER__LISTEN` into section and key. Names without the double underscore
/// (`BRINE_ENGINE_LIB`) belong to the command line, not to the file.
fn override_key(name: &str) -> Option<(String, String)> {
    let (section, key) = name.strip_prefix(PREFIX)?.split_once("__")?;
    Some((section.to_ascii_lowercase(), key.to_ascii_lowercase()))
}

fn set(table: &mut Table, section: &str, key: &str, value: &str) -> Result<(), String> {
    let section_table = table
        .entry(section)
        .or_insert_with(|| Value::Table(Table::new()))
        .as_table_mut()
        .ok_or_else(|| format!("{section} cannot be set by the environment, only in the file"))?;
    let mut target = section_table;
    let mut parts = key.split("__").peekable();
    while let Some(part) = parts.next() {
        if parts.peek().is_none() {
            target.insert(part.to_owned(), typed(value));
            return Ok(());
        }
        target = target
            .entry(part)
            .or_insert_with(|| Value::Table(Table::new()))
            .as_table_mut()
            .ok_or_else(|| format!("{part} is a value, not a section"))?;
    }
    Ok(())
}

/// A value that reads as TOML (number, true, list, quoted text) is taken as such, anything else as text. No key is a moment:
/// `00:20` is a text.
fn typed(value: &str) -> Value {
    toml::from_str::<Table>(&format!("v = {value}"))
        .ok()
        .and_then(|mut table| table.remove("v"))
        .filter(|value| !value.is_datetime())
        .unwrap_or_else(|| Value::String(value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::super::REFERENCE;
    use super::*;

    fn env(pairs: &[(&str, &str)]) -> Environment {
        pairs
            .iter()
            .map(|(k, v)| ((*k).to_owned(), (*v).to_owned()))
            .collect()
    }

    #[test]
    fn reference_is_the_defaults_written_out() {
        let (settings, config) =
            from_text(REFERENCE, "reference", &env(&[])).expect("reference parses");
        let defaults = Settings {
            controller: settings.controller.clone(),
            processing: settings.processing.clone(),
            sites: settings.sites.clone(),
            ..Settings::default()
        };
        assert_eq!(
            toml::to_string(&settings).expect("serializes"),
            toml::to_string(&defaults).expect("serializes"),
        );
        assert_eq!(config.sites.len(), 6);
        assert_eq!(
            config
                .sites
                .find("a.portal.example.test")
                .map(|s| s.id.as_str()),
            Some("portal")
        );
        assert_eq!(
            config
                .sites
                .find("www.veriloc.example.test")
                .map(|s| s.id.as_str()),
            Some("veriloc")
        );
        assert!(config.sites.find("evilportal.example.test").is_none());
    }

    #[test]
    fn every_key_is_documented_in_the_reference() {
        let (mut settings, _) =
            from_text(REFERENCE, "reference", &env(&[])).expect("reference parses");
        // Options that are off by default are commented out in the reference; turn them on to see their keys.
        settings.server.tls = Some(super::super::settings::Tls {
            certificate: "c".into(),
            key: "k".into(),
        });
        settings.store.password_file = Some("p".into());
        settings.store.engine_library = Some("l".into());
        settings.consent.key_file = Some("k".into());
        settings.salts = super::super::settings::Salts {
            key_file: Some("k".into()),
            key_credential: Some("k".into()),
            key_variable: Some("k".into()),
            chain: true,
            seed_file: Some("s".into()),
        };
        settings.access.url = Some("u".into());
        settings.enrich = super::super::settings::Enrich {
            geo_country: Some("a".into()),
            geo_city: Some("a".into()),
            agent_patterns: Some("a".into()),
            crawler_patterns: Some("a".into()),
            referrer_sources: Some("a".into()),
            referrer_spam: Some("a".into()),
        };
        settings.sites[0].group = Some("g".into());
        settings.sites[0].name = Some("n".into());
        settings.sites[0].funnels = vec![super::super::settings::Funnel {
            name: "f".into(),
            steps: vec!["Visit /".into(), "Signup".into()],
        }];
        settings.policy.directory = Some("d".into());
        let contact = super::super::notice::Contact::default();
        settings.controller.dpo = Some(contact.clone());
        settings.controller.representative = Some(contact.clone());
        settings.controller.joint = vec![contact];
        let text = super::super::notice::Text::default();
        settings.processing.measures = vec![text.clone()];
        settings.recipients = vec![super::super::notice::Recipient {
            name: "r".into(),
            role: super::super::notice::Role::Processor,
            country: "DK".into(),
            task: text.clone(),
            safeguard: text,
        }];
        let written = toml::to_string(&settings).expect("serializes");
        for line in written.lines() {
            if let Some((key, _)) = line.split_once(" = ") {
                // A key stands at the start of a line, or inside of an inline table.
                let documented = REFERENCE
                    .split(['\n', '{', ','])
                    .any(|l| l.trim_start_matches(['#', ' ']).split(" = ").next() == Some(key));
                assert!(documented, "{key} is not documented in reference.toml");
            }
        }
    }

    #[test]
    fn environment_overrides_the_file() {
        let environment = env(&[
            ("BRINE_SERVER__LISTEN", "127.0.0.1:9999"),
            ("BRINE_BATCH__MAX_ROWS", "7"),
            ("BRINE_SERVER__TRUSTED_PROXIES", "[\"10.0.0.0/8\"]"),
            ("BRINE_ENGINE_LIB", "ignored here"),
        ]);
        let (_, config) = from_text(REFERENCE, "reference", &environment).expect("parses");
        assert_eq!(config.server.listen.port(), 9999);
        assert_eq!(config.batch.max_rows, 7);
        assert_eq!(config.server.trusted_proxies.len(), 1);
    }

    #[test]
    fn all_faults_are_named_at_once() {
        let text = r#"
            [server]
            max_body_bytes = 3
            [store]
            url = "ftp://x"
            [[site]]
            id = "Bad Id"
            domains = ["x.test"]
            [[site]]
            id = "a"
            domains = ["*.x.test"]
            time_zone = "Mars/Olympus"
        "#;
        let error = from_text(text, "test", &env(&[]))
            .expect_err("must be refused")
            .to_string();
        for part in [
            "max_body_bytes = 3",
            "ftp://x",
            "Bad Id",
            "*.x.test",
            "Mars/Olympus",
            "5 fault",
        ] {
            assert!(error.contains(part), "{part} missing from: {error}");
        }
    }

    /// A check says what a start would.
    #[test]
    fn rules_are_compiled_when_they_are_checked() {
        for (good, bad) in [
            (
                "exclude_paths = [\"/admin/**\"]",
                "exclude_paths = [\"admin/**\"]",
            ),
            ("exclude_hostnames = []", "exclude_hostnames = [\"a b\"]"),
        ] {
            let text = REFERENCE.replacen(good, bad, 1);
            assert_ne!(text, REFERENCE);
            let error = from_text(&text, "test", &env(&[])).expect_err("refused");
            assert!(error.to_string().contains("site[portal].rules"), "{error}");
        }
    }

    #[test]
    fn the_environment_gives_times_of_day_and_hosts_may_end_with_a_dot() {
        let at = [("BRINE_RETENTION__RUN_AT", "03:40")];
        let (settings, _) = from_text(REFERENCE, "test", &env(&at)).expect("understood");
        assert_eq!(settings.retention.run_at, "03:40");
        let text = REFERENCE.replace("\"veriloc.example.test\"", "\"veriloc.example.test.\"");
        let (_, config) = from_text(&text, "test", &env(&[])).expect("understood");
        let found = config.sites.find("veriloc.example.test");
        assert_eq!(found.map(|site| site.id.as_str()), Some("veriloc"));
    }

    /// Proof lasts as long as the policy says.
    #[test]
    fn proof_is_kept_as_long_as_the_ledger() {
        let text = REFERENCE.replace("ledger_days = 1825", "ledger_days = 3650");
        let (_, config) = from_text(&text, "test", &env(&[])).expect("understood");
        for site in config.sites.iter() {
            assert_eq!((site.keep.consents, site.keep.requests), (3_650, 3_650));
        }
    }

    #[test]
    fn unknown_keys_are_refused_by_name() {
        let error = from_text("[server]\nlisten_on = 1\n", "test", &env(&[])).expect_err("refused");
        assert!(error.to_string().contains("listen_on"), "{error}");
        let error = from_text(REFERENCE, "test", &env(&[("BRINE_SERVER__LISTEN_ON", "1")]))
            .expect_err("refused");
        assert!(error.to_string().contains("listen_on"), "{error}");
    }
}
