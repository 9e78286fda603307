//! What a visitor can do, with where to do it.

use crate::policy::document::{Block, Entry};
use crate::policy::language::Language;
use crate::policy::statement::Statement;

/// Writes the visitor's rights (GDPR Art. 7(3), 15 to 21) and the ways to use them here and now.
pub(super) fn rights(statements: &[&Statement], language: Language) -> Vec<Block> {
    let mut blocks = vec![Block::Paragraph(
        language
            .pick(
                "Your browser or app holds what proves that data is yours: the consent, and receipts for \
                 former days. With them you do all of this yourself on the page “My data”, at once, without \
                 an account and without telling anybody who you are.",
                "Din browser eller app har det, der beviser, at data er dine: samtykket og kvitteringer for \
                 tidligere dage. Med dem kan du gøre alt dette selv på siden »Mine data«, straks, uden en \
                 konto og uden at fortælle nogen, hvem du er.",
            )
            .to_owned(),
    )];
    // One page a scope: what a consent holds for is what its page can show.
    let doors = statements
        .iter()
        .filter_map(|statement| {
            let site = statement.sites.first()?;
            let names: Vec<&str> = statement.sites.iter().map(|s| s.name.as_str()).collect();
            let href = format!("/my-data?site={}&lang={}", site.id, language.tag());
            Some(Entry::to(
                names.join(", "),
                language.pick("My data", "Mine data"),
                href,
            ))
        })
        .collect();
    blocks.push(Block::Actions(doors));
    let rights = language.pick(
        [
            (
                "Withdraw your consent (Art. 7(3))",
                "As easy as giving it: the button “privacy choices” on the site, the switch in the app, or \
                 “My data”. It takes effect at once and does not make unlawful what was done before.",
            ),
            (
                "See your data (Art. 15)",
                "Every event that can still be linked to you, in plain words, with your consent and its \
                 history.",
            ),
            ("Take it with you (Art. 20)", "The same as a JSON file."),
            ("Correct it (Art. 16)", "A wrong value that you sent."),
            (
                "Erase it (Art. 17)",
                "Your events are deleted everywhere, also on the way to the database, and you are told when \
                 that is verified.",
            ),
            ("Restrict it (Art. 18)", "Your events are kept but no longer counted."),
            ("Object (Art. 21)", "No more is stored, and what is stored is no longer counted."),
            (
                "Once a period is over",
                "Without your receipts nobody can find your data any more, not even for you (Art. 11): the \
                 salt is gone. With them you can, for as long as the data is kept.",
            ),
        ],
        [
            (
                "Træk dit samtykke tilbage (artikel 7, stk. 3)",
                "Lige så let som at give det: knappen »privatlivsvalg« på webstedet, kontakten i appen eller \
                 »Mine data«. Det gælder straks og gør ikke det, der er sket før, ulovligt.",
            ),
            (
                "Se dine data (artikel 15)",
                "Alle hændelser, der stadig kan sammenkædes med dig, i almindelige ord, sammen med dit \
                 samtykke og dets historik.",
            ),
            ("Tag dem med dig (artikel 20)", "Det samme som JSON-fil."),
            ("Ret dem (artikel 16)", "En forkert værdi, som du har sendt."),
            (
                "Slet dem (artikel 17)",
                "Dine hændelser slettes overalt, også på vej til databasen, og du får at vide, når det er \
                 kontrolleret.",
            ),
            ("Begræns behandlingen (artikel 18)", "Dine hændelser opbevares, men tælles ikke længere med."),
            ("Gør indsigelse (artikel 21)", "Der gemmes ikke mere, og det gemte tælles ikke længere med."),
            (
                "Når en periode er slut",
                "Uden dine kvitteringer kan ingen længere finde dine data, heller ikke for dig (artikel 11): \
                 saltet er væk. Med dem kan du, så længe data opbevares.",
            ),
        ],
    );
    blocks.push(Block::Facts(
        rights
            .into_iter()
            .map(|(term, text)| Entry::new(term, text))
            .collect(),
    ));
    let general = statements.first().map(|statement| &statement.controller);
    if let Some(controller) = general
        && !controller.email.is_empty()
    {
        let (en, da) = ("Or write to us", "Eller skriv til os");
        blocks.push(Block::Actions(vec![Entry::to(
            language.pick(en, da),
            controller.email.clone(),
            format!("mailto:{}", controller.email),
        )]));
    }
    blocks
}

/// Writes where to complain (GDPR Art. 77).
pub(super) fn complaint(general: &Statement, language: Language) -> Vec<Block> {
    let authority = &general.authority;
    let mut entries = vec![Entry::new(
        language.pick("Supervisory authority", "Tilsynsmyndighed"),
        language.of(&authority.name),
    )];
    if !authority.address.is_empty() {
        entries.push(Entry::new(
            language.pick("Address", "Adresse"),
            &authority.address,
        ));
    }
    if !authority.website.is_empty() {
        entries.push(Entry::to(
            language.pick("Web site", "Websted"),
            &authority.website,
            &authority.website,
        ));
    }
    vec![
        Block::Paragraph(
            language
                .pick(
                    "If you think that your data is handled wrongly, we would like to hear it. You can also \
                     complain to the authority at any time.",
                    "Hvis du mener, at dine data behandles forkert, vil vi gerne høre det. Du kan også når \
                     som helst klage til tilsynsmyndigheden.",
                )
                .to_owned(),
        ),
        Block::Facts(entries),
    ]
}
