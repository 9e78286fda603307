//! `brine serve` and `brine demo`.

use std::fs::DirBuilder;
use std::io::{self, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};

use super::{DemoArgs, ServeArgs};
use crate::clock;
use crate::config::settings::{Environment, Funnel, Mode};
use crate::config::{Config, load};
use crate::demo;
use crate::demo::traffic::record::Record;
use crate::demo::traffic::{FUNNELS, Fill, countries_file};
use crate::run::{self, Control, Ready};
use crate::secret::write_private;

pub(super) fn serve(args: &ServeArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    let (_, config) = load::from_file(&args.config, environment)?;
    let (path, overrides) = (args.config.clone(), environment.clone());
    let read_config = move || {
        load::from_file(&path, &overrides)
            .map(|(_, config)| config)
            .map_err(|e| e.to_string())
    };
    let url = config.access.url.as_ref().map(ToString::to_string);
    let marker = config.directory.join(demo::MARKER);
    go(
        config,
        Demo::Without,
        environment.clone(),
        Box::new(read_config),
        move |ready| {
            let Ready { addresses, setup } = ready;
            // Whatever comes in from now on is no demo's.
            drop(std::fs::remove_file(&marker));
            let mut out = io::stdout().lock();
            // Scripts read these two lines; port 0 becomes the real one here.
            writeln!(out, "public http://{}", addresses.public)?;
            writeln!(out, "admin http://{}", addresses.admin)?;
            if let Some(path) = setup {
                // Opens once, for a day; printed here and nowhere else.
                let base = url.unwrap_or_else(|| format!("http://{}", addresses.admin));
                writeln!(out, "set-up {}{path}", base.trim_end_matches('/'))?;
            }
            out.flush()
        },
    )
}

pub(super) fn demo(args: &DemoArgs, environment: &Environment) -> anyhow::Result<ExitCode> {
    if args.fresh && is_demos(&args.data) {
        forget(&args.data)?;
    }
    claim(&args.data)?;
    let has_traffic = args.days > 0 || Record::read(&args.data)?.is_some();
    let config = demo_config(args, has_traffic)?;
    let fill = (args.days > 0).then_some(Fill {
        days: args.days,
        seed: args.seed,
        scale: args.scale,
    });
    let again = config.clone();
    let read_config = move || Ok(again.clone());
    let data = args.data.clone();
    go(
        config,
        Demo::With(fill),
        environment.clone(),
        Box::new(read_config),
        move |ready| {
            let Ready { addresses, setup } = ready;
            let mut out = io::stdout().lock();
            writeln!(out, "\n  demo site  http://{}/", addresses.public)?;
            let path = setup.as_deref().unwrap_or("/");
            writeln!(out, "  dashboard  http://{}{path}", addresses.admin)?;
            writeln!(out, "  metrics    http://{}/metrics", addresses.admin)?;
            say_what_is_made_up(&mut out, &data)?;
            writeln!(
                out,
                "\nOpen the demo site, say yes, look around. Then, in another terminal:\n"
            )?;
            let data = data.display();
            writeln!(
                out,
                "  brine sql --data {data} \"SELECT ts, name, path, browser FROM events\"\n"
            )?;
            writeln!(out, "Ctrl-C stops it; what was accepted stays in {data}.")?;
            out.flush()
        },
    )
}

/// Nobody is to take made-up visits for real ones.
fn say_what_is_made_up(out: &mut impl Write, data: &Path) -> io::Result<()> {
    match Record::read(data) {
        Ok(Some(record)) => writeln!(
            out,
            "\nMADE UP: the visits from {} until {} never happened. {} of {} beacons were accepted (seed {}).",
            record.first_day,
            record.until,
            record.n_beacons("accepted"),
            record.n_all(),
            record.seed
        ),
        Ok(None) => writeln!(
            out,
            "\nNothing is measured yet; `brine demo --fresh --days 30` begins with a month of made-up visits."
        ),
        Err(error) => writeln!(out, "\n{error}"),
    }
}

