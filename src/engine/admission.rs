//! Which statements the engine is asked to run at all.
//!
//! In: a statement, the verdict of the engine's parser. Out: admitted, or an exception. One of
//! three walls: the grants in [`super::config`] stop table functions and engines that reach
//! outside, this filter stops what grants do not cover (measured with 26.7.3: INTO OUTFILE, FROM
//! INFILE, ATTACH … FROM, the scalar function `file`, disks declared in a query, several table
//! engines), and [`super::sandbox`] stops what hides from both, such as `file` in the text of a
//! column default.

use super::{
    Exception,
    answer::{Analysis, Class},
    exception::code,
    statement::{Kind, Token, Tokens, is},
};

/// Statements a client may send, by their first words. Everything brine's own storage code needs,
/// and what official clients send on their own.
const ADMITTED: [&[&str]; 45] = [
    &["SELECT"],
    &["WITH"],
    &["("],
    &["EXPLAIN"],
    &["DESCRIBE"],
    &["DESC"],
    &["SHOW"],
    &["EXISTS"],
    &["CHECK"],
    &["SET"],
    &["USE"],
    &["INSERT"],
    &["CREATE", "DATABASE"],
    &["CREATE", "TABLE"],
    &["CREATE", "OR", "REPLACE", "TABLE"],
    &["CREATE", "OR", "REPLACE", "TEMPORARY", "TABLE"],
    &["CREATE", "TEMPORARY", "TABLE"],
    &["CREATE", "VIEW"],
    &["CREATE", "OR", "REPLACE", "VIEW"],
    &["CREATE", "MATERIALIZED", "VIEW"],
    &["REPLACE", "TABLE"],
    &["ALTER", "TABLE"],
    &["ALTER", "DATABASE"],
    &["DROP", "DATABASE"],
    &["DROP", "TABLE"],
    &["DROP", "TEMPORARY", "TABLE"],
    &["DROP", "VIEW"],
    &["DROP", "INDEX"],
    &["CREATE", "INDEX"],
    &["TRUNCATE"],
    &["RENAME", "TABLE"],
    &["RENAME", "DATABASE"],
    &["EXCHANGE", "TABLES"],
    &["OPTIMIZE", "TABLE"],
    &["DELETE", "FROM"],
    &["UPDATE"],
    &["KILL", "QUERY"],
    &["KILL", "MUTATION"],
    &["SYSTEM", "STOP", "MERGES"],
    &["SYSTEM", "START", "MERGES"],
    &["SYSTEM", "STOP", "TTL", "MERGES"],
    &["SYSTEM", "START", "TTL", "MERGES"],
    &["SYSTEM", "STOP", "CLEANUP"],
    &["SYSTEM", "START", "CLEANUP"],
    &["SYSTEM", "FLUSH"],
];

/// Table and database engines that keep their data in the data directory or in memory. Grants for
/// table engines exist but do not cover all (measured: Executable, Buffer, Set were created
/// without).
const ENGINES: [&str; 17] = [
    "MergeTree",
    "ReplacingMergeTree",
    "SummingMergeTree",
    "AggregatingMergeTree",
    "CollapsingMergeTree",
    "VersionedCollapsingMergeTree",
    "CoalescingMergeTree",
    "Memory",
    "Null",
    "Join",
    "Set",
    "Log",
    "TinyLog",
    "StripeLog",
    "View",
    "MaterializedView",
    "Atomic",
];

/// Functions that are never called: the first reads any file whatever the grants say (26.7.3), the
/// second declares a disk anywhere.
const FUNCTIONS: [&str; 2] = ["file", "disk"];

