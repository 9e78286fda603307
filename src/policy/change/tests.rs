use std::collections::BTreeSet;

use proptest::prelude::*;
use toml::Value;

use super::tell::NAMES;
use super::*;
use crate::config::settings::{Environment, Settings};
use crate::config::{Config, REFERENCE, load, notice};
use crate::policy::language::Language;

/// The reference deployment with every optional key set, so that each has something to change.
fn full() -> Settings {
    let (mut settings, _) =
        load::from_text(REFERENCE, "reference", &Environment::new()).expect("reference");
    let contact = Contact {
        name: "Dorte".into(),
        address: "Vej 1".into(),
        email: "dpo@example.test".into(),
        phone: "+45 1".into(),
    };
    settings.sites[0].funnels = vec![crate::config::settings::Funnel {
        name: "Sign-up".into(),
        steps: vec!["Visit /".into(), "Signup".into()],
    }];
    settings.retention.days.consents = Some(1_000);
    settings.retention.days.requests = Some(900);
    settings.controller.dpo = Some(contact.clone());
    settings.controller.representative = Some(contact.clone());
    settings.controller.joint = vec![contact];
    let text = notice::Text {
        en: "hosts".into(),
        da: "driver".into(),
    };
    settings.processing.safeguard = text.clone();
    settings.recipients = vec![Recipient {
        name: "Hostens ApS".into(),
        role: notice::Role::Processor,
        country: "DK".into(),
        task: text.clone(),
        safeguard: text,
    }];
    let file = || Some(std::path::PathBuf::from("file"));
    settings.policy.directory = file();
    settings.store.password_file = file();
    settings.enrich = crate::config::settings::Enrich {
        geo_country: file(),
        geo_city: file(),
        agent_patterns: file(),
        crawler_patterns: file(),
        referrer_sources: file(),
        referrer_spam: file(),
    };
    settings.server.tls = Some(crate::config::settings::Tls {
        certificate: "file".into(),
        key: "file".into(),
    });
    settings.consent.key_file = file();
    settings.query.k = 5;
    settings.sites[0].query_allow = vec!["tab".into()];
    settings.sites[0].rules.exclude_hostnames = vec!["test.portal.example.test".into()];
    settings.sites[0].rules.exclude_countries = vec!["US".into()];
    settings.sites[0].group = Some("all".into());
    settings.sites[1].group = Some("all".into());
    settings
}

fn statements(settings: &Settings) -> Vec<Statement> {
    Statement::all(&Config::check(settings).expect("good settings"))
}

/// What a change of the settings means for each scope that is in both.
fn changes(old: &Settings, new: &Settings) -> BTreeMap<String, Vec<Change>> {
    let new = statements(new);
    statements(old)
        .iter()
        .filter_map(|before| {
            let after = new.iter().find(|after| after.scope == before.scope)?;
            Some((before.scope.clone(), compare(before, after)))
        })
        .collect()
}

fn weights(change: impl FnOnce(&mut Settings)) -> BTreeMap<String, Option<Weight>> {
    let old = full();
    let mut new = old.clone();
    change(&mut new);
    changes(&old, &new)
        .into_iter()
        .map(|(scope, changes)| (scope, weight(&changes)))
        .collect()
}

/// Everywhere the same weight.
#[track_caller]
fn expect_all(expected: Option<Weight>, change: impl FnOnce(&mut Settings)) {
    for (scope, found) in weights(change) {
        assert_eq!(found, expected, "{scope}");
    }
}

/// In the first two sites' group alone; the other scopes are untouched.
#[track_caller]
fn expect_group(expected: Option<Weight>, change: impl FnOnce(&mut Settings)) {
    for (scope, found) in weights(change) {
        let expected = if scope == "group:all" { expected } else { None };
        assert_eq!(found, expected, "{scope}");
    }
}

const MATERIAL: Option<Weight> = Some(Weight::Material);
const COSMETIC: Option<Weight> = Some(Weight::Cosmetic);

