//! Reads as much of a statement as must be known before the engine sees it.
//!
//! In: the bytes of a statement, possibly followed by data. Out: its leading words, where its data
//! begins, its format. A tokenizer, not a parser: quotes, comments, heredocs and parentheses are
//! told apart, so that a FORMAT in a string is not taken for a clause. The engine's own parser has
//! the last word on everything else.

use std::ops::Range;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bare word: keyword or identifier.
    Word,
    /// Identifier in backticks or double quotes.
    Quoted,
    /// String in single quotes, or a heredoc.
    Text,
    /// Number.
    Number,
    /// Any other single byte.
    Sign(u8),
}

/// One token and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub span: Range<usize>,
    /// Parentheses around it, those it opens itself not counted.
    pub depth: usize,
}

/// Iterates over the tokens of a text; comments and white space are skipped.
pub struct Tokens<'t> {
    text: &'t [u8],
    at: usize,
    depth: usize,
}

impl<'t> Tokens<'t> {
    /// Starts at the beginning of `text`.
    #[must_use]
    pub fn new(text: &'t [u8]) -> Self {
        Self {
            text,
            at: 0,
            depth: 0,
        }
    }

    fn starts(&self, with: &[u8]) -> bool {
        self.text[self.at..].starts_with(with)
    }

    fn where_is(&self, from: usize, what: &[u8]) -> Option<usize> {
        let rest = self.text.get(from..)?;
        rest.windows(what.len())
            .position(|window| window == what)
            .map(|offset| from + offset)
    }

    fn skip_space(&mut self) {
        loop {
            let line_comment = self.starts(b"--") || self.starts(b"#!") || self.starts(b"# ");
            if self.at >= self.text.len() {
                return;
            } else if self.text[self.at].is_ascii_whitespace() || self.text[self.at] == 0x0b {
                self.at += 1;
            } else if line_comment {
                self.at = self
                    .where_is(self.at, b"\n")
                    .map_or(self.text.len(), |end| end + 1);
            } else if self.starts(b"/*") {
                self.at = self.comment_end();
            } else {
                return;
            }
        }
    }

    /// End of a comment that begins at `at`: they nest, as in the engine's lexer.
    fn comment_end(&self) -> usize {
        let (mut end, mut depth) = (self.at + 2, 1);
        while depth > 0 && end < self.text.len() {
            let rest = &self.text[end..];
            match (rest.starts_with(b"/*"), rest.starts_with(b"*/")) {
                (true, _) => (end, depth) = (end + 2, depth + 1),
                (_, true) => (end, depth) = (end + 2, depth - 1),
                _ => end += 1,
            }
        }
        end
    }

    /// End of a quoted token that begins at `at`: both `\'` and `''` stand for the quote.
    fn quoted_end(&self) -> usize {
        let quote = self.text[self.at];
        let mut end = self.at + 1;
        while end < self.text.len() {
            if self.text[end] == b'\\' {
                end += 2;
            } else if self.text[end] != quote {
                end += 1;
            } else if self.text.get(end + 1) == Some(&quote) {
                end += 2;
            } else {
                return end + 1;
            }
        }
        self.text.len()
    }

    /// End of `$tag$ … $tag$`, if that is what begins at `at`.
    fn heredoc_end(&self) -> Option<usize> {
        let close = self.where_is(self.at + 1, b"$")?;
        let tag = &self.text[self.at..=close];
        let bare = tag[1..tag.len() - 1]
            .iter()
            .all(|&b| b.is_ascii_alphanumeric() || b == b'_');
        let end = self.where_is(close + 1, tag)?;
        bare.then_some(end + tag.len())
    }

    fn run_end(&self, belongs: impl Fn(u8) -> bool) -> usize {
        let length = self.text[self.at..]
            .iter()
            .take_while(|&&b| belongs(b))
            .count();
        self.at + length
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        self.skip_space();
        let first = *self.text.get(self.at)?;
        let heredoc = (first == b'$').then(|| self.heredoc_end()).flatten();
        let (kind, end) = match first {
            b'\'' => (Kind::Text, self.quoted_end()),
            b'`' | b'"' => (Kind::Quoted, self.quoted_end()),
            b'$' if heredoc.is_some() => (Kind::Text, heredoc.unwrap_or(self.at + 1)),
            b'0'..=b'9' => (Kind::Number, self.run_end(|b| is_word(b) || b == b'.')),
            byte if is_word(byte) || byte == b'$' => {
                (Kind::Word, self.run_end(|b| is_word(b) || b == b'$'))
            }
            byte => (Kind::Sign(byte), self.at + 1),
        };
        if matches!(kind, Kind::Sign(b')' | b']' | b'}')) {
            self.depth = self.depth.saturating_sub(1);
        }
        let token = Token {
            kind,
            span: self.at..end.min(self.text.len()),
            depth: self.depth,
        };
        if matches!(kind, Kind::Sign(b'(' | b'[' | b'{')) {
            self.depth += 1;
        }
        self.at = token.span.end;
        Some(token)
    }
}

