//! `brine config check|show|init` and `brine site-key`.

use std::io::{self, Write};
use std::process::ExitCode;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::ConfigAction;
use crate::config::settings::Environment;
use crate::config::{REFERENCE, load};
use crate::secret::Secret;

/// Prints a new key and its hash; neither is kept.
pub(super) fn site_key() -> anyhow::Result<ExitCode> {
    let key = format!("bsk_{}", URL_SAFE_NO_PAD.encode(Secret::random().expose()));
    let hash = blake3::hash(key.as_bytes()).to_hex();
    let mut out = io::stdout().lock();
    writeln!(out, "key, for the server that sends: {key}")?;
    writeln!(out, "hash, for [[site]]: server_keys = [\"{hash}\"]")?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn run(action: &ConfigAction, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match action {
        ConfigAction::Check(args) => {
            let (_, config) = load::from_file(&args.config, environment)?;
            writeln!(
                out,
                "{}: good, {} sites",
                args.config.display(),
                config.sites.len()
            )?;
            for gap in config.policy.gaps() {
                writeln!(out, "warning: {gap}")?;
            }
        }
        ConfigAction::Show(args) => {
            // Settings hold paths to secrets, never secrets.
            let (settings, _) = load::from_file(&args.config, environment)?;
            out.write_all(toml::to_string(&settings)?.as_bytes())?;
        }
        ConfigAction::Init => out.write_all(REFERENCE.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