#[test]
fn what_goes_further_is_material() {
    expect_all(MATERIAL, |s| s.controller.name = "Another A/S".into());
    expect_all(MATERIAL, |s| s.controller.company_number = "CVR 1".into());
    expect_all(MATERIAL, |s| s.processing.countries.push("SE".into()));
    expect_all(MATERIAL, |s| s.processing.countries = vec!["SE".into()]);
    expect_all(MATERIAL, |s| {
        let mut other = s.recipients[0].clone();
        other.name = "Annoncehuset".into();
        s.recipients.push(other);
    });
    // The same recipient with another task is another recipient.
    expect_all(MATERIAL, |s| s.recipients[0].task.en = "advertises".into());
    expect_all(MATERIAL, |s| {
        s.recipients[0].role = notice::Role::Controller;
    });
    expect_all(MATERIAL, |s| s.retention.days.consents = Some(1_001));
    expect_all(MATERIAL, |s| s.retention.days.requests = Some(901));
    // Longer than any site goes by.
    expect_all(None, |s| s.consent.ledger_days += 1);
    expect_all(MATERIAL, |s| s.query.k -= 1);
    expect_group(MATERIAL, |s| s.sites[0].retention_days = Some(396));
    expect_group(MATERIAL, |s| {
        s.sites[1].rotation = Rotation::Week;
    });
    expect_group(MATERIAL, |s| s.sites[0].salt_grace_minutes += 1);
    expect_group(MATERIAL, |s| s.sites[0].geo = GeoDetail::City);
    expect_group(MATERIAL, |s| s.sites[0].honour_gpc = false);
    expect_group(MATERIAL, |s| s.sites[0].query_allow.push("q".into()));
    expect_group(MATERIAL, |s| s.sites[0].rules.exclude_paths.clear());
    expect_group(MATERIAL, |s| s.sites[1].sub_domains = true);
    expect_group(MATERIAL, |s| s.sites[1].domains.push("new.test".into()));
}

#[test]
fn what_goes_less_far_or_is_only_worded_anew_is_cosmetic() {
    expect_all(COSMETIC, |s| s.controller.phone = "+45 2".into());
    expect_all(COSMETIC, |s| s.controller.email = "x@example.test".into());
    expect_all(COSMETIC, |s| s.controller.dpo = None);
    expect_all(COSMETIC, |s| s.recipients.clear());
    expect_all(COSMETIC, |s| s.consent.ledger_days = 800);
    // The other site of the group keeps them as before.
    expect_group(None, |s| s.sites[0].retention.consents = Some(10));
    expect_group(COSMETIC, |s| {
        s.sites[0].retention.consents = Some(10);
        s.sites[1].retention.consents = Some(20);
    });
    expect_all(COSMETIC, |s| s.consent.life_days += 1);
    expect_all(COSMETIC, |s| s.query.k += 1);
    expect_all(COSMETIC, |s| s.salts.chain = true);
    expect_all(COSMETIC, |s| s.authority.address = "Elsewhere".into());
    expect_group(COSMETIC, |s| s.sites[0].retention_days = Some(394));
    expect_group(COSMETIC, |s| s.sites[0].geo = GeoDetail::None);
    expect_group(COSMETIC, |s| s.sites[0].query_allow.clear());
    expect_group(COSMETIC, |s| {
        s.sites[0].rules.exclude_paths.push("/x".into());
    });
    expect_group(COSMETIC, |s| s.sites[0].sub_domains = false);
    expect_group(COSMETIC, |s| s.sites[0].name = Some("Porten".into()));
}

#[test]
fn a_new_site_touches_no_consent_but_that_of_a_group_it_joins() {
    let added = |group: Option<&str>| {
        let group = group.map(str::to_owned);
        move |s: &mut Settings| {
            let mut site = s.sites[2].clone();
            site.id = "new".into();
            site.domains = vec!["new.example.test".into()];
            site.group = group;
            s.sites.push(site);
        }
    };
    expect_all(None, added(None));
    expect_group(MATERIAL, added(Some("all")));
    // And a site that leaves a group takes nothing from anybody.
    expect_group(COSMETIC, |s| {
        s.sites.remove(1);
    });
}

