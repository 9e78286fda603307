//! Names of the countries that are likely to stand in a policy; another one is shown by its code.

use super::language::Language;

/// Returns the name of a country (ISO 3166-1 alpha-2).
pub fn name(code: &str, language: Language) -> &str {
    NAMES
        .iter()
        .find(|(known, _, _)| *known == code)
        .map_or(code, |(_, en, da)| language.pick(en, da))
}

const NAMES: [(&str, &str, &str); 38] = [
    ("AT", "Austria", "Østrig"),
    ("BE", "Belgium", "Belgien"),
    ("BG", "Bulgaria", "Bulgarien"),
    ("CA", "Canada", "Canada"),
    ("CH", "Switzerland", "Schweiz"),
    ("CY", "Cyprus", "Cypern"),
    ("CZ", "Czechia", "Tjekkiet"),
    ("DE", "Germany", "Tyskland"),
    ("DK", "Denmark", "Danmark"),
    ("EE", "Estonia", "Estland"),
    ("ES", "Spain", "Spanien"),
    ("FI", "Finland", "Finland"),
    ("FO", "the Faroe Islands", "Færøerne"),
    ("FR", "France", "Frankrig"),
    ("GB", "the United Kingdom", "Storbritannien"),
    ("GL", "Greenland", "Grønland"),
    ("GR", "Greece", "Grækenland"),
    ("HR", "Croatia", "Kroatien"),
    ("HU", "Hungary", "Ungarn"),
    ("IE", "Ireland", "Irland"),
    ("IN", "India", "Indien"),
    ("IS", "Iceland", "Island"),
    ("IT", "Italy", "Italien"),
    ("JP", "Japan", "Japan"),
    ("LI", "Liechtenstein", "Liechtenstein"),
    ("LT", "Lithuania", "Litauen"),
    ("LU", "Luxembourg", "Luxembourg"),
    ("LV", "Latvia", "Letland"),
    ("MT", "Malta", "Malta"),
    ("NL", "the Netherlands", "Nederlandene"),
    ("NO", "Norway", "Norge"),
    ("PL", "Poland", "Polen"),
    ("PT", "Portugal", "Portugal"),
    ("RO", "Romania", "Rumænien"),
    ("SE", "Sweden", "Sverige"),
    ("SI", "Slovenia", "Slovenien"),
    ("SK", "Slovakia", "Slovakiet"),
    ("US", "the United States", "USA"),
];