/// A statement, its data cut off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Statement {
    /// INSERT with data to follow.
    Insert {
        /// Without FORMAT and data, as the engine's streaming interface wants it.
        head: Vec<u8>,
        /// With FORMAT, for the engine's parser to classify.
        full: Vec<u8>,
        /// The format named, or `None` where the request's default counts.
        format: Option<String>,
        /// Offset of the data in the text.
        data: usize,
    },
    /// Anything else.
    Other {
        /// The text without trailing semicolons.
        text: Vec<u8>,
        /// The format named, if any.
        format: Option<String>,
        /// Whether it is a SELECT, the only kind whose answer the engine streams.
        select: bool,
    },
}

impl Statement {
    /// Reads the statement at the beginning of `text`, which holds a statement without its data, or
    /// followed by them.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let insert = Tokens::new(text)
            .next()
            .is_some_and(|first| is(text, &first, "INSERT"));
        if insert && let Some(insert) = parse_insert(text) {
            return insert;
        }
        let tokens: Vec<Token> = Tokens::new(text).collect();
        let select = tokens
            .iter()
            .find(|token| token.kind != Kind::Sign(b'('))
            .is_some_and(|first| is(text, first, "SELECT") || is(text, first, "WITH"));
        let mut end = tokens.len();
        while end > 0 && tokens[end - 1].kind == Kind::Sign(b';') {
            end -= 1;
        }
        let kept = if end < tokens.len() && end > 0 {
            tokens[end - 1].span.end
        } else {
            text.len()
        };
        let format = output_format(text, &tokens[..end]);
        Self::Other {
            text: text[..kept].to_vec(),
            format,
            select,
        }
    }
}

/// Returns whether `token` is the bare word `word`, in any case.
#[must_use]
pub fn is(text: &[u8], token: &Token, word: &str) -> bool {
    token.kind == Kind::Word && text[token.span.clone()].eq_ignore_ascii_case(word.as_bytes())
}

/// The format of `… FORMAT name [SETTINGS …]` at the end of a statement.
fn output_format(text: &[u8], tokens: &[Token]) -> Option<String> {
    let at = tokens.windows(2).rposition(|pair| {
        pair[0].depth == 0 && is(text, &pair[0], "FORMAT") && pair[1].kind == Kind::Word
    })?;
    let last = match tokens.get(at + 2) {
        None => true,
        Some(next) => is(text, next, "SETTINGS") || is(text, next, "INTO"),
    };
    last.then(|| String::from_utf8_lossy(&text[tokens[at + 1].span.clone()]).into_owned())
}

/// `None` for INSERT … SELECT, which has no data.
fn parse_insert(text: &[u8]) -> Option<Statement> {
    let mut tokens = Tokens::new(text).peekable();
    // The last token seen, to tell `INTO format` and `db.values` from the clauses.
    let mut names_a_table = false;
    let mut head_end = 0;
    while let Some(token) = tokens.next() {
        let word = |word| token.depth == 0 && !names_a_table && is(text, &token, word);
        if word("VALUES") {
            let (head, data) = (text[..token.span.start].to_vec(), token.span.end);
            let full = text[..token.span.end].to_vec();
            return Some(Statement::Insert {
                head,
                full,
                format: Some("Values".into()),
                data,
            });
        }
        if word("FORMAT") {
            let name = tokens.next().filter(|name| name.kind == Kind::Word)?;
            let format = String::from_utf8_lossy(&text[name.span.clone()]).into_owned();
            let settings = settings_after(text, name.span.end);
            let (mut head, mut full) = (
                text[..token.span.start].to_vec(),
                text[..name.span.end].to_vec(),
            );
            head.extend_from_slice(&text[settings.clone()]);
            full.extend_from_slice(&text[settings.clone()]);
            let data = data_start(text, settings.end);
            return Some(Statement::Insert {
                head,
                full,
                format: Some(format),
                data,
            });
        }
        let opens_select = token.kind == Kind::Sign(b'(')
            && tokens
                .peek()
                .is_some_and(|next| is(text, next, "SELECT") || is(text, next, "WITH"));
        if word("SELECT") || word("WITH") || word("WATCH") || (token.depth == 0 && opens_select) {
            return None;
        }
        names_a_table =
            is(text, &token, "INTO") || is(text, &token, "TABLE") || token.kind == Kind::Sign(b'.');
        if token.kind != Kind::Sign(b';') {
            head_end = token.span.end;
        }
    }
    let head = text[..head_end].to_vec();
    let full = [head.as_slice(), b" FORMAT Values"].concat();
    Some(Statement::Insert {
        head,
        full,
        format: None,
        data: text.len(),
    })
}