/// Keys that the policy says nothing about, because they change nothing for a visitor. (`site.geo` says how closely
/// a visit may be placed, whatever the data files know; excluded networks would tell where the operator sits;
/// `consent.ledger_days` bounds what is said of each site, and is told by that.)
const OUTSIDE: &str = "\
    access.allow_http access.log_days access.mode access.oidc_claim access.proxy_header access.session_hours access.session_idle_minutes \
    batch.max_age_ms batch.max_rows batch.retry_max_ms batch.retry_min_ms \
    consent.key_file consent.ledger_days data.directory \
    enrich.agent_patterns enrich.crawler_patterns enrich.geo_city enrich.geo_country \
    enrich.referrer_sources enrich.referrer_spam \
    limits.address_burst limits.address_per_minute limits.consent_per_minute limits.event_ids limits.max_addresses \
    limits.rights_per_minute limits.site_burst limits.site_per_second \
    policy.directory policy.version \
    processing.measures.da processing.measures.en \
    query.max_memory_mib query.max_seconds \
    retention.late_hours retention.removed_site_grace_days retention.run_at \
    server.admin server.body_timeout_ms server.drain_timeout_ms server.header_timeout_ms \
    server.idle_timeout_ms server.listen server.max_batch_bytes server.max_body_bytes server.max_connections server.runtime \
    server.threads server.tls.certificate server.tls.key server.trusted_proxies \
    site.allow_http_libraries site.funnel.name site.funnel.steps site.goals site.matomo_currency site.matomo_id \
    site.rules.exclude_networks site.server_keys site.umami_id \
    spool.group_delay_ms spool.group_records spool.max_mib spool.reserve_mib \
    store.database store.engine_memory_mib store.password_file store.timeout_ms store.url store.user";

/// Each leaf of the settings with its path; of lists of tables the first.
fn leaves(value: &Value, path: &[String], found: &mut Vec<Vec<String>>) {
    match value {
        Value::Table(table) => {
            for (key, inner) in table {
                leaves(inner, &[path, std::slice::from_ref(key)].concat(), found);
            }
        }
        Value::Array(list) if list.first().is_some_and(Value::is_table) => {
            leaves(&list[0], path, found);
        }
        _ => found.push(path.to_vec()),
    }
}

fn leaf<'a>(value: &'a mut Value, path: &[String]) -> &'a mut Value {
    let value = if value.get(0).is_some_and(Value::is_table) {
        &mut value[0]
    } else {
        value
    };
    match path.split_first() {
        Some((key, rest)) => leaf(&mut value[key.as_str()], rest),
        None => value,
    }
}

/// Other values of the same kind; one of them is good.
fn others(value: &Value) -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().map(|t| Value::from(*t)).collect::<Vec<_>>();
    match value {
        Value::Integer(n) => vec![Value::from(n + 1), Value::from(n - 1)],
        Value::Boolean(b) => vec![Value::from(!b)],
        Value::Array(list) => {
            let more = |item: Value| Value::from([list.clone(), vec![item]].concat());
            texts(&["more.test", "/more/**", "SE", "10.0.0.0/8", &"0".repeat(64)])
                .into_iter()
                .map(more)
                .collect()
        }
        _ => texts(&[
            "SE",
            "EUR",
            "app",
            "week",
            "city",
            "open",
            "sub",
            "per_core",
            "controller",
            "Europe/Paris",
            "127.0.0.1:7",
            "http://other.test/",
            "a@other.test",
            "other",
            "03:00",
        ]),
    }
}

/// Any change of the configuration is material, or cosmetic, or listed above: there is no third. A key that is new
/// in the configuration fails here until somebody has decided.
#[test]
fn every_key_is_in_the_policy_or_knowingly_outside_of_it() {
    let old = full();
    let base = Value::try_from(&old).expect("settings are TOML");
    let mut paths = Vec::new();
    leaves(&base, &[], &mut paths);
    let mut silent = BTreeSet::new();
    for path in &paths {
        let before = leaf(&mut base.clone(), path).clone();
        let told = others(&before).into_iter().find_map(|other| {
            let mut changed = base.clone();
            *leaf(&mut changed, path) = other;
            let settings: Settings = changed.try_into().ok()?;
            Config::check(&settings).ok()?;
            let all: Vec<Change> = changes(&old, &settings).into_values().flatten().collect();
            Some(weight(&all).is_some())
        });
        match told {
            Some(true) => {}
            Some(false) => {
                silent.insert(path.join("."));
            }
            None => panic!("{}: no other value of {before} is good", path.join(".")),
        }
    }
    let expected: BTreeSet<String> = OUTSIDE.split_whitespace().map(str::to_owned).collect();
    assert_eq!(silent, expected);
}

#[test]
fn every_fact_has_a_name_in_both_languages() {
    let settings = full();
    for statement in statements(&settings) {
        for key in facts(&statement).keys() {
            let bare = key.split_once("].").map_or(key.as_str(), |(_, key)| key);
            assert!(NAMES.iter().any(|(known, _, _)| *known == bare), "{key}");
        }
    }
}

