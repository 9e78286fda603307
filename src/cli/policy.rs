//! `brine policy show|versions|diff|record`.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};
use clap::{Args, Subcommand, ValueEnum};

use crate::clock;
use crate::config::settings::Environment;
use crate::config::{Config, load};
use crate::policy::archive::Archive;
use crate::policy::change::{Change, Weight, compare, weight};
use crate::policy::document::Document;
use crate::policy::language::Language;
use crate::policy::record::record;
use crate::policy::statement::Statement;
use crate::policy::{Documents, Edition, successor};

/// What `brine policy diff` exits with when only the wording changed, or the promises became narrower.
const COSMETIC: u8 = 3;

/// What it exits with when consents lapse.
const MATERIAL: u8 = 4;

/// `brine policy`.
#[derive(Debug, Args)]
pub(super) struct PolicyArgs {
    #[command(subcommand)]
    action: Action,
    /// Configuration file.
    #[arg(long, env = "BRINE_CONFIG", value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Site, by id or domain; all of them without it.
    #[arg(long, value_name = "SITE", global = true)]
    site: Option<String>,
    /// Language of what is printed.
    #[arg(long, value_enum, default_value = "en", global = true)]
    lang: Language,
    /// How it is printed.
    #[arg(long, value_enum, default_value = "md", global = true)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    /// Markdown.
    Md,
    /// JSON.
    Json,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Print the policy that the configuration file makes, and whether it is published.
    Show,
    /// List every edition ever published.
    Versions,
    /// Tell what changed, why it matters, and whether consents lapse. Exit code: 0 nothing changed, 3 cosmetic,
    /// 4 material, 1 it could not be told.
    Diff {
        /// A version (3, 3.1) or a configuration file.
        old: String,
        /// A version or a configuration file.
        new: String,
    },
    /// Print the record of processing activities (GDPR Art. 30(1)).
    Record,
}

pub(super) fn run(args: &PolicyArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    match &args.action {
        Action::Show => show(args, environment),
        Action::Versions => versions(args, environment),
        Action::Diff { old, new } => diff(args, environment, old, new),
        Action::Record => print_record(args, environment),
    }
}

fn show(args: &PolicyArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = config(args, environment)?;
    let statements = statements(&config, args.site.as_deref())?;
    let archive = Archive::at(&config.policy.directory);
    let mut lines = Vec::new();
    let mut policies = Vec::new();
    for statement in &statements {
        let latest = archive.latest(&statement.scope)?;
        let published = latest.as_ref().map(number);
        let floor = config.policy.floor;
        let next = successor(
            latest,
            statement,
            floor,
            clock::of_environment(environment).now(),
        )?;
        lines.push(match (&next, &published) {
            (None, published) => format!(
                "{}: published as version {}",
                statement.scope,
                published.as_deref().unwrap_or("?")
            ),
            (Some(next), None) => format!(
                "{}: never published; will be version {}",
                statement.scope, next.version
            ),
            (Some(next), Some(published)) => format!(
                "{}: differs from version {published}; will be version {}",
                statement.scope,
                number(next)
            ),
        });
        policies.push(serde_json::json!({
            "scope": statement.scope,
            "published": published,
            "next": next.as_ref().map(number),
            "statement": statement,
        }));
    }
    let documents = Documents::of(&statements.iter().collect::<Vec<_>>());
    let document = documents.in_language(args.lang);
    match args.format {
        Format::Md => {
            // Beside the text, so that the text alone can be piped on.
            for line in lines {
                eprintln!("{line}");
            }
            print(document, Format::Md)
        }
        Format::Json => print_json(&serde_json::json!({
            "policies": policies,
            "document": document,
        })),
    }
}

