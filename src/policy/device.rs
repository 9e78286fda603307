//! What is kept on the visitor's own device, after a yes: consent is needed for that, too (ePrivacy Directive
//! Art. 5(3), GDPR Art. 6(1)(a)). A test holds the list against the names in the tracker's source.

use super::language::Language;

/// One thing kept in the browser.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    /// Its name in the browser.
    pub name: &'static str,
    en: &'static str,
    da: &'static str,
}

impl Kept {
    /// Returns what it is and how long it stays.
    pub fn text(&self, language: Language, life_days: u16) -> String {
        language
            .pick(self.en, self.da)
            .replace("LIFE", &life_days.to_string())
    }
}

/// All of it, in the order in which it comes about.
pub const KEPT: [Kept; 8] = [
    Kept {
        name: "brine_consent",
        en: "Your consent: what you said yes to, the version of this policy, dates, and a random number that \
         is the source of your pseudonym. Cookie, LIFE days, or until you withdraw.",
        da: "Dit samtykke: hvad du har sagt ja til, versionen af denne politik, datoer og et tilfældigt tal, \
         som dit pseudonym dannes af. Cookie, LIFE dage, eller indtil du trækker samtykket tilbage.",
    },
    Kept {
        name: "brine_visit",
        en: "The visit under way: when it began, and how many days ago your last visit was, in coarse steps. Cookie, 30 minutes after your last activity.",
        da: "Det igangværende besøg: hvornår det begyndte, og hvor mange dage siden dit seneste besøg var, i grove trin. Cookie, 30 minutter efter din seneste aktivitet.",
    },
    Kept {
        name: "brine_day",
        en: "The date of your last visit, which your browser alone reads and tells as one of six coarse \
         steps. Cookie, 180 days.",
        da: "Datoen for dit seneste besøg, som kun din browser læser, og som oplyses som et af seks grove \
         trin. Cookie, 180 dage.",
    },
    Kept {
        name: "brine_taken",
        en: "That your yes in the site's own consent dialog was passed on. It is the same for everybody and \
         identifies nobody. Cookie, 400 days, only where the site has such a dialog.",
        da: "At dit ja i webstedets egen samtykkedialog er givet videre. Det er ens for alle og identificerer \
         ingen. Cookie, 400 dage, kun hvor webstedet har en sådan dialog.",
    },
    Kept {
        name: "brine_receipts",
        en: "Your receipts: proof of which pseudonyms were yours, at most 800 of them. With them you, and \
         nobody else, can see and erase what was stored. Local storage, until you erase your data or clear \
         your browser.",
        da: "Dine kvitteringer: bevis for, hvilke pseudonymer der var dine, højst 800. Med dem kan du, og \
         ingen andre, se og slette det, der er gemt. Lokalt lager, indtil du sletter dine data eller rydder \
         din browser.",
    },
    Kept {
        name: "brine_token",
        en: "Your consent, while the page “My data” is open, so that reloading it does not lose it. Session \
         storage, until you close the tab.",
        da: "Dit samtykke, mens siden »Mine data« er åben, så det ikke går tabt, når den genindlæses. \
         Sessionslager, indtil du lukker fanen.",
    },
    Kept {
        name: "brine_denied",
        en: "That you said no, so that you are not asked on every page. It is the same for everybody and \
         identifies nobody. Cookie, 182 days, only where you said no.",
        da: "At du har sagt nej, så du ikke bliver spurgt på hver side. Det er ens for alle og identificerer \
         ingen. Cookie, 182 dage, kun hvis du har sagt nej.",
    },
    Kept {
        name: "brine_ignore",
        en: "That this browser is not to be counted. Only where you, or the site's own staff, have set it.",
        da: "At denne browser ikke skal tælles med. Kun hvis du eller webstedets egne medarbejdere har valgt \
         det.",
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// README, "The policy page": whatever the tracker keeps on the device is named.
    #[test]
    fn what_the_tracker_keeps_is_named() {
        let named: BTreeSet<&str> = KEPT.iter().map(|kept| kept.name).collect();
        let name = regex::Regex::new(r"\bbrine_[a-z]+\b").unwrap();
        let mut n_scripts = 0;
        for folder in [
            "src/tracker",
            "src/tracker/parts",
            "src/tracker/adapters",
            "src/rights/page",
        ] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            for entry in std::fs::read_dir(folder).unwrap() {
                let path = entry.unwrap().path();
                if path.extension().is_none_or(|e| e != "js") {
                    continue;
                }
                n_scripts += 1;
                let source = std::fs::read_to_string(&path).unwrap();
                for found in name.find_iter(&source) {
                    assert!(
                        named.contains(found.as_str()),
                        "{}: {} is kept and the policy does not say so",
                        path.display(),
                        found.as_str()
                    );
                }
            }
        }
        assert!(n_scripts > 3);
    }
}
