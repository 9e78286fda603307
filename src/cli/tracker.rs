//! `brine tracker`: the scripts there are, and what to paste into a site's pages.
//!
//! The lines come from the configuration, so that what a page says (which sub-domains share a consent, how
//! long the banner tells events are kept) is what the collector does.

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use url::Url;

use crate::config::load;
use crate::config::settings::{Environment, Rotation, SiteKind};
use crate::config::sites::Site;
use crate::tracker::{Script, scripts};

/// `brine tracker`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct TrackerArgs {
    /// Configuration file; without it the lines are for a site called YOUR-SITE.
    #[arg(long, env = "BRINE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Only this site, by id or domain.
    #[arg(long, requires = "config", value_name = "SITE")]
    site: Option<String>,
    /// Where pages reach the collector.
    #[arg(long, default_value = "https://stats.example.test", value_name = "URL")]
    url: String,
    /// How to print it.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Format {
    Text,
    Json,
}

const EXAMPLES: &str = "\
Examples:
  brine tracker --config brine.toml --site portal --url https://stats.example.com
  brine tracker --format json | jq -r '.scripts[] | \"\\(.pinned) \\(.integrity)\"'";

pub(super) fn run(args: &TrackerArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let collector = collector(&args.url)?;
    let pages = pages(args, environment)?;
    let mut out = io::stdout().lock();
    match args.format {
        Format::Text => out.write_all(text(&pages, &collector).as_bytes())?,
        Format::Json => writeln!(out, "{:#}", value(&pages, &collector))?,
    }
    Ok(ExitCode::SUCCESS)
}

/// One site's pages, as its lines name them.
#[derive(Debug)]
struct Pages {
    site: String,
    /// What brine.js and, by its element, the banner read.
    attributes: String,
}

impl Pages {
    fn of(site: &Site) -> Pages {
        let mut attributes = format!(" data-site=\"{}\"", site.id);
        let mut add = |name: &str, value: &str| {
            // Values are host names, numbers and words: nothing in them ends an attribute.
            write!(attributes, " data-{name}=\"{value}\"").expect("a string takes every byte");
        };
        if let (true, [domain, ..]) = (site.sub_domains, site.domains.as_slice()) {
            add("cookie-domain", domain);
        }
        if site.hash_routing {
            add("hash", "");
        }
        if !site.honour_gpc && !site.honour_dnt {
            add("signals", "ignore");
        }
        // What the banner says when it is not told: thirteen months, a new pseudonym every day.
        if site.retention_days != 395 {
            add("days", &site.retention_days.to_string());
        }
        match site.rotation {
            Rotation::Day => {}
            Rotation::Week => add("rotation", "week"),
            Rotation::Month => add("rotation", "month"),
        }
        Pages {
            site: site.id.to_string(),
            attributes,
        }
    }
}

fn pages(args: &TrackerArgs, environment: &Environment) -> anyhow::Result<Vec<Pages>> {
    let Some(file) = &args.config else {
        let site = "YOUR-SITE".to_owned();
        let attributes = format!(" data-site=\"{site}\"");
        return Ok(vec![Pages { site, attributes }]);
    };
    let (_, config) = load::from_file(file, environment)?;
    if let Some(name) = &args.site {
        let site = config
            .sites
            .find(name)
            .with_context(|| format!("{}: no site is called {name}", file.display()))?;
        ensure!(
            site.kind == SiteKind::Web,
            "{name} is an app: it has no pages to put a script into"
        );
        return Ok(vec![Pages::of(site)]);
    }
    let web = config
        .sites
        .iter()
        .filter(|site| site.kind == SiteKind::Web);
    let pages: Vec<Pages> = web.map(|site| Pages::of(site)).collect();
    ensure!(
        !pages.is_empty(),
        "{}: no site is a web site",
        file.display()
    );
    Ok(pages)
}

/// Checks where the collector is. Scripts ask for `/api/...` beside them, so that a path would be lost.
fn collector(url: &str) -> anyhow::Result<String> {
    let parsed = Url::parse(url).with_context(|| format!("--url {url}"))?;
    let is_bare = parsed.path() == "/" && parsed.query().is_none() && parsed.fragment().is_none();
    ensure!(
        matches!(parsed.scheme(), "http" | "https") && is_bare,
        "--url {url}: must be scheme and host alone, as https://stats.example.com"
    );
    Ok(parsed.origin().ascii_serialization())
}

/// The line that always gets the present version.
fn line(script: &Script, collector: &str, pages: &Pages) -> String {
    let attributes = attributes(script, pages);
    format!(
        "<script defer src=\"{collector}{}\"{attributes}></script>",
        script.path()
    )
}

/// The line that gets this version and no other, checked by the browser.
fn pinned_line(script: &Script, collector: &str, pages: &Pages) -> String {
    format!(
        "<script defer src=\"{collector}{}\" integrity=\"{}\" crossorigin=\"anonymous\"{}></script>",
        script.pinned_path(),
        script.integrity,
        attributes(script, pages)
    )
}