fn versions(args: &PolicyArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = config(args, environment)?;
    let archive = Archive::at(&config.policy.directory);
    let scopes = match &args.site {
        Some(site) => vec![scope(&config, site)?],
        None => archive.scopes()?.into_iter().collect(),
    };
    let mut told = Vec::new();
    for scope in scopes {
        let editions = archive.editions(&scope)?;
        told.push((scope, editions));
    }
    if matches!(args.format, Format::Json) {
        let value: Vec<_> = told
            .iter()
            .map(|(scope, editions)| serde_json::json!({ "scope": scope, "editions": editions }))
            .collect();
        return print_json(&serde_json::json!(value));
    }
    let mut out = io::stdout().lock();
    for (scope, editions) in told {
        writeln!(out, "{scope}")?;
        for edition in editions {
            writeln!(out, "  {:<8} {}", number(&edition), edition.published)?;
            for change in &edition.changes {
                writeln!(out, "    {}", line(change, args.lang))?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn diff(
    args: &PolicyArgs,
    environment: &Environment,
    old: &str,
    new: &str,
) -> anyhow::Result<ExitCode> {
    let (old, new) = (side(args, environment, old)?, side(args, environment, new)?);
    // A version is of one scope; a file on the other side is then asked about that scope alone.
    let only = [&old, &new].into_iter().find_map(|side| match side {
        Side::Version(statement, _) => Some(statement.scope.clone()),
        Side::File(..) => None,
    });
    let raised = Side::raised(&old, &new);
    let (old, new) = (old.statements(), new.statements());
    let is_meant = |s: &&Statement| only.as_ref().is_none_or(|scope| *scope == s.scope);
    let is_json = matches!(args.format, Format::Json);
    let mut told = Vec::new();
    let mut lines = Vec::new();
    let mut heaviest = None;
    for after in new.iter().filter(is_meant) {
        let scope = &after.scope;
        let Some(before) = old.iter().find(|before| before.scope == *scope) else {
            told.push(serde_json::json!({ "scope": scope, "weight": "new" }));
            lines.push(format!(
                "{scope}: new; it begins with no consents, and no other scope's lapse"
            ));
            continue;
        };
        let mut changes = compare(before, after);
        changes.extend(raised.map(|(from, to)| Change::by_hand(from, to)));
        heaviest = heaviest.max(weight(&changes));
        let (weight, means) = match weight(&changes) {
            None => continue,
            Some(Weight::Cosmetic) => ("cosmetic", "consents stay good"),
            Some(Weight::Material) => ("material", "consents lapse"),
        };
        told.push(serde_json::json!({ "scope": scope, "weight": weight, "changes": changes }));
        lines.push(format!("{scope}: {weight}, {means}"));
        lines.extend(
            changes
                .iter()
                .map(|change| format!("  {}", line(change, args.lang))),
        );
    }
    for before in old.iter().filter(is_meant) {
        if new.iter().all(|after| after.scope != before.scope) {
            told.push(serde_json::json!({ "scope": before.scope, "weight": "gone" }));
            // Whatever it is called now, or of which group: a consent is to a scope by its name.
            heaviest = heaviest.max(Some(Weight::Material));
            lines.push(format!(
                "{}: gone; nothing is measured under this name, and its consents are good for nothing else",
                before.scope
            ));
        }
    }
    if is_json {
        print_json(&serde_json::json!(told))?;
    } else {
        if heaviest.is_none() {
            lines.push("no difference in what is promised".into());
        }
        writeln!(io::stdout().lock(), "{}", lines.join("\n"))?;
    }
    Ok(match heaviest {
        None => ExitCode::SUCCESS,
        Some(Weight::Cosmetic) => ExitCode::from(COSMETIC),
        Some(Weight::Material) => ExitCode::from(MATERIAL),
    })
}

fn print_record(args: &PolicyArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let config = config(args, environment)?;
    let statements = statements(&config, args.site.as_deref())?;
    let measures = &config.policy.processing.measures;
    let document = record(&statements.iter().collect::<Vec<_>>(), measures, args.lang);
    print(&document, args.format)
}

/// What one operand of `diff` names.
enum Side {
    /// A published one, and its number.
    Version(Box<Statement>, u16),
    /// What a file says, and its `policy.version`.
    File(Vec<Statement>, u16),
}

impl Side {
    fn statements(self) -> Vec<Statement> {
        match self {
            Side::Version(statement, _) => vec![*statement],
            Side::File(statements, _) => statements,
        }
    }

    /// The number that is raised by hand between two sides, if it is: from, to.
    fn raised(old: &Side, new: &Side) -> Option<(u16, u16)> {
        let (Side::Version(_, before) | Side::File(_, before)) = old;
        match new {
            Side::File(_, after) if after > before => Some((*before, *after)),
            _ => None,
        }
    }
}

fn side(args: &PolicyArgs, environment: &Environment, operand: &str) -> anyhow::Result<Side> {
    let parts: Vec<&str> = operand.split('.').collect();
    let numbers: Option<Vec<u16>> = parts.iter().map(|part| part.parse().ok()).collect();
    let (version, revision) = match numbers.as_deref() {
        Some([version]) => (*version, None),
        Some([version, revision]) => (*version, Some(*revision)),
        _ => {
            let (_, config) = load::from_file(Path::new(operand), environment)?;
            let statements = statements(&config, args.site.as_deref())?;
            return Ok(Side::File(statements, config.policy.floor));
        }
    };
    let config = config(args, environment)?;
    let scope = match &args.site {
        Some(site) => scope(&config, site)?,
        None => {
            let all = Statement::all(&config);
            ensure!(
                all.len() == 1,
                "versions are of one site: name it with --site"
            );
            all[0].scope.clone()
        }
    };
    let editions = Archive::at(&config.policy.directory).editions(&scope)?;
    let found = editions
        .into_iter()
        .rev()
        .find(|e| e.version == version && revision.is_none_or(|revision| revision == e.revision))
        .with_context(|| format!("{scope} has no version {operand}"))?;
    Ok(Side::Version(Box::new(found.statement), found.version))
}

fn config(args: &PolicyArgs, environment: &Environment) -> anyhow::Result<Config> {
    let path = args
        .config
        .as_ref()
        .context("name the configuration file with --config")?;
    Ok(load::from_file(path, environment)?.1)
}

fn scope(config: &Config, site: &str) -> anyhow::Result<String> {
    let site = config
        .sites
        .find(site)
        .with_context(|| format!("no site {site}"))?;
    Ok(site.scope.clone())
}

fn statements(config: &Config, site: Option<&str>) -> anyhow::Result<Vec<Statement>> {
    let mut statements = Statement::all(config);
    if let Some(site) = site {
        let scope = scope(config, site)?;
        statements.retain(|statement| statement.scope == scope);
    }
    if statements.is_empty() {
        bail!("the configuration has no sites");
    }
    Ok(statements)
}

fn number(edition: &Edition) -> String {
    format!("{}.{}", edition.version, edition.revision)
}

fn line(change: &Change, language: Language) -> String {
    let word = match change.weight {
        Weight::Cosmetic => "cosmetic",
        Weight::Material => "material",
    };
    format!("{word}  {} [{}]", change.line(language), change.key)
}

fn print(document: &Document, format: Format) -> anyhow::Result<ExitCode> {
    match format {
        Format::Md => io::stdout()
            .lock()
            .write_all(document.markdown().as_bytes())?,
        Format::Json => return print_json(&serde_json::to_value(document)?),
    }
    Ok(ExitCode::SUCCESS)
}

fn print_json(value: &serde_json::Value) -> anyhow::Result<ExitCode> {
    writeln!(io::stdout().lock(), "{value:#}")?;
    Ok(ExitCode::SUCCESS)
}