/// The reference deployment on loopback; the portal answers to this machine's names as well.
fn demo_config(args: &DemoArgs, has_traffic: bool) -> anyhow::Result<Config> {
    let mut settings: crate::config::settings::Settings = toml::from_str(demo::SETTINGS)?;
    settings.server.listen = args.listen;
    settings.server.admin = args.admin;
    settings.data.directory = args.data.clone();
    if has_traffic {
        settings.enrich.geo_country = Some(countries_file(&args.data));
        for (id, name, steps) in FUNNELS {
            let site = settings.sites.iter_mut().find(|site| site.id == id);
            if let Some(site) = site {
                site.funnels.push(Funnel {
                    name: name.to_owned(),
                    steps: steps.iter().map(|step| (*step).to_owned()).collect(),
                });
            }
        }
    }
    // A demo is to be looked at. Beyond this machine it asks for a password like any other.
    match args.admin.ip().is_loopback() {
        true => settings.access.mode = Mode::Open,
        false => settings.access.allow_http = true,
    }
    // Somebody is watching: what they do should show within a second.
    settings.batch.max_age_ms = 1_000;
    if let Some(portal) = settings.sites.first_mut() {
        portal
            .domains
            .extend(["localhost".to_owned(), "127.0.0.1".to_owned()]);
    }
    Config::check(&settings).map_err(|faults| load::LoadError::Faults { faults }.into())
}

/// Makes the directory the demo's own, or finds that it is.
fn claim(data: &Path) -> anyhow::Result<()> {
    if is_demos(data) {
        return Ok(());
    }
    let is_used = match demo::is_used(data) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        found => found.with_context(|| format!("cannot read {}", data.display())),
    };
    anyhow::ensure!(
        !is_used?,
        "{} holds something that no `brine demo` has made, perhaps the data of a service: a demo neither opens nor deletes it. \
         Name another directory with --data, or delete this one yourself",
        data.display()
    );
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(data)
        .with_context(|| format!("cannot make {}", data.display()))?;
    let text = "Made by `brine demo`; `brine demo --fresh` deletes this directory.\n";
    write_private(&data.join(demo::MARKER), text.as_bytes())
        .with_context(|| format!("cannot write into {}", data.display()))
}

/// Tells whether a demo has made the directory, and no service has used it since. Made-up visits (`demo.json`) alone do not say so.
fn is_demos(data: &Path) -> bool {
    data.join(demo::MARKER).exists()
}

/// Deletes an earlier demo's directory.
fn forget(data: &Path) -> anyhow::Result<()> {
    match std::fs::File::open(data.join("brine.lock")) {
        Ok(lock) if lock.try_lock().is_err() => anyhow::bail!(
            "{} is locked by another brine; stop it first",
            data.display()
        ),
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error.into()),
        // A demo that was refused before it began has none.
        Ok(_) | Err(_) => {}
    }
    std::fs::remove_dir_all(data).with_context(|| format!("cannot delete {}", data.display()))
}

/// Whether the demo site is served, and what it begins with.
enum Demo {
    Without,
    With(Option<Fill>),
}

fn go(
    config: Config,
    demo: Demo,
    environment: Environment,
    read_config: Box<dyn Fn() -> Result<Config, String> + Send + Sync>,
    announce: impl FnOnce(Ready) -> io::Result<()> + Send + 'static,
) -> anyhow::Result<ExitCode> {
    let (is_demo, fill) = match demo {
        Demo::Without => (false, None),
        Demo::With(fill) => (true, fill),
    };
    let (stop, shutdown) = watch::channel(false);
    let reload = Arc::new(Notify::new());
    let control = Control {
        clock: clock::of_environment(&environment),
        shutdown,
        reload: reload.clone(),
        read_config,
        on_ready: Box::new(|ready| {
            if let Err(error) = announce(ready) {
                tracing::warn!(%error, "standard output is gone");
            }
        }),
        is_demo,
        fill,
        environment,
    };
    // Signals have a small runtime of their own, so that they are heard before and while all else runs.
    let listener = std::thread::Builder::new().name("brine-signals".into());
    listener
        .spawn(move || signals(&stop, &reload))
        .context("cannot start the signal thread")?;
    run::run(config, control)?;
    Ok(ExitCode::SUCCESS)
}

fn signals(stop: &watch::Sender<bool>, reload: &Notify) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let heard = runtime.and_then(|runtime| {
        runtime.block_on(async {
            let mut terminate = signal(SignalKind::terminate())?;
            let mut interrupt = signal(SignalKind::interrupt())?;
            let mut hangup = signal(SignalKind::hangup())?;
            loop {
                tokio::select! {
                    _ = terminate.recv() => break,
                    _ = interrupt.recv() => break,
                    _ = hangup.recv() => reload.notify_one(),
                }
            }
            Ok::<(), io::Error>(())
        })
    });
    if let Err(error) = heard {
        tracing::error!(%error, "cannot hear signals; stopping");
    }
    stop.send_replace(true);
}