/// Only the tracker's element has attributes; the others read them there.
fn attributes<'a>(script: &Script, pages: &'a Pages) -> &'a str {
    if script.name == "brine" {
        &pages.attributes
    } else {
        ""
    }
}

fn text(pages: &[Pages], collector: &str) -> String {
    let mut text = format!(
        "{:<34}{:>8}{:>8}\n",
        "Scripts, in bytes", "gzipped", "plain"
    );
    for script in scripts() {
        let (path, gzipped, plain) = (script.path(), &script.gzip, &script.plain);
        text += &format!(
            "  {path:<32}{:>8}{:>8}\n    {}\n    {}\n",
            grouped(gzipped.len()),
            grouped(plain.len()),
            script.pinned_path(),
            script.integrity
        );
    }
    // The table of scripts is a constant that begins with the tracker.
    let (tracker, extras) = scripts().split_first().expect("the tracker");
    let words: Vec<&str> = extras.iter().map(|script| script.name).collect();
    for pages in pages {
        text += &format!(
            "\nSite {}, in the head of every page\n  {}\nor, bound to this version\n  {}\n",
            pages.site,
            line(tracker, collector, pages),
            pinned_line(tracker, collector, pages)
        );
    }
    text += &format!(
        "\nExtras: data-with=\"…\" in that line loads them, several words with blanks between ({}).\nOr, bound to this version, after it\n",
        words.join(", ")
    );
    for script in extras {
        text += &format!("  {}\n", pinned_line(script, collector, &pages[0]));
    }
    text += "\nPaste lines that are bound to a version anew when brine is upgraded: the old addresses answer 404 then,\nand nothing is measured until the pages have the new ones.\n";
    text
}

fn value(pages: &[Pages], collector: &str) -> Value {
    let script = |script: &Script| {
        json!({
            "name": script.name,
            "path": script.path(),
            "pinned": script.pinned_path(),
            "bytes": script.plain.len(),
            "gzipped_bytes": script.gzip.len(),
            "integrity": script.integrity,
        })
    };
    let site = |pages: &Pages| {
        let lines = scripts().iter().map(|script| {
            json!({
                "name": script.name,
                "line": line(script, collector, pages),
                "pinned_line": pinned_line(script, collector, pages),
            })
        });
        json!({ "site": pages.site, "lines": lines.collect::<Vec<_>>() })
    };
    json!({
        "scripts": scripts().iter().map(script).collect::<Vec<_>>(),
        "sites": pages.iter().map(site).collect::<Vec<_>>(),
    })
}

/// Writes a number below a million with a comma before its thousands.
fn grouped(n: usize) -> String {
    match (n / 1_000, n % 1_000) {
        (0, rest) => rest.to_string(),
        (thousands, rest) => format!("{thousands},{rest:03}"),
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;
    use crate::config::settings::Settings;

    use super::*;

    fn portal(change: impl Fn(&str) -> String) -> Pages {
        let settings: Settings = toml::from_str(&change(crate::config::REFERENCE)).unwrap();
        Pages::of(
            Config::check(&settings)
                .unwrap()
                .sites
                .find("portal")
                .unwrap(),
        )
    }

    #[test]
    fn a_line_says_what_the_configuration_says() {
        let plain = portal(str::to_owned);
        assert_eq!(
            plain.attributes,
            " data-site=\"portal\" data-cookie-domain=\"portal.example.test\""
        );
        let other = portal(|text| {
            text.replace("retention_days = 395", "retention_days = 90")
                .replace("rotation = \"day\"", "rotation = \"week\"")
                .replace("sub_domains = true", "sub_domains = false")
                .replace("hash_routing = false", "hash_routing = true")
                .replace("honour_gpc = true", "honour_gpc = false")
                .replace("honour_dnt = true", "honour_dnt = false")
        });
        assert_eq!(
            other.attributes,
            " data-site=\"portal\" data-hash=\"\" data-signals=\"ignore\" data-days=\"90\" data-rotation=\"week\""
        );
    }

    #[test]
    fn the_collector_is_scheme_and_host() {
        assert_eq!(
            collector("https://stats.example.test/").unwrap(),
            "https://stats.example.test"
        );
        assert_eq!(
            collector("http://127.0.0.1:8080").unwrap(),
            "http://127.0.0.1:8080"
        );
        for wrong in [
            "stats.example.test",
            "ftp://a.test",
            "https://a.test/stats",
            "https://a.test/?a",
        ] {
            assert!(collector(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn pinned_lines_carry_the_integrity_and_only_the_tracker_the_settings() {
        let pages = portal(str::to_owned);
        for script in scripts() {
            let line = pinned_line(script, "https://stats.example.test", &pages);
            assert!(
                line.contains(&format!("integrity=\"{}\"", script.integrity)),
                "{line}"
            );
            assert_eq!(line.contains("data-site"), script.name == "brine", "{line}");
        }
    }
}
