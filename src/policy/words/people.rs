//! Who is responsible, who receives the data, and where.

use super::listed;
use crate::config::notice::{Contact, Role, is_in_eea};
use crate::policy::countries;
use crate::policy::document::{Block, Entry};
use crate::policy::language::Language;
use crate::policy::statement::Statement;

pub(in crate::policy) fn controller(general: &Statement, language: Language) -> Vec<Block> {
    let who = &general.controller;
    let mut entries = Vec::new();
    let unsaid = language.pick(
        "not stated: the operator of this site has not filled it in yet",
        "ikke oplyst: webstedets ejer har ikke udfyldt det endnu",
    );
    let name = match (who.name.as_str(), who.company_number.as_str()) {
        ("", _) => unsaid.to_owned(),
        (name, "") => name.to_owned(),
        (name, number) => format!("{name}, {number}"),
    };
    entries.push(Entry::new(
        language.pick("Controller", "Dataansvarlig"),
        name,
    ));
    if !who.address.is_empty() {
        let mut address = who.address.clone();
        if !who.country.is_empty() {
            address = format!("{address}, {}", countries::name(&who.country, language));
        }
        entries.push(Entry::new(language.pick("Address", "Adresse"), address));
    }
    let reach = reach_entries("", &who.email, &who.phone, language);
    if reach.is_empty() {
        entries.push(Entry::new(language.pick("Contact", "Kontakt"), unsaid));
    }
    entries.extend(reach);
    if !who.website.is_empty() {
        let term = language.pick("Web site", "Websted");
        entries.push(Entry::to(term, &who.website, &who.website));
    }
    let titled = [
        (
            &who.dpo,
            language.pick("Data protection officer", "Databeskyttelsesrådgiver"),
        ),
        (
            &who.representative,
            language.pick("Representative in the EU", "Repræsentant i EU"),
        ),
    ];
    for (contact, title) in titled {
        if let Some(contact) = contact {
            entries.extend(contact_entries(title, contact, language));
        }
    }
    for contact in &who.joint {
        let title = language.pick("Joint controller", "Fælles dataansvarlig");
        entries.extend(contact_entries(title, contact, language));
    }
    vec![Block::Facts(entries)]
}

fn contact_entries(title: &str, contact: &Contact, language: Language) -> Vec<Entry> {
    let who = [contact.name.as_str(), contact.address.as_str()];
    let who: Vec<&str> = who.into_iter().filter(|part| !part.is_empty()).collect();
    let mut entries = Vec::new();
    if !who.is_empty() {
        entries.push(Entry::new(title, who.join(", ")));
    }
    entries.extend(reach_entries(
        title,
        &contact.email,
        &contact.phone,
        language,
    ));
    entries
}

fn reach_entries(title: &str, email: &str, phone: &str, language: Language) -> Vec<Entry> {
    let term = |word: &str| match title {
        "" => word.to_owned(),
        title => format!("{title}, {}", word.to_lowercase()),
    };
    let mut entries = Vec::new();
    if !email.is_empty() {
        let term = term(language.pick("E-mail", "E-mail"));
        entries.push(Entry::to(term, email, format!("mailto:{email}")));
    }
    if !phone.is_empty() {
        let digits: String = phone
            .chars()
            .filter(|c| c.is_ascii_digit() || *c == '+')
            .collect();
        let term = term(language.pick("Phone", "Telefon"));
        entries.push(Entry::to(term, phone, format!("tel:{digits}")));
    }
    entries
}

pub(in crate::policy) fn recipients(general: &Statement, language: Language) -> Vec<Block> {
    let places: Vec<&str> = general
        .countries
        .iter()
        .map(|code| countries::name(code, language))
        .collect();
    let place = match places.as_slice() {
        [] => language
            .pick(
                "not stated: the operator of this site has not filled it in yet",
                "ikke oplyst: webstedets ejer har ikke udfyldt det endnu",
            )
            .to_owned(),
        places => listed(places, language.pick("and", "og")),
    };
    let mut entries = vec![Entry::new(
        language.pick("Processed and stored in", "Behandles og opbevares i"),
        place,
    )];
    entries.push(transfers(general, language));
    if general.recipients.is_empty() {
        entries.push(Entry::new(
            language.pick("Recipients", "Modtagere"),
            language.pick(
                "None. No advertising network, no analytics provider, no other company.",
                "Ingen. Intet reklamenetværk, ingen udbyder af analyser, intet andet firma.",
            ),
        ));
    }
    for recipient in &general.recipients {
        let role = match recipient.role {
            Role::Controller => {
                language.pick("a controller of its own", "selvstændig dataansvarlig")
            }
            Role::Processor => language.pick("processor", "databehandler"),
        };
        let text = format!(
            "{} ({role}, {})",
            language.of(&recipient.task),
            countries::name(&recipient.country, language)
        );
        entries.push(Entry::new(&recipient.name, text));
    }
    let k = general.smallest_group;
    entries.push(Entry::new(
        language.pick("Inside the organisation", "I organisationen"),
        match language {
            Language::En => {
                format!("Statistics are shown without groups of fewer than {k} visitors.")
            }
            Language::Da => format!("Statistik vises uden grupper på færre end {k} besøgende."),
        },
    ));
    vec![Block::Facts(entries)]
}

pub(in crate::policy) fn transfers(general: &Statement, language: Language) -> Entry {
    let is_outside = general.countries.iter().any(|code| !is_in_eea(code))
        || general.recipients.iter().any(|r| !is_in_eea(&r.country));
    let transfer = if is_outside {
        let safeguards = [&general.safeguard]
            .into_iter()
            .chain(general.recipients.iter().map(|r| &r.safeguard))
            .map(|text| language.of(text))
            .filter(|text| !text.is_empty());
        let safeguards: Vec<&str> = safeguards.collect();
        match language {
            Language::En => format!("yes, safeguarded by: {}", safeguards.join("; ")),
            Language::Da => format!("ja, beskyttet ved: {}", safeguards.join("; ")),
        }
    } else {
        language.pick("none", "ingen").to_owned()
    };
    Entry::new(
        language.pick(
            "Transfer out of the EU and EEA",
            "Overførsel til lande uden for EU og EØS",
        ),
        transfer,
    )
}
