//! A text in sections, and how it is written down as Markdown.
//!
//! The policy and the record of processing are [`Document`]s: what is said, without how it looks. `page.rs` makes
//! HTML of one, this module Markdown, and the archive keeps it as it was said, so that a former version reads as it
//! read then.
//!
//! **On disk.** The policy archive holds documents as JSON: blocks are added, never renamed.

use std::fmt::{self, Write};

use serde::{Deserialize, Serialize};

/// A text in sections.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Document {
    pub title: String,
    pub lead: String,
    pub sections: Vec<Section>,
}

/// One section. Its id is the same in every language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Section {
    pub id: String,
    pub title: String,
    pub blocks: Vec<Block>,
}

/// A part of a section. All texts are plain: whatever they hold is shown as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum Block {
    Paragraph(String),
    /// A heading below the section's.
    Heading(String),
    List(Vec<String>),
    /// Terms and what they mean here.
    Facts(Vec<Entry>),
    /// Things to do, with where to do them.
    Actions(Vec<Entry>),
    Table {
        caption: String,
        head: Vec<String>,
        rows: Vec<Vec<String>>,
    },
}

/// A term with its text; `href` is where the text leads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub struct Entry {
    pub term: String,
    pub text: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub href: Option<String>,
}

impl Entry {
    /// Makes an entry that leads nowhere.
    pub fn new(term: impl Into<String>, text: impl Into<String>) -> Entry {
        Entry {
            term: term.into(),
            text: text.into(),
            href: None,
        }
    }

    /// Makes one that leads somewhere.
    pub fn to(term: impl Into<String>, text: impl Into<String>, href: impl Into<String>) -> Entry {
        Entry {
            href: Some(href.into()),
            ..Entry::new(term, text)
        }
    }
}

impl Document {
    /// Begins a document.
    pub fn new(title: impl Into<String>, lead: impl Into<String>) -> Document {
        Document {
            title: title.into(),
            lead: lead.into(),
            sections: Vec::new(),
        }
    }

    /// Appends a section.
    pub fn section(&mut self, id: &str, title: impl Into<String>, blocks: Vec<Block>) {
        self.sections.push(Section {
            id: id.to_owned(),
            title: title.into(),
            blocks,
        });
    }

    /// Writes the document as Markdown (CommonMark with tables).
    pub fn markdown(&self) -> String {
        let mut out = String::new();
        self.write(&mut out)
            .expect("a String takes every character");
        out
    }

    fn write(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "# {}\n\n{}", plain(&self.title), plain(&self.lead))?;
        for section in &self.sections {
            writeln!(out, "\n## {}", plain(&section.title))?;
            for block in &section.blocks {
                writeln!(out)?;
                block.write(out)?;
            }
        }
        Ok(())
    }
}

impl Block {
    fn write(&self, out: &mut String) -> fmt::Result {
        match self {
            Block::Paragraph(text) => writeln!(out, "{}", plain(text))?,
            Block::Heading(text) => writeln!(out, "### {}", plain(text))?,
            Block::List(items) => {
                for item in items {
                    writeln!(out, "- {}", plain(item))?;
                }
            }
            Block::Facts(entries) | Block::Actions(entries) => {
                for entry in entries {
                    let colon = if entry.term.ends_with('?') { "" } else { ":" };
                    let (term, text) = (plain(&entry.term), plain(&entry.text));
                    write!(out, "- **{term}{colon}** {text}")?;
                    match &entry.href {
                        Some(href) => writeln!(out, " <{href}>")?,
                        None => writeln!(out)?,
                    }
                }
            }
            Block::Table {
                caption,
                head,
                rows,
            } => {
                let line = |cells: &[String]| {
                    let cells: Vec<String> = cells.iter().map(|cell| plain(cell)).collect();
                    format!("| {} |", cells.join(" | "))
                };
                let rule = vec!["---"; head.len()].join("|");
                writeln!(out, "{}\n\n{}\n|{rule}|", plain(caption), line(head))?;
                for row in rows {
                    writeln!(out, "{}", line(row))?;
                }
            }
        }
        Ok(())
    }
}

/// Keeps an operator's text from being read as markup.
fn plain(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\\' | '`' | '*' | '|' | '<' | '>' | '[' | ']' | '#' => out.extend(['\\', c]),
            '\n' | '\r' => out.push(' '),
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_shows_markup_as_text() {
        let mut document = Document::new("A|B", "x");
        document.section(
            "s",
            "T",
            vec![
                Block::Facts(vec![Entry::to("Who", "[a](b)", "mailto:a@b.test")]),
                Block::Table {
                    caption: "c".into(),
                    head: vec!["h".into()],
                    rows: vec![vec!["1|2".into()]],
                },
            ],
        );
        assert_eq!(
            document.markdown(),
            "# A\\|B\n\nx\n\n## T\n\n- **Who:** \\[a\\](b) <mailto:a@b.test>\n\nc\n\n| h |\n|---|\n| 1\\|2 |\n"
        );
    }
}
