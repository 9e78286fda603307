//! `/meaning`: the document that says what the numbers mean, as a page.
//!
//! Comes in: `dashboards/MEANING.md`, which is also the document of [`crate::stats`], and the same in Danish. Goes out:
//! HTML. Of Markdown it reads what those files use: headings, paragraphs, tables, bold and code.

use std::sync::LazyLock;

use askama::Template;
use hyper::StatusCode;
use hyper::http::request::Parts;

use super::page::Frame;
use super::view::View;
use super::{Dashboard, reply};
use crate::config::Sites;
use crate::route::Reply;

const EN: &str = include_str!("../../dashboards/MEANING.md");
const DA: &str = include_str!("../../dashboards/MEANING.da.md");

static HTML_EN: LazyLock<String> = LazyLock::new(|| html(EN, "Table"));
static HTML_DA: LazyLock<String> = LazyLock::new(|| html(DA, "Tabel"));

#[derive(Template)]
#[template(path = "meaning.html", config = "dashboards/web/askama.toml")]
struct Page {
    frame: Frame,
    html: &'static str,
}

pub(super) fn answer(dashboard: &Dashboard, sites: &Sites, view: &View, head: &Parts) -> Reply {
    let page = Page {
        frame: dashboard.frame(sites, view, None),
        html: view.language.pick(&HTML_EN, &HTML_DA),
    };
    reply::page(StatusCode::OK, &page, view.language, head)
}

fn html(text: &str, table_name: &str) -> String {
    let mut out = String::new();
    for block in text
        .split("\n\n")
        .map(str::trim)
        .filter(|block| !block.is_empty())
    {
        if let Some(title) = block.strip_prefix("# ") {
            out.push_str(&format!("<h1>{}</h1>\n", inline(title)));
        } else if let Some(title) = block.strip_prefix("## ") {
            out.push_str(&format!("<h2>{}</h2>\n", inline(title)));
        } else if block.starts_with('|') {
            out.push_str(&table(block, table_name));
        } else {
            out.push_str(&format!("<p>{}</p>\n", inline(&block.replace('\n', " "))));
        }
    }
    out
}

fn table(block: &str, name: &str) -> String {
    let rows = block.lines().filter(|line| !line.starts_with("|---"));
    let rows = rows.enumerate().map(|(i, line)| {
        let cells = line.trim_matches('|').split('|').enumerate();
        let cells: String = cells
            .map(|(j, cell)| match (i, j) {
                (0, _) => format!("<th scope=\"col\">{}</th>", inline(cell.trim())),
                (_, 0) => format!("<th scope=\"row\">{}</th>", inline(cell.trim())),
                _ => format!("<td>{}</td>", inline(cell.trim())),
            })
            .collect();
        format!("<tr>{cells}</tr>")
    });
    let rows: String = rows.collect();
    format!(
        "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{name}\"><table>{rows}</table></div>\n"
    )
}

/// Bold and code, one mark after the other.
fn inline(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let marked = |text: &str, mark: &str, tag: &str| {
        let parts = text.split(mark).enumerate();
        parts
            .map(|(i, part)| match i % 2 {
                0 => part.to_owned(),
                _ => format!("<{tag}>{part}</{tag}>"),
            })
            .collect::<String>()
    };
    marked(&marked(&text, "**", "strong"), "`", "code")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Paragraph by paragraph, row by row: the same is said, and every name of the query API is there in both.
    #[test]
    fn both_languages_have_the_same_sections() {
        let blocks = |text: &'static str| -> Vec<&'static str> { text.split("\n\n").collect() };
        let (en, da) = (blocks(EN), blocks(DA));
        assert_eq!(en.len(), da.len());
        let counts = |block: &str| {
            let rows: Vec<usize> = block
                .lines()
                .filter(|line| line.starts_with('|'))
                .map(|line| line.matches('|').count())
                .collect();
            (block.matches("**").count(), rows)
        };
        let names = |block: &'static str| {
            let code = block.split('`').skip(1).step_by(2);
            // What stands for a name or path of the reader's own is said in their language.
            let mut names: Vec<String> = code
                .map(|name| name.replace("NAVN", "NAME").replace("/sti", "/path"))
                .collect();
            names.sort();
            names.dedup();
            names
        };
        for (en, da) in en.iter().zip(&da) {
            assert_eq!(counts(en), counts(da), "{en}\n\n{da}");
            assert_eq!(names(en), names(da), "{en}\n\n{da}");
        }
        assert!(html(DA, "Tabel").contains("<h1>Hvad tallene betyder</h1>"));
    }

    #[test]
    fn the_document_becomes_a_page() {
        let text = html(EN, "Table");
        assert!(text.starts_with("<h1>"), "{text}");
        assert!(text.contains("sum of"), "{text}");
        assert!(text.contains("<th scope=\"row\">"), "{text}");
        assert!(!text.contains("**") && !text.contains('`'), "{text}");
        assert_eq!(
            inline("a < **b** & `c`"),
            "a &lt; <strong>b</strong> &amp; <code>c</code>"
        );
    }
}
