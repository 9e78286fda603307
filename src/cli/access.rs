//! `brine users`, `brine keys`, `brine links`: who may look, changed beside a running brine.
//!
//! They write the book of the data directory under its lock; a running brine reads it anew before its next answer. Each
//! change is noted in the book beside it, and stands in `access_log` within a second, or once brine runs again.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use super::os_user::os_user;
use super::{DataArgs, typed};
use crate::access::book::{Book, BookError, Reach, Role, Scope, name_of};
use crate::access::password;
use crate::access::store::BookStore;
use crate::clock;
use crate::config::load;
use crate::config::settings::Environment;

const DAY_MS: i64 = 86_400_000;

/// `brine users`.
#[derive(Debug, Args)]
pub(super) struct UsersArgs {
    #[command(subcommand)]
    action: UsersAction,
}

#[derive(Debug, Subcommand)]
enum UsersAction {
    /// Add a user; the password is asked for, or read as one line from standard input.
    Add {
        /// What they sign in with; also their name at the proxy or the OpenID provider.
        name: String,
        #[command(flatten)]
        standing: StandingArgs,
        /// Print a link by which they choose a password themselves.
        #[arg(long, conflicts_with = "no_password")]
        invite: bool,
        /// Without a password, where a proxy or an OpenID provider says who they are.
        #[arg(long)]
        no_password: bool,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Print a link by which a user chooses a password; for a forgotten one, too.
    Invite {
        /// The user.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List them.
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Remove a user; they are out with their next request.
    Remove {
        /// The user.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Set a password, asked for or read from standard input; every session of the user ends.
    Password {
        /// The user.
        name: String,
        #[command(flatten)]
        data: DataArgs,
    },
    /// Give a user another role, or other sites.
    Role {
        /// The user.
        name: String,
        #[command(flatten)]
        standing: StandingArgs,
        #[command(flatten)]
        data: DataArgs,
    },
}

#[derive(Debug, Args)]
struct StandingArgs {
    /// What they may do.
    #[arg(long, value_enum, default_value_t = Role::Viewer)]
    role: Role,
    /// A site a viewer may see, by id; may be given again. `*` is every site.
    #[arg(long = "site", value_delimiter = ',', value_name = "SITE")]
    sites: Vec<String>,
}

/// `brine keys`.
#[derive(Debug, Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    action: KeysAction,
}

#[derive(Debug, Subcommand)]
enum KeysAction {
    /// Make a key and print it; brine keeps a hash of it alone.
    Add {
        /// What it is for: stands in lists and in `access_log`.
        name: String,
        /// A site it may be used for, by id; may be given again. `*` is every site.
        #[arg(
            long = "site",
            value_delimiter = ',',
            required = true,
            value_name = "SITE"
        )]
        sites: Vec<String>,
        /// What it may do.
        #[arg(
            long = "scope",
            value_enum,
            value_delimiter = ',',
            default_value = "query"
        )]
        scopes: Vec<Scope>,
        /// Ends after so many days; without it, when it is revoked.
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..=3650))]
        days: Option<u16>,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List them.
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Revoke a key, by id or name.
    Revoke {
        /// The key.
        id: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// `brine links`.
#[derive(Debug, Args)]
pub(super) struct LinksArgs {
    #[command(subcommand)]
    action: LinksAction,
}

#[derive(Debug, Subcommand)]
enum LinksAction {
    /// Make a read-only link to a site's dashboard and print its path.
    Add {
        /// Who it is for: stands in lists and in `access_log`.
        name: String,
        /// The site, by id.
        #[arg(long, value_name = "SITE")]
        site: String,
        /// Ends after so many days.
        #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u16).range(1..=730))]
        days: u16,
        #[command(flatten)]
        data: DataArgs,
    },
    /// List them.
    List {
        #[command(flatten)]
        data: DataArgs,
    },
    /// Revoke a link, by id.
    Revoke {
        /// The link.
        id: String,
        #[command(flatten)]
        data: DataArgs,
    },
}

/// Where the book is, and what a command needs beside it.
struct Place {
    book: BookStore,
    /// Where people reach the admin listener, as far as it is known.
    base: Option<String>,
    /// Sites that may be named; none where no configuration is at hand.
    sites: Option<BTreeSet<String>>,
    now_ms: i64,
}

fn place(args: &DataArgs, environment: &Environment) -> anyhow::Result<Place> {
    let now_ms = clock::of_environment(environment).now().as_millisecond();
    let (directory, base, sites) = match &args.config {
        Some(path) => {
            let (_, config) = load::from_file(path, environment)?;
            let base = match &config.access.url {
                Some(url) => url.as_str().trim_end_matches('/').to_owned(),
                None => format!("http://{}", config.server.admin),
            };
            let sites = config.sites.iter().map(|site| site.id.to_string());
            (config.directory, Some(base), Some(sites.collect()))
        }
        None => {
            let directory = args.data.clone();
            let directory = directory.unwrap_or_else(|| PathBuf::from("./brine-data"));
            (directory, None, None)
        }
    };
    ensure!(
        directory.is_dir(),
        "{} is no data directory; name it with --data, or the file with --config",
        directory.display()
    );
    Ok(Place {
        book: BookStore::open(&directory)?,
        base,
        sites,
        now_ms,
    })
}

impl Place {
    /// Changes the book and notes what was changed, both or neither.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Book) -> Result<(T, String), BookError>,
    ) -> anyhow::Result<T> {
        let who = os_user();
        let changed = self.book.change(|book| {
            let (made, what) = change(book)?;
            book.note(&who, self.now_ms, what);
            Ok(made)
        });
        Ok(changed?)
    }

    fn reach(&self, sites: &[String]) -> anyhow::Result<Reach> {
        if let Some(known) = &self.sites {
            let unknown = sites
                .iter()
                .find(|site| *site != "*" && !known.contains(*site));
            ensure!(
                unknown.is_none(),
                "there is no site {}",
                unknown.map_or("", |s| s)
            );
        }
        Ok(Reach::of(sites.iter().map(String::as_str)))
    }

    fn link(&self, path: &str) -> String {
        match &self.base {
            Some(base) => format!("{base}{path}"),
            None => format!("{path}   (behind the admin listener's address)"),
        }
    }
}

