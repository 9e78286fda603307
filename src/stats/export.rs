//! An answer that is written while it is read: CSV and JSON of any length.
//!
//! Comes in: the body of a query and a format. Goes out: pieces of text. One statement counts everything, protection
//! included, exactly as for [`super::answer()`]; its first row says whether anything may be shown, and its rows are
//! written as they come. Promises that memory is bounded by a piece and a block of ClickHouse's (comparisons, which JSON
//! carries and CSV does not, are at most [`MAX_ROWS`] rows), and that the statement ends when the export is dropped.
//! Loses nothing in silence: a statement that fails half-way fails the piece.

use clickhouse::query::RowCursor;
use jiff::Timestamp;
use serde_json::Value;

use super::answer::{Comparing, Counted, Material, dimensions};
use super::csv;
use super::metric::Metric;
use super::request::MAX_ROWS;
use super::rollup::Memo;
use super::{Beside, Choices, Prepared, QueryError, Refusal, prepare, put_choices};
use crate::config::{Sites, settings};

/// Bytes after which a piece is handed on.
const PIECE_BYTES: usize = 32 << 10;

/// How an export is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// One line a row, below a line of names (RFC 4180). Without comparison and `meta`.
    Csv,
    /// What the query API answers: `results`, then `meta` and `query`.
    Json,
}

/// An export under way.
pub struct Export {
    format: Format,
    material: Material,
    comparing: Option<Comparing>,
    choices: Option<(usize, Vec<Choices>)>,
    cursor: RowCursor<Counted>,
    /// Read, and not written yet: the statement's first row.
    first: Option<Counted>,
    is_gated: bool,
    is_mixed: bool,
    has_gaps: bool,
    n_written: u64,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    Begins,
    Rows,
    Over,
}

/// Asks; the first row is there when this returns, and nearly all that can go wrong has gone wrong.
///
/// # Errors
/// As [`super::answer()`].
///
/// # Cancel safety
/// Dropping the future, or the export, closes the connection, which ends the statement in ClickHouse.
pub async fn export(
    client: &clickhouse::Client,
    sites: &Sites,
    limits: &settings::Query,
    body: &[u8],
    now: Timestamp,
    format: Format,
) -> Result<Export, QueryError> {
    let memo = Memo::default();
    let Prepared {
        asker,
        query,
        range,
        earlier,
        labels,
        plans,
    } = prepare(client, sites, limits, body, now, &memo).await?;
    let earlier = earlier.filter(|_| format == Format::Json);
    if earlier.is_some() && query.limit > MAX_ROWS {
        let reason = format!("with a comparison at most {MAX_ROWS} rows are answered at once");
        return Err(Refusal::new("pagination.limit", query.limit, reason).into());
    }
    let beside = match format {
        Format::Csv => Beside::Nothing,
        Format::Json => Beside::About,
    };
    let count = async || -> Result<_, QueryError> {
        let plan = &plans.range;
        let sql = |plan| {
            asker
                .statement(&query, range, plan, query.limit, query.offset)
                .sql()
        };
        let mut cursor: RowCursor<Counted> = asker.open(&sql(plan))?;
        let mut first = asker.first(&mut cursor).await?;
        if first.as_ref().is_some_and(|row| row.is_inexact > 0) {
            cursor = asker.open(&sql(&plan.recounted()))?;
            first = asker.first(&mut cursor).await?;
        }
        Ok((cursor, first))
    };
    let earlier = earlier.zip(plans.earlier.as_ref());
    let ((cursor, first), around) = tokio::try_join!(
        count(),
        asker.around(&query, range, &plans.range, earlier, beside)
    )?;
    let consent = query.place_of(Metric::ConsentRate);
    let material = Material {
        query,
        range,
        k: limits.k,
        counted: first.iter().cloned().collect(),
        compared: around.compared,
        about: around.about,
        salt_boundaries: around.salt_boundaries,
        labels,
        lost: plans.lost(),
        gone: plans.warnings(limits.k),
    };
    Ok(Export {
        format,
        comparing: material.comparing(),
        choices: consent.map(|i| (i, around.chosen)),
        is_gated: material.is_withheld(&material.counted),
        is_mixed: false,
        has_gaps: false,
        n_written: 0,
        state: State::Begins,
        material,
        cursor,
        first,
    })
}

impl Export {
    /// Returns how many rows there are, on all pages; 0 where all are withheld.
    pub fn n_rows(&self) -> u64 {
        match self.is_gated {
            true => 0,
            false => self.material.counted.first().map_or(0, |row| row.n_rows),
        }
    }

    /// Returns first and last instant of the range (RFC 3339).
    pub fn range(&self) -> (String, String) {
        self.material.ends_text(self.material.range)
    }

    /// Returns the next piece; none: it is whole.
    ///
    /// # Errors
    /// As [`super::answer()`]; what was returned before is a part of the answer and not all of it.
    pub async fn piece(&mut self) -> Result<Option<String>, QueryError> {
        let mut out = String::new();
        if self.state == State::Over {
            return Ok(None);
        }
        if self.state == State::Begins {
            self.state = State::Rows;
            match self.format {
                Format::Csv => csv::line(&mut out, &self.names()),
                Format::Json => out.push_str("{\"results\":["),
            }
        }
        while out.len() < PIECE_BYTES {
            let Some(row) = self.next().await? else {
                self.state = State::Over;
                if self.format == Format::Json {
                    self.end(&mut out);
                }
                break;
            };
            self.write(&mut out, row);
        }
        Ok((!out.is_empty()).then_some(out))
    }

    async fn next(&mut self) -> Result<Option<Counted>, QueryError> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        // The rows of what is withheld are read by nobody.
        if self.is_gated {
            return Ok(None);
        }
        self.cursor.next().await.map_err(QueryError::from_client)
    }

    fn write(&mut self, out: &mut String, mut counted: Counted) {
        let query = &self.material.query;
        self.is_mixed |= counted.currency.contains(' ');
        if let Some((i, chosen)) = &self.choices {
            put_choices(std::slice::from_mut(&mut counted), *i, chosen);
        }
        let page = query.offset + 1..=query.offset + query.limit;
        if !page.contains(&counted.position) || (self.is_gated && !query.dimensions.is_empty()) {
            return;
        }
        let mut row = self.material.row(&counted);
        let money = query.metrics.iter().position(|metric| metric.is_money());
        self.has_gaps |= money.is_some_and(|i| row.metrics[i].is_none());
        if self.is_gated {
            row.metrics.fill(None);
        }
        if let Some(comparing) = &self.comparing {
            comparing.put(query, &mut row);
        }
        match self.format {
            Format::Csv => csv::line(out, &csv::cells(&query.metrics, &row)),
            Format::Json => {
                if self.n_written > 0 {
                    out.push(',');
                }
                out.push_str(&row.to_json(&query.metrics).to_string());
            }
        }
        self.n_written += 1;
    }

    fn names(&self) -> Vec<String> {
        let query = &self.material.query;
        let metrics = query.metrics.iter().map(|metric| metric.name().to_owned());
        dimensions(query).into_iter().chain(metrics).collect()
    }

    fn end(&self, out: &mut String) {
        let (meta, written) = self
            .material
            .around(self.is_gated, self.is_mixed && self.has_gaps);
        let (meta, written) = (Value::Object(meta), Value::Object(written));
        out.push_str(&format!("],\"meta\":{meta},\"query\":{written}}}\n"));
    }
}

impl std::fmt::Debug for Export {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Export")
    }
}
