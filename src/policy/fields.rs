//! Every field that is stored, what it holds and why: one table, held against the columns of `schema/` by a test.
//!
//! Comes in: nothing. Goes out: [`FIELDS`], read from `fields.txt` once. Promises that a column nobody has explained
//! to visitors fails the build's tests, and that a line about a column which is gone does so, too.

use std::sync::LazyLock;

use super::language::Language;

/// One column.
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Field {
    pub table: &'static str,
    pub column: &'static str,
    pub group: Group,
    en: &'static str,
    da: &'static str,
}

impl Field {
    /// Returns what it holds, in plain words.
    pub fn text(&self, language: Language) -> &'static str {
        language.pick(self.en, self.da)
    }

    /// Returns its name as the policy writes it down: `events.path`.
    pub fn name(&self) -> String {
        format!("{}.{}", self.table, self.column)
    }
}

/// What fields are stored for. In the order of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // Group::title says it.
pub enum Group {
    When,
    Page,
    Origin,
    Place,
    Device,
    Pseudonym,
    Return,
    Own,
    Use,
    Speed,
    Consent,
    Refusal,
    Request,
    Upkeep,
}

impl Group {
    /// All of them, in the order of the page.
    pub const ALL: [Group; 14] = [
        Group::When,
        Group::Page,
        Group::Origin,
        Group::Place,
        Group::Device,
        Group::Pseudonym,
        Group::Return,
        Group::Own,
        Group::Use,
        Group::Speed,
        Group::Consent,
        Group::Refusal,
        Group::Request,
        Group::Upkeep,
    ];

    fn named(name: &str) -> Option<Group> {
        Group::ALL
            .into_iter()
            .find(|group| format!("{group:?}").eq_ignore_ascii_case(name))
    }

    /// Returns what it is called.
    pub fn title(self, language: Language) -> &'static str {
        let (en, da) = match self {
            Group::When => ("What happened, and when", "Hvad der skete, og hvornår"),
            Group::Page => ("The page", "Siden"),
            Group::Origin => ("Where you came from", "Hvor du kom fra"),
            Group::Place => ("Where in the world", "Hvor i verden"),
            Group::Device => ("Browser and device", "Browser og enhed"),
            Group::Pseudonym => ("Pseudonyms", "Pseudonymer"),
            Group::Return => ("Returning", "Genbesøg"),
            Group::Own => ("The site's own events", "Webstedets egne hændelser"),
            Group::Use => ("How a page is read", "Hvordan en side læses"),
            Group::Speed => ("Speed", "Hastighed"),
            Group::Consent => ("Your consent", "Dit samtykke"),
            Group::Refusal => ("Refusals", "Afslag"),
            Group::Request => ("What you asked for", "Det, du har bedt om"),
            Group::Upkeep => ("Upkeep", "Vedligehold"),
        };
        language.pick(en, da)
    }

    /// Returns why its fields are stored.
    pub fn why(self, language: Language) -> &'static str {
        let (en, da) = match self {
            Group::When => (
                "To count visits and events over time.",
                "For at tælle besøg og hændelser over tid.",
            ),
            Group::Page => (
                "To see which pages are used.",
                "For at se, hvilke sider der bliver brugt.",
            ),
            Group::Origin => (
                "To see which links and campaigns bring visitors.",
                "For at se, hvilke links og kampagner der giver besøg.",
            ),
            Group::Place => (
                "To see which countries the site is used in.",
                "For at se, hvilke lande webstedet bruges i.",
            ),
            Group::Device => (
                "To know which browsers, systems and screens the site must work well on.",
                "For at vide, hvilke browsere, styresystemer og skærme webstedet skal fungere godt på.",
            ),
            Group::Pseudonym => (
                "To count visitors and visits instead of page views alone. Pseudonymised, and linkable for at \
                 most one period.",
                "For at tælle besøgende og besøg og ikke kun sidevisninger. Pseudonymiseret og kan højst \
                 sammenkædes inden for én periode.",
            ),
            Group::Return => (
                "To see whether visitors come back, without following anybody from day to day.",
                "For at se, om besøgende vender tilbage, uden at følge nogen fra dag til dag.",
            ),
            Group::Own => (
                "To see whether the site does what it is there for: a signup or an order, for example.",
                "For at se, om webstedet opfylder sit formål: for eksempel en tilmelding eller en ordre.",
            ),
            Group::Use => (
                "To see which pages are read and which are left.",
                "For at se, hvilke sider der bliver læst, og hvilke der forlades.",
            ),
            Group::Speed => (
                "To find pages that are slow.",
                "For at finde sider, der er langsomme.",
            ),
            Group::Consent => (
                "To be able to prove that you said yes (GDPR Art. 7(1)). Kept apart from events, \
                 under a key that no event carries.",
                "For at kunne bevise, at du har sagt ja (databeskyttelsesforordningens artikel 7, stk. 1). \
                 Opbevares adskilt fra hændelserne under en nøgle, som ingen hændelse har.",
            ),
            Group::Refusal => (
                "To know how large the part is that said no. A number by site and day.",
                "For at vide, hvor stor en del der har sagt nej. Et tal pr. websted og dag.",
            ),
            Group::Request => (
                "To do what you asked for, and to be able to show that it was done (GDPR Art. 5(2) and \
                 12(3)). Nothing about who asked.",
                "For at gøre det, du har bedt om, og kunne vise, at det blev gjort \
                 (databeskyttelsesforordningens artikel 5, stk. 2, og artikel 12, stk. 3). Intet om, hvem der \
                 bad om det.",
            ),
            Group::Upkeep => (
                "To store everything once, to delete it in time, and to prove that salts are destroyed. Tells \
                 nothing about you.",
                "For at gemme alt præcis én gang, slette det til tiden og bevise, at saltene destrueres. \
                 Siger intet om dig.",
            ),
        };
        language.pick(en, da)
    }
}