/// Decides on `text`, of which `analysis` is the engine's own reading.
///
/// # Errors
/// 497 `ACCESS_DENIED` for what is not admitted, 62 `SYNTAX_ERROR` for several statements at once.
/// A text that the engine did not parse must not reach this function: it has no reading to compare.
pub fn admit(text: &[u8], analysis: Analysis) -> Result<(), Exception> {
    if analysis.statements != 1 {
        return Err(Exception::new(
            code::SYNTAX_ERROR,
            "Multi-statements are not allowed",
        ));
    }
    let tokens: Vec<Token> = Tokens::new(text).collect();
    // The engine's lexer takes some of these for blanks, and some for quotes.
    let is_plain = |token: &Token| {
        matches!(token.kind, Kind::Quoted | Kind::Text) || text[token.span.clone()].is_ascii()
    };
    if !tokens.iter().all(is_plain) {
        return Err(Exception::new(
            code::SYNTAX_ERROR,
            "Letters and signs beyond ASCII must stand in quotes or comments",
        ));
    }
    let opening = ADMITTED
        .iter()
        .find(|opening| begins(text, &tokens, opening))
        .ok_or_else(|| denied("this kind of statement"))?;
    let own_control = matches!(opening[0], "SET" | "USE" | "KILL" | "SYSTEM");
    let temporary = opening[0] == "INSERT" || opening.contains(&"TEMPORARY");
    // The parser calls an INSERT into a temporary table a control statement, and an INSERT, ALTER
    // or OPTIMIZE with a SETTINGS clause. What it means to catch by that word is refused by name
    // below.
    let is_question = matches!(
        opening[0],
        "SELECT" | "WITH" | "(" | "EXPLAIN" | "DESCRIBE" | "DESC" | "SHOW" | "EXISTS"
    );
    let settings = !is_question && tokens.iter().any(|token| is(text, token, "SETTINGS"));
    match analysis.class {
        Class::Read | Class::Write => {}
        Class::Control if own_control || temporary || settings => {}
        Class::Control | Class::Global | Class::Unknown => {
            return Err(denied("a statement with effects outside its database"));
        }
    }
    for pair in tokens.windows(2) {
        refuse_pair(text, &pair[0], &pair[1])?;
    }
    // The engine knows a statement by it, to end it: a clause would take the name away.
    let clause = tokens.iter().position(|token| is(text, token, "SETTINGS"));
    let behind = &tokens[clause.unwrap_or(tokens.len())..];
    if behind
        .iter()
        .any(|token| is_named(text, token, "log_comment"))
    {
        return Err(denied(
            "log_comment in a SETTINGS clause, which is a parameter of the URL here",
        ));
    }
    match opening[0] {
        "INSERT"
            if tokens
                .iter()
                .take(4)
                .any(|token| is(text, token, "FUNCTION")) =>
        {
            Err(denied("INSERT INTO FUNCTION"))
        }
        "ALTER" => refuse_words(text, &tokens, &["FREEZE", "UNFREEZE", "FETCH"]),
        "CREATE" | "REPLACE" => refuse_engines(text, &tokens),
        _ => Ok(()),
    }
}

/// A name, with or without quotes.
fn is_named(text: &[u8], token: &Token, name: &str) -> bool {
    name_of(text, token).is_some_and(|it| it.eq_ignore_ascii_case(name.as_bytes()))
}

/// What a word or a quoted name says.
fn name_of<'t>(text: &'t [u8], token: &Token) -> Option<&'t [u8]> {
    match token.kind {
        Kind::Word => text.get(token.span.clone()),
        Kind::Quoted => text.get(token.span.start + 1..token.span.end - 1),
        _ => None,
    }
}

fn begins(text: &[u8], tokens: &[Token], opening: &[&str]) -> bool {
    opening.len() <= tokens.len()
        && opening.iter().zip(tokens).all(|(word, token)| match *word {
            "(" => token.kind == Kind::Sign(b'('),
            word => is(text, token, word),
        })
}

/// Clauses and calls that are refused wherever they stand outside quotes.
fn refuse_pair(text: &[u8], first: &Token, second: &Token) -> Result<(), Exception> {
    let clause = |a, b| is(text, first, a) && is(text, second, b);
    if clause("INTO", "OUTFILE") || clause("FROM", "INFILE") {
        return Err(denied("reading or writing a file"));
    }
    if clause("EXECUTE", "AS") {
        return Err(denied("EXECUTE AS"));
    }
    let Some(name) = name_of(text, first) else {
        return Ok(());
    };
    let called = second.kind == Kind::Sign(b'(');
    if called
        && FUNCTIONS
            .iter()
            .any(|function| name.eq_ignore_ascii_case(function.as_bytes()))
    {
        return Err(denied(format!(
            "the function `{}`",
            String::from_utf8_lossy(name)
        )));
    }
    Ok(())
}

fn refuse_words(text: &[u8], tokens: &[Token], words: &[&str]) -> Result<(), Exception> {
    match words
        .iter()
        .find(|word| tokens.iter().any(|token| is(text, token, word)))
    {
        Some(word) => Err(denied(word)),
        None => Ok(()),
    }
}

/// Every `ENGINE [=] name` of a CREATE must be listed. What follows `AS SELECT` is a query, in
/// which `engine` may be a column.
fn refuse_engines(text: &[u8], tokens: &[Token]) -> Result<(), Exception> {
    for (at, token) in tokens.iter().enumerate() {
        let next = |offset: usize| tokens.get(at + offset);
        let query_follows = |token: &Token| {
            is(text, token, "SELECT") || is(text, token, "WITH") || token.kind == Kind::Sign(b'(')
        };
        if token.depth == 0 && is(text, token, "AS") && next(1).is_some_and(query_follows) {
            return Ok(());
        }
        if !is(text, token, "ENGINE") {
            continue;
        }
        let equals = next(1).is_some_and(|token| token.kind == Kind::Sign(b'='));
        let Some(name) = next(if equals { 2 } else { 1 }) else {
            continue;
        };
        let bytes = &text[name.span.clone()];
        let listed = ENGINES
            .iter()
            .any(|engine| bytes.eq_ignore_ascii_case(engine.as_bytes()));
        // A column may be called `engine`; then a type or a sign follows, at a depth where no
        // engine stands.
        if token.depth == 0 && !listed {
            return Err(denied(format!(
                "engine `{}`",
                String::from_utf8_lossy(bytes)
            )));
        }
    }
    Ok(())
}

