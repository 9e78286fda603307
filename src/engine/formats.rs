//! What must be known of ClickHouse's formats to pass their bytes on.
//!
//! In: a format's name, the first chunk of an answer. Out: whether the format may be streamed, how
//! long the header is that the engine repeats in front of every chunk (each is a complete
//! document), the media type.

/// Where a document of a format begins to repeat itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Header {
    /// Rows only.
    None,
    /// Lines of text, none of which can hold a line end inside.
    Lines(usize),
    /// Lines of CSV, whose quoted fields can.
    CsvLines(usize),
    /// Counts and strings of RowBinaryWithNames(AndTypes).
    Binary(usize),
}

/// Returns the header kind of a format whose chunks can be joined, `None` for one that must be
/// asked for as a whole.
fn streamed(format: &str) -> Option<Header> {
    let name = format.to_ascii_lowercase();
    Some(match name.as_str() {
        "rowbinary"
        | "native"
        | "jsoneachrow"
        | "jsonlines"
        | "ndjson"
        | "jsonstringseachrow"
        | "jsoncompacteachrow"
        | "jsoncompactstringseachrow"
        | "tsv"
        | "tabseparated"
        | "tsvraw"
        | "tabseparatedraw"
        | "raw"
        | "csv"
        | "tskv"
        | "lineasstring" => Header::None,
        "tsvwithnames" | "tabseparatedwithnames" => Header::Lines(1),
        "tsvwithnamesandtypes" | "tabseparatedwithnamesandtypes" => Header::Lines(2),
        "jsoncompacteachrowwithnames" | "jsoncompactstringseachrowwithnames" => Header::Lines(1),
        "jsoncompacteachrowwithnamesandtypes" | "jsoncompactstringseachrowwithnamesandtypes" => {
            Header::Lines(2)
        }
        "csvwithnames" => Header::CsvLines(1),
        "csvwithnamesandtypes" => Header::CsvLines(2),
        "rowbinarywithnames" => Header::Binary(1),
        "rowbinarywithnamesandtypes" => Header::Binary(2),
        _ => return None,
    })
}

/// Returns whether chunks of `format` can be joined to one document.
#[must_use]
pub fn is_streamed(format: &str) -> bool {
    streamed(format).is_some()
}

/// Returns the header that every chunk of `format` begins with, cut out of the first one.
#[must_use]
pub fn header<'c>(format: &str, first_chunk: &'c [u8]) -> &'c [u8] {
    let length = match streamed(format) {
        None | Some(Header::None) => Some(0),
        Some(Header::Lines(n_lines)) => nth_line_end(first_chunk, n_lines, None),
        Some(Header::CsvLines(n_lines)) => nth_line_end(first_chunk, n_lines, Some(b'"')),
        Some(Header::Binary(n_lists)) => binary_header(first_chunk, n_lists),
    };
    &first_chunk[..length.unwrap_or(0)]
}

/// Returns `chunk` without the header the first chunk had. Totals and extremes come without one.
#[must_use]
pub fn without_header<'c>(header: &[u8], chunk: &'c [u8]) -> &'c [u8] {
    chunk.strip_prefix(header).unwrap_or(chunk)
}

fn nth_line_end(bytes: &[u8], n_lines: usize, quote: Option<u8>) -> Option<usize> {
    let (mut quoted, mut n_seen) = (false, 0);
    for (at, byte) in bytes.iter().enumerate() {
        if Some(*byte) == quote {
            quoted = !quoted;
        } else if *byte == b'\n' && !quoted {
            n_seen += 1;
            if n_seen == n_lines {
                return Some(at + 1);
            }
        }
    }
    None
}

/// Length of a column count followed by `n_lists` lists of that many strings.
fn binary_header(bytes: &[u8], n_lists: usize) -> Option<usize> {
    let mut at = 0;
    let n_columns = varint(bytes, &mut at)?;
    for _ in 0..n_columns.checked_mul(n_lists)? {
        let n_bytes = varint(bytes, &mut at)?;
        at = at.checked_add(n_bytes).filter(|end| *end <= bytes.len())?;
    }
    Some(at)
}

/// LEB128, as ClickHouse writes lengths.
fn varint(bytes: &[u8], at: &mut usize) -> Option<usize> {
    let mut value = 0_usize;
    for shift in (0..63).step_by(7) {
        let byte = *bytes.get(*at)?;
        *at += 1;
        value |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Returns the media type a ClickHouse server gives for `format`.
#[must_use]
pub fn content_type(format: &str) -> &'static str {
    let name = format.to_ascii_lowercase();
    match name.as_str() {
        _ if name.starts_with("tsv") || name.starts_with("tabseparated") => {
            "text/tab-separated-values; charset=UTF-8"
        }
        "csv" => "text/csv; charset=UTF-8; header=absent",
        _ if name.starts_with("csv") => "text/csv; charset=UTF-8; header=present",
        "jsoneachrow" | "jsonlines" | "ndjson" => "application/x-ndjson; charset=UTF-8",
        _ if name.starts_with("json") => "application/json; charset=UTF-8",
        "xml" => "application/xml; charset=UTF-8",
        "html" => "text/html; charset=UTF-8",
        "markdown" => "text/markdown; charset=UTF-8",
        "native" | "parquet" | "orc" | "arrow" | "arrowstream" | "avro" | "msgpack"
        | "protobuf" | "bsoneachrow" => "application/octet-stream",
        _ if name.starts_with("rowbinary") => "application/octet-stream",
        _ => "text/plain; charset=UTF-8",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_ends_where_rows_begin() {
        assert_eq!(
            header("RowBinaryWithNamesAndTypes", b"\x01\x01a\x05UInt8\x07"),
            b"\x01\x01a\x05UInt8"
        );
        assert_eq!(
            header("TSVWithNamesAndTypes", b"a\nInt8\n1\n"),
            b"a\nInt8\n"
        );
        assert_eq!(
            header("CSVWithNames", b"\"a\nb\",\"c\"\"\n\"\n1,2\n"),
            b"\"a\nb\",\"c\"\"\n\"\n"
        );
        assert_eq!(header("JSONEachRow", b"{}\n"), b"");
    }

    #[test]
    fn later_chunks_lose_their_header_and_nothing_else() {
        assert_eq!(without_header(b"a\n", b"a\n2\n"), b"2\n");
        assert_eq!(without_header(b"a\n", b"\n6\n"), b"\n6\n");
    }

    #[test]
    fn header_cut_short_is_no_header() {
        assert_eq!(header("RowBinaryWithNamesAndTypes", b"\x02\x01a"), b"");
    }

    #[test]
    fn documents_are_not_streamed() {
        for format in [
            "JSON",
            "JSONCompact",
            "Parquet",
            "ArrowStream",
            "Pretty",
            "Values",
            "XML",
        ] {
            assert!(!is_streamed(format), "{format}");
        }
    }
}
