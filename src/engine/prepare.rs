//! Readies a connection for one statement, and the statement for the engine.
//!
//! In: what the request wants beside its statement: database, settings, read-only, the id it may be
//! killed by. Out: a connection that has them, and the way to take them back where the connection
//! lives on. Names are quoted or checked, values are literals: nothing of a request becomes part of
//! a SET or USE unescaped.

use super::{
    Exception,
    answer::{Class, Params},
    exception::code,
    ffi::Connection,
    registry::Running,
    request::Request,
    statement::{Kind, Token, Tokens, is},
};

/// Applies database and settings. Connect arguments would be shorter, but ignore unknown settings
/// without a word.
pub(super) fn prepare(
    request: &Request,
    connection: &mut Connection,
    running: &Running,
) -> Result<(), Exception> {
    if let Some(database) = &request.database {
        let sql = format!("USE {}", identifier(database));
        connection.query(sql.as_bytes(), "Null", &Params::default())?;
    }
    let mut comment = running.mark();
    if let Some(own) = request.settings.get("log_comment") {
        comment = format!("{comment} {own}");
    }
    let mut sql = format!("SET log_comment = {}", literal(&comment));
    for (name, value) in request
        .settings
        .iter()
        .filter(|(name, _)| *name != "log_comment")
    {
        sql.push_str(&format!(", {name} = {}", literal(value)));
    }
    // Last, because nothing can be set after it; and not in a session, where it could not be taken
    // back.
    if let Some(readonly) = request
        .readonly
        .as_ref()
        .filter(|_| request.session.is_none())
    {
        sql.push_str(&format!(", readonly = {}", literal(readonly)));
    }
    match connection.query(sql.as_bytes(), "Null", &Params::default()) {
        Ok(_) => Ok(()),
        // A session that was made read-only by a SET of its own. It runs without a comment to kill
        // it by.
        Err(refused) if refused.code == code::READONLY.0 && request.settings.is_empty() => Ok(()),
        Err(refused) => Err(refused),
    }
}

/// What the engine does not enforce by the setting: a GET only reads, SYSTEM and KILL change things
/// too, and a request may want to be read-only inside a session that is not.
pub(super) fn check_readonly(
    request: &Request,
    text: &[u8],
    class: Class,
) -> Result<(), Exception> {
    let level = request.readonly.as_deref().unwrap_or("0");
    if !matches!(level, "0" | "1" | "2") {
        let text = format!(
            "readonly must be 0, 1 or 2, and is '{}'",
            level.escape_default()
        );
        return Err(Exception::new(code::BAD_ARGUMENTS, text));
    }
    let mut tokens = Tokens::new(text);
    let first = tokens.next();
    let opens = |word: &str| first.as_ref().is_some_and(|first| is(text, first, word));
    let sets = opens("SET") || tokens.any(|token| is(text, &token, "SETTINGS"));
    let refused = match (class, level) {
        (Class::Read, "1") => sets && request.session.is_some(),
        (Class::Read, _) => false,
        (_, "0") => request.is_get,
        (_, "1") => true,
        // Settings alone, and nothing that is changed with a SETTINGS clause.
        _ => request.is_get || !(opens("SET") || opens("USE")),
    };
    if refused {
        let text = "Cannot execute query in readonly mode";
        return Err(Exception::new(code::READONLY, text));
    }
    Ok(())
}

/// Has the engine say what is wrong with a text that its parser refused. The text is not run: the
/// parser that classifies and the one that runs might disagree.
pub(super) fn syntax_error(connection: &mut Connection, text: &[u8]) -> Exception {
    let mut params = Params::default();
    params.push("statement", escape_tsv(text));
    match connection.query(b"SELECT formatQuery({statement:String})", "Null", &params) {
        // What follows speaks of our own SELECT.
        Err(exception) => match exception
            .message
            .split_once(": In scope SELECT formatQuery(")
        {
            Some((said, _)) => Exception::parse(format!("{said} (SYNTAX_ERROR)")),
            None => exception,
        },
        Ok(_) => Exception::new(code::SYNTAX_ERROR, "Syntax error: not a statement"),
    }
}

/// Returns the statements that undo what [`prepare`] is about to do.
pub(super) fn remember(
    request: &Request,
    connection: &mut Connection,
) -> Result<Vec<String>, Exception> {
    let mut restore = Vec::new();
    if !request.settings.is_empty() {
        let mut params = Params::default();
        let names: Vec<&str> = request.settings.keys().map(String::as_str).collect();
        // Checked to be plain names when they were read.
        params.push("names", format!("['{}']", names.join("','")));
        let sql = b"SELECT name, changed, value FROM system.settings WHERE has({names:Array(String)}, name)";
        let answer = connection.query(sql, "TSVRaw", &params)?;
        for line in String::from_utf8_lossy(&answer.bytes).lines() {
            let mut fields = line.splitn(3, '\t');
            if let (Some(name), Some(changed), Some(value)) =
                (fields.next(), fields.next(), fields.next())
            {
                let value = if changed == "1" {
                    literal(value)
                } else {
                    "DEFAULT".to_owned()
                };
                restore.push(format!("SET {name} = {value}"));
            }
        }
    }
    if request.database.is_some() {
        let answer = connection.query(b"SELECT currentDatabase()", "TSVRaw", &Params::default())?;
        let name = String::from_utf8_lossy(&answer.bytes).trim_end().to_owned();
        restore.push(format!("USE {}", identifier(&name)));
    }
    Ok(restore)
}

/// `KILL QUERY WHERE query_id = '…'`, as clients send it, means their own id; the engine knows it
/// as a comment.
pub(super) fn kill_by_client_id(text: &[u8]) -> Option<Vec<u8>> {
    let tokens: Vec<Token> = Tokens::new(text).collect();
    let [kill, query, r#where, name, equals, id, rest @ ..] = tokens.as_slice() else {
        return None;
    };
    let shape = is(text, kill, "KILL")
        && is(text, query, "QUERY")
        && is(text, r#where, "WHERE")
        && is(text, name, "query_id")
        && equals.kind == Kind::Sign(b'=')
        && id.kind == Kind::Text;
    let mode = match rest {
        [] => "ASYNC",
        [mode] if is(text, mode, "SYNC") => "SYNC",
        [mode] if is(text, mode, "ASYNC") => "ASYNC",
        [mode] if is(text, mode, "TEST") => "TEST",
        _ => return None,
    };
    let id = std::str::from_utf8(&text[id.span.clone()]).ok()?;
    let sql = format!(
        "KILL QUERY WHERE query_id = {id} OR splitByChar(' ', Settings['log_comment'])[1] = {id} {mode}"
    );
    shape.then(|| sql.into_bytes())
}

fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'"))
}

fn identifier(name: &str) -> String {
    format!("`{}`", name.replace('\\', "\\\\").replace('`', "\\`"))
}

/// Values of String parameters are read as in TSV.
fn escape_tsv(text: &[u8]) -> Vec<u8> {
    let mut escaped = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            b'\\' => escaped.extend_from_slice(b"\\\\"),
            b'\n' => escaped.extend_from_slice(b"\\n"),
            b'\t' => escaped.extend_from_slice(b"\\t"),
            0 => escaped.extend_from_slice(b"\\0"),
            _ => escaped.push(*byte),
        }
    }
    escaped
}