/// The span of `SETTINGS a = 1, …` right after FORMAT, empty if there is none.
fn settings_after(text: &[u8], from: usize) -> Range<usize> {
    let mut tokens = Tokens {
        text,
        at: from,
        depth: 0,
    };
    if !tokens
        .next()
        .is_some_and(|token| is(text, &token, "SETTINGS"))
    {
        return from..from;
    }
    let mut end = from;
    loop {
        let name = tokens.next();
        let equals = tokens.next();
        let (Some(name), Some(equals)) = (name, equals) else {
            return from..end;
        };
        if name.kind != Kind::Word || equals.kind != Kind::Sign(b'=') {
            return from..end;
        }
        let Some(mut value) = tokens.next() else {
            return from..end;
        };
        if value.kind == Kind::Sign(b'-') {
            let Some(number) = tokens.next() else {
                return from..end;
            };
            value = number;
        }
        end = value.span.end;
        let mut ahead = Tokens {
            text,
            at: end,
            depth: 0,
        };
        if ahead
            .next()
            .is_none_or(|token| token.kind != Kind::Sign(b','))
        {
            return from..end;
        }
        tokens = ahead;
    }
}

/// Data begin after blanks and at most one line end (`ParserInsertQuery`).
fn data_start(text: &[u8], from: usize) -> usize {
    let mut at = from;
    while matches!(text.get(at), Some(b' ' | b'\t' | 0x0c)) {
        at += 1;
    }
    if text.get(at) == Some(&b'\r') {
        at += 1;
    }
    if text.get(at) == Some(&b'\n') {
        at += 1;
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn insert(text: &str) -> (String, Option<String>, &str) {
        match Statement::parse(text.as_bytes()) {
            Statement::Insert {
                head, format, data, ..
            } => (
                String::from_utf8(head).unwrap().trim().to_owned(),
                format,
                &text[data..],
            ),
            Statement::Other { .. } => panic!("not an insert with data: {text}"),
        }
    }

    fn other(text: &str) -> (String, Option<String>, bool) {
        match Statement::parse(text.as_bytes()) {
            Statement::Other {
                text,
                format,
                select,
            } => (String::from_utf8(text).unwrap(), format, select),
            Statement::Insert { .. } => panic!("an insert with data: {text}"),
        }
    }

    #[test]
    fn format_is_cut_off_and_data_begin_on_the_next_line() {
        let (head, format, data) = insert("INSERT INTO t (a, b) FORMAT CSV\n1,2\n");
        assert_eq!(
            (head.as_str(), format.as_deref(), data),
            ("INSERT INTO t (a, b)", Some("CSV"), "1,2\n")
        );
    }

    #[test]
    fn settings_behind_format_are_kept() {
        let (head, format, data) = insert("INSERT INTO t FORMAT CSV SETTINGS a=1, b='x,y'\n1\n");
        assert_eq!(head, "INSERT INTO t  SETTINGS a=1, b='x,y'");
        assert_eq!((format.as_deref(), data), (Some("CSV"), "1\n"));
    }

    #[test]
    fn words_in_quotes_comments_and_heredocs_are_no_clauses() {
        let text = "INSERT INTO `FORMAT` (a, \"VALUES\") -- FORMAT x\n/* SELECT */ SETTINGS c=$q$ FORMAT y $q$, d='it''s \\' FORMAT z' FORMAT TSV\nd";
        let (_, format, data) = insert(text);
        assert_eq!((format.as_deref(), data), (Some("TSV"), "d"));
    }

    #[test]
    fn comments_nest() {
        let text = b"SELECT /* a /* b */ ' */ 1 /* ' */ /* /* */";
        let tokens: Vec<Token> = Tokens::new(text).collect();
        let kinds: Vec<Kind> = tokens.iter().map(|token| token.kind).collect();
        assert_eq!(kinds, [Kind::Word, Kind::Number]);
    }

    #[test]
    fn a_table_may_be_named_like_a_clause() {
        assert_eq!(
            insert("INSERT INTO format VALUES (1)").1.as_deref(),
            Some("Values")
        );
        assert_eq!(
            insert("INSERT INTO db.values FORMAT CSV").1.as_deref(),
            Some("CSV")
        );
    }

    #[test]
    fn insert_select_has_no_data() {
        assert!(!other("INSERT INTO t SELECT 1 FORMAT CSV").2);
        assert!(!other("INSERT INTO t (a) (SELECT 1)").2);
        assert!(!other("INSERT INTO t WITH 1 AS x SELECT x").2);
    }

    #[test]
    fn insert_without_format_leaves_it_to_the_request() {
        assert_eq!(
            insert("INSERT INTO t (a);"),
            ("INSERT INTO t (a)".into(), None, "")
        );
    }

    #[test]
    fn output_format_is_found_only_where_it_is_a_clause() {
        assert_eq!(other("SELECT 1 FORMAT JSON;").1.as_deref(), Some("JSON"));
        assert_eq!(
            other("SELECT 1 FORMAT JSON SETTINGS a=1").1.as_deref(),
            Some("JSON")
        );
        assert_eq!(other("SELECT format FROM t").1, None);
        assert_eq!(other("SELECT 'FORMAT JSON'").1, None);
        assert_eq!(other("SELECT * FROM (SELECT 1 FORMAT x)").1, None);
    }

    #[test]
    fn trailing_semicolons_go_and_select_is_told_from_the_rest() {
        assert_eq!(other("(SELECT 1) ; ;"), ("(SELECT 1)".into(), None, true));
        assert!(!other("DESCRIBE TABLE t").2);
    }
}