/// The table, in the order of `fields.txt`.
pub static FIELDS: LazyLock<Vec<Field>> = LazyLock::new(|| {
    include_str!("fields.txt")
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        // The file is part of the binary, and a test reads it: a bad line never leaves the workshop.
        .map(|line| parse(line).unwrap_or_else(|| panic!("fields.txt: {line}")))
        .collect()
});

fn parse(line: &'static str) -> Option<Field> {
    let mut parts = line.split(" | ").map(str::trim);
    let (table, column) = parts.next()?.split_once('.')?;
    let field = Field {
        table,
        column,
        group: Group::named(parts.next()?)?,
        en: parts.next().filter(|text| !text.is_empty())?,
        da: parts.next().filter(|text| !text.is_empty())?,
    };
    parts.next().is_none().then_some(field)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// Columns of all tables, as the schema's files have them.
    fn columns() -> BTreeSet<String> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
        let mut files: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .filter(|path| path.extension().is_some_and(|e| e == "sql"))
            .collect();
        files.sort();
        let mut columns = BTreeSet::new();
        let created = regex::Regex::new(r"^CREATE TABLE (?:IF NOT EXISTS )?(\w+)").unwrap();
        let altered = regex::Regex::new(r"^ALTER TABLE (\w+)").unwrap();
        let added = regex::Regex::new(r"ADD COLUMN (?:IF NOT EXISTS )?(\w+)").unwrap();
        let column = regex::Regex::new(r"^    (\w+) [A-Z].* COMMENT '").unwrap();
        let exchanged = regex::Regex::new(r"^EXCHANGE TABLES (\w+) AND (\w+)").unwrap();
        for file in files {
            let mut table = String::new();
            for line in std::fs::read_to_string(&file).unwrap().lines() {
                if let Some(found) = created.captures(line).or_else(|| altered.captures(line)) {
                    table = found[1].to_owned();
                }
                if let Some(found) = exchanged.captures(line) {
                    let (old, new) = (format!("{}.", &found[1]), format!("{}.", &found[2]));
                    columns.retain(|column: &String| !column.starts_with(&old));
                    columns = columns.iter().map(|c| c.replace(&new, &old)).collect();
                }
                if let Some(found) = column.captures(line).or_else(|| added.captures(line)) {
                    assert!(!table.is_empty(), "{}: {line}", file.display());
                    columns.insert(format!("{table}.{}", &found[1]));
                }
            }
        }
        columns
    }

    /// README, "The policy page": a column without a line fails, and so does a line without a column.
    #[test]
    fn every_stored_field_is_explained() {
        let columns = columns();
        // The reading above works at all: these two are in the schema's first and third file.
        assert!(columns.contains("events.seq") && columns.contains("salt_events.reason"));
        let explained: BTreeSet<String> = FIELDS.iter().map(Field::name).collect();
        let silent: Vec<_> = columns.difference(&explained).collect();
        let idle: Vec<_> = explained.difference(&columns).collect();
        assert!(
            silent.is_empty() && idle.is_empty(),
            "columns that fields.txt does not explain: {silent:?}; lines about no column: {idle:?}"
        );
        assert_eq!(explained.len(), FIELDS.len(), "a field stands twice");
    }

    #[test]
    fn the_two_languages_are_two_languages() {
        for field in FIELDS.iter() {
            assert_ne!(
                field.text(Language::En),
                field.text(Language::Da),
                "{}",
                field.name()
            );
        }
        for group in Group::ALL {
            assert_ne!(group.why(Language::En), group.why(Language::Da));
        }
    }
}
