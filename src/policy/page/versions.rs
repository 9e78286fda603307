//! `/policy/versions`: every edition ever published, and what changed in it.

use hyper::http::request::Parts;

use super::reply::{Page, json_reply, page_reply};
use super::{Ask, date, long_date, owner, shown};
use crate::collector::Live;
use crate::policy::change::{Weight, weight};
use crate::policy::document::{Block, Document, Entry};
use crate::policy::{History, Summary};
use crate::route::Reply;

/// Lists the editions of the scope asked for, or of all; of one `version` alone where one is given.
pub(super) fn list(live: &Live, ask: &Ask, version: Option<u16>, head: &Parts) -> Reply {
    let scopes: Vec<(&str, &History)> = match ask.scope(live) {
        Err(unknown) => return unknown.reply(ask, head),
        Ok(Some(found)) => vec![found],
        Ok(None) => live
            .policy
            .scopes
            .iter()
            .map(|(scope, history)| (scope.as_str(), history))
            .collect(),
    };
    let is_meant = |edition: &&Summary| version.is_none_or(|version| version == edition.version);
    if ask.wants_json {
        let value: Vec<_> = scopes
            .iter()
            .map(|(scope, history)| {
                let editions: Vec<_> = history.editions.iter().filter(is_meant).map(told).collect();
                serde_json::json!({ "scope": scope, "current": history.is_configured, "editions": editions })
            })
            .collect();
        return json_reply(&serde_json::json!({ "scopes": value }), head);
    }
    let language = ask.language;
    let mut document = Document::new(
        language.pick("All versions of the policy", "Alle versioner af politikken"),
        language.pick(
            "A material change gives a new version, and consents given before it lapse. Other changes do not.",
            "En væsentlig ændring giver en ny version, og samtykker givet før den bortfalder. Andre ændringer \
             gør ikke.",
        ),
    );
    for (scope, history) in scopes {
        let names: Vec<&str> = history
            .latest
            .statement
            .sites
            .iter()
            .map(|site| site.name.as_str())
            .collect();
        let mut blocks = Vec::new();
        // The latest first.
        for edition in history.editions.iter().rev().filter(is_meant) {
            blocks.extend(described(ask, scope, edition));
        }
        if !blocks.is_empty() {
            let id = scope.replace(':', "-");
            document.section(&id, names.join(", "), blocks);
        }
    }
    let scope = ask.scope(live).ok().flatten().map(|(name, _)| name);
    let page = Page {
        owner: owner(&live.policy),
        edition: vec![Entry::to(
            "",
            language.pick("The current policy", "Den gældende politik"),
            ask.href("/policy", scope, language),
        )],
        ..Page::new(ask, "/policy/versions", scope, &document)
    };
    page_reply(&page, head)
}

fn told(edition: &Summary) -> serde_json::Value {
    serde_json::json!({
        "version": edition.version,
        "revision": edition.revision,
        "published": edition.published.to_string(),
        "date": date(edition.published),
        "material": weight(&edition.changes) == Some(Weight::Material),
        "changes": edition.changes,
    })
}

fn described(ask: &Ask, scope: &str, edition: &Summary) -> Vec<Block> {
    let language = ask.language;
    let number = shown(edition.version, edition.revision);
    let path = format!("/policy/{number}");
    let kind = match weight(&edition.changes) {
        None => language.pick("first published", "offentliggjort første gang"),
        Some(Weight::Material) => language.pick(
            "material: earlier consents lapsed",
            "væsentlig: tidligere samtykker bortfaldt",
        ),
        Some(Weight::Cosmetic) => {
            language.pick("consents stayed good", "samtykker blev ved med at gælde")
        }
    };
    let mut blocks = vec![
        Block::Heading(format!(
            "Version {number} · {}",
            long_date(edition.published, language)
        )),
        Block::Facts(vec![Entry::to(
            capital(kind),
            language.pick(
                format!("Read version {number}"),
                format!("Læs version {number}"),
            ),
            ask.href(&path, Some(scope), language),
        )]),
    ];
    if !edition.changes.is_empty() {
        let changes = edition.changes.iter().map(|change| change.line(language));
        blocks.push(Block::List(changes.collect()));
    }
    blocks
}

fn capital(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|c| c.to_uppercase().to_string());
    first.unwrap_or_default() + letters.as_str()
}
