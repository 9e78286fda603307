//! Countries: names, and where each stands on the map of tiles.
//!
//! Comes in: an ISO 3166-1 alpha-2 code. Goes out: its name in both languages, and the column and row of its tile. The
//! map is brine's own arrangement: one tile a country, roughly where it lies, so that small countries can be seen.
//! A country that is not listed is named by its code and has no tile; it is in the list beside the map all the same.

use crate::policy::language::Language;

/// Tiles across.
pub(super) const COLUMNS: usize = 25;

/// Tiles down.
pub(super) const ROWS: usize = 16;

/// Returns the name of a country.
pub(super) fn name(code: &str, language: Language) -> &str {
    let known = COUNTRIES.iter().find(|country| country.code == code);
    known.map_or(code, |country| language.pick(country.en, country.da))
}

/// One country.
#[derive(Debug)]
pub(super) struct Country {
    pub(super) code: &'static str,
    en: &'static str,
    da: &'static str,
    pub(super) column: usize,
    pub(super) row: usize,
}

const fn country(
    code: &'static str,
    en: &'static str,
    da: &'static str,
    column: usize,
    row: usize,
) -> Country {
    Country {
        code,
        en,
        da,
        column,
        row,
    }
}

/// All of them, by code.
#[rustfmt::skip]
pub(super) const COUNTRIES: &[Country] = &[
    country("AD", "Andorra", "Andorra", 8, 6),
    country("AE", "United Arab Emirates", "De Forenede Arabiske Emirater", 17, 8),
    country("AF", "Afghanistan", "Afghanistan", 17, 4),
    country("AL", "Albania", "Albanien", 12, 7),
    country("AM", "Armenia", "Armenien", 15, 4),
    country("AO", "Angola", "Angola", 11, 13),
    country("AR", "Argentina", "Argentina", 2, 12),
    country("AT", "Austria", "Østrig", 11, 4),
    country("AU", "Australia", "Australien", 21, 11),
    country("AZ", "Azerbaijan", "Aserbajdsjan", 16, 3),
    country("BA", "Bosnia and Herzegovina", "Bosnien-Hercegovina", 11, 6),
    country("BB", "Barbados", "Barbados", 5, 6),
    country("BD", "Bangladesh", "Bangladesh", 19, 6),
    country("BE", "Belgium", "Belgien", 9, 3),
    country("BF", "Burkina Faso", "Burkina Faso", 8, 9),
    country("BG", "Bulgaria", "Bulgarien", 14, 4),
    country("BH", "Bahrain", "Bahrain", 17, 7),
    country("BI", "Burundi", "Burundi", 15, 12),
    country("BJ", "Benin", "Benin", 11, 11),
    country("BN", "Brunei", "Brunei", 21, 8),
    country("BO", "Bolivia", "Bolivia", 2, 10),
    country("BR", "Brazil", "Brasilien", 3, 9),
    country("BS", "Bahamas", "Bahamas", 4, 4),
    country("BT", "Bhutan", "Bhutan", 20, 5),
    country("BW", "Botswana", "Botswana", 12, 14),
    country("BY", "Belarus", "Belarus", 15, 2),
    country("BZ", "Belize", "Belize", 1, 4),
    country("CA", "Canada", "Canada", 0, 1),
    country("CD", "Congo (Kinshasa)", "Congo (Kinshasa)", 13, 12),
    country("CF", "Central African Republic", "Den Centralafrikanske Republik", 11, 10),
    country("CG", "Congo (Brazzaville)", "Congo (Brazzaville)", 12, 12),
    country("CH", "Switzerland", "Schweiz", 10, 4),
    country("CI", "Ivory Coast", "Elfenbenskysten", 9, 11),
    country("CL", "Chile", "Chile", 2, 11),
    country("CM", "Cameroon", "Cameroun", 12, 11),
    country("CN", "China", "Kina", 19, 4),
    country("CO", "Colombia", "Colombia", 1, 8),
    country("CR", "Costa Rica", "Costa Rica", 0, 7),
    country("CU", "Cuba", "Cuba", 3, 4),
    country("CV", "Cape Verde", "Kap Verde", 6, 9),
    country("CY", "Cyprus", "Cypern", 13, 7),
    country("CZ", "Czechia", "Tjekkiet", 11, 3),
    country("DE", "Germany", "Tyskland", 11, 2),
    country("DJ", "Djibouti", "Djibouti", 13, 9),
    country("DK", "Denmark", "Danmark", 12, 1),
    country("DO", "Dominican Republic", "Den Dominikanske Republik", 5, 5),
    country("DZ", "Algeria", "Algeriet", 9, 7),
    country("EC", "Ecuador", "Ecuador", 1, 9),
    country("EE", "Estonia", "Estland", 14, 1),
    country("EG", "Egypt", "Egypten", 11, 8),
    country("ER", "Eritrea", "Eritrea", 12, 9),
    country("ES", "Spain", "Spanien", 9, 5),
    country("ET", "Ethiopia", "Etiopien", 13, 10),
    country("FI", "Finland", "Finland", 14, 0),
    country("FJ", "Fiji", "Fiji", 23, 11),
    country("FO", "Faroe Islands", "Færøerne", 9, 1),
    country("FR", "France", "Frankrig", 9, 4),
    country("GA", "Gabon", "Gabon", 11, 12),
    country("GB", "United Kingdom", "Storbritannien", 9, 2),
    country("GE", "Georgia", "Georgien", 15, 3),
    country("GH", "Ghana", "Ghana", 9, 10),
    country("GL", "Greenland", "Grønland", 4, 0),
    country("GM", "Gambia", "Gambia", 6, 10),
    country("GN", "Guinea", "Guinea", 8, 10),
    country("GQ", "Equatorial Guinea", "Ækvatorialguinea", 10, 12),
    country("GR", "Greece", "Grækenland", 14, 6),
    country("GT", "Guatemala", "Guatemala", 0, 4),
    country("GW", "Guinea-Bissau", "Guinea-Bissau", 7, 10),
    country("GY", "Guyana", "Guyana", 3, 8),
    country("HK", "Hong Kong", "Hongkong", 21, 6),
    country("HN", "Honduras", "Honduras", 1, 5),
    country("HR", "Croatia", "Kroatien", 12, 5),
    country("HT", "Haiti", "Haiti", 4, 5),
    country("HU", "Hungary", "Ungarn", 12, 4),
    country("ID", "Indonesia", "Indonesien", 19, 10),
    country("IE", "Ireland", "Irland", 8, 2),
    country("IL", "Israel", "Israel", 14, 7),
    country("IN", "India", "Indien", 18, 6),
    country("IQ", "Iraq", "Irak", 17, 5),
    country("IR", "Iran", "Iran", 16, 4),
    country("IS", "Iceland", "Island", 9, 0),
    country("IT", "Italy", "Italien", 10, 6),
    country("JM", "Jamaica", "Jamaica", 3, 5),
    country("JO", "Jordan", "Jordan", 16, 6),
    country("JP", "Japan", "Japan", 22, 4),
    country("KE", "Kenya", "Kenya", 14, 11),
    country("KG", "Kyrgyzstan", "Kirgisistan", 19, 3),
    country("KH", "Cambodia", "Cambodja", 20, 8),
    country("KP", "North Korea", "Nordkorea", 21, 3),
    country("KR", "South Korea", "Sydkorea", 21, 4),
    country("KW", "Kuwait", "Kuwait", 17, 6),
    country("KZ", "Kazakhstan", "Kasakhstan", 18, 2),
    country("LA", "Laos", "Laos", 19, 7),
    country("LB", "Lebanon", "Libanon", 15, 6),
    country("LI", "Liechtenstein", "Liechtenstein", 10, 5),
    country("LK", "Sri Lanka", "Sri Lanka", 18, 7),
    country("LR", "Liberia", "Liberia", 8, 11),
    country("LS", "Lesotho", "Lesotho", 13, 15),
    country("LT", "Lithuania", "Litauen", 13, 2),
    country("LU", "Luxembourg", "Luxembourg", 10, 3),
    country("LV", "Latvia", "Letland", 14, 2),
    country("LY", "Libya", "Libyen", 10, 8),
    country("MA", "Morocco", "Marokko", 8, 7),
    country("MC", "Monaco", "Monaco", 9, 6),
    country("MD", "Moldova", "Moldova", 14, 3),
    country("ME", "Montenegro", "Montenegro", 12, 6),
    country("MG", "Madagascar", "Madagaskar", 15, 13),
    country("MK", "North Macedonia", "Nordmakedonien", 14, 5),
    country("ML", "Mali", "Mali", 8, 8),
    country("MM", "Myanmar", "Myanmar", 20, 6),
    country("MN", "Mongolia", "Mongoliet", 19, 2),
    country("MR", "Mauritania", "Mauretanien", 7, 8),
    country("MT", "Malta", "Malta", 11, 7),
    country("MU", "Mauritius", "Mauritius", 16, 13),
    country("MV", "Maldives", "Maldiverne", 18, 8),
    country("MW", "Malawi", "Malawi", 13, 13),
    country("MX", "Mexico", "Mexico", 0, 3),
    country("MY", "Malaysia", "Malaysia", 19, 9),
    country("MZ", "Mozambique", "Mozambique", 14, 13),
    country("NA", "Namibia", "Namibia", 11, 14),
    country("NE", "Niger", "Niger", 9, 9),
    country("NG", "Nigeria", "Nigeria", 10, 10),
    country("NI", "Nicaragua", "Nicaragua", 0, 6),
    country("NL", "Netherlands", "Nederlandene", 10, 2),
    country("NO", "Norway", "Norge", 12, 0),
    country("NP", "Nepal", "Nepal", 19, 5),
    country("NZ", "New Zealand", "New Zealand", 23, 13),
    country("OM", "Oman", "Oman", 15, 8),
    country("PA", "Panama", "Panama", 1, 7),
    country("PE", "Peru", "Peru", 2, 9),
    country("PG", "Papua New Guinea", "Papua Ny Guinea", 22, 9),
    country("PH", "Philippines", "Filippinerne", 21, 7),
    country("PK", "Pakistan", "Pakistan", 18, 5),
    country("PL", "Poland", "Polen", 12, 2),
    country("PR", "Puerto Rico", "Puerto Rico", 6, 5),
    country("PS", "Palestine", "Palæstina", 15, 7),
    country("PT", "Portugal", "Portugal", 8, 5),
    country("PY", "Paraguay", "Paraguay", 3, 10),
    country("QA", "Qatar", "Qatar", 16, 8),
    country("RO", "Romania", "Rumænien", 13, 4),
    country("RS", "Serbia", "Serbien", 13, 5),
    country("RU", "Russia", "Rusland", 18, 1),
    country("RW", "Rwanda", "Rwanda", 14, 12),
    country("SA", "Saudi Arabia", "Saudi-Arabien", 16, 7),
    country("SC", "Seychelles", "Seychellerne", 15, 11),
    country("SD", "Sudan", "Sudan", 11, 9),
    country("SE", "Sweden", "Sverige", 13, 0),
    country("SG", "Singapore", "Singapore", 20, 9),
    country("SI", "Slovenia", "Slovenien", 11, 5),
    country("SK", "Slovakia", "Slovakiet", 12, 3),
    country("SL", "Sierra Leone", "Sierra Leone", 7, 11),
    country("SM", "San Marino", "San Marino", 10, 7),
    country("SN", "Senegal", "Senegal", 7, 9),
    country("SO", "Somalia", "Somalia", 14, 10),
    country("SR", "Suriname", "Surinam", 4, 8),
    country("SS", "South Sudan", "Sydsudan", 12, 10),
    country("SV", "El Salvador", "El Salvador", 0, 5),
    country("SY", "Syria", "Syrien", 16, 5),
    country("SZ", "Eswatini", "Eswatini", 14, 14),
    country("TD", "Chad", "Tchad", 10, 9),
    country("TG", "Togo", "Togo", 10, 11),
    country("TH", "Thailand", "Thailand", 19, 8),
    country("TJ", "Tajikistan", "Tadsjikistan", 18, 4),
    country("TL", "East Timor", "Østtimor", 20, 10),
    country("TM", "Turkmenistan", "Turkmenistan", 17, 3),
    country("TN", "Tunisia", "Tunesien", 9, 8),
    country("TR", "Turkey", "Tyrkiet", 15, 5),
    country("TT", "Trinidad and Tobago", "Trinidad og Tobago", 4, 7),
    country("TW", "Taiwan", "Taiwan", 21, 5),
    country("TZ", "Tanzania", "Tanzania", 16, 12),
    country("UA", "Ukraine", "Ukraine", 13, 3),
    country("UG", "Uganda", "Uganda", 13, 11),
    country("US", "United States", "USA", 0, 2),
    country("UY", "Uruguay", "Uruguay", 3, 11),
    country("UZ", "Uzbekistan", "Usbekistan", 18, 3),
    country("VE", "Venezuela", "Venezuela", 2, 8),
    country("VN", "Vietnam", "Vietnam", 20, 7),
    country("WS", "Samoa", "Samoa", 24, 10),
    country("XK", "Kosovo", "Kosovo", 13, 6),
    country("YE", "Yemen", "Yemen", 14, 8),
    country("ZA", "South Africa", "Sydafrika", 12, 15),
    country("ZM", "Zambia", "Zambia", 12, 13),
    country("ZW", "Zimbabwe", "Zimbabwe", 13, 14),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_country_has_a_tile_of_its_own() {
        let tiles: BTreeSet<_> = COUNTRIES.iter().map(|c| (c.column, c.row)).collect();
        assert_eq!(tiles.len(), COUNTRIES.len());
        assert!(COUNTRIES.iter().all(|c| c.column < COLUMNS && c.row < ROWS));
        assert!(COUNTRIES.is_sorted_by_key(|country| country.code));
    }
}