fn denied(what: impl std::fmt::Display) -> Exception {
    Exception::new(
        code::ACCESS_DENIED,
        format!("not allowed in the embedded engine: {what}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(text: &str, class: Class) -> u32 {
        match admit(
            text.as_bytes(),
            Analysis {
                statements: 1,
                class,
            },
        ) {
            Ok(()) => 0,
            Err(exception) => exception.code,
        }
    }

    #[test]
    fn what_the_product_needs_is_admitted() {
        for (text, class) in [
            (
                "CREATE TABLE t (engine String) ENGINE = MergeTree ORDER BY a",
                Class::Write,
            ),
            (
                "CREATE VIEW v AS SELECT engine FROM system.tables",
                Class::Write,
            ),
            (
                "ALTER TABLE t DELETE WHERE 1 SETTINGS mutations_sync = 1",
                Class::Control,
            ),
            (
                "INSERT INTO t SETTINGS async_insert = 0 FORMAT RowBinary",
                Class::Control,
            ),
            ("KILL QUERY WHERE 1", Class::Control),
            ("system stop merges t", Class::Control),
            ("((SELECT 1))", Class::Read),
        ] {
            assert_eq!(verdict(text, class), 0, "{text}");
        }
    }

    #[test]
    fn what_reaches_outside_is_denied() {
        for (text, class) in [
            ("SELECT 1 INTO /* x */ OUTFILE 'p'", Class::Control),
            (
                "SELECT 1 INTO OUTFILE 'p' SETTINGS max_threads = 1",
                Class::Control,
            ),
            ("INSERT INTO t FROM INFILE 'p' FORMAT CSV", Class::Write),
            (
                "INSERT INTO FUNCTION file('p') SELECT 1 SETTINGS a = 1",
                Class::Control,
            ),
            (
                "INSERT INTO TABLE FUNCTION file('p') SELECT 1",
                Class::Write,
            ),
            ("SELECT file('/etc/passwd')", Class::Read),
            ("SELECT `file` ('/etc/passwd')", Class::Read),
            (
                "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk(type = local)",
                Class::Write,
            ),
            (
                "CREATE TABLE t (a Int8) ENGINE Executable('x', CSV)",
                Class::Write,
            ),
            (
                "CREATE TABLE t ENGINE = File(CSV) AS SELECT 1",
                Class::Write,
            ),
            ("CREATE DATABASE d ENGINE = Filesystem('/')", Class::Write),
            (
                "ATTACH TABLE t FROM '/tmp' (a Int8) ENGINE = MergeTree ORDER BY a",
                Class::Control,
            ),
            ("ALTER TABLE t FREEZE SETTINGS a = 1", Class::Control),
            ("SYSTEM SHUTDOWN", Class::Control),
            ("CREATE USER u", Class::Global),
            ("CREATE FUNCTION f AS x -> x", Class::Global),
            (
                "CREATE DICTIONARY d (a UInt64) PRIMARY KEY a SOURCE(FILE(path 'p'))",
                Class::Write,
            ),
            ("BACKUP DATABASE d TO File('p')", Class::Control),
            ("EXECUTE AS u SELECT 1", Class::Control),
        ] {
            assert_eq!(verdict(text, class), code::ACCESS_DENIED.0, "{text}");
        }
    }

    /// Where this tokenizer read otherwise than the engine's lexer, its words passed.
    #[test]
    fn what_reads_otherwise_in_the_engine_is_no_way_out() {
        for text in [
            "SELECT file\u{a0}('p')",
            "SELECT 1 INTO\u{a0}OUTFILE 'p' SETTINGS max_threads = 1",
            "SELECT \u{2018} ' \u{2019}, file('p'), \u{2018} ' \u{2019}",
            "SELECT \u{201c} ' \u{201d}, file('p'), \u{201c} ' \u{201d}",
            "CREATE TABLE t (a Int8) ENGINE = MergeTree ORDER BY a SETTINGS disk = disk\u{3000}(type = local)",
        ] {
            assert_eq!(verdict(text, Class::Read), code::SYNTAX_ERROR.0, "{text}");
        }
        for text in [
            "SELECT /* /* */ ' */ file('p') /* ' */",
            "SELECT 1 /* /* */ SETTINGS ' */ INTO OUTFILE 'p' SETTINGS max_threads = 1 /* ' */",
            "CREATE TABLE t (a String) ENGINE /* /* */ = MergeTree ' */ = Executable('x.sh', CSV) /* ' */",
            "SELECT 1 INTO OUTFILE 'p' SETTINGS max_threads = 1",
        ] {
            assert_eq!(
                verdict(text, Class::Control),
                code::ACCESS_DENIED.0,
                "{text}"
            );
        }
        assert_eq!(verdict("SELECT 'æ\u{a0}' AS `ø` -- å", Class::Read), 0);
    }

    #[test]
    fn several_statements_are_a_syntax_error() {
        let analysis = Analysis {
            statements: 2,
            class: Class::Read,
        };
        assert_eq!(
            admit(b"SELECT 1; SELECT 2", analysis).unwrap_err().code,
            code::SYNTAX_ERROR.0
        );
    }
}