/// Settings in which a few things of the first site and of all sites are as they come.
fn any_settings() -> impl Strategy<Value = Settings> {
    let site = (
        1_u16..400,
        0_usize..3,
        1_u32..200,
        0_usize..3,
        any::<(bool, bool, bool)>(),
        prop::sample::subsequence(vec!["q", "tab", "page"], 0..=3),
        prop::sample::subsequence(vec!["/a", "/b/**"], 0..=2),
    );
    let general = (
        prop::sample::select(vec!["A A/S", "B A/S"]),
        prop::sample::select(vec!["+45 1", "+45 2"]),
        prop::sample::subsequence(vec!["DK", "SE", "DE"], 1..=3),
        prop::sample::subsequence(vec!["H1", "H2"], 0..=2),
        1_u16..2_000,
        2_u32..12,
    );
    (site, general).prop_map(|(site, general)| {
        let mut settings = full();
        let (days, rotation, grace, geo, (gpc, sub_domains, hash), query, paths) = site;
        let first = &mut settings.sites[0];
        first.retention_days = Some(days);
        first.rotation = [Rotation::Day, Rotation::Week, Rotation::Month][rotation];
        first.salt_grace_minutes = grace;
        first.geo = [GeoDetail::None, GeoDetail::Country, GeoDetail::City][geo];
        (first.honour_gpc, first.sub_domains, first.hash_routing) = (gpc, sub_domains, hash);
        first.query_allow = query.into_iter().map(Into::into).collect();
        first.rules.exclude_paths = paths.into_iter().map(Into::into).collect();
        let (name, phone, countries, recipients, ledger, k) = general;
        settings.controller.name = name.into();
        settings.controller.phone = phone.into();
        settings.processing.countries = countries.into_iter().map(Into::into).collect();
        let recipient = settings.recipients[0].clone();
        settings.recipients = recipients
            .into_iter()
            .map(|name| Recipient {
                name: name.into(),
                ..recipient.clone()
            })
            .collect();
        settings.consent.ledger_days = ledger;
        settings.retention.days.consents = None;
        settings.retention.days.requests = None;
        settings.query.k = k;
        settings
    })
}

/// The same question asked of the settings themselves, without facts and rules.
fn goes_further(old: &Settings, new: &Settings) -> bool {
    let more = |a: &[String], b: &[String]| b.iter().any(|x| !a.contains(x));
    let rank = |r: Rotation| {
        [Rotation::Day, Rotation::Week, Rotation::Month]
            .iter()
            .position(|x| *x == r)
    };
    let closeness = |g: GeoDetail| {
        [GeoDetail::None, GeoDetail::Country, GeoDetail::City]
            .iter()
            .position(|x| *x == g)
    };
    let names = |s: &Settings| {
        s.recipients
            .iter()
            .map(|r| r.name.clone())
            .collect::<Vec<_>>()
    };
    let (a, b) = (&old.sites[0], &new.sites[0]);
    old.controller.name != new.controller.name
        || more(&old.processing.countries, &new.processing.countries)
        || more(&names(old), &names(new))
        || new.consent.ledger_days > old.consent.ledger_days
        || new.query.k < old.query.k
        || b.retention_days > a.retention_days
        || rank(b.rotation) > rank(a.rotation)
        || b.salt_grace_minutes > a.salt_grace_minutes
        || closeness(b.geo) > closeness(a.geo)
        || (a.honour_gpc && !b.honour_gpc)
        || (b.sub_domains && !a.sub_domains)
        || (b.hash_routing && !a.hash_routing)
        || more(&a.query_allow, &b.query_allow)
        || more(&b.rules.exclude_paths, &a.rules.exclude_paths)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_change_is_material_exactly_where_something_goes_further(old in any_settings(), new in any_settings()) {
        let found = changes(&old, &new).remove("group:all").expect("the group is in both");
        let is_material = weight(&found) == Some(Weight::Material);
        prop_assert_eq!(is_material, goes_further(&old, &new), "{:?}", found);
        // Nothing changes in silence, and nothing is told that did not change.
        let same = Value::try_from(&old).ok() == Value::try_from(&new).ok();
        prop_assert_eq!(found.is_empty(), same);
        // Who goes further cannot come back unnoticed: the way back is told, too.
        let back = changes(&new, &old).remove("group:all").expect("the group is in both");
        let keys = |list: &[Change]| list.iter().map(|c| c.key.clone()).collect::<BTreeSet<_>>();
        prop_assert_eq!(keys(&found), keys(&back));
        for change in &found {
            prop_assert!(change.line(Language::En) != change.line(Language::Da));
        }
    }
}
