//! `brine config check|show|init`.

use std::io::{self, Write};
use std::process::ExitCode;

use super::ConfigAction;
use crate::config::settings::Environment;
use crate::config::{REFERENCE, load};

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