pub(super) fn users(args: &UsersArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match &args.action {
        UsersAction::Add {
            name,
            standing,
            invite,
            no_password,
            data,
        } => {
            let place = place(data, environment)?;
            let (name, reach) = (name_of(name)?, place.reach(&standing.sites)?);
            let phc = match invite | no_password {
                true => None,
                false => {
                    // Before a password is asked for in vain.
                    ensure!(
                        !place.book.now().users.contains_key(&name),
                        "{name} is there already"
                    );
                    Some(password::hash(&typed::new_password(&name)?))
                }
            };
            let (role, now_ms) = (standing.role, place.now_ms);
            let what = format!("user add: {name}, {}, {}", role.name(), reach.text());
            let link = place.change(|book| {
                book.add_user(&name, role, reach, ("brine users", now_ms))?;
                if let Some(phc) = phc {
                    book.set_password(&name, phc)?;
                }
                let link = invite.then(|| book.invite(&name, now_ms)).transpose()?;
                Ok((link, what))
            })?;
            match link {
                Some(made) => {
                    writeln!(out, "{}", place.link(&format!("/welcome/{}", &*made.text)))?
                }
                None => writeln!(out, "{name} may look now.")?,
            }
        }
        UsersAction::Invite { name, data } => {
            let place = place(data, environment)?;
            let made = place.change(|book| {
                Ok((
                    book.invite(name, place.now_ms)?,
                    format!("user invite: {name}"),
                ))
            })?;
            writeln!(out, "{}", place.link(&format!("/welcome/{}", &*made.text)))?;
        }
        UsersAction::List { data } => {
            let book = place(data, environment)?.book.now();
            for (name, user) in &book.users {
                let password = match (&user.password, &user.invitation) {
                    (Some(_), _) => "password",
                    (None, Some(_)) => "invited",
                    (None, None) => "no password",
                };
                let (role, sites) = (user.role.name(), user.reach.text());
                writeln!(
                    out,
                    "{name}\t{role}\t{sites}\t{password}\tsince {}",
                    date(user.added_ms)
                )?;
            }
        }
        UsersAction::Remove { name, data } => {
            let place = place(data, environment)?;
            place.change(|book| Ok((book.remove_user(name)?, format!("user remove: {name}"))))?;
            let is_last = place.book.now().names_no_admin();
            let hint = match is_last {
                true => {
                    " Nobody is left who could let others in: `brine users add NAME --role admin`, or in mode password the set-up link of brine's next start."
                }
                false => "",
            };
            writeln!(out, "{name} is out.{hint}")?;
        }
        UsersAction::Password { name, data } => {
            let place = place(data, environment)?;
            let name = name_of(name)?;
            ensure!(
                place.book.now().users.contains_key(&name),
                "there is no {name}"
            );
            let phc = password::hash(&typed::new_password(&name)?);
            place.change(|book| {
                Ok((
                    book.set_password(&name, phc)?,
                    format!("user password: {name}"),
                ))
            })?;
            writeln!(
                out,
                "{name} has a new password; every session of theirs has ended."
            )?;
        }
        UsersAction::Role {
            name,
            standing,
            data,
        } => {
            let place = place(data, environment)?;
            let reach = place.reach(&standing.sites)?;
            let role = standing.role;
            let what = format!("user role: {name}, {}, {}", role.name(), reach.text());
            place.change(|book| Ok((book.set_role(name, role, reach)?, what)))?;
            writeln!(out, "{name} is {}.", standing.role.name())?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn keys(args: &KeysArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match &args.action {
        KeysAction::Add {
            name,
            sites,
            scopes,
            days,
            data,
        } => {
            let place = place(data, environment)?;
            let reach = place.reach(sites)?;
            let scopes: BTreeSet<Scope> = scopes.iter().copied().collect();
            let now_ms = place.now_ms;
            let ends = days.map(|days| now_ms + i64::from(days) * DAY_MS);
            let names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
            let what = format!("key add: {name}, {}, {}", reach.text(), names.join(","));
            let made = place.change(|book| {
                let made = book.add_key(name, reach, scopes, ends, ("brine keys", now_ms))?;
                Ok((made, what))
            })?;
            writeln!(out, "{}", &*made.text)?;
        }
        KeysAction::List { data } => {
            let book = place(data, environment)?.book.now();
            for key in &book.keys {
                let scopes: Vec<&str> = key.scopes.iter().map(|scope| scope.name()).collect();
                let ends = key
                    .expires_ms
                    .map_or_else(|| "never ends".into(), |ms| format!("ends {}", date(ms)));
                let (id, name, sites, scopes) =
                    (&key.id, &key.name, key.reach.text(), scopes.join(","));
                writeln!(
                    out,
                    "{id}\t{name}\t{sites}\t{scopes}\t{ends}\tby {}",
                    key.added_by
                )?;
            }
        }
        KeysAction::Revoke { id, data } => {
            let place = place(data, environment)?;
            let name = place.change(|book| {
                let name = book.revoke_key(id)?;
                let what = format!("key revoke: {name}");
                Ok((name, what))
            })?;
            writeln!(out, "{name} opens nothing any more.")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

pub(super) fn links(args: &LinksArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let mut out = io::stdout().lock();
    match &args.action {
        LinksAction::Add {
            name,
            site,
            days,
            data,
        } => {
            let place = place(data, environment)?;
            place.reach(std::slice::from_ref(site))?;
            let now_ms = place.now_ms;
            let ends = now_ms + i64::from(*days) * DAY_MS;
            let made = place.change(|book| {
                let made = book.add_link(name, site, ends, ("brine links", now_ms))?;
                Ok((made, format!("link add: {name}, {site}")))
            })?;
            writeln!(out, "{}", place.link(&format!("/share/{}", &*made.text)))?;
        }
        LinksAction::List { data } => {
            let book = place(data, environment)?.book.now();
            for link in &book.links {
                let (id, name, site) = (&link.id, &link.name, &link.site);
                let ends = date(link.expires_ms);
                writeln!(
                    out,
                    "{id}\t{name}\t{site}\tends {ends}\tby {}",
                    link.added_by
                )?;
            }
        }
        LinksAction::Revoke { id, data } => {
            let place = place(data, environment)?;
            let name = place.change(|book| {
                let name = book.revoke_link(id)?;
                let what = format!("link revoke: {name}");
                Ok((name, what))
            })?;
            writeln!(out, "{name} opens nothing any more.")?;
        }
    }
    out.flush()?;
    Ok(ExitCode::SUCCESS)
}

fn date(ms: i64) -> String {
    let at = Timestamp::from_millisecond(ms).unwrap_or(Timestamp::MAX);
    at.to_zoned(TimeZone::UTC).date().to_string()
}
