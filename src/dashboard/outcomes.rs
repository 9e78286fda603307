//! How a beacon can end, in the reader's language.
//!
//! Comes in: an [`Outcome`]. Goes out: its meaning; the English words are those of the wire.

use crate::outcome::Outcome;
use crate::policy::language::Language;

/// Says what an outcome means.
pub(super) fn meaning(outcome: Outcome, language: Language) -> &'static str {
    language.pick(outcome.meaning(), danish(outcome))
}

fn danish(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Accepted => "Posten er på disken og kommer i ClickHouse præcis én gang.",
        Outcome::BeaconIncomplete => "Indholdet nåede ikke helt frem eller ikke i tide.",
        Outcome::BeaconTooLarge => "Indholdet er længere end grænsen.",
        Outcome::BeaconMediaType => "Indholdstypen er ikke en, som målinger kommer i.",
        Outcome::BeaconEncoding => "Indholdets kodning er hverken gzip, deflate eller zstd.",
        Outcome::BeaconMalformed => "Målingen kan ikke læses eller bryder en dokumenteret grænse.",
        Outcome::BeaconUrl => "Sidens adresse er ikke en fuld http-, https- eller app-adresse.",
        Outcome::SiteUnknown => "Intet konfigureret websted har dette id eller domæne.",
        Outcome::SiteOrigin => "Forespørgslen kommer fra en side, der ikke er webstedets egen.",
        Outcome::SiteWire => {
            "Webstedet tager ikke imod hændelser i dette format; det kan ændres i konfigurationen."
        }
        Outcome::SiteKey => "Kun en afsender med webstedets nøgle må sige, hvis hændelse det er.",
        Outcome::EventTooOld => {
            "Hændelsen er ældre end 72 timer eller end webstedets opbevaringstid."
        }
        Outcome::EventFuture => "Hændelsen siger, at den ikke er sket endnu.",
        Outcome::SignalGpc => "Browseren siger Sec-GPC: 1, hvilket er et nej.",
        Outcome::SignalDnt => "Browseren siger DNT: 1, hvilket er et nej.",
        Outcome::ConsentMissing => "Der fulgte intet samtykke med.",
        Outcome::ConsentMalformed => "Samtykket kan ikke læses.",
        Outcome::ConsentForged => "Samtykket er ikke udstedt af denne server, eller det er ændret.",
        Outcome::ConsentOtherSite => "Samtykket hører til et andet websted.",
        Outcome::ConsentFuture => "Samtykket er dateret i fremtiden.",
        Outcome::ConsentExpired => "Samtykket er udløbet.",
        Outcome::ConsentLapsed => "Politikken er ændret, siden samtykket blev givet.",
        Outcome::ConsentLater => "Hændelsen skete, før samtykket blev givet.",
        Outcome::ConsentPurpose => "Samtykket omfatter ikke måling.",
        Outcome::ConsentWithdrawn => "Samtykket er trukket tilbage.",
        Outcome::ReceiptMalformed => "Kvitteringen kan ikke læses.",
        Outcome::ReceiptForged => {
            "Kvitteringen er ikke udstedt af denne server, eller den er ændret."
        }
        Outcome::ReceiptOtherSite => "Kvitteringen hører til et andet websted.",
        Outcome::LimitAddress => "Denne adresse sender for meget.",
        Outcome::LimitSite => "Dette websted modtager for meget.",
        Outcome::FilterBot => "Browseren er en robot.",
        Outcome::FilterReferrerSpam => "Henvisningen er kendt spam.",
        Outcome::FilterHostname => "Sidens værtsnavn er ikke et af webstedets egne.",
        Outcome::FilterKind => "En slags besked, der ikke måles, fx en profil af en person.",
        Outcome::FilterRule => "En af webstedets regler udelukker denne måling.",
        Outcome::SaltUnavailable => "Der er intet salt til webstedet og dagen.",
        Outcome::EventRepeated => "Samme hændelse er modtaget før og tæller én gang.",
        Outcome::BatchMixed => {
            "Nogle af bundtets hændelser blev ikke gemt; svaret siger hvilke og hvorfor."
        }
        Outcome::SpoolFull => "Spoolen har nået sin grænse.",
        Outcome::SpoolFailed => "Disken under spoolen svigtede.",
        Outcome::StoreUnavailable => {
            "ClickHouse kan ikke spørges nu eller har endnu ikke fået alt fra spoolen."
        }
        Outcome::ClientGone => {
            "Afsenderen gik før svaret; posten er gemt, hvis disken tog imod den."
        }
        Outcome::ServerClosing => "Serveren er ved at lukke.",
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_outcome_has_words_of_its_own_in_danish() {
        let said: BTreeSet<&str> = Outcome::ALL.iter().map(|one| danish(*one)).collect();
        assert_eq!(said.len(), Outcome::COUNT);
        for outcome in Outcome::ALL {
            let danish = meaning(*outcome, Language::Da);
            assert_ne!(danish, meaning(*outcome, Language::En));
            assert!(danish.ends_with('.'), "{danish}");
        }
    }
}
