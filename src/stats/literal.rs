//! Values and names as they stand in SQL.
//!
//! Comes in: any text a client sent. Goes out: a ClickHouse string literal in which only letters, digits
//! and a few harmless signs stand for themselves; every other byte is written `\xHH` (ClickHouse,
//! "String literals"). No quote, backslash, comment sign, placeholder or line end of a client's can
//! therefore reach the statement, whatever reads it: ClickHouse's parser, the engine's statement filter,
//! or the client crate's placeholders. Server-side parameters were refused: a filter may carry
//! hundreds of values, and each would travel in a field of its own.

use std::fmt::Write;

/// Returns `text` as a string literal.
pub(crate) fn literal(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for &byte in text.as_bytes() {
        if byte.is_ascii_alphanumeric() || b" _./:+-".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _infallible = write!(out, "\\x{byte:02X}");
        }
    }
    out.push('\'');
    out
}

/// Returns `texts` as a parenthesised list of literals.
pub(crate) fn list<T: AsRef<str>>(texts: &[T]) -> String {
    let literals: Vec<String> = texts.iter().map(|text| literal(text.as_ref())).collect();
    format!("({})", literals.join(", "))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Reads a literal as ClickHouse does, or says where it ends early.
    fn read(literal: &str) -> Option<Vec<u8>> {
        let inner = literal.strip_prefix('\'')?.strip_suffix('\'')?.as_bytes();
        let mut out = Vec::new();
        let mut rest = inner;
        while let Some((&byte, tail)) = rest.split_first() {
            match byte {
                b'\'' => return None,
                b'\\' => {
                    let hex = tail.strip_prefix(b"x")?.get(..2)?;
                    out.push(u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok()?);
                    rest = &tail[3..];
                }
                byte => {
                    out.push(byte);
                    rest = tail;
                }
            }
        }
        Some(out)
    }

    #[test]
    fn what_could_end_a_literal_is_written_as_a_number() {
        assert_eq!(literal("/a-b_c.html"), "'/a-b_c.html'");
        assert_eq!(literal("'; DROP"), r"'\x27\x3B DROP'");
        assert_eq!(literal("\\'?{p:String}"), r"'\x5C\x27\x3F\x7Bp:String\x7D'");
        assert_eq!(literal("å\0\n"), r"'\xC3\xA5\x00\x0A'");
        assert_eq!(list(&["a", "'"]), r"('a', '\x27')");
    }

    proptest! {
        #[test]
        fn every_text_comes_back_and_never_ends_early(text in any::<String>()) {
            prop_assert_eq!(read(&literal(&text)), Some(text.into_bytes()));
        }
    }
}
